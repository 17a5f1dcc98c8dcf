"""Which route is chosen, for any figures at all and for the cases that matter most."""

from __future__ import annotations

import math
from concurrent.futures import Executor
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import (
    BARRED,
    COSTS,
    HOST,
    PAYLOAD,
    ElsewhereExecutor,
    asked,
    auto,
    computing,
    currents,
    examples,
    hosts,
    magnitudes,
    payloads,
    perhaps,
    profile,
    profiles,
)

from autoexec._alternatives import (
    AT_MOST,
    HAND_CORES,
    HAND_SHARE,
    SHARE_OF_CORES,
    TASK_CEILING,
    THREAD_CEILING,
    process_trip_s,
)
from autoexec._checks import validate
from autoexec._classify import (
    BLOCKED,
    CHILD_SHARE,
    HOLDS,
    USED,
    WAITS,
    classify,
    wait_for_each_other,
)
from autoexec._decide import TIE, decide, may_leave, opening
from autoexec._evidence import OVERLAPS
from autoexec._options import BackendName, Settings
from autoexec._routes import PROCESSES, REMOTE
from autoexec._types import Alternative, Host, Kind, Payload, Plan, Profile, Route

AUTO = Settings()
MS = 1e-3
US = 1e-6


def find(plan: Plan, route: Route) -> Alternative:
    """The alternative of that route among those rejected."""
    return next(other for other in plan.rejected if other.route == route)


# --- Whatever was measured -------------------------------------------------------------------------

anything = given(profiles() | computing(), hosts(), auto() | asked(), currents())
left_to_us = given(profiles() | computing(), hosts(), auto(), currents())


@anything
@examples(60)
def test_every_profile_gets_a_plan_that_can_be_carried_out(
    figures: Profile, host: Host, settings: Settings, current: Route | None
) -> None:
    plan = decide(figures, host, settings, current)
    assert plan.workers >= 1
    assert plan.capacities
    assert min(plan.capacities.values()) >= 1
    assert plan.kind is classify(figures, host)


@anything
@examples(60)
def test_every_choice_and_every_rejection_has_a_reason(
    figures: Profile, host: Host, settings: Settings, current: Route | None
) -> None:
    plan = decide(figures, host, settings, current)
    assert plan.reason
    assert all(other.reason for other in plan.rejected)
    assert plan.route not in [other.route for other in plan.rejected]


@anything
@examples(60)
def test_the_same_figures_give_the_same_plan(
    figures: Profile, host: Host, settings: Settings, current: Route | None
) -> None:
    assert decide(figures, host, settings, current) == decide(figures, host, settings, current)


@anything
@examples(60)
def test_max_workers_is_never_exceeded(
    figures: Profile, host: Host, settings: Settings, current: Route | None
) -> None:
    plan = decide(figures, host, settings, current)
    if settings.max_workers is not None:
        assert plan.workers <= settings.max_workers
        assert max(plan.capacities.values()) <= settings.max_workers


@given(
    profiles() | computing(),
    hosts(),
    asked(),
    currents(),
)
@examples(60)
def test_a_backend_that_was_asked_for_is_used(
    figures: Profile, host: Host, settings: Settings, current: Route | None
) -> None:
    plan = decide(figures, host, settings, current)
    assert plan.route == settings.route
    sampling = [settings.route, "threads"] if settings.route in REMOTE else [settings.route]
    assert list(plan.capacities) in ([settings.route], sampling)
    assert plan.rejected == ()


@given(profiles().map(lambda figures: figures._replace(is_async=True)), hosts(), auto(), currents())
@examples(60)
def test_async_functions_run_on_event_loops(
    figures: Profile, host: Host, settings: Settings, current: Route | None
) -> None:
    plan = decide(figures, host, settings, current)
    assert plan.route in ("asyncio", "hybrid")
    assert plan.capacities.keys() <= {"asyncio", "hybrid"}
    assert {plan.route, *(other.route for other in plan.rejected)} == {"asyncio", "hybrid"}


@given(
    (profiles() | computing()).map(lambda figures: figures._replace(is_async=False)),
    hosts(),
    auto(),
    currents(),
)
@examples(60)
def test_ordinary_functions_do_not_run_on_an_event_loop(
    figures: Profile, host: Host, settings: Settings, current: Route | None
) -> None:
    plan = decide(figures, host, settings, current)
    assert plan.capacities.keys() <= {"threads", "processes", "hybrid"}
    routes = {plan.route, *(other.route for other in plan.rejected)}
    assert routes == {"inline", "threads", "processes", "hybrid"}


def assert_no_processes(plan: Plan) -> None:
    assert plan.route not in PROCESSES
    assert not {"processes", "hybrid"} & plan.capacities.keys()


@given(computing() | profiles(), hosts(), auto(), currents(), st.just(BARRED))
@examples(60)
def test_no_processes_where_they_cannot_be_started(
    figures: Profile, host: Host, settings: Settings, current: Route | None, why: str
) -> None:
    barred = host._replace(processes_barred=why)
    assert_no_processes(decide(figures, barred, settings, current))


@given(computing() | profiles(), hosts(), auto(), currents())
@examples(60)
def test_no_processes_for_a_function_that_changes_the_callers_objects(
    figures: Profile, host: Host, settings: Settings, current: Route | None
) -> None:
    changing = figures._replace(effect="it assigns the global variable 'total'")
    assert_no_processes(decide(changing, host, settings, current))


@given(computing() | profiles(), payloads(), hosts(), auto(), currents())
@examples(60)
def test_no_processes_for_what_cannot_be_pickled(
    figures: Profile, payload: Payload, host: Host, settings: Settings, current: Route | None
) -> None:
    stuck = figures._replace(payload=payload._replace(obstacle="a lock cannot be pickled"))
    assert_no_processes(decide(stuck, host, settings, current))


