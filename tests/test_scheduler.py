"""The scheduler against a driver without threads, processes or a clock: time is a number.

Calls are given by what they would do: seconds of waiting, of computing, the share of computing under
the GIL. The driver plays lanes, heartbeats and start-up with them.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._actions import (
    Done,
    Gauge,
    Inspect,
    Open,
    Peek,
    Poll,
    Recall,
    Send,
    Stop,
    Take,
    Wait,
    Weigh,
)
from autoexec._agenda import FAMILIAR_S
from autoexec._checks import validate
from autoexec._chunk import Block, Chunk, Clocks
from autoexec._control import TRIPS
from autoexec._dealer import LINE
from autoexec._errors import DeadlineExceeded, ItemTimeout, NotPicklable, NotSent
from autoexec._evidence import Overlap
from autoexec._failure import Failure
from autoexec._heartbeat import SHORT_S
from autoexec._intake import Intake
from autoexec._launch import WAVE, WAVE_S
from autoexec._options import DEFAULT, Settings
from autoexec._outcomes import Outcomes
from autoexec._planner import AGED, MOST_RUNS, RUNS
from autoexec._priors import Prior
from autoexec._ramp import FIRST_THREADS, Ramp
from autoexec._scheduler import LONGEST_PAUSE_S, Scheduler
from autoexec._types import Broken, Costs, Held, Host, Kind, Look, Memory, Payload, Ready, Running

COSTS = Costs(80e-6, 25e-6, 15e-6, 0.05, 0.002, 250e-6, 2e-9)
ACTIONS = 200_000
"""More than any run here takes: a scheduler that goes round in circles is caught by it."""


@dataclass(frozen=True)
class Call:
    wait_s: float = 0.0
    cpu_s: float = 0.0
    held: float = 1.0
    fails: bool = False

    @property
    def wall_s(self) -> float:
        return self.wait_s + self.cpu_s


class Task(NamedTuple):
    """A call of a chunk on an event loop."""

    chunk: Chunk
    position: int


@dataclass
class Play:
    """A driver that plays a run."""

    calls: list[Call]
    options: dict[str, Any] = field(default_factory=dict)
    cores: int = 2
    start_s: float = 0.05
    known_length: bool = True
    effect: str | None = None
    processes_break: bool = False
    unsendable: frozenset[int] = frozenset()
    """Items that cannot be pickled."""
    prior: Prior | None = None
    now: float = 0.0
    gil_from: float = 0.0
    """When there is a GIL."""

    def __post_init__(self) -> None:
        self.called = [0] * len(self.calls)
        self.processes: list[int] = []
        self.most_at_once = 0
        self.threads = 0
        """How many the scheduler has asked for: chunks beyond that wait for one."""
        self.events: list[tuple[float, int, Any]] = []
        self.order = itertools.count()
        self.running: dict[Chunk, float] = {}
        self.tasks: dict[Chunk, int] = {}
        """Those of each chunk on an event loop that have not ended."""
        self.sizes: list[int] = []
        self.results: list[Any] = []
        self.taken = 0
        self.is_async = self.options.get("backend") == "asyncio"
        self.stopped: list[int] = []
        self.here: list[int] = []
        self.peeked_at = -1.0
        host = Host(self.cores, self.has_gil, False, False, None, COSTS)
        self.scheduler = Scheduler(
            host,
            self.settings,
            length=len(self.calls) if self.known_length else None,
            is_async=self.is_async,
            name="play",
            now=0.0,
            prior=self.prior,
        )

    @property
    def settings(self) -> Settings:
        return validate(self.options)

    def run(self) -> Play:
        for _ in range(ACTIONS):
            action = self.scheduler.next_action(self.now)
            if isinstance(action, Done):
                self.error = action.error
                return self
            self.do(action)
            for values in self.scheduler.window.take():
                self.results += values
        raise AssertionError("the run does not end")

    def do(self, action: Any) -> None:
        match action:
            case Take(most):
                items = list(range(self.taken, min(self.taken + most, len(self.calls))))
                self.taken += len(items)
                self.scheduler.took(items, self.taken == len(self.calls))
            case Open("dask"):
                self.at(self.start_s, Ready("dask", self.cores, None))
            case Open("threads", workers):
                self.threads = workers
            case Open(lane, workers):
                if lane in ("processes", "hybrid"):
                    processes = workers if lane == "processes" else min(self.cores, workers)
                    broken = Broken(lane, "it was told to break", harmless=True)
                    ready = Ready(lane, processes, self.start_s)
                    self.at(self.start_s, broken if self.processes_break else ready)
            case Send(lane, chunks, check):
                for chunk in chunks:
                    self.begin(chunk)
                if check:
                    self.scheduler.checked(self.effect, of_item=True)
            case Recall(chunk):
                chunk.recall()
                self.cut_short(chunk)
            case Poll(chunks):
                assert all(chunk in self.running for chunk in chunks)
                self.scheduler.progressed([(c, self.started(c)) for c in chunks], self.now)
            case Stop(chunk, error):
                self.stop(chunk, error)
            case Inspect():
                self.scheduler.inspected(None, may_change=False)
            case Peek(chunks):
                assert self.now >= self.peeked_at + WAVE_S - 1e-9
                self.peeked_at = self.now
                running = [self.look_at(chunk) for chunk in chunks if chunk in self.running]
                self.scheduler.peeked(running, self.now)
            case Weigh():
                self.scheduler.weighed(Payload(100, 10, 10, 1e-6, None))
            case Wait(seconds, watch, here):
                self.wait(seconds, watch, here)

    def at(self, after_s: float, what: Any) -> None:
        heapq.heappush(self.events, (self.now + after_s, next(self.order), what))

    # --- Chunks -------------------------------------------------------------------------------------

    def begin(self, chunk: Chunk) -> None:
        if chunk.lane == "processes" and not self.unsendable.isdisjoint(chunk.items):
            self.begin_what_travels(chunk)
            return
        (self.processes if chunk.lane == "processes" else self.here).extend(chunk.items)
        chunk.began = Clocks(int(self.now * 1e9), 0, 0)
        self.running[chunk] = self.now
        if chunk.lane == "threads":
            chunk.noted = lambda: self.started(chunk)
        self.sizes.append(chunk.count)
        if chunk.lane == "asyncio":
            self.tasks[chunk] = chunk.count
        there = sum(one.lane == "processes" for one in self.running)
        on_threads = sum(one.lane == "threads" for one in self.running)
        calling = sum(
            self.tasks.get(one, min(one.width, one.count))
            for one in self.running
            if one.lane not in ("processes", "threads")
        )
        calling += min(there, self.scheduler.plan.workers) + min(on_threads, self.threads)
        self.most_at_once = max(self.most_at_once, calling)
        if chunk.lane == "asyncio":
            for position, item in enumerate(chunk.items):
                self.at(self.calls[item].wall_s, Task(chunk, position))
        else:
            self.at(sum(self.calls[item].wall_s for item in chunk.items), chunk)

    def end_task(self, task: Task) -> list[Block]:
        """One of the calls side by side of a chunk has returned."""
        chunk = task.chunk
        self.tasks[chunk] -= 1
        block = self.outcome(chunk, task.position, last=not self.tasks[chunk])
        block.position = task.position
        if block.last:
            del self.running[chunk], self.tasks[chunk]
        return [block]

    def outcome(self, chunk: Chunk, position: int, *, last: bool) -> Block:
        item = chunk.item(position)
        call = self.calls[item]
        self.called[item] += 1
        error = ValueError(item) if call.fails else None
        values = [] if call.fails else [item]
        return Block(chunk, values, error, call.wall_s, call.cpu_s, 0.0, last)

    def begin_what_travels(self, chunk: Chunk) -> None:
        """As the pool does it: up to the item that cannot, and that is an error once it is first."""
        count = next(i for i, item in enumerate(chunk.items) if item in self.unsendable)
        self.running[chunk] = self.now
        self.processes += chunk.items[:count]
        if count:
            self.at(sum(self.calls[item].wall_s for item in chunk.items[:count]), (chunk, count))
        else:
            refused = Block(chunk, [], NotSent("it cannot travel"), 0.0, 0.0, 0.0, False)
            self.at(0.0, [refused, Block(chunk, [], None, 0.0, 0.0, 0.0, True)])

    def finished(self, chunk: Chunk) -> int:
        """Calls of a chunk that have returned by now."""
        left_s = self.now - self.running[chunk]
        for position, item in enumerate(chunk.items):
            left_s -= self.calls[item].wall_s
            if left_s < -1e-9:
                return position
        return chunk.count

    def started(self, chunk: Chunk) -> int:
        return min(chunk.count, self.finished(chunk) + 1)

    def stop(self, chunk: Chunk, error: BaseException) -> None:
        count = self.finished(chunk)
        if count == chunk.count:
            return  # it has just ended, which will be heard
        self.events = [event for event in self.events if not self.concerns(event[2], chunk)]
        heapq.heapify(self.events)
        blocks = self.end(chunk, count)
        self.tasks.pop(chunk, None)
        self.stopped.append(chunk.item(count))
        self.called[chunk.item(count)] += 1
        for block in blocks:
            block.last = False
        given_up = Block(chunk, [], error, 0.0, 0.0, 0.0, False)
        self.at(0.0, [*blocks, given_up, Block(chunk, [], None, 0.0, 0.0, 0.0, True)])

    @staticmethod
    def concerns(what: Any, chunk: Chunk) -> bool:
        return what is chunk or (isinstance(what, tuple) and what[0] is chunk)  # a Task is one

    def cut_short(self, chunk: Chunk) -> None:
        """A recalled chunk ends after the call that is running."""
        self.events = [event for event in self.events if event[2] is not chunk]
        heapq.heapify(self.events)
        left_s, count = self.now - self.running[chunk], 0
        for item in chunk.items:
            left_s, count = left_s - self.calls[item].wall_s, count + 1
            if left_s < 0:
                break
        self.at(max(0.0, -left_s), (chunk, count))

    def end(self, chunk: Chunk, count: int) -> list[Block]:
        del self.running[chunk]
        return [self.outcome(chunk, i, last=i == count - 1) for i in range(count)]

    # --- Time ---------------------------------------------------------------------------------------

    def wait(self, seconds: float, watch: Any, here: Any) -> None:
        assert seconds > 0
        assert self.running or self.events, "it waits for nothing"
        assert seconds < 1000
        until = self.now + seconds
        held = self.has_gil and any(self.computes_held(chunk) for chunk in self.running)
        if self.events and self.events[0][0] <= until:
            at, _, what = heapq.heappop(self.events)
            self.now = max(self.now, at)  # a wait that ended late may have gone past it
            match what:
                case Ready():
                    self.scheduler.ready(what)
                case Broken():
                    self.scheduler.broken(what)
                case [Block(), *_] if isinstance(what, list):
                    self.running.pop(what[0].chunk, None)
                    self.scheduler.heard(what, self.now)
                case Task():
                    self.scheduler.heard(self.end_task(what), self.now)
                case (chunk, count):
                    self.scheduler.heard(self.end(chunk, count), self.now)
                case chunk:
                    self.scheduler.heard(self.end(chunk, chunk.count), self.now)
            return
        late = 0.005 if held else 0.0001
        self.now = until + (late if watch else 0.0)
        if watch:
            running = [self.look_at(chunk) for chunk in watch if chunk in self.running]
            look = Look(self.now, late, running, 0.0, 0.0, False, 0, gil=self.has_gil)
            self.scheduler.looked(look)

    @property
    def has_gil(self) -> bool:
        return self.now >= self.gil_from

    def computes_held(self, chunk: Chunk) -> bool:
        call = self.current(chunk)
        return chunk.lane == "threads" and call.cpu_s > call.wait_s and call.held > 0.5

    def look_at(self, chunk: Chunk) -> Running:
        elapsed, call = self.now - self.running[chunk], self.current(chunk)
        return Running(chunk, elapsed, elapsed * call.cpu_s / max(1e-9, call.wall_s), 0.0, False)

    def current(self, chunk: Chunk) -> Call:
        item: int = chunk.item(min(self.finished(chunk), chunk.count - 1))
        return self.calls[item]


calls = st.builds(
    Call,
    wait_s=st.sampled_from([0.0, 0.0, 0.001, 0.03]),
    cpu_s=st.sampled_from([1e-7, 1e-5, 0.002, 0.02]),
    held=st.sampled_from([0.0, 1.0]),
)
runs = st.lists(st.tuples(calls, st.integers(1, 60)), min_size=1, max_size=4).map(
    lambda parts: [call for call, count in parts for _ in range(count)]
)
options = st.fixed_dictionaries(
    {},
    optional={
        "backend": st.sampled_from(["auto", "threads", "processes", "asyncio", "inline", "hybrid"]),
        "max_workers": st.integers(1, 40),
        "chunksize": st.integers(1, 30),
    },
)


@examples(150)
@given(
    runs,
    options,
    st.sampled_from([1, 2, 16]),
    st.booleans(),
    st.sampled_from([0.001, 0.05, 3.0]),
    st.sampled_from([None, None, "something changed"]),
    st.booleans(),
)
def test_every_run_ends_with_each_item_called_once_in_order(
    work: list[Call],
    chosen: dict[str, Any],
    cores: int,
    known_length: bool,
    start_s: float,
    effect: str | None,
    processes_break: bool,
) -> None:
    play = Play(
        work,
        chosen,
        cores,
        start_s,
        known_length,
        effect,
        processes_break and chosen.get("backend", "auto") == "auto",
    ).run()
    assert play.error is None
    assert play.called == [1] * len(work)
    assert play.results == list(range(len(work)))
    if "max_workers" in chosen and chosen.get("backend") in ("threads", "asyncio"):
        assert play.most_at_once <= chosen["max_workers"]


def test_tasks_go_several_in_a_chunk_where_many_may_run_at_once() -> None:
    calls = [Call(wait_s=0.02 + 0.01 * (i % 7), fails=i % 50 == 9) for i in range(4000)]
    play = Play(calls, {"backend": "asyncio", "on_error": "return"}).run()
    assert (play.sizes[0], max(play.sizes)) == (1, 64)
    assert play.called == [1] * len(calls)
    for index, result in enumerate(play.results):
        if index % 50 == 9:
            assert (result.index, result.item, str(result.exception)) == (index, index, str(index))
        else:
            assert result == index
    assert play.scheduler.at_once == play.most_at_once > 1000


def test_the_last_tasks_do_not_wait_for_room_for_a_whole_chunk() -> None:
    calls = [Call(wait_s=0.02)] * 5000  # not a multiple of what is in a chunk
    play = Play(calls, {"backend": "asyncio"}).run()
    for _ in range(3):
        play = Play(calls, {"backend": "asyncio"}, prior=play.scheduler.planner.prior()).run()
        assert play.most_at_once == len(calls)


@pytest.mark.parametrize("count", [60, 80, 200, 300, 700, 4999])
@pytest.mark.parametrize("backend", ["threads", "asyncio"])
def test_each_run_begins_with_no_fewer_at_once_than_the_one_before(
    count: int, backend: str
) -> None:
    calls = [Call(wait_s=0.05)] * count
    options = (
        {"backend": backend, "max_workers": 5000} if backend == "threads" else {"backend": backend}
    )
    prior = Play(calls, options).run().scheduler.planner.prior()
    for _ in range(3):
        later = Play(calls, options, prior=prior).run().scheduler.planner.prior()
        assert (later.at_once or 0) >= (prior.at_once or 0)
        prior = later


@pytest.mark.parametrize("option", [{"timeout": 5.0}, {"timeline": True}, {"max_workers": 40}])
def test_tasks_go_one_by_one_where_each_is_looked_at_or_few_may_run(option: Any) -> None:
    calls = [Call(wait_s=0.02)] * 500
    play = Play(calls, {"backend": "asyncio"} | option).run()
    assert max(play.sizes) == 1
    assert play.results == list(range(500))


def test_a_call_far_longer_than_those_before_it_holds_up_nobody() -> None:
    calls = [Call(cpu_s=2e-5)] * 500 + [Call(cpu_s=3.0)] + [Call(cpu_s=0.002)] * 1000
    play = Play(calls).run()
    assert play.called == [1] * len(calls)
    assert play.now < 3.8, "most of the two seconds of the others passed meanwhile"


def test_nor_does_one_that_takes_as_long_as_an_earlier_run_has_shown() -> None:
    slow = Call(wait_s=0.08)
    shown = Play([slow] * 50).run().scheduler.planner.prior()
    calls = [slow if item % 40 == 7 else Call(cpu_s=3e-6) for item in range(1000)]
    play = Play(calls, prior=shown).run()
    assert play.results == list(range(1000))
    assert play.now < 0.14, "the others that wait were begun before the first had ended"


def test_calls_that_still_run_here_count_towards_max_workers() -> None:
    play = Play([Call(cpu_s=0.08)] * 40, {"max_workers": 2}).run()
    assert play.processes
    assert play.most_at_once <= 2


def test_calls_side_by_side_in_batches_and_calls_here_count_towards_max_workers() -> None:
    play = Play([Call(wait_s=0.03)] * 100, {"backend": "dask", "max_workers": 3}).run()
    assert play.called == [1] * 100
    assert play.scheduler.plan.width == 3
    assert play.most_at_once <= 3


def test_the_first_call_runs_here_where_a_cluster_is_there_at_once() -> None:
    play = Play([Call(cpu_s=0.01)] * 20, {"backend": "dask"})
    while not isinstance(action := play.scheduler.next_action(0.0), Send):
        play.do(action)
        if isinstance(action, Open) and action.lane == "dask":
            play.scheduler.ready(Ready("dask", 2, None))
    assert (action.lane, [chunk.first for chunk in action.chunks]) == ("threads", [0])


def test_even_calls_on_threads_that_keep_every_core_busy_come_to_be_sent_in_longer_chunks() -> None:
    play = Play([Call(cpu_s=0.004, held=0.0)] * 600).run()
    assert play.results == list(range(600))
    first = next(i for i in range(len(play.sizes)) if sum(play.sizes[:i]) >= 32)
    assert (max(play.sizes[:first]), max(play.sizes)) == (3, 13)  # 10 and 50 ms


class TestRoutes:
    def test_calls_that_hold_the_gil_go_to_processes_after_two_were_checked(self) -> None:
        play = Play([Call(cpu_s=0.004)] * 500).run()
        assert play.scheduler.plan.route == "processes"
        assert len(play.processes) > 400

    def test_workers_that_are_up_before_two_calls_were_checked_do_not_stop_the_run(self) -> None:
        play = Play([Call(cpu_s=0.05)] * 40, start_s=0.0001).run()
        assert play.results == list(range(40))
        assert play.processes

    def test_without_a_gil_they_go_to_threads(self) -> None:
        play = Play([Call(cpu_s=0.004)] * 500, gil_from=math.inf).run()
        assert set(play.scheduler.ran) == {"inline", "threads"}

    def test_once_an_extension_has_switched_it_on_they_go_to_processes(self) -> None:
        play = Play([Call(cpu_s=0.004)] * 500, gil_from=0.02).run()
        assert play.scheduler.ran["threads"]
        assert play.scheduler.plan.route == "processes"
        assert play.scheduler.planner.host.gil

    def test_what_is_seen_to_change_the_callers_state_stays(self) -> None:
        play = Play([Call(cpu_s=0.004)] * 500, effect="its item is not as it was").run()
        assert play.processes == []

    def test_waiting_calls_get_more_threads_while_that_gains(self) -> None:
        play = Play([Call(wait_s=0.05, cpu_s=1e-5)] * 600).run()
        assert play.scheduler.plan.route == "threads"
        assert play.most_at_once > 64

    def test_tiny_calls_run_one_after_another(self) -> None:
        play = Play([Call(cpu_s=1e-7)] * 20_000).run()
        assert play.scheduler.ran == {"inline": 20_000}
        assert play.most_at_once == 1

    def test_heavy_calls_behind_tiny_ones_are_noticed(self) -> None:
        play = Play([Call(cpu_s=1e-6)] * 3000 + [Call(cpu_s=0.006)] * 300).run()
        assert len(play.processes) > 200

    def test_processes_that_cannot_start_leave_the_work_here(self) -> None:
        play = Play([Call(cpu_s=0.004)] * 300, processes_break=True).run()
        assert play.processes == []
        assert play.results == list(range(300))
        assert "told to break" in play.scheduler.planner.history[-1][1].reason

    @pytest.mark.parametrize("on_error", ["skip", "return"])
    def test_failed_calls_are_called_once_too(self, on_error: str) -> None:
        work = [Call(cpu_s=0.004, fails=i % 7 == 0) for i in range(100)]
        play = Play(work, {"on_error": on_error}).run()
        assert play.called == [1] * 100
        assert len(play.results) == (85 if on_error == "skip" else 100)

    def test_the_first_of_several_errors_ends_the_run_though_it_be_false(self) -> None:
        class Problems(Exception):
            def __len__(self) -> int:
                return 0

        outcomes = Outcomes(DEFAULT, "fn", Intake(2), stream=False)
        chunk, first = Chunk(0, [0, 1], "threads", "threads"), Problems()
        for error in (first, ValueError()):
            outcomes.add(Block.untimed(chunk, [], error), 0.0)
        assert outcomes.error is first

    def test_what_was_heard_of_is_no_more_among_what_nobody_has_heard_of(self) -> None:
        outcomes = Outcomes(DEFAULT, "fn", Intake(3), stream=False)
        chunk = Chunk(0, [0, 1, 2], "threads", "threads")
        chunk.partial = values = [0, 1]
        # Its thread has announced these, and is yet to say so in the chunk.
        outcomes.add(Block(chunk, list(values), None, 0.0, 0.0, 0.0, False), 0.0)
        assert outcomes.add_unannounced(chunk) == 0
        values.append(2)
        assert outcomes.add_unannounced(chunk) == 1
        assert outcomes.window.waiting() == {0: 0, 1: 1, 2: 2}

    def test_the_first_error_ends_the_run(self) -> None:
        play = Play([Call(cpu_s=0.001, fails=i == 5) for i in range(100)]).run()
        assert isinstance(play.error, ValueError)
        assert sum(play.called) < 100


# --- Limits of time ----------------------------------------------------------------------------------

TIMEOUT_S = 0.2
quick = st.builds(
    Call, wait_s=st.sampled_from([0.0, 0.01, 0.1]), cpu_s=st.sampled_from([1e-5, 0.02])
)
overdue = st.builds(Call, wait_s=st.sampled_from([0.5, 3.0]), cpu_s=st.sampled_from([1e-5, 0.02]))


@examples(100)
@given(
    st.lists(st.one_of(quick, quick, overdue), min_size=1, max_size=60),
    options,
    st.sampled_from([1, 2, 16]),
)
def test_only_calls_that_take_too_long_fail_and_are_stopped_once(
    work: list[Call], chosen: dict[str, Any], cores: int
) -> None:
    play = Play(work, {**chosen, "timeout": TIMEOUT_S, "on_error": "return"}, cores).run()
    late = [i for i, call in enumerate(work) if call.wall_s > 2 * TIMEOUT_S]
    assert play.error is None
    assert sorted(play.stopped) == late
    assert play.called == [1] * len(work)
    failed = [result.index for result in play.results if isinstance(result, Failure)]
    assert failed == late
    assert [result for result in play.results if not isinstance(result, Failure)] == [
        i for i in range(len(work)) if i not in late
    ]


class TestLimits:
    @pytest.mark.parametrize("backend", ["auto", "threads", "processes", "asyncio", "hybrid"])
    def test_a_call_that_exceeds_the_timeout_is_stopped_once(self, backend: str) -> None:
        work = [Call(wait_s=0.01)] * 5 + [Call(wait_s=50)] + [Call(wait_s=0.01)] * 5
        options = {"backend": backend, "timeout": 1.0, "on_error": "return"}
        play = Play(work, options).run()
        assert play.stopped == [5]
        failure = play.results[5]
        assert isinstance(failure.exception, ItemTimeout)
        assert isinstance(failure.exception, TimeoutError)
        assert "timeout=1" in str(failure.exception)
        assert failure.seconds == 1.0
        assert any("item 5" in note for note in failure.exception.__notes__)

    @pytest.mark.parametrize("backend", ["auto", "threads", "processes"])
    def test_the_timeout_ends_the_run_if_errors_do(self, backend: str) -> None:
        play = Play([Call(wait_s=50)] * 3, {"backend": backend, "timeout": 1.0}).run()
        assert isinstance(play.error, ItemTimeout)
        assert play.now < 5

    def test_a_chunk_of_many_calls_has_the_time_for_each_of_them(self) -> None:
        work = [Call(wait_s=0.6)] * 40
        play = Play(work, {"backend": "threads", "timeout": 1.0, "chunksize": 20}).run()
        assert play.stopped == []
        assert play.results == list(range(40))

    def test_items_behind_one_that_is_stopped_are_called(self) -> None:
        work = [Call(wait_s=50 if i == 3 else 0.01) for i in range(40)]
        options = {"timeout": 1.0, "chunksize": 20, "on_error": "skip", "backend": "threads"}
        play = Play(work, options).run()
        assert play.results == [i for i in range(40) if i != 3]
        assert play.called == [1] * 40

    @pytest.mark.parametrize("backend", ["auto", "threads", "processes", "asyncio", "hybrid"])
    def test_after_the_deadline_the_run_is_over(self, backend: str) -> None:
        work = [Call(wait_s=0.2)] * 4 + [Call(wait_s=100)] * 40
        play = Play(work, {"backend": backend, "deadline": 10.0}).run()
        assert isinstance(play.error, DeadlineExceeded)
        assert isinstance(play.error, TimeoutError)
        assert "deadline=10" in str(play.error)
        assert 10.0 <= play.now < 10.1
        assert play.scheduler.window.finished(play.results) == {i: i for i in range(4)}

    def test_what_was_done_is_known_though_an_item_before_it_was_not(self) -> None:
        work = [Call(wait_s=100), *[Call(wait_s=0.2)] * 4]
        play = Play(work, {"backend": "threads", "max_workers": 5, "deadline": 10.0}).run()
        assert play.results == []
        assert play.scheduler.window.finished(play.results) == {i: i for i in range(1, 5)}

    def test_a_run_that_is_over_in_time_does_not_care(self) -> None:
        play = Play([Call(wait_s=0.2)] * 4, {"deadline": 10.0, "timeout": 5.0}).run()
        assert play.error is None
        assert play.results == list(range(4))

    def test_calls_are_given_up_before_the_deadline_where_that_is_asked_for(self) -> None:
        work = [Call(wait_s=100), Call(wait_s=0.1)]
        chosen = {"backend": "threads", "deadline": 10.0, "timeout": 1.0, "on_error": "skip"}
        play = Play(work, chosen).run()
        assert play.error is None
        assert play.results == [1]


class TestItemsThatCannotTravel:
    WORK = [Call(cpu_s=0.004)] * 500

    @examples(40)
    @given(st.frozensets(st.integers(0, 499), max_size=30))
    def test_under_auto_they_run_here_and_the_others_there(self, stuck: frozenset[int]) -> None:
        play = Play(self.WORK, unsendable=stuck).run()
        assert play.error is None
        assert play.results == list(range(500))
        assert play.called == [1] * 500
        assert stuck <= set(play.here)
        assert len(play.processes) > 300

    def test_many_in_a_row_do_too(self) -> None:
        stuck = frozenset(range(200, 260))
        play = Play(self.WORK, unsendable=stuck).run()
        assert play.results == list(range(500))
        assert stuck <= set(play.here)
        assert play.called == [1] * 500

    def test_their_time_is_limited_too(self) -> None:
        work = [Call(cpu_s=0.004, wait_s=50.0 * (i == 300)) for i in range(500)]
        chosen = {"timeout": 1.0, "on_error": "skip"}
        play = Play(work, chosen, unsendable=frozenset([300])).run()
        assert play.stopped == [300]
        assert play.results == [i for i in range(500) if i != 300]

    def test_where_processes_were_asked_for_they_are_errors_of_their_own(self) -> None:
        chosen = {"backend": "processes", "on_error": "return", "chunksize": 7}
        play = Play(self.WORK, chosen, unsendable=frozenset([0, 13, 400])).run()
        failures = [result for result in play.results if isinstance(result, Failure)]
        assert [failure.index for failure in failures] == [0, 13, 400]
        assert all(isinstance(failure.exception, NotPicklable) for failure in failures)
        assert set(play.here) == set()


class TestProcessesThatWereAskedFor:
    @pytest.mark.parametrize("backend", ["processes", "hybrid"])
    def test_if_they_cannot_start_the_calls_run_here_and_the_plan_says_so(
        self, backend: str
    ) -> None:
        play = Play([Call(cpu_s=0.004)] * 30, {"backend": backend}, processes_break=True).run()
        assert play.error is None
        assert play.results == list(range(30))
        assert play.processes == []
        reason = play.scheduler.planner.history[-1][1].reason
        assert "told to break" in reason
        assert "in this process" in reason


# --- For the report -----------------------------------------------------------------------------------


def test_a_prediction_for_an_unknown_number_of_items_is_not_compared() -> None:
    calls = [Call(wait_s=0.02)] * 2000
    assert Play(calls).run().scheduler.planner.decided_s > 0
    assert Play(calls, known_length=False).run().scheduler.planner.decided_s == 0


def test_the_slowest_calls_and_all_spans_are_written_down() -> None:
    calls = [Call(wait_s=0.02)] * 200
    calls[150] = Call(wait_s=0.5)
    ledger = Play(calls, {"timeline": True}).run().scheduler.ledger
    slowest = ledger.slowest()[0]
    assert (slowest.first, slowest.calls) == (150, 1)
    assert slowest.seconds == pytest.approx(0.5)
    assert ledger.recording is not None
    assert sorted(s.first for s in ledger.recording.spans) == list(range(200))


def test_a_second_long_call_does_not_wait_for_the_first() -> None:
    play = Play([Call(cpu_s=3.0)] * 2).run()
    assert play.now < 4.0


def test_the_others_do_not_wait_for_one_that_takes_far_longer() -> None:
    play = Play([Call(cpu_s=0.001)] * 20 + [Call(cpu_s=5.0)] * 2 + [Call(cpu_s=0.001)] * 20).run()
    assert play.now < 7.0


@pytest.mark.parametrize("known_length", [True, False])
def test_where_one_call_in_twenty_waits_for_long_many_of_these_wait_at_once(
    known_length: bool,
) -> None:
    rare = [Call(wait_s=0.1) if i % 20 == 7 else Call(cpu_s=5e-5) for i in range(1500)]
    play = Play(rare, known_length=known_length).run()  # each item is asked for when there is room
    assert play.most_at_once > 64
    assert play.now < 0.2  # 7.5 one after another


@dataclass
class Trickle(Play):
    """Items come at the times that were given; who takes one waits for it."""

    times: list[float] = field(default_factory=list)
    known_length: bool = False

    def do(self, action: Any) -> None:
        if isinstance(action, Take):
            self.now = max(self.now, self.times[self.taken])
            action = Take(min(action.most, bisect_right(self.times, self.now) - self.taken))
        super().do(action)


def test_after_a_slow_input_many_items_are_called_at_once() -> None:
    slow, rest, wait_s = 900, 1000, 0.3
    times = [0.1 * min(i, slow) for i in range(slow + rest)]
    play = Trickle([Call(wait_s=wait_s, cpu_s=1e-5)] * (slow + rest), times=times).run()
    assert play.called == [1] * (slow + rest)
    assert play.now - times[-1] < 2 * rest / 256 * wait_s


@pytest.mark.parametrize("gap_s", [0.005, 0.008])
def test_threads_that_wait_for_items_are_not_taken_for_threads_that_take_turns(
    gap_s: float,
) -> None:
    times = [gap_s * i for i in range(200)]
    play = Trickle([Call(cpu_s=0.006, held=0.0)] * 200, times=times).run()
    assert play.scheduler.plan.kind is Kind.CPU_FREE
    assert not play.scheduler.planner.prior().profile.takes_turns


@pytest.mark.parametrize(("busy", "waiting"), [(1.6, False), (1.2, True)])
def test_calls_that_keep_all_cores_busy_with_as_many_threads_do_not_wait_but_for_threads_of_their_own(
    busy: float, waiting: bool
) -> None:
    scheduler = Play([Call(cpu_s=0.005, held=0.0)] * 900).scheduler
    planner, profiler = scheduler.planner, scheduler.profiler
    scheduler.took([0] * 900, ended=True)
    alone = chunk_of(0.005, 0.005)
    for _ in range(3):
        profiler.add(alone, local=True, crowd=1)
        alone = chunk_of(0.005, 0.005)
    chunk = alone.chunk
    for beat in range(1, 9):  # it lets go of the GIL
        running = [Running(chunk, 0.001 * beat, 0.001 * beat, 0.0, True)]
        profiler.look(Look(0.001 * beat, 1e-4, running, 0.0, 0.0, False, 0, gil=True), 1)
    planner.review(0.02)
    assert (planner.plan.route, planner.plan.kind) == ("threads", Kind.CPU_FREE)
    for step in range(5):
        profiler.look(Look(0.02 + 0.02 * step, None, [], 0.02 * busy * step, 0.0, False, 0), 2)
    for _ in range(20):
        profiler.add(chunk_of(0.02, 0.005), local=True, crowd=1)
    planner.forget()
    planner.review(0.2)
    assert planner.plan.waiting == waiting


def chunk_of(wall_s: float, cpu_s: float) -> Block:
    """The outcome of one call on a thread."""
    return Block(Chunk(0, [0], "threads", "threads"), [0], None, wall_s, cpu_s, 0.0, last=True)


def test_that_calls_take_turns_is_believed_for_some_runs_and_for_more_once_it_was_seen_again() -> (
    None
):
    planner, tried = Play([Call(cpu_s=0.01)] * 3).run().scheduler.planner, list[int]()
    for run in range(30):
        prior = planner.prior()
        planner = Play([Call(cpu_s=0.01)] * 3, prior=prior).run().scheduler.planner
        if not prior.profile.takes_turns:
            tried.append(run)
            planner._profiler.turns.told = True
    assert tried == [0, 1 + RUNS, 2 + RUNS + MOST_RUNS]
    planner._profiler.turns.told = False
    assert (planner.prior().turns, planner.prior().times) == (0, 0)


def test_calls_that_failed_before_the_search_began_are_none_of_its_rounds() -> None:
    fast = [Call(cpu_s=1e-5, fails=True)] * 400
    play = Play(fast + [Call(wait_s=0.05, cpu_s=1e-5)] * 600, {"on_error": "return"})
    pace, fewest = play.scheduler._pace, 0
    while play.now < 0.2:
        play.do(play.scheduler.next_action(play.now))
        fewest = min(fewest, pace._trial_calls)
    assert pace._ramp is not None
    assert fewest == 0


class Beside(Play):
    """A thread of the program computes in Python all the time: who wants the GIL has it 5 ms later."""

    def computes_held(self, chunk: Chunk) -> bool:
        return True

    def do(self, action: Any) -> None:
        if isinstance(action, Peek):
            running = [self.look_at(chunk) for chunk in action.chunks if chunk in self.running]
            self.scheduler.peeked(running, self.now, cpu_s=self.now)
        else:
            super().do(action)

    def wait(self, seconds: float, watch: Any, here: Any) -> None:
        until = self.now + seconds
        super().wait(seconds, watch, here)
        if self.now >= until and not watch:  # else that is what the look is told
            self.now += 0.005


def test_calls_that_wait_are_started_beside_a_thread_that_holds_the_gil() -> None:
    play = Beside([Call(wait_s=1.0, cpu_s=1e-5)] * 200)
    while play.now < 1.0:
        play.do(play.scheduler.next_action(play.now))
    assert len(play.here) == FIRST_THREADS
    assert play.run().now < 8.0  # 25 at eight at once


def test_calls_that_no_thread_has_begun_come_back_for_the_processes() -> None:
    play = Play([Call(wait_s=0.03)] * 100)
    scheduler = play.scheduler
    scheduler.took(list(range(100)), True)
    plan = scheduler.plan._replace(route="threads", capacities={"threads": 20}, waiting=True)
    chunks = [scheduler._dealer.cut("threads", 1, plan, 0.0) for _ in range(20)]
    for chunk in chunks[:8]:
        chunk.began = Clocks(1, 0, 0)
    scheduler.planner.plan = plan._replace(route="hybrid", capacities={"threads": 4, "hybrid": 8})
    recalled: list[Chunk] = []
    while isinstance(action := scheduler.feed.recall(scheduler.plan, 0.01), Recall):
        action.chunk.recall()
        recalled.append(action.chunk)
    assert recalled == chunks[:7:-1]  # none that has begun; those behind them first


def test_for_threads_that_keep_every_core_busy_the_next_calls_are_ready() -> None:
    play = Play([Call(cpu_s=0.006, held=0.0)] * 100)
    scheduler, dealer = play.scheduler, play.scheduler._dealer
    plan = scheduler.plan._replace(route="threads", kind=Kind.CPU_FREE, capacities={"threads": 2})
    scheduler._lanes["threads"].opened = 2
    scheduler.profiler.expects = True
    assert dealer.room("threads", plan) == 2  # so far it is hearsay
    scheduler.profiler._own.overlap = overlap = Overlap(None)
    for now_s, cpu_s in ((0.0, 0.0), (0.1, 0.2)):
        overlap.look(Look(now_s, None, [], cpu_s, 0.0, False, 0), crowd=2)
    assert dealer.room("threads", plan) == 4  # they were seen to
    scheduler.profiler._own.overlap = Overlap(None)
    assert dealer.room("threads", plan) == 2
    for first in range(3):
        chunk = Chunk(first, [first], "threads", "threads")
        scheduler.profiler.add(
            Block(chunk, [None], None, 0.006, 0.006, 0.0, True), local=True, crowd=1
        )
    assert dealer.room("threads", plan) == 4
    assert dealer.room("threads", plan._replace(kind=Kind.CHILDREN)) == 2
    scheduler._lanes["threads"].opened = 8  # they would begin at once
    assert dealer.room("threads", plan) == 2


def test_none_is_ready_before_its_time_where_starts_are_limited() -> None:
    play = Play([Call(cpu_s=0.006, held=0.0)] * 100, {"max_per_second": 8.0})
    scheduler, dealer = play.scheduler, play.scheduler._dealer
    plan = scheduler.plan._replace(route="threads", kind=Kind.CPU_FREE, capacities={"threads": 2})
    scheduler._lanes["threads"].opened = 2
    scheduler.profiler._own.overlap = overlap = Overlap(None)
    for now_s, cpu_s in ((0.0, 0.0), (0.1, 0.2)):
        overlap.look(Look(now_s, None, [], cpu_s, 0.0, False, 0), crowd=2)
    scheduler.profiler.expects = True
    assert dealer.room("threads", plan) == 2


@pytest.mark.parametrize(
    ("options", "line"),
    [({}, LINE), ({"max_per_second": 1000.0}, 0), ({"memory_limit": "1 GB"}, 0)],
)
def test_some_that_wait_are_in_line_where_they_can_be_sent_ahead(
    options: dict[str, Any], line: int
) -> None:
    play = Play([Call(wait_s=0.02)] * 100, options)
    scheduler, dealer = play.scheduler, play.scheduler._dealer
    plan = scheduler.plan._replace(
        route="threads", kind=Kind.IO, capacities={"threads": 256}, waiting=True
    )
    scheduler._lanes["threads"].opened = 256
    assert dealer.room("threads", plan) <= 256  # so far nobody knows what they do
    scheduler.profiler.expects = True
    assert dealer.room("threads", plan) == 256 + line
    few = plan._replace(capacities={"threads": 24})
    assert dealer.room("threads", few) == 24  # more threads would begin them
    scheduler._lanes["threads"].opened = 24
    assert dealer.room("threads", few) == 24 + min(line, 3)
    scheduler._pace.probing = 1
    assert dealer.room("threads", few) == 1


def test_calls_run_alone_here_until_those_for_processes_are_known_to_change_nothing() -> None:
    play = Play([Call(wait_s=0.02, cpu_s=0.005)] * 100)
    scheduler, dealer = play.scheduler, play.scheduler._dealer
    scheduler.took(list(range(100)), True)
    scheduler.profiler.expects = True
    plan = scheduler.plan._replace(route="hybrid", capacities={"threads": 8, "hybrid": 16})
    assert dealer.room("threads", plan) == 8
    scheduler._lanes["hybrid"].workers = 2
    assert dealer.room("threads", plan) == 1
    chunk = dealer.cut("threads", 1, plan, 0.0)
    assert dealer.room("threads", plan) == 0
    assert dealer.room("hybrid", plan) == 0
    scheduler._lanes.remove(chunk)
    assert dealer.checking("threads", plan)
    scheduler.profiler.travel.checks = 2
    scheduler.planner.forget()
    assert dealer.room("threads", plan) == 8
    assert dealer.room("hybrid", plan) > 0


@pytest.mark.parametrize(
    ("wall_s", "here", "waiting", "pauses"),
    [
        (0.001, 40, True, True),
        (0.001, 40, False, False),  # who computes has the GIL meanwhile, or a core
        (0.05, 40, True, False),  # none other is about to end
        (0.0, 3, True, False),
    ],
)
def test_outcomes_that_are_about_to_come_are_awaited(
    wall_s: float, here: int, waiting: bool, pauses: bool
) -> None:
    scheduler = Play([Call(wait_s=0.02)] * 100).scheduler
    scheduler.took(list(range(100)), True)
    scheduler.profiler.expects = True
    scheduler.profiler._times.wall.add(wall_s)
    plan = scheduler.plan._replace(
        route="threads", capacities={"threads": 100}, waiting=waiting, workers=100
    )
    scheduler.planner.plan = plan
    for _ in range(here):
        scheduler._dealer.cut("threads", 1, plan, 0.0)
    assert (scheduler.pause_s > 0) == pauses


@pytest.mark.parametrize(
    ("wall_s", "in_line", "left", "seconds"),
    [
        (0.02, 8, 50, 4 * 0.02 / 32),
        (2.0, 8, 50, LONGEST_PAUSE_S),
        (0.02, 0, 58, 0.0),  # a place would be empty
        (0.02, 8, 0, 0.0),  # what is left is to be heard of
    ],
)
def test_while_some_are_in_line_outcomes_may_wait_for_each_other(
    wall_s: float, in_line: int, left: int, seconds: float
) -> None:
    scheduler = Play([Call(wait_s=0.02)] * 100).scheduler
    scheduler.took(list(range(32 + in_line + left)), True)
    scheduler.profiler.expects = True
    scheduler.profiler._times.wall.add(wall_s)
    plan = scheduler.plan._replace(
        route="threads", capacities={"threads": 32}, waiting=True, workers=32
    )
    scheduler.planner.plan = plan
    scheduler._lanes["threads"].open(32)
    for _ in range(32 + in_line):
        scheduler._dealer.cut("threads", 1, plan, 0.0)
    assert scheduler.pause_s == pytest.approx(seconds)


def test_those_in_line_may_get_more_places_when_the_input_has_no_more() -> None:
    scheduler = Play([Call(wait_s=0.02)] * 100).scheduler
    planner, pace = scheduler.planner, scheduler._pace
    scheduler.took(list(range(40)), True)
    scheduler.profiler.expects = True
    scheduler.profiler._times.wall.add(0.02)
    scheduler.profiler._times.least_s = 0.02
    plan = scheduler.plan._replace(
        route="threads", capacities={"threads": 256}, waiting=True, workers=256
    )
    planner.plan = plan
    pace._ramp = Ramp(32, best=32, rate=1600.0)
    scheduler._lanes["threads"].open(32)
    chunks = [scheduler._dealer.cut("threads", 1, plan, 0.0) for _ in range(40)]
    stalls_at = planner.stalls_at()
    assert stalls_at < math.inf
    scheduler.next_action(stalls_at)
    assert planner.plan is plan, "nothing is left for another"
    assert pace.places(plan, 256) > 32
    for chunk in chunks[:8]:
        scheduler._lanes.remove(chunk)
    assert planner.stalls_at() == math.inf, "all have begun"


def cache(calls: int, hit_s: float) -> list[Call]:
    """One in twenty misses."""
    chance = Random(6)
    hit, miss = Call(cpu_s=hit_s), Call(wait_s=0.1, cpu_s=hit_s)
    return [miss if chance.random() < 0.05 else hit for _ in range(calls)]


@pytest.mark.parametrize("hit_s", [5e-5, 2e-4])
def test_where_a_few_wait_for_long_the_others_go_in_chunks_and_none_waits_behind_those(
    hit_s: float,
) -> None:
    calls = cache(3000, hit_s)
    first = Play(calls).run()
    play = Play(calls, prior=first.scheduler.planner.prior()).run()
    for one in (first, play):
        assert one.called == [1] * 3000
        assert one.results == list(range(3000))
    assert len(play.sizes) < 1500
    assert max(play.sizes) > 3
    assert play.now < 3000 * hit_s + 3 * 0.1


@pytest.mark.parametrize("options", [{}, {"chunksize": 7}, {"on_error": "skip", "max_workers": 5}])
def test_of_such_a_mixture_each_item_is_called_once_whatever_was_asked_for(
    options: dict[str, Any],
) -> None:
    play = Play(cache(1000, 1e-4), {"backend": "threads", **options}).run()
    assert play.called == [1] * 1000
    assert play.results == list(range(1000))
    assert play.most_at_once <= options.get("max_workers", 256)


def test_those_that_all_wait_are_seen_to_be_far_before_one_has_come_back() -> None:
    hit, miss = Call(cpu_s=1e-4), Call(wait_s=5.0, cpu_s=1e-4)
    calls = [hit] * 100 + [miss if i % 8 == 0 else hit for i in range(400)]
    play = Play(calls)
    while play.now < 1.0 and not isinstance(action := play.scheduler.next_action(play.now), Done):
        play.do(action)
    assert play.scheduler.ended
    assert not play.scheduler._intake.count, "none waits for a place, nor behind those"


def test_of_such_a_mixture_none_is_run_alone() -> None:
    play = Play(cache(3000, 5e-5))
    pace = play.scheduler._pace
    while not isinstance(action := play.scheduler.next_action(play.now), Done):
        play.do(action)
        play.scheduler.window.take()
        assert not pace.probing or play.scheduler.profiler.mixture.most is None
    assert play.called == [1] * 3000


def test_waiting_calls_that_outweigh_their_dispatch_go_one_by_one_whatever_the_figures() -> None:
    scheduler = Play([Call(wait_s=0.02)] * 10_000).scheduler
    scheduler.took(list(range(10_000)), True)
    scheduler.profiler.expects = True
    plan = scheduler.plan._replace(
        route="threads", capacities={"threads": 2}, waiting=True, workers=2
    )
    scheduler.profiler._times.wall.add(COSTS.thread_trip_s)
    assert scheduler._dealer.size("threads", plan) > 1
    scheduler.profiler._times.forget()
    scheduler.profiler._times.wall.add(TRIPS * COSTS.thread_trip_s)
    scheduler.planner.forget()
    assert scheduler._dealer.size("threads", plan) == 1


def test_what_calls_side_by_side_have_computed_is_nothing_to_those_that_run_alone() -> None:
    play = Play([Call(wait_s=0.02)] * 100)
    scheduler = play.scheduler
    scheduler.took(list(range(100)), True)
    chunks = [scheduler._dealer.cut("threads", 1, scheduler.plan, 0.0) for _ in range(3)]
    scheduler.looked(Look(0.01, None, [], 0.1, 0.0, False, 0, spent_s=0.04))
    for chunk in chunks[:2]:
        block = Block(chunk, [0], None, 0.02, 1e-4, 0.0, True)
        scheduler.heard([block], 0.02)
        computed = 0.04 if chunk is chunks[0] else 1e-4
        assert scheduler.profiler.cpu_s == computed


def test_within_processes_calls_wait_for_one_to_end() -> None:
    play = Play([Call(wait_s=0.02, cpu_s=0.005)] * 1000, {"backend": "hybrid", "max_workers": 64})
    scheduler, dealer = play.scheduler, play.scheduler._dealer
    scheduler._lanes["hybrid"].workers = 2
    plan = scheduler.plan
    assert dealer.room("hybrid", plan) == 64  # so far nobody knows how long they take
    scheduler.took(list(range(1000)), True)
    chunk = Chunk(0, [0], "hybrid", "hybrid")
    scheduler.profiler.add(
        Block(chunk, [None], None, 0.025, 0.005, 0.0, True), local=False, crowd=1
    )
    assert dealer.room("hybrid", plan) == 64 + 20  # 50 ms of computing for each
    scheduler._intake.take(980)
    assert dealer.room("hybrid", plan) == 64 + 5  # ever fewer towards the end
    uneven = plan._replace(capacities={"hybrid": 63})  # 32 in each would be one too many
    assert dealer.room("hybrid", uneven) == 63
    scheduler.profiler.is_async = True
    assert dealer.room("hybrid", plan) == 64  # tasks do not wait for each other


def test_calls_are_not_held_back_where_there_are_none() -> None:
    play = Play([Call(wait_s=1.0)] * 4, {"backend": "threads", "max_workers": 100})
    scheduler = play.scheduler
    scheduler.took(list(range(4)), False)
    scheduler.planner.plan = scheduler.plan._replace(waiting=True)
    scheduler.profiler.expects = True
    scheduler.profiler._times.wall.add(1.0)
    scheduler.feed.taking = True  # from a slow input
    while not isinstance(action := scheduler.next_action(0.0), Wait):
        play.do(action)
    assert len(play.running) == 4
    assert not scheduler.feed.launch.held_back


def test_calls_of_a_function_that_is_known_to_wait_are_watched_once_they_take_longer() -> None:
    play = Play([Call(wait_s=0.002)] * 8)
    scheduler = play.scheduler
    scheduler.took(list(range(8)), True)
    scheduler.planner.plan = scheduler.plan._replace(
        route="threads", capacities={"threads": 8}, waiting=True
    )
    for _ in range(8):
        chunk = scheduler._dealer.cut("threads", 1, scheduler.plan, 0.0)
        chunk.began = Clocks(1, 0, 0)
    assert scheduler._agenda.wait(0.001).watch  # nobody knows what they do
    scheduler.profiler.expects = True
    scheduler.profiler._times.wall.add(0.002)
    wait = scheduler._agenda.wait(0.001)
    assert not wait.watch
    assert wait.seconds == pytest.approx(FAMILIAR_S - 0.001)
    assert scheduler._agenda.wait(FAMILIAR_S).watch


@pytest.mark.parametrize(("wall_s", "watched"), [(SHORT_S / 2, False), (2 * SHORT_S, True)])
def test_of_calls_of_which_many_go_in_a_beat_nothing_but_the_gil_is_watched(
    wall_s: float, watched: bool
) -> None:
    scheduler = Play([Call()] * 10).scheduler
    assert scheduler._dealer.watching(), "nobody knows how long they take"
    scheduler.profiler.expects = True
    scheduler.profiler._times.wall.add(wall_s)
    assert scheduler._dealer.watching() == watched
    scheduler.profiler._times.cpu.add(wall_s)
    assert scheduler._dealer.watching(), "whether they hold the GIL is not clear"


def test_what_computes_behind_what_waits_is_not_started_all_at_once() -> None:
    waiting, computing = Call(wait_s=0.03, cpu_s=1e-5), Call(cpu_s=0.02)
    play = Play([waiting] * 150 + [computing] * 250, {"backend": "threads", "max_workers": 256})
    most = 0
    begin = play.begin

    def note(chunk: Chunk) -> None:
        nonlocal most
        begin(chunk)
        most = max(most, sum(one.first >= 150 for one in play.running))

    play.begin = note  # type: ignore[method-assign]
    play.run()
    assert play.results == list(range(400))
    assert play.most_at_once > 100
    assert most <= WAVE


@pytest.mark.parametrize("backend", ["auto", "threads", "processes", "asyncio"])
def test_who_waits_for_the_last_calls_does_not_wake_up_every_moment(backend: str) -> None:
    play = Play([Call(wait_s=4.0)] * 4, {"backend": backend, "max_workers": 4})
    waits: list[Wait] = []
    do = play.do

    def note(action: Any) -> None:
        if isinstance(action, Wait):
            waits.append(action)
        do(action)

    play.do = note  # type: ignore[method-assign]
    play.run()
    assert play.called == [1] * 4
    # A first call is watched for a quarter of a second.
    assert len([wait for wait in waits if not wait.watch]) < 60


class Counting(Play):
    """Counts what it is asked to do."""

    def __post_init__(self) -> None:
        self.asked: Counter[str] = Counter()
        super().__post_init__()

    def do(self, action: Any) -> None:
        self.asked[type(action).__name__] += 1
        if isinstance(action, Send):
            self.asked[action.lane] += len(action.chunks)
        if isinstance(action, Gauge):
            held = Held(50 << 20, 50 << 20)
            self.scheduler.gauged(Memory(64 << 30, 60 << 30, held, {}), self.now)
        else:
            super().do(action)


@pytest.mark.parametrize("chosen", [{}, {"max_workers": 1}, {"backend": "inline", "deadline": 99}])
@pytest.mark.parametrize("before", [Call(wait_s=0.003), Call(cpu_s=0.03), Call(cpu_s=1e-5)])
def test_a_call_that_takes_long_is_looked_at_ever_more_rarely(
    before: Call, chosen: dict[str, Any]
) -> None:
    play = Counting([before] * 30 + [Call(wait_s=60.0)], chosen)
    play.run()
    assert play.called == [1] * 31
    assert play.asked["Wait"] < 1500


@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_memory_is_read_often_only_for_those_who_run_calls_alone(backend: str) -> None:
    chosen = {"backend": backend, "max_workers": 2, "memory_limit": 8 << 30}
    play = Counting([Call(cpu_s=0.05)] * 200, chosen)
    play.run()
    assert play.asked["Gauge"] < 30 * play.now


def test_memory_that_is_far_from_full_is_not_read_beside_tiny_calls() -> None:
    play = Counting([Call(cpu_s=2e-5)] * 25_000, effect="its item is not as it was")
    play.run()
    assert play.now > 0.4
    assert play.asked["Gauge"] <= 1


def test_what_cannot_travel_is_not_called_back_to_be_sent_elsewhere() -> None:
    play = Play([Call(cpu_s=0.01)] * 20)
    scheduler = play.scheduler
    scheduler.took(list(range(20)), True)
    scheduler._intake.stays.add(0)
    plan = scheduler.plan._replace(route="processes", capacities={"threads": 1, "processes": 2})
    scheduler._lanes["threads"].opened = 4
    kept = scheduler.feed.send(plan, 0.0)
    assert isinstance(kept, Send)
    scheduler._dealer.cut("threads", 1, plan, 0.0)
    recalled = scheduler.feed.recall(plan, 0.01)
    assert isinstance(recalled, Recall)
    assert recalled.chunk not in kept.chunks
    recalled.chunk.recall()
    assert scheduler.feed.recall(plan, 0.01) is None


def test_coroutines_that_cannot_travel_stay_on_their_loop() -> None:
    scheduler = Scheduler(
        Host(2, True, False, False, None, COSTS),
        validate({}),
        length=3,
        is_async=True,
        name="play",
        now=0.0,
    )
    scheduler.took([0, 1, 2], True)
    scheduler._intake.stays.add(0)
    match scheduler.feed.send(scheduler.plan, 0.0):
        case Open(lane, _):
            assert lane == "asyncio"
            assert scheduler.feed.send(scheduler.plan, 0.0).lane == "asyncio"  # type: ignore[union-attr]
        case action:
            assert isinstance(action, Send)
            assert action.lane == "asyncio"


@pytest.mark.parametrize("wanted", [1, 3, 8])
def test_max_workers_counts_calls_on_all_lanes(wanted: int) -> None:
    play = Play([], {"max_workers": 8})
    lanes, dealer = play.scheduler._lanes, play.scheduler._dealer
    lanes["hybrid"].workers, lanes["hybrid"].opened = 2, 8
    lanes["hybrid"].width = 4
    for first in range(5):
        lanes.add(Chunk(first, [first], "hybrid", "hybrid"))
    assert dealer.allowed("threads", wanted) == min(wanted, 3)
    assert dealer.allowed("hybrid", wanted) == wanted
    for first in range(5, 8):
        lanes.add(Chunk(first, [first], "threads", "threads"))
    assert dealer.allowed("threads", wanted) == min(wanted, 3)
    assert dealer.allowed("hybrid", wanted) == min(wanted, 5)
    assert dealer.allowed("asyncio", wanted) == 0


def test_a_slow_call_does_not_keep_the_others_waiting_for_those_that_run_alone() -> None:
    play = Play([Call(wait_s=0.005)] * 100, {"backend": "threads", "max_workers": 8})
    scheduler = play.scheduler
    scheduler.took(list(range(100)), True)
    chunks = [scheduler._dealer.cut("threads", 1, scheduler.plan, 0.0) for _ in range(2)]
    scheduler.heard([Block(chunks[0], [0], None, 0.005, 0.004, 0.0, True)], 0.005)
    scheduler._pace.probing = 3
    scheduler._pace.review_at = 99.0
    while not isinstance(action := scheduler.next_action(0.01), Wait):
        assert isinstance(action, Open)
    assert scheduler._pace.probing == 3
    aged_at = AGED * 2 * scheduler.profiler.wall_s  # two have taken turns, if so
    assert 0.01 + action.seconds <= aged_at + 1e-9
    scheduler.next_action(aged_at - 1e-6)
    assert scheduler._pace.probing == 3
    scheduler.next_action(aged_at)
    assert not scheduler._pace.probing
