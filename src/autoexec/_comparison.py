"""What threads gain for calls that compute, against one call after another. Pure: it is told the time.

What one takes alone is known by the first call at the least, which may pay for imports, or be a short one. So before
the gain is told for the first time, a few calls are run alone, if that costs little.
"""

from __future__ import annotations

from collections.abc import Callable

from ._gain import Gain
from ._intake import Intake
from ._lanes import Lanes
from ._options import Settings
from ._pace import PROBE_CALLS, PROBE_S, Pace
from ._profile import Profiler
from ._routes import PROCESSES
from ._types import Kind, Plan, Profile

EVEN = 1.0
"""Coefficient of variation of the seconds of a call up to which the quickest tells what one takes alone."""
DOUBT_SHARE = 0.03
"""Share of the rest that it may cost to see what calls take alone. Of 250 queries of 7 ms to SQLite, the first of which
took twice as long, none ran alone after that: all stayed on threads, for 2.2 s instead of 1.3, and in the runs after
it for as long instead of 1.0."""
PATIENCE = 2.0
"""Times what calls under way should take to end, for which that is waited for. Beside one that takes a hundred times as
long as others, fifteen of sixteen threads stood still until it was over."""


class Comparison:
    """Compares calls on threads with calls alone, as long as threads are where calls that compute go.

    Args:
        cores: Those of the machine.
        settings: The options.
        intake: Says how many items remain.
        lanes: What is in flight.
        profiler: What was measured; it is told what is found.
        pace: Has calls run alone.
        profile: The figures of the moment.
    """

    def __init__(
        self,
        cores: int,
        settings: Settings,
        *,
        intake: Intake,
        lanes: Lanes,
        profiler: Profiler,
        pace: Pace,
        profile: Callable[[], Profile],
    ) -> None:
        self._cores = cores
        self._settings = settings
        self._intake = intake
        self._lanes = lanes
        self._profiler = profiler
        self._pace = pace
        self._profile = profile
        self._gain: Gain | None = None
        self._patient_until = 0.0

    def go_on(self, now: float, plan: Plan) -> None:
        """Compare from here on, or go on with that; or stop where the plan is another."""
        apart = plan.route != "threads" or self._pace.probing
        if apart or plan.kind is not Kind.CPU_FREE:
            self._gain = None
        elif self._gain is None and (profile := self._profile()).calls:
            # Of calls that were run on threads before, the mean is not what one takes alone.
            alone_s = profile.least_s if profile.spread < EVEN else profile.wall_s
            self._gain = Gain(now, self._profiler.done_here, self._profiler.local_s, alone_s)

    def stop(self) -> None:
        """What was seen so far tells nothing any more: what comes next is compared anew."""
        self._gain = None

    def look(self, now: float, plan: Plan) -> bool:
        """See what has come of it by now. Returns whether anything has."""
        if self._pace.probing:
            self._gain = None
            return False
        resolved = self._profiler.resolve()
        if self._gain is None:
            return resolved
        profiler, alone_s = self._profiler, self._gain.alone_s
        few = self._lanes.on("threads") if profiler.keep_gil_partly else ()
        gain = self._gain.seen(now, profiler.done_here, profiler.local_s, few)
        if gain is None:
            return resolved
        rate = gain / max(1e-9, alone_s)
        if self._is_doubtful(rate, plan.workers, now):
            self._gain = None
            profiler.doubt(rate)
            self._pace.begin_probe(now, profiler.wall_s)
            self._patient_until = now + PATIENCE * (
                self._drain_s(rate) + _alone_s(rate, plan.workers)
            )
        else:
            profiler.gained(gain)
        self._see_rivals(plan)
        return True

    @property
    def patient_until(self) -> float | None:
        """How long is waited for those that are to end before others run alone, and for the first of these; None if
        it is not for this."""
        waits = self._profiler.turns.doubted and self._pace.probing == PROBE_CALLS
        return self._patient_until if waits else None

    def _is_doubtful(self, rate: float, workers: int, now: float) -> bool:
        """Whether what is known of calls alone is the first, and it is cheap to see others. By the rate on threads:
        what the first call took is what is doubted.

        Args:
            rate: Calls a second on threads.
            workers: How many these are.
            now: The time.
        """
        profiler, settings = self._profiler, self._settings
        if settings.route != "auto" or settings.chunksize != "auto" or not profiler.by_first_only:
            return False
        if not self._pace.may_probe(now):
            return False
        drain_s = self._drain_s(rate)
        if not profiler.is_even or self._lanes.oldest_s(now) > drain_s:
            return False  # nobody knows for how long those under way go on
        if self._lanes.starting:
            return False  # workers that were asked for by mistake compete for the cores with both
        rest = profiler.done if self._intake.remaining is None else self._intake.remaining
        idle_s = (1 - 1 / workers) * (PROBE_CALLS * _alone_s(rate, workers) + drain_s / 2)
        return idle_s * rate < DOUBT_SHARE * rest

    def _drain_s(self, rate: float) -> float:
        """Seconds until those under way have ended."""
        calls = sum(chunk.count - chunk.done for chunk in self._lanes.on("threads"))
        return calls / max(1e-9, rate)

    def _see_rivals(self, plan: Plan) -> None:
        # What more calls than cores wait for, they have of each other; and so it is with workers that start.
        asked_for = any(self._lanes[name].opened for name in PROCESSES if name in self._lanes)
        if plan.workers <= self._cores and not asked_for:
            self._profiler.see_rivals(self._cores)


def _alone_s(rate: float, workers: int) -> float:
    """Seconds of a dispatch that runs alone, if calls are done at that rate on so many threads."""
    return max(PROBE_S, workers / max(1e-9, rate))
