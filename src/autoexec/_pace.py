"""The rhythm of a run: when the plan is looked at again, how many waiting calls run at once, and
when some are run alone. Pure: it is told the time."""

from __future__ import annotations

import math
from collections.abc import Callable

from . import _control
from ._evidence import OVERLAPS
from ._ramp import FIRST_TASKS, FIRST_THREADS, GAIN, Ramp, Round, patience_s, ramp, stall_s, stalled
from ._types import Kind, Plan, Profile

FIRST_STAY_S = 0.005
"""A new route is kept at least this long, and twice as long each time, so that the plan cannot
swing to and fro for ever."""
LEAST_ROUND = 16
"""Calls by which a number of calls at once is judged, however few these are."""
STUCK_S = 0.05
"""More calls are let in where none comes back, as long as those that run compute no more than this together."""
LONGEST_ROUND = 30
"""Times the mean of a call that a round goes on for the sake of one that has not ended, as it may never."""
IDLE = 0.2
"""Share of the places for calls that may be empty in a round for want of items: with fewer calls than that, no
number of places would have brought more. (Of an input with ten items a second for two minutes, 32 at once came to
no more than four, and of 2,000 items that came then the first hundreds were called four at a time.)"""

PROBE_AFTER = 16
"""Calls under contention after which some are run alone to see what they are like now."""
PROBE_CALLS = 3
"""Calls that are then run alone: the first replaces what was known, the others count with it."""
PROBE_S = 0.002
"""Seconds of calls in each of these dispatches, or one call: in chunks of the size for two threads, 27 of 300 digests
of 6 ms ran alone, for a sixth of the time of the run."""
PROBE_BUSY = 0.8
"""CPU seconds per second of the process from which that is worth the threads that stand idle
meanwhile: below it, waiting is what they do."""
PROBE_GAIN = 1.5
"""Calls at a time that must have come of many at once: small files that took 20 µs each alone seemed to
wait for 200 beside nine others, and four at a time would have been gained if they had."""


