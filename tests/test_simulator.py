"""The decision loop on virtual machines, from 1 to 128 cores."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._chunk import Block, Chunk
from autoexec._options import Settings
from autoexec._pace import Pace
from autoexec._profile import Profiler
from autoexec._ramp import FIRST_THREADS
from autoexec._types import Event, Plan
from benchmarks.simulator.driver import Drive
from benchmarks.simulator.lanes import Lanes
from benchmarks.simulator.machine import Machine, Phase, Process, Steps, What
from benchmarks.simulator.plans import best, plans
from benchmarks.simulator.table import Row, compare, quantile
from benchmarks.simulator.workloads import Workload, call, generated, named


@cache
def rows() -> list[Row]:
    """A few dozen of all kinds, each played once for all tests here."""
    return compare([*list(named(2))[::2], *generated(24)])


@pytest.mark.xdist_group("simulator")  # so that the workloads are played in one process only
class TestTargets:
    # What is aimed at is 1.05 and 1.25; what holds here is 1.055 and 2.37. Most of the difference: waiting
    # calls begin with 32 at once (128 tasks), of which the first must come back before there are more, and
    # slow cache misses are not seen behind quick hits.
    def test_the_median_is_close_to_the_best_fixed_plan(self) -> None:
        assert quantile((row.ratio for row in rows()), 0.5) <= 1.07

    def test_few_are_far_from_it(self) -> None:
        assert quantile((row.ratio for row in rows()), 0.95) <= 2.5

    def test_the_next_run_is_closer(self) -> None:
        assert quantile((row.ratio_again for row in rows()), 0.5) <= 1.03
        assert quantile((row.ratio_again for row in rows()), 0.95) <= 1.6


def ends(machine: Machine, process: Process, *phases: Phase) -> list[float]:
    """When a thread that goes through these phases has ended, once it has."""
    ended: list[float] = []

    def steps() -> Steps:
        yield from phases
        ended.append(machine.now)

    machine.start(process, steps())
    return ended


def play(machine: Machine) -> None:
    while machine.step(1000.0):
        pass


class TestMachine:
    def test_threads_that_hold_the_gil_take_turns(self) -> None:
        machine = Machine(cores=4)
        short = ends(machine, machine.parent, Phase(What.HELD, 1.0))
        long = ends(machine, machine.parent, Phase(What.HELD, 2.0))
        play(machine)
        assert short == pytest.approx([2.0])
        assert long == pytest.approx([3.0])

    def test_processes_have_a_gil_each(self) -> None:
        machine = Machine(cores=2)
        times = [ends(machine, Process(), Phase(What.HELD, 1.0)) for _ in range(2)]
        play(machine)
        assert times == [pytest.approx([1.0])] * 2

    def test_more_than_there_are_cores_share_them(self) -> None:
        machine = Machine(cores=2)
        times = [ends(machine, machine.parent, Phase(What.FREE, 1.0)) for _ in range(3)]
        play(machine)
        assert times == [pytest.approx([1.5])] * 3

    def test_a_resource_serves_so_many_at_a_time(self) -> None:
        machine = Machine(cores=1, limits=(2,))
        times = [ends(machine, machine.parent, Phase(What.SERVED, 1.0, 0)) for _ in range(3)]
        play(machine)
        assert sorted(time for (time,) in times) == pytest.approx([1.0, 1.0, 2.0])

    def test_a_phase_can_be_cut_short(self) -> None:
        machine = Machine(cores=1)
        ended: list[float] = []

        def steps() -> Steps:
            yield Phase(What.HELD, 5.0)
            ended.append(machine.now)

        thread = machine.start(machine.parent, steps())
        machine.step(1.0)
        machine.shorten(thread, 2.0)
        play(machine)
        assert ended == pytest.approx([2.0])

    @given(
        st.integers(1, 4),
        st.lists(st.tuples(st.sampled_from(["held", "free"]), st.floats(0.01, 1.0)), min_size=1),
    )
    def test_no_work_is_lost_and_no_core_is_idle_while_there_is_some(
        self, cores: int, jobs: list[tuple[str, float]]
    ) -> None:
        machine = Machine(cores)
        kinds = {"held": What.HELD, "free": What.FREE}
        for kind, seconds in jobs:
            ends(machine, machine.parent, Phase(kinds[kind], seconds))
        last = 0.0
        while machine.step(1000.0):
            last = machine.now
        machine.parent.at(machine.now, machine.work)
        total = math.fsum(seconds for _, seconds in jobs)
        held = math.fsum(seconds for kind, seconds in jobs if kind == "held")
        assert machine.parent.cpu == pytest.approx(total)
        longest = max(held, *(seconds for _, seconds in jobs), total / cores)
        assert longest - 1e-6 <= last <= total + 1e-6


calls = st.builds(
    call,
    wait_s=st.sampled_from([0.0, 0.0, 0.001, 0.03]),
    held_s=st.sampled_from([1e-6, 1e-4, 0.004, 0.05]),
    free_s=st.sampled_from([0.0, 0.0, 0.01]),
    child_s=st.sampled_from([0.0, 0.0, 0.0, 0.02]),
    atomic=st.booleans(),
)
workloads = st.builds(
    Workload,
    st.lists(calls, min_size=1, max_size=60),
    st.sampled_from([1, 2, 16]),
    kind=st.just("any"),
    lazy=st.booleans(),
    is_async=st.booleans(),
    warm_s=st.sampled_from([0.0, 0.1]),
    item_bytes=st.sampled_from([100, 10_000_000]),
    travels=st.booleans(),
)


class TestPlaying:
    @examples(100)
    @given(workloads, st.sampled_from(["auto", "auto", "threads", "processes", "hybrid", "inline"]))
    def test_each_item_is_called_once_and_its_result_is_in_order(
        self, workload: Workload, backend: str
    ) -> None:
        if workload.is_async and backend in ("threads", "processes", "inline"):
            backend = "asyncio"
        Drive(workload, Settings(backend=backend)).play()  # type: ignore[arg-type]

    @examples(50)
    @given(workloads)
    def test_no_plan_is_quicker_than_its_bound(self, workload: Workload) -> None:
        for plan in plans(workload):
            assert plan.play(math.inf) >= plan.bound_s - 1e-6

    def test_a_run_is_the_same_every_time(self) -> None:
        first, second = (Drive(workload).play() for workload in [*generated(3)][2:] * 2)
        assert first == second

    def test_what_is_reported_is_what_an_expert_would_pick(self) -> None:
        waits = Workload([call(wait_s=0.02)] * 400, 2, kind="waits")
        computes = Workload([call(held_s=0.02)] * 400, 2, kind="computes")
        assert best(waits).name.startswith("threads")
        assert best(computes).name.startswith("processes")

    def test_no_more_calls_run_on_threads_than_these_were_opened_for(self) -> None:
        computes = Workload([call(free_s=0.05)] * 40, 2, kind="native")
        played = Drive(computes, Settings(backend="threads", max_workers=1)).play()
        assert played.seconds >= 40 * 0.05

    def test_what_is_called_back_while_its_process_warms_up_is_called_once(self) -> None:
        chunk = Chunk(0, list(range(20)), "threads", "threads")
        workload = Workload([call(free_s=1e-4)] * 20, 2, kind="native", warm_s=0.1)
        blocks, machine = list[Block](), Machine(2)

        def heard(event: Event) -> None:
            assert isinstance(event, list)
            blocks.extend(event)

        lanes = Lanes(machine, workload, heard)
        lanes.open("threads", 1)
        lanes.send("threads", [chunk])
        machine.step(0.05)
        lanes.recall(chunk)
        play(machine)
        assert [(block.values, block.last) for block in blocks] == [([0], True)]

    def test_the_next_run_begins_with_what_one_has_shown(self) -> None:
        workload = Workload([call(held_s=2e-6)] * 10_000, 2, kind="tiny", warm_s=0.1)
        first = Drive(workload)
        took_s = first.play().seconds
        again = Drive(workload, prior=first.prior()).play()
        assert again.seconds < took_s - 0.1  # this process is warm by then
        assert best(workload, again=True).seconds <= best(workload).seconds - 0.1

    @pytest.mark.parametrize("cores", [2, 16])
    def test_short_calls_that_become_ever_shorter_start_no_processes_in_the_next_run(
        self, cores: int
    ) -> None:
        calls = [call(held_s=(12 - i / 1000) * 1e-6) for i in range(10_000)]
        workload, prior = Workload(calls, cores, kind="falling"), None
        for _ in range(3):
            drive = Drive(workload, prior=prior)
            assert drive.play().ran == {"inline": 10_000}
            assert {plan.route for _, plan in drive.scheduler.planner.history} == {"inline"}
            prior = drive.prior()

    def test_where_calls_can_go_nowhere_else_none_is_run_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        probed, asks = list[float](), Pace.should_probe

        def should_probe(pace: Pace, plan: Plan, now: float, **figures: Any) -> bool:
            if probes := asks(pace, plan, now, **figures):
                probed.append(now)
            return probes

        monkeypatch.setattr(Pace, "should_probe", should_probe)
        calls = [call(wait_s=0.02, held_s=0.005)] * 400
        Drive(Workload(calls, 2, kind="mixed"), Settings(backend="threads", max_workers=8)).play()
        Drive(Workload(calls, 1, kind="mixed")).play()
        assert not probed
        # Threads without the GIL are as many as there are cores, until it is seen that these calls wait now.
        native = [call(free_s=0.02)] * 60 + [call(wait_s=0.2, free_s=0.03)] * 300
        Drive(Workload(native, 8, kind="native"), Settings(backend="threads")).play()
        assert probed

    def test_native_calls_of_which_some_wait_are_not_taken_for_such_as_take_turns(self) -> None:
        hit, miss = call(free_s=0.02), call(wait_s=0.5, free_s=0.02)
        workload = Workload([miss if i % 10 == 5 else hit for i in range(300)], 4, kind="misses")
        played = Drive(workload).play()
        assert set(played.ran) <= {"inline", "threads"}
        # With one more look than needed at the first that wait; as long as those were in the way it took 4.4 s.
        assert played.seconds < 1.5 * best(workload).seconds

    def test_such_calls_that_come_to_hold_the_gil_go_to_processes(self) -> None:
        hit, miss, held = call(free_s=0.01), call(wait_s=0.4, free_s=0.01), call(held_s=0.02)
        native = [miss if i % 10 == 5 else hit for i in range(120)]
        workload = Workload(native + [held] * 400, 4, kind="native, then Python")
        played = Drive(workload).play()
        assert played.ran["processes"] > 200, "they took turns, which was taken for waiting"

    def test_what_threads_gain_is_not_told_by_a_call_that_still_ran(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drive = Drive(Workload([call(free_s=0.03)] * 100, 4, kind="native"))
        profiler, gains = drive.scheduler.profiler, list[float]()

        def gained(gain: float) -> None:
            gains.append(gain)
            Profiler.gained(profiler, gain)

        monkeypatch.setattr(profiler, "gained", gained)
        drive.play()
        assert min(gains) > 2.0  # of a first call, of 4 ms so far, it was 0.5

    def test_a_search_for_how_many_at_once_goes_on_where_it_was(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits, computes = [call(wait_s=0.02)] * 600, [call(held_s=0.02)] * 300
        drive = Drive(Workload(waits + computes + waits, 2, kind="alternate"))
        pace, known = drive.scheduler.planner._pace, list[int | None]()

        def begin_ramp(plan: Plan, now: float, done: int, best: int | None = None) -> None:
            known.append(best)
            Pace.begin_ramp(pace, plan, now, done, best)

        monkeypatch.setattr(pace, "begin_ramp", begin_ramp)
        drive.play()
        assert known[0] is None
        assert (known[1] or 0) > FIRST_THREADS