@given(computing() | profiles(), hosts(), currents(), st.sampled_from(["cores", "max_workers"]))
@examples(60)
def test_no_processes_where_only_one_could_run(
    figures: Profile, host: Host, current: Route | None, limit: str
) -> None:
    host = host._replace(cores=1) if limit == "cores" else host
    settings = Settings(max_workers=None if limit == "cores" else 1)
    assert_no_processes(decide(figures, host, settings, current))


@given(
    (profiles() | computing()).map(lambda figures: figures._replace(processes_ready=False)),
    hosts(),
    auto(),
    currents(),
)
@examples(60)
def test_processes_are_only_started_for_calls_that_were_seen_to_hold_the_gil(
    figures: Profile, host: Host, settings: Settings, current: Route | None
) -> None:
    if decide(figures, host, settings, current).route == "processes":
        if wait_for_each_other(figures):
            return  # as if they did
        assert host.gil
        assert figures.gil_share is not None or figures.takes_turns
        assert figures.held_s >= WAITS * figures.wall_s


@given(
    computing().map(lambda figures: figures._replace(processes_ready=False)),
    hosts().map(lambda host: host._replace(processes_barred=None, gil=True)),
    auto(),
    st.sampled_from([None, "inline", "threads", "processes"]),
    magnitudes(-3, 2),
)
@example(
    # Sending costs three times the work, so the later they are up the better for processes.
    profile(
        10 * MS,
        10 * MS,
        gil_share=1.0,
        elapsed_s=100.0,
        payload=PAYLOAD._replace(pickle_s=30 * MS),
    ),
    HOST._replace(cores=2),
    AUTO,
    "processes",
    9.4,
)
@examples(150)
def test_slower_start_never_speaks_for_processes(
    figures: Profile, host: Host, settings: Settings, current: Route | None, longer_s: float
) -> None:
    start_s = host.costs.process_start_s + longer_s
    slower = host._replace(costs=host.costs._replace(process_start_s=start_s))
    if decide(figures, host, settings, current).route != "processes":
        assert decide(figures, slower, settings, current).route != "processes"


@left_to_us
@examples(60)
def test_a_route_gives_way_only_for_a_saving_of_a_tenth(
    figures: Profile, host: Host, settings: Settings, current: Route | None
) -> None:
    plan = decide(figures._replace(is_async=False), host, settings, current)
    left = [other for other in plan.rejected if other.route == current]
    if plan.kind is Kind.CPU_FREE and current == "processes":
        return  # by mistake, as the next test has it
    if left and left[0].predicted_s is not None:
        assert plan.predicted_s is not None
        assert plan.predicted_s <= TIE * left[0].predicted_s


@left_to_us
@examples(150)
def test_nothing_much_quicker_is_rejected(
    figures: Profile, host: Host, settings: Settings, current: Route | None
) -> None:
    plan = decide(figures._replace(is_async=False), host, settings, current)
    assert plan.predicted_s is not None
    doubted = "chance" in plan.reason  # whether calls wait, so that routes for those are out
    for other in plan.rejected:
        if doubted and other.route not in ("inline", "processes"):
            continue
        if other.predicted_s is not None:
            # A tie for the simpler route, and one for the route in force.
            assert TIE * TIE * plan.predicted_s <= other.predicted_s


@given(profiles() | computing(), hosts())
@examples(60)
def test_without_a_gil_nothing_holds_it(figures: Profile, host: Host) -> None:
    free = host._replace(gil=False)
    assert classify(figures, free) is not Kind.CPU_HELD
    if not wait_for_each_other(figures):
        plan = decide(figures._replace(processes_ready=False), free, AUTO, None)
        assert plan.route != "processes"


@given(profiles() | computing(), hosts(), auto(), currents())
@examples(60)
def test_computing_calls_never_get_more_threads_than_cores(
    figures: Profile, host: Host, settings: Settings, current: Route | None
) -> None:
    plan = decide(figures, host, settings, current)
    if plan.route == "threads" and plan.kind in (Kind.CPU_FREE, Kind.CHILDREN):
        assert plan.workers <= host.cores


@given(profiles() | computing(), hosts(), auto(), currents())
@examples(60)
def test_only_waiting_calls_are_ramped_up(
    figures: Profile, host: Host, settings: Settings, current: Route | None
) -> None:
    plan = decide(figures, host, settings, current)
    if plan.waiting:
        assert plan.kind in (Kind.IO, Kind.MIXED, Kind.ASYNC)
        assert plan.route in ("threads", "asyncio", "hybrid")


# --- Processes with several calls at once in each ----------------------------------------------------


def mixed(**others: Any) -> Profile:
    """Calls that wait for 20 ms and compute for 5, in a process that is at its limit."""
    known = {"gil_share": 1.0, "overlap": 0.95, "checks": 2, "remaining": 400}
    return profile(25 * MS, 5 * MS, **(known | others))


def waiting_task(**others: Any) -> Profile:
    """The same of coroutines."""
    return mixed(is_async=True, overlap=None, gil_share=None, **others)


def test_calls_that_wait_and_fill_one_process_get_several_with_many_at_once() -> None:
    plan = decide(mixed(hybrid_ready=True), HOST, AUTO, "threads")
    assert plan.route == "hybrid"
    # Twice what keeps each of the four cores busy: 2 * 25 / 5.
    assert plan.capacities == {"hybrid": 40}


def test_as_much_goes_on_here_as_is_done_when_the_workers_are_up() -> None:
    plan = decide(mixed(), HOST, AUTO, "threads")
    here = plan.capacities["threads"]
    assert here * 5 * MS >= HOST.costs.process_start_s > (here - 1) * 5 * MS
    assert list(decide(waiting_task(), HOST, AUTO, "asyncio").capacities) == ["asyncio", "hybrid"]


