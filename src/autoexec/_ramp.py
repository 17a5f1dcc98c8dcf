"""How many waiting calls at once: found by throughput, round by round. Pure.

    up       more, while that brings more calls a second
    down     half as many, while that costs nothing: what is not needed only burdens the other side
    settled  the fewest that did as well as any; from time to time twice as many are tried

The manner is that of congestion control: nobody says how many the other side can serve.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

FIRST_THREADS = 32
"""Calls at once to begin with: the common hand-picked pool size."""
FIRST_TASKS = 64
"""The same for tasks on an event loop. What has started stays in this process, so these must not be
many: if each turns out to compute for 3 ms, 64 keep one core busy for 0.2 s."""
GAIN = 1.25
"""More goes on while it brings this much throughput; ideal doubling brings 2.0, and rounds of 32
calls on a shared machine scatter by a tenth."""
KEEPS = 0.95
"""Half as many do as well if they bring this share of the throughput."""
FLAT = 1.2
"""Calls that take no more than this times what they took in the round before did not wait for each
other, so that there is room for many more: the step is `LEAP` rather than 2."""
LEAP = 4
FALLS = 0.6
"""Share of the known throughput below which a round says that the other side has changed."""
FIRST_PROBE = 8
"""Rounds after which twice as many are tried, and twice as many rounds later again."""


class Ramp(NamedTuple):
    """Where the search stands."""

    limit: int
    """Calls at once in the round that runs."""
    phase: Literal["up", "down", "settled"] = "up"
    best: int = 0
    """The fewest that did as well as any so far; 0 before the first round."""
    rate: float = 0.0
    """Successful calls a second with those."""
    wall_s: float = 0.0
    """Seconds that a call took in the round before."""
    rounds: int = 0
    """Since it settled."""
    probe_at: int = FIRST_PROBE


def ramp(state: Ramp, rate: float, wall_s: float, ceiling: int) -> Ramp:
    """The search after one more round.

    Args:
        state: Where it stood.
        rate: Successful calls a second in the round; one that is turned away does not count.
        wall_s: Mean seconds of a call in it.
        ceiling: Never more than this.
    """
    state = state._replace(wall_s=wall_s) if not state.best else state
    step = {"up": _up, "down": _down, "settled": _settled}[state.phase]
    return step(state, rate, wall_s, ceiling)._replace(wall_s=wall_s)


def _up(state: Ramp, rate: float, wall_s: float, ceiling: int) -> Ramp:
    if rate < GAIN * state.rate:
        return _back(state)
    flat = wall_s <= FLAT * state.wall_s
    higher = state._replace(
        limit=min((LEAP if flat else 2) * state.limit, ceiling), best=state.limit, rate=rate
    )
    if higher.limit > state.limit:
        return higher
    # At the ceiling; where calls waited for each other on the last step, it was a step too far.
    return higher._replace(phase="settled") if flat else _back(higher)


def _back(state: Ramp) -> Ramp:
    """More brought nothing: perhaps fewer do as well. After a mere probe that is known already."""
    if state.probe_at > FIRST_PROBE:
        return state._replace(limit=state.best, phase="settled")
    return state._replace(limit=max(1, state.best // 2), phase="down")


def _down(state: Ramp, rate: float, wall_s: float, ceiling: int) -> Ramp:
    if rate < KEEPS * state.rate:
        return state._replace(limit=state.best, phase="settled", rounds=0)
    fewer = state._replace(limit=max(1, state.limit // 2), best=state.limit)
    return fewer if fewer.limit < state.limit else fewer._replace(phase="settled", rounds=0)


def _settled(state: Ramp, rate: float, wall_s: float, ceiling: int) -> Ramp:
    state = state._replace(rounds=state.rounds + 1)
    if rate < FALLS * state.rate:
        # It serves fewer now, or the calls are others: look for the number anew, from here down.
        half = max(1, state.limit // 2)
        return state._replace(rate=rate, limit=half, phase="down", probe_at=FIRST_PROBE)
    if state.rounds < state.probe_at or state.limit >= ceiling:
        return state._replace(rate=(state.rate + rate) / 2)
    twice = min(2 * state.limit, ceiling)
    return state._replace(
        limit=twice, phase="up", best=state.limit, rounds=0, probe_at=2 * state.probe_at
    )
