"""What comes before calls go to a lane, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
from strategies import COSTS

from autoexec._actions import Action, Inspect, Open, Send, Take, Weigh
from autoexec._checks import validate
from autoexec._ramp import FIRST_THREADS, Ramp
from autoexec._scheduler import Scheduler
from autoexec._types import Host, Payload

PAYLOAD = Payload(100, 50, 50, 1e-5, None)


def scheduler(options: dict[str, Any] | None = None, *, items: int = 20) -> Scheduler:
    """Of a run of twenty items, of which some are there."""
    made = Scheduler(
        Host(2, True, False, False, None, COSTS),
        validate(options or {}),
        length=20,
        is_async=False,
        name="play",
        now=0.0,
    )
    made.took(list(range(items)), ended=items == 20)
    return made


def leave(made: Scheduler) -> None:
    """The plan is that calls go to two worker processes."""
    plan = made.plan
    made.planner.plan = plan._replace(
        route="processes", capacities={"threads": 1, "processes": 2}, workers=2
    )


def actions(made: Scheduler) -> list[Action]:
    """All steps until nothing is missing. Calls that are sent here do not end meanwhile."""
    found: list[Action] = []
    while (action := made._preparing.action(0.0)) is not None:
        found.append(action)
        match action:
            case Inspect():
                made.inspected(None, may_change=False)
            case Weigh():
                made.weighed(PAYLOAD)
            case Take():
                made.took([7], ended=False)
    return found


def test_the_code_is_looked_at_before_workers_start_and_these_start_before_items_are_weighed() -> (
    None
):
    made = scheduler()
    leave(made)
    made._lanes["processes"].workers = 2  # so that none is sent here meanwhile
    inspect, threads, processes, weigh = actions(made)
    assert inspect == Inspect(loop_bound=False)
    assert (threads, processes) == (Open("threads", 1), Open("processes", 2))
    assert isinstance(weigh, Weigh)
    assert weigh.item == 0


def test_an_item_is_taken_where_there_is_none_to_be_weighed() -> None:
    made = scheduler(items=0)
    leave(made)
    made._lanes["processes"].workers = 2
    assert actions(made)[-2:] == [Take(1), Weigh(7, None)]


@pytest.mark.parametrize("route", ["threads", "inline", "asyncio"])
def test_calls_that_stay_are_neither_looked_at_nor_weighed(route: Any) -> None:
    made = scheduler()
    made.planner.plan = made.plan._replace(route=route, capacities={route: 3})
    wanted: list[Action] = [] if route == "inline" else [Open(route, 3)]
    assert actions(made) == wanted


@pytest.mark.parametrize("options", [{"backend": "processes"}, {"backend": "hybrid"}])
def test_where_processes_were_asked_for_no_code_forbids_them(options: dict[str, Any]) -> None:
    made = scheduler(options)
    assert not any(isinstance(action, (Inspect, Weigh)) for action in actions(made))


def test_a_lane_is_opened_again_for_more_only() -> None:
    made = scheduler()
    for workers, opens in ((3, True), (3, False), (2, False), (5, True)):
        made.planner.plan = made.plan._replace(route="threads", capacities={"threads": workers})
        assert actions(made) == ([Open("threads", workers)] if opens else [])


def test_threads_for_calls_that_wait_are_as_many_as_are_to_wait_at_once() -> None:
    made = scheduler()
    plan = made.plan._replace(route="threads", capacities={"threads": 256}, waiting=True)
    made.planner.plan = plan
    made._pace.begin_ramp(plan._replace(workers=256), 0.0, 0)
    assert actions(made) == [Open("threads", FIRST_THREADS)]
    made._pace.probing = 3
    assert not actions(made)
    for limit in (64, 24):
        made._pace._ramp = Ramp(limit)
        assert actions(made) == [Open("threads", limit)]
    assert made._lanes["threads"].opened == 24
    made.planner.plan = plan._replace(capacities={"threads": 2}, waiting=False)
    assert not actions(made), "those there are have calls to end"
    made._lanes["processes"].workers = 2
    made.planner.plan = plan._replace(route="hybrid", capacities={"threads": 2})
    assert not any(isinstance(action, Open) for action in actions(made)), "nor to be held up"


def test_calls_go_on_here_until_it_is_known_what_they_carry() -> None:
    made = scheduler()
    leave(made)
    kinds = [type(action) for action in actions(made)]
    assert kinds.index(Send) < kinds.index(Weigh)