@pytest.mark.parametrize(
    "others",
    [
        {"overlap": 0.5},
        {"overlap": None},
        {"overlap": 1.9},
        {"gil_share": 0.0},
        {"effect": "it changes"},
        {"remaining": 20},
        {"payload": PAYLOAD._replace(obstacle="a lock cannot be pickled")},
        {"calls": 0},
    ],
)
def test_calls_that_one_process_serves_as_well_stay_here(others: dict[str, Any]) -> None:
    assert decide(mixed(**others), HOST, AUTO, "threads").route == "threads"


def test_one_core_has_no_use_for_several_processes() -> None:
    assert decide(mixed(), HOST._replace(cores=1), AUTO, "threads").route == "threads"


def test_tasks_that_compute_more_than_one_loop_can_get_several() -> None:
    assert decide(waiting_task(), HOST, AUTO, "asyncio").route == "hybrid"
    light = waiting_task()._replace(cpu_s=20e-6)
    assert decide(light, HOST, AUTO, "asyncio").route == "asyncio"


def test_what_has_gone_to_several_processes_is_not_called_back_for_a_quiet_moment() -> None:
    assert decide(mixed(overlap=0.1), HOST, AUTO, "hybrid").route == "hybrid"


# --- Before anything was measured --------------------------------------------------------------------


@given(hosts(), auto() | asked(), st.none() | st.integers(0, 10**9), st.booleans())
@examples(60)
def test_every_run_can_open(
    host: Host, settings: Settings, length: int | None, is_async: bool
) -> None:
    plan = opening(host, settings, length, is_async)
    assert plan.reason
    assert min(plan.capacities.values()) >= 1
    if settings.max_workers is not None:
        assert max(plan.capacities.values()) <= settings.max_workers
    if settings.route != "auto":
        assert plan.route == settings.route


@pytest.mark.parametrize("length", [None, 2, 10**6])
def test_a_run_opens_with_one_call_on_a_thread_where_it_can_be_watched(length: int | None) -> None:
    plan = opening(HOST, AUTO, length, is_async=False)
    assert (plan.route, plan.capacities) == ("inline", {"threads": 1})


@pytest.mark.parametrize("length", [0, 1])
def test_one_item_runs_on_the_callers_own_thread(length: int) -> None:
    plan = opening(HOST, AUTO, length, is_async=False)
    assert (plan.route, plan.capacities) == ("inline", {"inline": 1})


@pytest.mark.parametrize("length", [None, 1, 2, 10**6])
def test_an_async_function_opens_on_an_event_loop(length: int | None) -> None:
    plan = opening(HOST, AUTO, length, is_async=True)
    assert (plan.route, list(plan.capacities)) == ("asyncio", ["asyncio"])


# --- What a task is --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figures", "kind"),
    [
        pytest.param(profile(0, calls=0, elapsed_s=0, done=0), Kind.UNSEEN, id="nothing yet"),
        pytest.param(profile(1 * US, 1 * US), Kind.TINY, id="a microsecond"),
        pytest.param(profile(50 * MS, 1 * MS), Kind.IO, id="waits"),
        pytest.param(profile(50 * MS, 0, calls=0), Kind.IO, id="waits, not returned yet"),
        pytest.param(profile(50 * MS, 50 * MS), Kind.CPU_HELD, id="computes, GIL unknown"),
        pytest.param(profile(50 * MS, 50 * MS, gil_share=1.0), Kind.CPU_HELD, id="holds the GIL"),
        pytest.param(
            profile(50 * MS, 50 * MS, gil_share=0.0), Kind.CPU_FREE, id="releases the GIL"
        ),
        pytest.param(
            profile(50 * MS, 50 * MS, gil_share=1.0, overlap=1.9), Kind.CPU_FREE, id="overlaps"
        ),
        pytest.param(
            profile(50 * MS, 50 * MS, gil_share=1.0, overlap=1.0), Kind.CPU_HELD, id="takes turns"
        ),
        pytest.param(
            profile(50 * MS, 50 * MS, gil_share=0.0, takes_turns=True),
            Kind.CPU_FREE,
            id="releases the GIL, and threads gain nothing",
        ),
        pytest.param(profile(50 * MS, 20 * MS), Kind.MIXED, id="waits and computes"),
        pytest.param(profile(50 * MS, 1 * MS, child_s=45 * MS), Kind.CHILDREN, id="children"),
        pytest.param(
            profile(50 * MS, 0, calls=0, new_child=True), Kind.CHILDREN, id="a child appeared"
        ),
        pytest.param(
            profile(50 * MS, 0, new_child=True), Kind.CHILDREN, id="a child that has not ended"
        ),
        pytest.param(
            profile(50 * MS, 50 * MS, child_s=50 * MS), Kind.CPU_HELD, id="computes beside a child"
        ),
        pytest.param(profile(50 * MS, 50 * MS, is_async=True), Kind.ASYNC, id="async def"),
    ],
)
def test_classes(figures: Profile, kind: Kind) -> None:
    assert classify(figures, HOST) is kind


def test_half_of_the_computing_under_the_gil_is_holding_it() -> None:
    figures = profile(50 * MS, 50 * MS)
    assert classify(figures._replace(gil_share=HOLDS), HOST) is Kind.CPU_HELD
    assert classify(figures._replace(gil_share=HOLDS - 0.01), HOST) is Kind.CPU_FREE


def test_overlap_beyond_the_noise_is_proof_of_computing_without_the_gil() -> None:
    figures = profile(50 * MS, 50 * MS, gil_share=1.0)
    assert classify(figures._replace(overlap=OVERLAPS), HOST) is Kind.CPU_FREE
    assert classify(figures._replace(overlap=OVERLAPS - 0.01), HOST) is Kind.CPU_HELD


