"""The plan in force, and when and why another takes its place. Pure: it is told the time."""

from __future__ import annotations

import math
from operator import itemgetter

from . import _control, _obstacles
from ._chunk import Chunk
from ._classify import COMPUTES, WAITING
from ._comparison import Comparison
from ._decide import FIRST_LOOK_S, decide, opening
from ._intake import Intake
from ._lanes import Lanes
from ._options import BackendName, Settings
from ._pace import Pace
from ._priors import Prior
from ._profile import Profiler
from ._routes import PROCESSES, REMOTE
from ._types import Host, Kind, Plan, Profile

RUNS, MOST_RUNS = 4, 16
"""Runs that go by it that calls were seen to take turns on threads, and that after it was seen again. A trial
of threads takes 20 to 80 ms: of 300 calls of 2 ms that fill a table of SQLite, which took 0.3 s in two processes, every
second run tried them, and took 0.4."""
AGED = 10.0
"""Times what all calls under way take one after another for which one of them has run, if it is not taking
turns with them: beside six other programs on two cores each takes four times as long."""


class Planner:
    """Decides on the figures of the moment, and keeps what was decided before.

    Args:
        host: The facts of the machine.
        settings: The options.
        intake: Says how many items remain.
        lanes: What is in flight.
        profiler: What was measured.
        pace: When it is time to look again.
        is_async: The function is `async def`.
        prior: What an earlier run has shown.
        now: The time.
    """

    def __init__(
        self,
        host: Host,
        settings: Settings,
        *,
        intake: Intake,
        lanes: Lanes,
        profiler: Profiler,
        pace: Pace,
        is_async: bool,
        prior: Prior | None,
        now: float,
    ) -> None:
        self.settings = settings
        self.decided_s = 0.0
        """When `history[-1]` was last refined; 0: for an unknown number of items."""
        self.host = host
        """The facts of the machine, as far as they have not changed meanwhile."""
        self._started = now
        self._intake = intake
        self._lanes = lanes
        self._profiler = profiler
        self._pace = pace
        self._comparison = Comparison(
            host.cores,
            settings,
            intake=intake,
            lanes=lanes,
            profiler=profiler,
            pace=pace,
            profile=self.profile,
        )
        self._known: Profile | None = None
        self._instead: str | None = None
        """Why the calls run elsewhere than was asked for."""
        self._prior = prior
        length = intake.remaining
        expected = profiler.profile(remaining=length) if prior else None
        last = prior.route if prior else None
        self.plan = opening(host, settings, length, is_async, expected, last)
        self.history: list[tuple[float, Plan]] = [(0.0, self.plan)]
        if self.plan.waiting:
            pace.begin_ramp(self.plan, now, 0, prior.at_once if prior else None)
        self._comparison.go_on(now, self.plan)

    # --- What changes everything --------------------------------------------------------------------

    def bar_processes(self, reason: str) -> None:
        """Worker processes cannot be used any more."""
        self.host = self.host._replace(processes_barred=reason)
        self._pace.review_soon()

    def stay_here(self, reason: str) -> None:
        """No call may go to another process, unless that was asked for."""
        self.host = self.host._replace(processes_barred=reason)
        if self.settings.route == "auto" and self.plan.route in PROCESSES:
            self.plan = self._decide()  # an earlier run had gone there

    def go_on_here(self, reason: str) -> None:
        """What was asked for is not to be had."""
        here: BackendName = "asyncio" if self._profiler.is_async else "inline"
        self.settings = self.settings._replace(backend=here)
        self._instead = f"{reason}, so the calls run in this process"
        self.plan = self._decide()
        self.history.append((self.history[-1][0], self.plan))

    def gil_is_on(self) -> None:
        """Something that was imported has switched it on, so what calls did without it tells nothing."""
        self.host = self.host._replace(gil=True)
        self._profiler.gil_is_on()
        self._comparison.stop()
        self.forget()
        self._pace.review_soon()

    def main_goes_on(self) -> None:
        """The main thread has other things to do than to wait for this run."""
        self.host = self.host._replace(main_waits=False)

    # --- Reviews ------------------------------------------------------------------------------------

    def due(self, now: float) -> bool:
        """Whether it is time to."""
        early = 0 < self._profiler.blocks <= 3
        return self.will_review() and (early or now >= self._pace.review_at)

    def will_review(self) -> bool:
        """Whether the plan is looked at again when the time for that comes. Not once all items are sent:
        a driver that waited for it all the same, a beat at a time, took a tenth of a core."""
        if not self._pace.fresh or self._intake.over:
            return False
        return self._profiler.known or self._profiler.wall_s >= FIRST_LOOK_S

    def review(self, now: float) -> None:
        """Decide anew on the figures of the moment."""
        self._pace.reviewed(now)
        profiler = self._profiler
        if self._pace.should_probe(
            self.plan,
            now,
            unclear=profiler.unclear,
            busy=profiler.busy,
            plain=profiler.waits_plainly,
            settled=self._stay_here,
            aged=profiler.is_mixture or now >= self.aged_at(now),
            wall_s=profiler.wall_s,
        ):
            profiler.restart()
            self.forget()
        if self._comparison.look(now, self.plan):
            self.forget()
        profile = self.profile()
        if self.plan.route == "threads":
            in_flight = self._lanes.on("threads")
            overdue_s = max(
                profiler.overdue_s(now - chunk.sent_s for chunk in in_flight),
                profiler.far_s(now - chunk.sent_s for chunk in in_flight if chunk.far),
            )
            profile = profile._replace(wall_s=profile.wall_s + overdue_s)
        plan = self._decide(profile)
        if plan.waiting and self._few_take_all():
            return
        if plan.route != self.plan.route and self.holding_up(now)[1] is None:
            if not self._pace.may_change_route(now):
                return
        if (plan.route, plan.capacities.keys()) != (self.plan.route, self.plan.capacities.keys()):
            self.history.append((now - self._started, plan))
            self._decided(now)
        elif plan.kind != self.history[-1][1].kind or self._early():
            # What was known better soon afterwards explains the route better; what holds for the
            # last few items ("too little is left") does not.
            self.history[-1] = (self.history[-1][0], plan)
            self._decided(now)
        if plan.waiting and not self.plan.waiting:
            if self._lanes.oldest_crowd > 1:
                self._pace.end_probe()  # one of those that were to end before it is seen to wait
            self._pace.begin_ramp(plan, now, profiler.succeeded, self._pace.at_once)
        elif plan.waiting:
            self._pace.widen(plan)
        if (plan.kind in WAITING) != (self.plan.kind in WAITING):
            profiler.are_others()
            self.forget()
        self.plan = plan
        self._comparison.go_on(now, self.plan)

    def _stay_here(self) -> bool:
        """Whether calls cannot go to other processes, or would be no quicker there."""
        if self.settings.route != "auto" or self.host.cores == 1:
            return True
        return _obstacles.to_leaving(self.profile(), self.host) is not None

    def holding_up(self, now: float) -> tuple[float, Chunk | None]:
        """A call that takes far longer than those before it while all others wait for it, and for how
        long it has done so."""
        worst: tuple[float, Chunk | None] = 0.0, None
        if self.settings.route == "auto" and self.plan.route == "inline":
            for chunk in self._lanes.on("threads"):
                if chunk.expected_s is not None:
                    # What was expected when it was sent may be what an earlier run has shown: of 1,000 calls
                    # of which one in twenty waits for 80 ms, those that did so last.
                    expected_s = min(chunk.expected_s, chunk.count * self._profiler.wall_s)
                    over_s = now - chunk.sent_s - _control.overrun_s(expected_s)
                    worst = max(worst, (over_s, chunk), key=itemgetter(0))
        return worst

    def aged_at(self, now: float) -> float:
        """When the call that has run for longest does not take turns with those beside it, but is one that
        takes far longer than they do."""
        if not (self._lanes.here and self._profiler.wall_s):
            return math.inf
        began = now - self._lanes.oldest_s(now)
        return began + AGED * self._lanes.oldest_crowd * self._profiler.wall_s

    def in_vain_at(self, now: float) -> float:
        """When it has been too long that calls are to run alone, as others do not end."""
        until = self._comparison.patient_until
        return self.aged_at(now) if until is None else until

    def stalls_at(self) -> float:
        """When the plan is looked at again, and more waiting calls are let in if it allows that, as none has come
        back for so long."""
        # Of an input that is asked for each item, none is in hand while all places are taken.
        over = self._intake.over and not self._lanes.in_line
        if over or not self._pace.full(self.plan, self._lanes.begun):
            return math.inf
        return self._pace.stalls_at(
            self._lanes.busy_from, self._profiler.least_s, self._profiler.cpu_s
        )

    def _few_take_all(self) -> bool:
        """Whether no more calls than there are cores keep these busy, though they seem to wait. If each computed
        for less than `COMPUTES` of its time, they could not: it is threads of their own that do, and they wait for
        those. Products of matrices, 200 of 3 ms, took 0.5 s one after another, 0.65 on two threads, and 0.9 on 32."""
        few = self.plan.kind is Kind.CPU_FREE and self.plan.workers <= self.host.cores
        return (
            few
            and self.plan.route == "threads"
            and self._profiler.busy >= COMPUTES * self.host.cores
        )

    def _decide(self, profile: Profile | None = None) -> Plan:
        plan = decide(profile or self.profile(), self.host, self.settings, self.plan.route)
        return plan if self._instead is None else plan._replace(reason=self._instead)

    def _decided(self, now: float) -> None:
        """Note when the plan was made, if what it predicts for can be compared with what comes."""
        known = self._intake.remaining is not None
        self.decided_s = now - self._started if known else 0.0

    def _early(self) -> bool:
        remaining = self._intake.remaining
        return remaining is None or remaining >= self._profiler.done

    # --- Figures ------------------------------------------------------------------------------------

    def figures(self) -> Profile:
        """What was measured so far. From any thread: a report may be asked for on an event loop."""
        return self._profiler.profile(
            remaining=self._intake.remaining,
            processes_ready=self._lanes.workers("processes"),
            hybrid_ready=self._lanes.workers("hybrid"),
            cluster_threads=self._lanes.workers(*REMOTE),
        )

    def profile(self) -> Profile:
        """The same as of the last outcome or step, for the driver, who asks for them several times between two."""
        if self._known is None:
            self._known = self.figures()
        return self._known

    def forget(self) -> None:
        """Something has happened, or may have."""
        self._known = None

    def prior(self) -> Prior:
        """What this run has shown, for the next of the same function."""
        turns, times = 0, 0
        if self._profiler.turns.told:
            times = 1 + (self._prior.times if self._prior else 0)
            turns = min(RUNS**times, MOST_RUNS)
        elif self._profiler.turns.told is None and self._prior:
            turns, times = max(0, self._prior.turns - 1), self._prior.times
        # What its code says is read anew: it may depend on what a closure holds.
        profile = self.figures()._replace(
            effect=self._profiler.travel.effect,
            takes_turns=turns > 0,
            used=self._profiler.beside.later,
            blocked=self._profiler.beside.later_blocked,
        )
        return Prior(profile, self._pace.at_once, self.history[-1][1].route, turns, times)
