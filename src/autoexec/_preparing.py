"""What comes before calls go to a lane: it is opened, and for other processes the function's code is looked at and
it is found what items carry. Pure: it is told the time."""

from __future__ import annotations

from ._actions import Action, Inspect, Open, Take, Weigh
from ._feed import Feed
from ._intake import Intake
from ._lanes import Lanes
from ._outcomes import Outcomes
from ._pace import Pace
from ._planner import Planner
from ._profile import Profiler
from ._routes import PROCESSES, REMOTE


class Preparing:
    """Says what is to be done first, if anything.

    Args:
        planner: Says where calls are to run.
        feed: Says how much may be sent.
        intake: What was not sent yet.
        lanes: What is in flight, and open.
        profiler: What was measured.
        outcomes: Holds a result, to weigh.
        pace: Says how many waiting calls are to run at once.
        may_leave: Calls may go to other processes though that was not asked for.
    """

    def __init__(
        self,
        planner: Planner,
        feed: Feed,
        *,
        intake: Intake,
        lanes: Lanes,
        profiler: Profiler,
        outcomes: Outcomes,
        pace: Pace,
        may_leave: bool,
    ) -> None:
        self._planner = planner
        self._feed = feed
        self._intake = intake
        self._lanes = lanes
        self._profiler = profiler
        self._outcomes = outcomes
        self._pace = pace
        self._may_leave = may_leave

    def action(self, now: float) -> Action | None:
        """The next step, or None if nothing is missing."""
        return (
            self._inspecting()  # before opening, since no worker need be started in vain
            or self._opening()  # before weighing, since workers take longer to start than that
            or self._sending_here(now)
            or self._weighing(now)
        )

    @property
    def _leaves(self) -> bool:
        """Whether the plan is to send items to other processes, which was not asked for."""
        return self._may_leave and self._planner.plan.route in PROCESSES

    @property
    def _goes_in_batches(self) -> bool:
        """Whether items go in batches, whose size depends on what they carry."""
        return self._planner.plan.route in REMOTE and self._profiler.done > 0

    def _inspecting(self) -> Action | None:
        wanted = self._leaves and not self._profiler.travel.inspected
        return Inspect(loop_bound=self._profiler.is_async) if wanted else None

    def _opening(self) -> Action | None:
        plan = self._planner.plan
        for name, workers in plan.capacities.items():
            lane = self._lanes[name]
            # So many threads that what is sent beyond them waits for one of these.
            exactly = name == "threads" == plan.route and plan.waiting
            if exactly:
                workers = self._pace.places(plan, workers)
            # Inline there is nothing to prepare.
            if name != "inline" and (workers > lane.opened or (exactly and workers < lane.opened)):
                lane.open(workers)
                return Open(name, workers)
        return None

    def _sending_here(self, now: float) -> Action | None:
        """Have calls go on here while it is found what they would carry, which may take the import of
        cloudpickle: 80 ms in which nothing ran."""
        if not self._leaves or self._lanes.workers(*PROCESSES) or self._profiler.travel.payload:
            return None
        return self._feed.send(self._planner.plan, now)

    def _weighing(self, now: float) -> Action | None:
        if self._profiler.travel.payload or not (self._leaves or self._goes_in_batches):
            return None
        if not self._intake.count:
            return Take(1) if self._feed.may_take(1, 1, 1, now) else None
        return Weigh(self._intake.peek(), self._outcomes.last_value)