def test_calls_that_were_seen_to_take_turns_go_to_processes_whatever_the_heartbeat_says() -> None:
    figures = profile(40 * US, 40 * US, gil_share=0.0, remaining=100_000, checks=2, elapsed_s=1.0)
    assert decide(figures, HOST, AUTO, "inline").route == "threads"
    plan = decide(figures._replace(takes_turns=True), HOST, AUTO, "threads")
    assert plan.route == "processes"
    assert plan.reason.startswith(
        "the calls compute, and threads get no more of them done than one"
    )


@pytest.mark.parametrize(("share", "route"), [(0.0, "threads"), (0.5, "processes")])
def test_workers_that_are_up_are_left_for_threads_only_if_the_calls_plainly_let_go_of_the_gil(
    share: float, route: Route
) -> None:
    figures = profile(5 * MS, 5 * MS, gil_share=share, remaining=400, checks=2, elapsed_s=1.0)
    up = figures._replace(processes_ready=2)
    assert decide(up, HOST._replace(cores=2), AUTO, "processes").route == route
    assert decide(figures, HOST._replace(cores=2), AUTO, "inline").route == "threads"


@given(st.integers(1, 64), st.floats(0.0, 1000.0), perhaps(0.5, st.integers(1, 300)))
def test_threads_have_their_share_of_the_cores_beside_other_programs_and_are_not_too_many(
    cores: int, rivals: float, max_workers: int | None
) -> None:
    figures = profile(9 * MS, 9 * MS, gil_share=0.0, remaining=900, elapsed_s=1.0, rivals=rivals)
    settings = Settings(backend="threads", max_workers=max_workers)
    workers = decide(figures, HOST._replace(cores=cores), settings, "threads").workers
    most = min(max_workers or THREAD_CEILING, THREAD_CEILING)
    assert workers <= min(most, AT_MOST * cores)
    assert workers >= min(most, cores)
    if workers < min(most, AT_MOST * cores):
        assert workers >= (workers + rivals) * SHARE_OF_CORES * (1 - 1e-9)
    if not rivals:
        assert workers == min(most, cores)


def test_calls_with_threads_of_their_own_have_no_more_beside_other_programs() -> None:
    figures = profile(9 * MS, 9 * MS, gil_share=0.0, remaining=900, elapsed_s=1.0, inner=1.0)
    for rivals in (0.0, 3.0):
        seen = figures._replace(rivals=rivals)
        assert decide(seen, HOST._replace(cores=4), AUTO, "threads").workers == 2


@pytest.mark.parametrize("ready", [0, 2])
def test_calls_that_keep_all_cores_busy_with_threads_of_their_own_gain_nothing_from_processes(
    ready: int,
) -> None:
    # Products of matrices, of which the beats find the GIL taken one time in eight.
    figures = profile(3 * MS, 3 * MS, gil_share=0.13, remaining=200, checks=2, elapsed_s=1.0)
    figures = figures._replace(processes_ready=ready, inner=1.0)
    assert decide(figures, HOST._replace(cores=2), AUTO, "inline").route == "inline"


def test_threads_that_gain_nothing_are_left_however_busy_they_keep_the_cores() -> None:
    # As in SQLite, where two threads compute for twice as long a call.
    figures = profile(3 * MS, 3 * MS, gil_share=0.0, overlap=1.9, remaining=200, elapsed_s=1.0)
    assert decide(figures, HOST, AUTO, "threads").route == "threads"
    turns = figures._replace(takes_turns=True)
    for host in (HOST, HOST._replace(gil=False)):
        plan = decide(turns, host, AUTO, "threads")
        assert (plan.route, plan.kind) == ("processes", Kind.CPU_FREE)
        up = turns._replace(processes_ready=2)
        assert decide(up, host, AUTO, "processes").route == "processes"
    barred = HOST._replace(processes_barred="this is a test")
    plan = decide(turns, barred, AUTO, "threads")
    assert plan.route == "inline"
    assert plan.reason == "the calls wait for each other, and processes are out: this is a test"
    assert decide(turns, HOST, Settings(backend="threads"), None).workers == HOST.cores


def test_a_little_cpu_of_children_is_not_work_of_children() -> None:
    figures = profile(50 * MS, 0)
    assert classify(figures._replace(child_s=CHILD_SHARE * 50 * MS), HOST) is Kind.IO
    assert classify(figures._replace(child_s=CHILD_SHARE * 51 * MS), HOST) is Kind.CHILDREN


# --- The cases that matter most ----------------------------------------------------------------------


def test_calls_that_wait_get_threads() -> None:
    plan = decide(profile(20 * MS), HOST, AUTO, "inline")
    assert (plan.route, plan.waiting) == ("threads", True)
    assert plan.workers == THREAD_CEILING


def test_calls_that_hold_the_gil_get_processes() -> None:
    plan = decide(profile(20 * MS, 20 * MS, gil_share=1.0), HOST, AUTO, "inline")
    assert (plan.route, plan.workers) == ("processes", HOST.cores)


def test_items_go_on_here_while_processes_start() -> None:
    figures = profile(20 * MS, 20 * MS, gil_share=1.0, checks=2)
    starting = decide(figures, HOST, AUTO, "inline")
    started = decide(figures._replace(processes_ready=True), HOST, AUTO, "processes")
    assert starting.capacities == {"threads": 1, "processes": HOST.cores}
    assert started.capacities == {"processes": HOST.cores}


def test_items_go_on_here_until_enough_calls_were_compared() -> None:
    figures = profile(20 * MS, 20 * MS, gil_share=1.0, processes_ready=True)
    unsure = decide(figures._replace(checks=1), HOST, AUTO, "processes")
    assert unsure.capacities == {"threads": 1, "processes": HOST.cores}


