"""What threads gain for calls that compute: in whole runs, by the driver of the scheduler's tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from test_scheduler import Call, Play

from autoexec._actions import Wait
from autoexec._chunk import Chunk
from autoexec._pace import PROBE_CALLS
from autoexec._types import Look, Ready


@dataclass
class Locked(Play):
    """Calls that let go of the GIL, and are in each other's way all the same: on threads they are done one
    after another, and each computes while it waits for the others. Both cores are busy."""

    locked: bool = True
    longer: float = 1.0
    """Times as long as one after another that they take then."""
    cpu_s: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.by_themselves = list(self.calls)
        self.alone: list[int] = []
        self.doubted = False
        """Calls were to run alone, whether any has or not."""

    def begin(self, chunk: Chunk) -> None:
        beside = sum(one.lane == "threads" for one in self.running)
        if chunk.lane == "threads" and self.locked:
            for item in chunk.items:
                alone_s = self.by_themselves[item].cpu_s
                self.calls[item] = Call(cpu_s=(1 + beside * self.longer) * alone_s, held=0.0)
        if chunk.lane == "threads" and self.scheduler._pace.probing:
            self.alone += chunk.items
        super().begin(chunk)

    def do(self, action: Any) -> None:
        self.doubted |= self.scheduler.profiler.turns.doubted
        if isinstance(action, Wait):
            threads, before = sum(one.lane == "threads" for one in self.running), self.now
            super().do(action)
            self.cpu_s += min(threads, 2) * (self.now - before)
            self.scheduler.looked(Look(self.now, None, [], self.cpu_s, 0.0, False, 0, gil=True))
        else:
            super().do(action)


@pytest.mark.parametrize("first", [0.4, 1.0, 2.0])
def test_calls_that_take_turns_go_to_processes_however_long_the_first_took(first: float) -> None:
    calls = [Call(cpu_s=(first if i == 0 else 1.0) * 0.008, held=0.0) for i in range(300)]
    play = Locked(calls)
    play.run()
    assert play.scheduler.planner.prior().profile.takes_turns
    assert play.scheduler.ran["processes"] > 150
    assert play.alone


def test_calls_that_are_far_slower_side_by_side_go_to_processes_as_well() -> None:
    play = Locked(native(300), longer=5.0)
    play.run()
    assert play.scheduler.ran["processes"] > 200


@pytest.mark.parametrize("first", [0.4, 1.0, 2.0])
def test_that_threads_gain_is_seen_once_however_many_runs_there_are(first: float) -> None:
    prior = None
    for run in range(3):
        calls = [Call(cpu_s=(first if i == 0 else 1.0) * 0.008, held=0.0) for i in range(300)]
        play = Locked(calls, prior=prior, locked=False)
        play.run()
        assert play.scheduler.ran["threads"] > 250
        assert bool(play.alone) == (run == 0)
        assert len(play.alone) <= 2 * PROBE_CALLS
        prior = play.scheduler.planner.prior()


def native(count: int, first_s: float = 0.016) -> list[Call]:
    """Calls of 8 ms that let go of the GIL, after one that takes so long."""
    return [Call(cpu_s=first_s, held=0.0)] + [Call(cpu_s=0.008, held=0.0)] * (count - 1)


def test_none_is_run_alone_for_that_where_it_costs_too_much() -> None:
    few, many = Locked(native(60), locked=False), Locked(native(300), locked=False)
    few.run()
    many.run()
    assert many.alone
    assert not few.doubted


@pytest.mark.parametrize("options", [{"backend": "threads"}, {"chunksize": 4}])
def test_nor_where_it_is_not_for_this_library_to_say(options: dict[str, Any]) -> None:
    play = Locked(native(300), options, locked=False)
    play.run()
    assert not play.doubted


def test_nor_where_calls_compute_for_very_different_times() -> None:
    calls = native(3000)
    calls[1:] = [Call(cpu_s=0.001 if i % 3 else 0.02, held=0.0) for i in range(2999)]
    play = Locked(calls, locked=False)
    play.run()
    assert not play.doubted


def test_nor_while_workers_start_which_compete_for_the_cores() -> None:
    play = Locked(native(900), locked=False)
    play.scheduler._lanes["processes"].opened = 2
    while play.scheduler.done < 100:
        play.do(play.scheduler.next_action(play.now))
    assert not play.doubted
    play.scheduler.ready(Ready("processes", 2, None))
    play.run()
    assert play.alone


def test_a_call_that_takes_far_longer_is_not_waited_for() -> None:
    times = list[float]()
    for far_s in (0.008, 0.8):
        calls = native(6000)
        calls[40] = Call(cpu_s=far_s, held=0.0)
        play = Locked(calls, locked=False, cores=16)
        times.append(play.run().now)
    assert times[1] - times[0] < 0.2  # it was 0.7, in which fifteen threads stood still


def test_nor_is_the_first_that_is_still_under_way() -> None:
    calls = native(3000, first_s=4.0)
    play = Locked(calls, locked=False, cores=8)
    play.run()
    assert not play.doubted
    assert play.now < 4.1


def test_what_was_doubted_is_not_told_by_other_work() -> None:
    play = Locked(native(300), locked=False)
    profiler = play.scheduler.profiler
    while not play.alone or len(play.running):
        play.do(play.scheduler.next_action(play.now))
    assert profiler.turns.doubted
    profiler.gil_is_on()
    assert not profiler.resolve()
    assert profiler.turns.told is None
