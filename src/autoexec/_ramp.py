"""How many waiting calls at once: found by throughput, round by round. Pure.

    up       more, while that brings more calls a second
    down     one trial of as few as should do by Little's law (calls at once = calls a second x seconds
             of a call that waits for no other): what is not needed only burdens the other side
    settled  from time to time twice as many are tried
    capped   at the ceiling, which may rise

Where all calls that may run at once wait and none comes back for long (a cache that misses one time in
twenty), more are let in at once, and no fewer are tried from there on.

The manner is that of congestion control: nobody says how many the other side can serve.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

FIRST_THREADS = 32
"""Calls at once to begin with: the common hand-picked pool size."""
FIRST_TASKS = 128
"""The same for tasks on an event loop. What has started stays in this process, so these must not be
many: if each turns out to compute for 3 ms, 128 keep one core busy for 0.4 s."""
GAIN = 1.25
"""More goes on while it brings this much throughput; ideal doubling brings 2.0, and rounds of 32
calls on a shared machine scatter by a tenth."""
KEEPS = 0.9
"""Fewer do as well if they bring this share of the throughput. A trial that takes longer is broken off."""
EVEN = 0.5
"""Coefficient of variation above which no trial is made: the quickest call then says nothing of the
others, and a round may happen to have none of the long ones. (A search that halved went down to one at a
time where one call in twenty took 2,000 times as long as the others.)"""
SPARE = 1.25
"""More than Little's law asks for, as calls do not arrive evenly."""
BETWEEN_S = 1e-3
"""What may pass from the end of a call to the start of the next in its place. Without it 17 at once were held to do for
calls of 1 ms of which 128 did better, as few of them end at the same time, and each outcome that comes by itself costs
the driver more."""
FLAT = 1.2
"""Calls that take no more than this times what they took in the round before, or what the quickest took,
did not wait for each other, so that there is room for many more: the step is `LEAP` rather than 2."""
LEAP = 8
FIRST_STEP = 4
"""The step after the first round, if it was not flat: with nothing before it to compare it with, calls
that differ look like calls that wait for each other."""
FALLS = 0.6
"""Share of the known throughput below which a round says that the other side has changed."""
STALL_S = 0.002
"""The least time without an outcome that tells anything."""
STALL_CALLS = 2.0
"""The same in times of the quickest call: a server that serves sixteen at once may answer all of them at the
same time, again and again."""
STALL_GAPS = 4.0
"""The same in times that passed between two outcomes so far."""
FIRST_PROBE = 8
"""Rounds after which twice as many are tried, and twice as many rounds later again."""


class Round(NamedTuple):
    """What was seen in a round."""

    rate: float
    """Successful calls a second; one that is turned away does not count."""
    wall_s: float
    """Mean seconds of a call."""
    least_s: float
    """Seconds of the quickest call so far: it waited for no other."""
    spread: float
    """Coefficient of variation of the seconds of a call."""


class Ramp(NamedTuple):
    """Where the search stands."""

    limit: int
    """Calls at once in the round that runs."""
    phase: Literal["up", "down", "settled", "capped"] = "up"
    best: int = 0
    """The fewest that did as well as any so far; 0 before the first round."""
    rate: float = 0.0
    """Successful calls a second with those."""
    wall_s: float = math.inf
    """Seconds that a call took in the round before."""
    floor: int = 1
    """No fewer are tried: as many waited at once, while none came back."""
    rounds: int = 0
    """Since it settled."""
    probe_at: int = FIRST_PROBE


def ramp(state: Ramp, seen: Round, ceiling: int) -> Ramp:
    """The search after one more round.

    Args:
        state: Where it stood.
        seen: The round.
        ceiling: Never more than this.
    """
    step = {"up": _up, "down": _down, "settled": _settled, "capped": _capped}[state.phase]
    return step(state, seen, ceiling)._replace(wall_s=seen.wall_s)


def patience_s(state: Ramp, calls: int) -> float:
    """Seconds of a round of which so many calls have come back after which a trial of fewer is seen to
    cost throughput, though the round is not over."""
    if state.phase != "down" or not state.rate:
        return math.inf
    return (calls + state.limit) / (KEEPS * state.rate)


def stall_s(state: Ramp, seen: Round) -> float:
    """Seconds without any outcome, though as many calls run as may, after which these are of another kind
    than those that came back.

    Args:
        state: Where the search stands.
        seen: The round so far.
    """
    rate = seen.rate or state.rate
    if not rate:
        return math.inf
    return max(STALL_S, STALL_CALLS * seen.least_s, STALL_GAPS / rate)


def stalled(state: Ramp, ceiling: int) -> Ramp:
    """The search where that has happened: twice as many, and no fewer than that from now on. What comes of
    them a second is no measure, as it depends on how many of the quick ones are among them."""
    most = max(state.limit, state.best)
    limit = max(
        most, min(2 * most, ceiling)
    )  # not fewer, where the plan has just come to allow that
    found = state._replace(limit=limit, floor=limit, rounds=0)
    return found if state.phase == "up" else found._replace(phase="settled", best=limit, rate=0.0)


def _up(state: Ramp, seen: Round, ceiling: int) -> Ramp:
    if seen.rate < GAIN * state.rate:
        state = state._replace(best=max(state.best, state.floor))
        if state.probe_at > FIRST_PROBE:  # a mere probe: fewer were tried before
            return state._replace(limit=state.best, phase="settled")
        return _fewer(state, seen)
    flat = seen.wall_s <= FLAT * (state.wall_s if state.best else seen.least_s)
    step = LEAP if flat else 2 if state.best else FIRST_STEP
    higher = min(step * state.limit, ceiling)
    found = state._replace(best=state.limit, rate=seen.rate)
    if higher > state.limit:
        return found._replace(limit=higher)
    return found._replace(phase="capped") if flat else _fewer(found, seen)


def _capped(state: Ramp, seen: Round, ceiling: int) -> Ramp:
    if ceiling > state.limit:
        return state._replace(limit=min(2 * state.limit, ceiling), phase="up", best=state.limit)
    return _settled(state, seen, ceiling)


def _fewer(state: Ramp, seen: Round) -> Ramp:
    """Try as few as should do; or settle on the best, if that is about it or cannot be told."""
    seconds = max(SPARE * seen.least_s, seen.least_s + BETWEEN_S)
    enough = max(state.floor, math.ceil(state.rate * seconds))
    if seen.spread > EVEN or enough > 0.7 * state.best:
        return state._replace(limit=state.best, phase="settled", rounds=0)
    return state._replace(limit=enough, phase="down")


def _down(state: Ramp, seen: Round, ceiling: int) -> Ramp:
    as_well = seen.rate >= KEEPS * state.rate
    best = state.limit if as_well else state.best
    return state._replace(limit=best, best=best, phase="settled", rounds=0)


def _settled(state: Ramp, seen: Round, ceiling: int) -> Ramp:
    state = state._replace(rounds=state.rounds + 1)
    if seen.rate < FALLS * state.rate:  # it serves fewer now, or the calls are others
        return _fewer(state._replace(rate=seen.rate, best=state.limit, probe_at=FIRST_PROBE), seen)
    if state.rounds < state.probe_at or state.limit >= ceiling:
        return state._replace(rate=(state.rate + seen.rate) / 2 if state.rate else seen.rate)
    later = state._replace(best=state.limit, floor=1, rounds=0, probe_at=2 * state.probe_at)
    return later._replace(limit=min(2 * state.limit, ceiling), phase="up")