def test_of_two_long_calls_the_second_does_not_wait_for_the_first() -> None:
    # The first has run for half a second, and nobody knows how long it still takes.
    seen = profile(0.5, 0.5, calls=0, gil_share=1.0, remaining=1, elapsed_s=0.5, running_s=0.5)
    assert decide(seen, HOST, AUTO, "inline").route == "processes"
    # One that is known to be half over is soon done.
    known = profile(20 * MS, 20 * MS, calls=9, gil_share=1.0, remaining=1, checks=2)
    assert decide(known, HOST, AUTO, "inline").route == "inline"


def test_what_others_wait_for_counts_as_long_as_it_has_run() -> None:
    few = profile(1 * MS, 1 * MS, calls=9, gil_share=1.0, remaining=40, checks=2)
    assert decide(few, HOST, AUTO, "inline").route == "inline"
    held_up = few._replace(running_s=1.0, elapsed_s=1.0, wall_s=40 * MS, cpu_s=40 * MS)
    assert decide(held_up, HOST, AUTO, "inline").route == "processes"


@given(computing(), st.integers(2, 128))
@examples(100)
def test_no_more_workers_are_started_than_pay_for_it(figures: Profile, cores: int) -> None:
    host = HOST._replace(cores=cores)
    ready = figures._replace(remaining=1, processes_ready=2)
    plan = decide(ready, host, AUTO, "processes")
    spent = max(2, math.ceil(math.sqrt(ready.wall_s / host.costs.process_spawn_s)))
    assert plan.capacities.get("processes", 0) <= min(cores, spent)


def test_where_the_main_thread_only_waits_its_process_takes_the_place_of_a_worker() -> None:
    figures = profile(20 * MS, 20 * MS, gil_share=1.0, checks=2)
    here = HOST._replace(main_waits=True)
    beside = {"threads": 1, "processes": HOST.cores - 1}
    for ready in range(HOST.cores):
        plan = decide(figures._replace(processes_ready=ready), here, AUTO, "inline")
        assert plan.capacities == beside
    most = validate({"max_workers": 2})
    assert decide(figures, here, most, "inline").capacities == {"threads": 1, "processes": 1}


@pytest.mark.parametrize(
    ("host", "options"),
    [
        ({"main_waits": False}, {}),
        ({"warm": True}, {}),
        ({"cores": HAND_CORES + 1}, {}),
        ({}, {"timeout": 60.0}),
        ({}, {"initializer": print}),
        ({}, {"max_tasks_per_child": 5}),
    ],
)
def test_else_all_calls_go_to_workers(host: dict[str, Any], options: dict[str, Any]) -> None:
    figures = profile(20 * MS, 20 * MS, gil_share=1.0, checks=2, processes_ready=True)
    here = HOST._replace(main_waits=True)._replace(**host)
    plan = decide(figures, here, validate(options), "inline")
    assert plan.capacities == {"processes": here.cores}