class Pace:
    """Times and counts that the scheduler goes by."""

    def __init__(self, now: float) -> None:
        self.review_at = now
        self.fresh = False
        """Something was seen since the last review."""
        self.probing = 0
        """Calls yet to be run alone."""
        self._started = now
        self._stay_until = now
        self._stay_s = FIRST_STAY_S
        self._probe_at = now
        self._ramp: Ramp | None = None
        self._known: int | None = None
        """What an earlier run has found to be best, for one that is over before its first round."""
        self._idle_s, self._idle_places, self._idle_from = 0.0, 0, now
        self._begin_round(now, 0)
        self._heard_at = now
        self._quiet_from, self._stalls = now, 0
        self._rate = 0.0
        """Calls a second when they last stalled."""

    # --- Reviews ------------------------------------------------------------------------------------

    def review_soon(self) -> None:
        """Something has happened that may change everything."""
        self.fresh = True
        self.review_at = self._stay_until = 0.0

    def heard(self, now: float) -> None:
        """Calls have returned."""
        self.fresh = True
        self._heard_at = self._quiet_from = now
        self._stalls = 0

    def reviewed(self, now: float) -> None:
        """The plan was looked at."""
        self.fresh = False
        self.review_at = now + _control.review_after(now - self._started)

    def may_change_route(self, now: float) -> bool:
        """Whether the present route has had its time; if so, the next one gets more."""
        if now < self._stay_until:
            return False
        self._stay_until = now + self._stay_s
        self._stay_s *= 2
        return True

    # --- How many waiting calls at once ---------------------------------------------------------------

    @property
    def at_once(self) -> int | None:
        """The best number as far as it is known; None if it was not looked for. A round cut short by the end
        of the run counts if at least half of its calls returned, at a higher rate than before: 5,000 coroutines that
        sleep for 20 ms were done in the second, so that every run began with a fifth of them."""
        state = self._ramp
        if state is None or not state.best:
            return self._known
        elapsed_s = self._heard_at - self._round_from
        gains = self._trial_calls > GAIN * state.rate * elapsed_s
        return state.limit if gains and 2 * self._trial_calls >= state.limit else state.best

    def begin_ramp(self, plan: Plan, now: float, done: int, known: int | None = None) -> None:
        """The search for the best number starts, where it is `known` to have been last."""
        first = known or (FIRST_TASKS if plan.route == "asyncio" else FIRST_THREADS)
        self._ramp, self._known = Ramp(min(first, plan.workers)), known
        self._begin_round(now, done)

    def _begin_round(self, now: float, done: int) -> None:
        self._round_from, self._round_calls, self._trial_calls = now, done, 0
        self._idle_s = 0.0

    def widen(self, plan: Plan) -> None:
        """More may be allowed than when the search began; it has not come to a first result yet."""
        if self._ramp is not None and not self._ramp.best:
            first = FIRST_TASKS if plan.route == "asyncio" else FIRST_THREADS
            limit = max(self._ramp.limit, min(first, plan.workers))
            self._ramp = self._ramp._replace(limit=limit)

    def limit(self, plan: Plan, capacity: int) -> int:
        """Calls that may be in flight now."""
        if self.probing and plan.route == "threads":
            return 1
        return self.places(plan, capacity)

    def places(self, plan: Plan, capacity: int) -> int:
        """The same when none is run alone."""
        if self._ramp is None or not plan.waiting:
            return capacity
        return min(capacity, self._ramp.limit)

    def ramping(self, plan: Plan) -> bool:
        """Whether rounds are counted."""
        return self._ramp is not None and plan.waiting and plan.route != "hybrid"

    def idle(self, now: float, places: int) -> None:
        """From now on so many places for calls are empty, as there is nothing to send."""
        self._idle_s += self._idle_places * (now - self._idle_from)
        self._idle_places, self._idle_from = places, now

    def count_round(
        self,
        plan: Plan,
        now: float,
        *,
        done: int,
        in_flight: int,
        oldest_s: Callable[[float], float],
        profile: Callable[[], Profile],
    ) -> None:
        """After as many calls as the limit allows at once, see whether it should be another.

        Args:
            plan: The plan in force.
            now: The time.
            done: Calls that have succeeded so far.
            in_flight: Calls in this process that have not ended.
            oldest_s: Seconds since the first of these began.
            profile: What calls are like. Both are asked when a round may be over, not for each call of
                it, which took a quarter of the driver's time.
        """
        assert self._ramp is not None
        # More of the round before, so it is not under way yet; or calls that run alone.
        if in_flight > self._ramp.limit or self.probing:
            self._begin_round(now, done)
        calls, elapsed_s = done - self._round_calls, now - self._round_from
        self._trial_calls = calls
        # Of a mixture the quick ones come back at once, in any number: a round has seen the slow ones
        # only when all calls in flight belong to it.
        enough = calls >= max(LEAST_ROUND, self._ramp.limit)
        failing = elapsed_s > patience_s(self._ramp, calls)
        if elapsed_s <= 0 or not (enough or failing):
            return
        figures = profile()
        if not failing and elapsed_s < min(oldest_s(now), LONGEST_ROUND * figures.wall_s):
            return
        seen = Round(calls / elapsed_s, figures.wall_s, figures.least_s, figures.spread)
        self.idle(now, self._idle_places)
        starved = self._idle_s > IDLE * self._ramp.limit * elapsed_s
        if not starved or seen.rate > GAIN * self._ramp.rate:
            self._ramp = ramp(self._ramp, seen, plan.workers)
        self._begin_round(now, done)

    def trial_until(self, plan: Plan) -> float:
        """When a trial of fewer has cost too much, though no call has returned."""
        if self._ramp is None or not self.ramping(plan):
            return math.inf
        return self._round_from + patience_s(self._ramp, self._trial_calls)

    def full(self, plan: Plan, in_flight: int) -> bool:
        """Whether as many calls run in this process as may now."""
        state = self._ramp
        if state is None or in_flight < min(state.limit, plan.workers):
            return False
        return self.ramping(plan) and not self.probing

    def stalls_at(self, busy_from: float, wall_s: float, cpu_s: float) -> float:
        """When it has been too long that no call came back, though as many run as may.

        Args:
            busy_from: Since when there are always some.
            wall_s: Seconds of the quickest call so far.
            cpu_s: What a call computes: as many more of what is begun here are done here.
        """
        state = self._ramp
        if state is None or cpu_s * state.limit > STUCK_S:
            return math.inf
        elapsed_s = max(1e-9, self._heard_at - self._round_from)
        # At the begin of a round: as before it.
        before = (state.rate or self._rate) if self._trial_calls < LEAST_ROUND else 0.0
        seen = Round(before or self._trial_calls / elapsed_s, wall_s, wall_s, 0.0)
        return max(self._quiet_from, busy_from) + (1 << self._stalls) * stall_s(state, seen)

    def stalled(self, plan: Plan, now: float) -> None:
        """That is now."""
        assert self._ramp is not None
        more, self._quiet_from = stalled(self._ramp, plan.workers), now
        if more.limit <= self._ramp.limit:
            self._stalls += 1  # ever more seldom, where no more may run
            return
        self._rate = self._ramp.rate or self._rate
        self._ramp, self._stalls = more, 0

    # --- Calls alone ----------------------------------------------------------------------------------

    def should_probe(
        self,
        plan: Plan,
        now: float,
        *,
        unclear: int,
        busy: float,
        plain: bool,
        settled: Callable[[], bool],
        aged: bool,
        wall_s: float,
    ) -> bool:
        """Whether to run a few calls alone now, because threads are so busy, or so little comes of
        them, that no wall time can be believed: what waited at first may compute now, and taking
        turns looks like waiting. Not where they plainly wait: to have 100 requests end, and run three
        alone, cost a sixth of the time of 600. Nor where it is `settled` that they stay in this process, and many at
        once bring something: of 300 that wait for 20 ms and compute for 5, on ten threads that were asked for, it
        cost 0.3 of 2.4 s. Nor where one is so `aged` that no turns explain it: where
        one call in twenty waits for 100 ms, it cost half of the time to have those end."""
        crowded = plan.route == "threads" and plan.workers > 1 and not self.probing
        if not crowded or unclear <= PROBE_AFTER or not self.may_probe(now):
            return False
        gain = self._ramp.rate * wall_s if self._ramp and self._ramp.rate else math.inf
        if plan.kind is Kind.CPU_FREE:
            fine = busy >= OVERLAPS
        else:
            fine = aged or (gain >= PROBE_GAIN and (busy < PROBE_BUSY or plain or settled()))
        if fine:
            return False
        self.begin_probe(now, wall_s)
        return True

    def may_probe(self, now: float) -> bool:
        """Whether it is long enough since calls were last run alone."""
        return now >= self._probe_at

    def begin_probe(self, now: float, wall_s: float) -> None:
        """The next few calls, of which each takes so long, are run alone."""
        self.probing = PROBE_CALLS
        # Ever more rarely, and at no more than a twentieth of the time.
        probe_s = PROBE_CALLS * wall_s
        self._probe_at = now + max(now - self._started, 20 * probe_s)

    def probe_in_vain(self) -> None:
        """One of the calls that must end first takes far longer than the others: the run stood still for
        the 3 s of each such call, while hundreds could have run."""
        self.probing = 0
        self.review_soon()

    def end_probe(self) -> None:
        """It is known what the calls do, though none was run alone so far."""
        if self.probing == PROBE_CALLS:
            self.probing = 0

    def probed(self) -> None:
        """One of those calls has returned."""
        self.probing -= 1
        if not self.probing:
            self.review_soon()
