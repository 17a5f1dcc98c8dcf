"""When the driver looks again, at the latest, and which calls are under watch until then. Pure: it is told the time."""

from __future__ import annotations

from collections.abc import Sequence

from . import _control
from ._actions import Wait
from ._chunk import Chunk
from ._dealer import WATCHED, Dealer
from ._evidence import BEAT_S
from ._feed import Feed
from ._intake import Intake
from ._lanes import Lanes
from ._limits import Limits
from ._memory import MemoryWatch
from ._pace import Pace
from ._planner import Planner
from ._profile import Profiler

LONGEST_WAIT_S = 0.5
FIRST_WATCH_S = 0.25
"""A first call is watched no longer than this once it was judged: what it waits for is clear."""
LATER = 0.125
"""Share of the time that it has run for after which it is looked at again, if all others wait for it."""
SELDOM = 0.02
"""Share of the time that a watched call has run for, at the least, between two beats: one of 5 s, watched each
millisecond to its end, took a fifth of a core."""
FAMILIAR_S = 0.005
"""A call of which an earlier run has shown that it waits is watched once it takes longer: to look at one
costs 0.1 ms when it has just begun, and a web handler that maps eight calls of 2 ms did so four times."""


class Agenda:
    """Says what to wait for where there is nothing to do.

    Args:
        planner: Says whether the plan is looked at again, and when calls have aged or stalled.
        pace: When that is, and when a trial of so many calls at once ends.
        feed: When more is sent, or taken.
        dealer: Says which calls are watched.
        intake: What was not sent yet.
        lanes: What is in flight.
        limits: What calls and the run may take.
        profiler: What was measured.
        memory: What it bounds.
    """

    def __init__(
        self,
        planner: Planner,
        pace: Pace,
        *,
        feed: Feed,
        dealer: Dealer,
        intake: Intake,
        lanes: Lanes,
        limits: Limits,
        profiler: Profiler,
        memory: MemoryWatch,
    ) -> None:
        self._planner = planner
        self._pace = pace
        self._feed = feed
        self._dealer = dealer
        self._intake = intake
        self._lanes = lanes
        self._limits = limits
        self._profiler = profiler
        self._memory = memory

    def wait(self, now: float) -> Wait:
        """Wait for a beat while the heartbeat has something to tell, else until something is due."""
        running = self._lanes.on("threads")
        here = running if len(running) > 1 else ()
        if self._feed.launch.held_back:
            return Wait(max(0.0, self._feed.launch.look_from - now), (), here=here)
        until = self._due(running, now)
        if watch := self._to_watch(running, now):
            beat_s = max(self._profiler.beat_s, SELDOM * min(now - one.sent_s for one in watch))
            return Wait(min(beat_s, max(BEAT_S, until - now)), watch, here=running)
        last = self._holds_up_all(running, now)
        for chunk in last:
            until = min(until, now + LATER * (now - chunk.sent_s))
        return Wait(max(BEAT_S, until - now), last, here=here)

    def _due(self, running: Sequence[Chunk], now: float) -> float:
        """When there is something to do at the latest, though nothing happens."""
        until = min(now + LONGEST_WAIT_S, self._limits.next_look(bool(self._lanes.count)))
        until = min(until, self._intake.wakes_at)
        if self._intake.count or not self._intake.ended:
            until = min(until, self._feed.rate.next_at(now))
        if self._planner.will_review():
            until = min(until, self._pace.review_at)
        if self._lanes.count:
            until = min(until, self._memory.look_at)
        if self._pace.probing:
            until = min(until, self._planner.in_vain_at(now))
        if self._feed.pull_at > now:
            until = min(until, self._feed.pull_at)
        until = min(until, self._pace.trial_until(self._planner.plan), self._planner.stalls_at())
        if running and self._dealer.watching():
            later = (self._watch_at(chunk) for chunk in running if chunk.watched)
            until = min(until, min((at for at in later if at > now), default=until))
        # Chunks of several, and what holds up several.
        for chunk in running if self._planner.plan.route == "inline" else self._lanes.longer:
            if chunk.expected_s is not None and not chunk.recalled:
                overran = chunk.began_s(now) + _control.overrun_s(chunk.expected_s)
                until = min(until, overran) if overran > now else until
        return until

    def _holds_up_all(self, running: Sequence[Chunk], now: float) -> Sequence[Chunk]:
        """The call that all others wait for, if it is the first, or takes far longer than those before it:
        it is looked at now and then, however long it takes, as it may be time to have them run elsewhere."""
        if (
            self._planner.settings.route != "auto"
            or self._planner.plan.route != "inline"
            or self._intake.over
        ):
            return ()
        if not self._profiler.done:
            return running[:1]
        chunk = self._planner.holding_up(now)[1]
        return (chunk,) if chunk else ()

    def _to_watch(self, running: Sequence[Chunk], now: float) -> Sequence[Chunk]:
        """Calls that the heartbeat has something to tell of."""
        if running and self._dealer.watching():
            # The first call is watched to its end, since it began alone: what it waits for is its
            # own affair, where those that overlap wait for each other too.
            most = WATCHED if self._profiler.done else 1
            watch = [chunk for chunk in running if chunk.watched and now >= self._watch_at(chunk)]
            watch = watch[:most]
            if watch and (self._profiler.done or now - watch[0].sent_s < FIRST_WATCH_S):
                return watch
        over_s, chunk = self._planner.holding_up(now)
        return (chunk,) if chunk and over_s < FIRST_WATCH_S else ()

    def _watch_at(self, chunk: Chunk) -> float:
        """When to begin to watch a call."""
        familiar = self._profiler.expects and self._planner.plan.waiting
        return chunk.sent_s + (FAMILIAR_S if familiar else 0.0)