@pytest.mark.parametrize("dear_s", [0.0, 2.0], ids=["start", "first calls"])
def test_once_it_is_known_what_a_worker_costs_another_is_started_where_that_pays(
    dear_s: float,
) -> None:
    here = HOST._replace(main_waits=True)
    cost_s = here.costs.process_start_s + dear_s
    figures = profile(20 * MS, 20 * MS, gil_share=1.0, checks=2, processes_ready=1)
    least = math.ceil(cost_s * here.cores / HAND_SHARE / (20 * MS)) + 1
    for remaining, known_s, workers in (
        (least, None, here.cores - 1),
        (least // 2, cost_s, here.cores - 1),
        (least, cost_s, here.cores),
    ):
        plan = decide(
            figures._replace(remaining=remaining, worker_s=known_s), here, AUTO, "processes"
        )
        assert plan.capacities == {"threads": 1, "processes": workers}
    most = validate({"max_workers": here.cores})
    dear = figures._replace(remaining=least, worker_s=cost_s)
    assert sum(decide(dear, here, most, "processes").capacities.values()) == here.cores


def test_this_process_goes_on_to_the_end_where_not_all_workers_are_up() -> None:
    figures = profile(2 * MS, 2 * MS, gil_share=1.0, checks=2, processes_ready=HOST.cores - 1)
    here = HOST._replace(main_waits=True)
    for remaining in (1000, 3, 0):  # of so few it would not pay to start as many
        plan = decide(figures._replace(remaining=remaining), here, AUTO, "processes")
        assert plan.route != "processes" or "threads" in plan.capacities


def test_workers_that_are_all_there_get_all_calls_to_the_last() -> None:
    figures = profile(20 * MS, 20 * MS, gil_share=1.0, checks=2, remaining=5)
    here = HOST._replace(main_waits=True)
    plan = decide(figures._replace(processes_ready=HOST.cores), here, AUTO, "processes")
    assert plan.capacities == {"processes": HOST.cores}


def test_processes_that_were_asked_for_wait_for_nothing() -> None:
    figures = profile(20 * MS, 20 * MS, gil_share=1.0, checks=0)
    assert decide(figures, HOST, Settings(backend="processes"), None).capacities == {
        "processes": HOST.cores
    }


@pytest.mark.parametrize(
    ("known", "leaves"),
    [
        ({"calls": 0, "checks": 0, "may_change": False}, True),
        ({"calls": 0, "checks": 0, "may_change": True}, False),
        ({"calls": 1, "checks": 1}, False),
        ({"calls": 5, "checks": 2}, True),
        ({"calls": 5, "checks": 2, "effect": "it changes"}, False),
        ({"calls": 0, "checks": 0, "may_change": False, "effect": "it changes"}, False),
    ],
)
def test_items_leave_once_calls_were_seen_to_change_nothing(
    known: dict[str, Any], leaves: bool
) -> None:
    assert may_leave(profile(20 * MS)._replace(**known)) is leaves


def test_calls_that_release_the_gil_get_a_thread_for_each_core() -> None:
    plan = decide(profile(20 * MS, 20 * MS, gil_share=0.0), HOST, AUTO, "inline")
    assert (plan.route, plan.workers, plan.waiting) == ("threads", HOST.cores, False)


def test_calls_that_compute_without_a_gil_get_a_thread_for_each_core() -> None:
    free = HOST._replace(gil=False)
    plan = decide(profile(20 * MS, 20 * MS, gil_share=1.0), free, AUTO, "inline")
    assert (plan.route, plan.workers) == ("threads", HOST.cores)


def test_child_processes_get_a_thread_for_each_core() -> None:
    plan = decide(profile(50 * MS, 1 * MS, child_s=48 * MS), HOST, AUTO, "inline")
    assert (plan.route, plan.workers, plan.waiting) == ("threads", HOST.cores, False)


def test_tiny_calls_stay_inline() -> None:
    plan = decide(profile(1 * US, 1 * US, remaining=10**6), HOST, AUTO, "inline")
    assert plan.route == "inline"


def test_eight_items_of_a_millisecond_are_not_worth_processes() -> None:
    figures = profile(1 * MS, 1 * MS, gil_share=1.0, elapsed_s=30 * MS, remaining=8)
    assert decide(figures, HOST, AUTO, "inline").route == "inline"


def test_many_items_of_a_millisecond_are_worth_processes() -> None:
    figures = profile(1 * MS, 1 * MS, gil_share=1.0, elapsed_s=60 * MS, remaining=1000)
    assert decide(figures, HOST, AUTO, "inline").route == "processes"


def test_few_items_that_wait_for_long_still_get_threads() -> None:
    plan = decide(profile(1.0, remaining=2), HOST, AUTO, "inline")
    assert plan.route == "threads"


def test_nothing_left_is_nothing_to_start() -> None:
    plan = decide(profile(1.0, 1.0, gil_share=1.0, remaining=0), HOST, AUTO, "inline")
    assert plan.route == "inline"


def test_mixed_calls_get_twice_the_threads_that_keep_the_gil_busy() -> None:
    # 5 of 25 ms compute under the GIL, so five threads could keep it busy.
    figures = profile(25 * MS, 5 * MS, gil_share=1.0)
    plan = decide(figures, HOST._replace(processes_barred=BARRED), AUTO, "inline")
    assert (plan.route, plan.workers, plan.waiting) == ("threads", 10, True)


def short_of_a_core(**others: Any) -> Profile:
    """Calls that seem to wait for 3 of their 8 ms."""
    return profile(8 * MS, 5 * MS, **({"gil_share": 1.0, "checks": 2} | others))


def test_that_calls_wait_for_a_little_is_not_believed_of_the_first() -> None:
    plan = decide(short_of_a_core(calls=1), HOST, AUTO, "inline")
    assert (plan.route, plan.kind) == ("inline", Kind.MIXED)
    assert "chance" in plan.reason
    barred = HOST._replace(processes_barred=BARRED)
    assert decide(short_of_a_core(calls=1), barred, AUTO, "processes").route == "inline"


def test_what_neither_waits_nor_computes_for_sure_goes_where_both_may() -> None:
    long = profile(60 * MS, 41 * MS, gil_share=1.0, calls=1, checks=2)
    plan = decide(long, HOST, AUTO, "inline")
    assert (plan.route, "chance" in plan.reason) == ("processes", False)
    few = short_of_a_core(remaining=10)
    assert decide(few, HOST, AUTO, "processes").route == "threads"
    assert decide(few._replace(calls=1), HOST, AUTO, "processes").route == "inline"


def test_what_an_earlier_run_has_shown_is_not_doubted() -> None:
    known = short_of_a_core(calls=1, remaining=2)
    assert decide(known, HOST, AUTO, "inline").route == "inline"
    assert opening(HOST, AUTO, 2, is_async=False, expected=known, last="inline").route == "threads"


@pytest.mark.parametrize(
    "figures",
    [
        pytest.param(short_of_a_core(calls=2), id="both have"),
        pytest.param(short_of_a_core(calls=9, least_s=5 * MS), id="many have"),
        pytest.param(short_of_a_core(calls=1, gil_share=0.0), id="threads lose nothing"),
        pytest.param(mixed(calls=1), id="it waits for most of its time"),
        pytest.param(profile(60 * MS, 30 * MS, gil_share=1.0, calls=0), id="it waits for long"),
    ],
)
def test_these_calls_wait(figures: Profile) -> None:
    assert decide(figures, HOST, AUTO, "inline").route != "inline"


def test_one_of_a_few_calls_that_has_computed_all_the_time_makes_the_others_doubtful() -> None:
    figures = short_of_a_core(calls=3, least_s=5 * MS)
    assert decide(figures, HOST, AUTO, "inline").route == "inline"
    assert decide(figures, HOST, AUTO, "threads").route == "threads"


def test_an_input_of_unknown_length_is_expected_to_go_on_as_long_as_it_did() -> None:
    figures = profile(20 * MS, 20 * MS, gil_share=1.0, remaining=None)
    few = decide(figures._replace(done=3), HOST, AUTO, "inline")
    many = decide(figures._replace(done=500), HOST, AUTO, "inline")
    assert (few.route, many.route) == ("inline", "processes")


def test_processes_wait_until_enough_was_computed_to_justify_their_start() -> None:
    figures = profile(5 * MS, 5 * MS, gil_share=1.0, calls=0, done=0, elapsed_s=5 * MS)
    assert decide(figures, HOST, AUTO, "inline").route == "inline"
    later = figures._replace(elapsed_s=60 * MS)
    assert decide(later, HOST, AUTO, "inline").route == "processes"


def test_processes_that_are_up_cost_no_start() -> None:
    figures = profile(20 * MS, 20 * MS, gil_share=1.0, remaining=6)
    cold = decide(figures, HOST, AUTO, "inline")
    warm = decide(figures._replace(processes_ready=True), HOST, AUTO, "inline")
    assert (cold.route, warm.route) == ("inline", "processes")


def test_items_that_are_costly_to_send_stay_here() -> None:
    figures = profile(20 * MS, 20 * MS, gil_share=1.0)
    light = figures._replace(payload=PAYLOAD)
    heavy = figures._replace(payload=PAYLOAD._replace(item_bytes=100 << 20, pickle_s=0.1))
    assert decide(light, HOST, AUTO, "inline").route == "processes"
    assert decide(heavy, HOST, AUTO, "inline").route == "inline"


def test_what_is_in_force_is_kept_unless_a_tenth_is_saved() -> None:
    # Two processes, in which each call takes twice as long with its way there and back.
    figures = profile(20 * MS, 20 * MS, gil_share=1.0, processes_ready=True, remaining=10)
    figures = figures._replace(payload=PAYLOAD._replace(pickle_s=20 * MS))
    host = HOST._replace(cores=2)
    assert decide(figures, host, AUTO, "inline").route == "inline"
    assert decide(figures, host, AUTO, "processes").route == "processes"


def test_workers_are_left_by_calls_that_turn_out_to_let_go_of_the_gil() -> None:
    figures = profile(20 * MS, 20 * MS, gil_share=0.1, processes_ready=True, remaining=100)
    assert decide(figures, HOST, AUTO, "processes").route == "threads"
    held = figures._replace(gil_share=1.0)
    assert decide(held, HOST, AUTO, "processes").route == "processes"


# --- The predictions -------------------------------------------------------------------------------


def test_inline_takes_as_long_as_all_calls_together() -> None:
    plan = decide(profile(1 * US, 1 * US, remaining=1000), HOST, AUTO, "inline")
    assert plan.predicted_s == pytest.approx(1.0005 * MS)  # with half of the one that is running


@pytest.mark.parametrize("used", [None, 1.0, USED, 0.75])
@pytest.mark.parametrize("gil", [True, False])
def test_calls_that_wait_for_each_other_on_threads_go_to_processes(
    used: float | None, gil: bool
) -> None:
    figures = profile(2 * MS, 2 * MS, gil_share=0.0, overlap=1.5, checks=2, elapsed_s=1.0)
    figures = figures._replace(used=used, beside_s=3 * MS)
    plan = decide(figures, HOST._replace(gil=gil), AUTO, "threads")
    assert plan.kind is Kind.CPU_FREE
    assert plan.route == ("processes" if used == 0.75 else "threads")
    there = figures._replace(processes_ready=HOST.cores)
    assert decide(there, HOST._replace(gil=gil), AUTO, "processes").route == plan.route
    assert ("wait for each other" in plan.reason) == (used == 0.75)


@pytest.mark.parametrize(("blocked", "cpu_s"), [(0.0, 2), (BLOCKED, 2), (BLOCKED, 1)])
def test_calls_that_block_each_other_while_they_compute_go_to_processes(
    blocked: float, cpu_s: float
) -> None:
    figures = profile(2 * MS, cpu_s * MS, gil_share=0.0, overlap=1.9, checks=2, elapsed_s=1.0)
    figures = figures._replace(used=0.95, beside_s=3 * MS, blocked=blocked)
    computes = cpu_s == 2  # else they have something to wait for
    expected = "processes" if computes and blocked else "threads"
    assert decide(figures, HOST, AUTO, "threads").route == expected
    as_quick = figures._replace(beside_s=2 * MS)
    assert decide(as_quick, HOST, AUTO, "threads").route == "threads"


def test_calls_that_wait_alone_as_well_do_not_wait_for_each_other() -> None:
    for cpu_s, used in ((1.6, 0.75), (1.0, 0.5), (0.1, 0.05)):
        figures = profile(2 * MS, cpu_s * MS, gil_share=0.0, overlap=1.5, checks=2, elapsed_s=1.0)
        plan = decide(figures._replace(used=used, beside_s=3 * MS), HOST, AUTO, "threads")
        assert plan.route == "threads"


def test_waiting_threads_take_turns_by_their_number() -> None:
    plan = decide(profile(20 * MS), HOST, Settings(max_workers=10), "threads")
    assert plan.predicted_s == pytest.approx(1000 / 10 * (20 * MS + COSTS.thread_trip_s))


def test_threads_are_bounded_by_the_gil_they_share() -> None:
    figures = profile(25 * MS, 5 * MS, gil_share=1.0)
    plan = decide(figures, HOST._replace(processes_barred=BARRED), AUTO, "threads")
    assert plan.predicted_s == pytest.approx(1000 * (5 * MS + COSTS.thread_trip_s))


def test_threads_are_bounded_by_the_cores_they_share() -> None:
    figures = profile(25 * MS, 5 * MS, gil_share=0.0)
    plan = decide(figures, HOST, AUTO, "threads")
    assert plan.predicted_s == pytest.approx(1000 / 4 * (5 * MS + COSTS.thread_trip_s))


def test_threads_that_are_not_up_cost_their_start() -> None:
    up = decide(profile(20 * MS), HOST, Settings(max_workers=10), "threads").predicted_s
    down = decide(profile(20 * MS), HOST, Settings(max_workers=10), "inline").predicted_s
    assert up is not None
    assert down == pytest.approx(up + 10 * COSTS.thread_start_s)


def test_starting_processes_is_shortened_by_the_items_that_run_meanwhile() -> None:
    figures = profile(20 * MS, 20 * MS, gil_share=1.0)
    plan = decide(figures, HOST, AUTO, "inline")
    each = 20 * MS + process_trip_s(figures, COSTS)
    start_s = COSTS.process_start_s + (HOST.cores - 2) * COSTS.process_spawn_s
    meanwhile = start_s / (20 * MS)
    expected = start_s + (1000 - meanwhile) / 4 * each
    assert plan.predicted_s == pytest.approx(expected)


def test_a_trip_costs_the_pickling_and_the_bytes_of_its_item() -> None:
    figures = profile(20 * MS)
    payload = Payload(0, item_bytes=600, result_bytes=400, pickle_s=7 * US, obstacle=None)
    without = process_trip_s(figures, COSTS)
    assert process_trip_s(figures._replace(payload=payload), COSTS) == pytest.approx(
        without + 7 * US + 1000 * COSTS.byte_s
    )


@given(profiles(), hosts())
@examples(60)
def test_dispatch_in_chunks_costs_at_most_one_trip_for_an_item(
    figures: Profile, host: Host
) -> None:
    bare = figures._replace(payload=None)
    assert 0 < process_trip_s(bare, host.costs) <= max(host.costs.process_trip_s, 2 * US)


# --- The words -------------------------------------------------------------------------------------


def test_the_choice_of_a_backend_is_said_to_be_the_callers() -> None:
    plan = decide(profile(20 * MS), HOST, Settings(backend="inline"), None)
    assert plan.reason == "backend='inline' was asked for"


@pytest.mark.parametrize("executor", [ElsewhereExecutor()])
def test_an_executor_of_the_callers_is_named(executor: Executor) -> None:
    plan = decide(profile(20 * MS), HOST, Settings(backend=executor), None)
    assert "ElsewhereExecutor" in plan.reason


@pytest.mark.parametrize(
    ("length", "is_async", "each"),
    [(600, True, 150), (5000, True, 512), (None, True, 512), (40, False, 10), (3, False, 2)],
)
def test_no_process_has_more_calls_at_once_than_its_share_of_them(
    length: int | None, is_async: bool, each: int
) -> None:
    plan = opening(HOST, Settings(backend="hybrid"), length, is_async)
    assert plan.capacities == {"hybrid": HOST.cores * each}


def test_an_executor_is_used_at_its_own_width() -> None:
    class Sized(ElsewhereExecutor):
        _max_workers = 7

    assert decide(profile(1.0), HOST, Settings(backend=Sized()), None).workers == 7
    assert decide(profile(1.0), HOST, Settings(backend=Sized(), max_workers=2), None).workers == 2


def test_an_effect_is_given_as_the_reason_to_stay() -> None:
    figures = profile(20 * MS, 20 * MS, gil_share=1.0, effect="it calls results.append()")
    plan = decide(figures, HOST, AUTO, "inline")
    assert "it calls results.append()" in plan.reason
    assert "it calls results.append()" in find(plan, "processes").reason


def test_what_cannot_be_pickled_is_given_as_the_reason_to_stay() -> None:
    stuck = PAYLOAD._replace(obstacle="an item cannot be pickled (a lock)")
    figures = profile(20 * MS, 20 * MS, gil_share=1.0, payload=stuck)
    plan = decide(figures, HOST, AUTO, "inline")
    assert "an item cannot be pickled (a lock)" in plan.reason


def test_worker_processes_say_that_they_start_none_of_their_own() -> None:
    nested = HOST._replace(processes_barred=BARRED)
    plan = decide(profile(20 * MS, 20 * MS, gil_share=1.0), nested, AUTO, "inline")
    assert plan.route == "inline"
    assert find(plan, "processes").reason == BARRED


@pytest.mark.parametrize(
    ("figures", "settings", "words"),
    [
        (profile(20 * MS), Settings(max_workers=1), "max_workers is 1"),
        (profile(20 * MS, 20 * MS, gil_share=1.0), AUTO, "hold the GIL"),
        (profile(1 * US, 1 * US), AUTO, "costs 25 µs, the call itself 1 µs"),
    ],
)
def test_why_one_thread_is_no_help(figures: Profile, settings: Settings, words: str) -> None:
    plan = decide(figures, HOST, settings, "inline")
    assert words in find(plan, "threads").reason


def test_long_times_are_not_told_in_powers_of_ten() -> None:
    plan = decide(profile(20.0, 20.0, gil_share=1.0, remaining=10**6), HOST, AUTO, None)
    assert not [other.reason for other in plan.rejected if "e+" in other.reason]


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_an_explicit_pool_is_as_wide_as_the_machine(backend: BackendName) -> None:
    plan = decide(profile(20 * MS, 20 * MS, gil_share=1.0), HOST, Settings(backend=backend), None)
    assert plan.capacities == {backend: HOST.cores}


@pytest.mark.parametrize(("cpu_s", "bounded"), [(1e-5, False), (1e-3, True)])
def test_what_a_task_costs_the_loop_bounds_no_tasks(cpu_s: float, bounded: bool) -> None:
    figures = profile(20 * MS, cpu_s, is_async=True, remaining=5000)
    plan = decide(figures, HOST._replace(processes_barred=BARRED), AUTO, None)
    assert plan.route == "asyncio"
    assert (plan.workers < TASK_CEILING) == bounded


def test_tasks_that_wait_for_each_other_on_one_loop_go_to_several() -> None:
    # Twelve that wait for 0.9 s and compute for as long take 11.2 s each beside the others.
    figures = waiting_task(remaining=12, done=0)._replace(wall_s=11.2, least_s=11.2, cpu_s=0.9)
    assert decide(figures, HOST, AUTO, "asyncio").route == "asyncio"
    assert decide(figures._replace(alone_s=1.8), HOST, AUTO, "asyncio").route == "hybrid"
