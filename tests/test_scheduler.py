"""The scheduler against a driver without threads, processes or a clock: time is a number.

Calls are given by what they would do: seconds of waiting, of computing, the share of computing under
the GIL. The driver plays lanes, heartbeats and start-up with them.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoexec._actions import Done, Open, Recall, Send, Take, Wait, Weigh
from autoexec._chunk import Block, Chunk, Clocks
from autoexec._options import Settings, validate
from autoexec._scheduler import Scheduler
from autoexec._types import (
    Broken,
    Costs,
    Host,
    Look,
    Payload,
    Ready,
    Running,
)

COSTS = Costs(80e-6, 25e-6, 15e-6, 0.05, 250e-6, 2e-9)
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
    now: float = 0.0

    def __post_init__(self) -> None:
        self.called = [0] * len(self.calls)
        self.processes: list[int] = []
        self.most_at_once = 0
        self.events: list[tuple[float, int, Any]] = []
        self.order = itertools.count()
        self.running: dict[Chunk, float] = {}
        self.results: list[Any] = []
        self.taken = 0
        self.is_async = self.options.get("backend") == "asyncio"
        host = Host(self.cores, True, False, None, 0.005, COSTS)
        self.scheduler = Scheduler(
            host,
            self.settings,
            length=len(self.calls) if self.known_length else None,
            is_async=self.is_async,
            name="play",
            now=0.0,
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
            case Open(lane, workers):
                if lane == "processes":
                    broken = Broken("processes", "it was told to break")
                    ready = Ready("processes", workers, self.start_s)
                    self.at(self.start_s, broken if self.processes_break else ready)
            case Send(lane, chunks, check):
                for chunk in chunks:
                    self.begin(chunk)
                if check:
                    self.scheduler.checked(self.effect, of_item=True)
            case Recall(chunk):
                chunk.recall()
                self.cut_short(chunk)
            case Weigh():
                self.scheduler.weighed(Payload(100, 10, 10, 1e-6, None), None)
            case Wait(seconds, watch, here):
                self.wait(seconds, watch, here)

    def at(self, after_s: float, what: Any) -> None:
        heapq.heappush(self.events, (self.now + after_s, next(self.order), what))

    # --- Chunks -------------------------------------------------------------------------------------

    def begin(self, chunk: Chunk) -> None:
        if chunk.lane == "processes":
            self.processes += chunk.items
        chunk.began = Clocks(int(self.now * 1e9), 0, 0)
        self.running[chunk] = self.now
        self.most_at_once = max(self.most_at_once, len(self.running))
        self.at(sum(self.calls[item].wall_s for item in chunk.items), chunk)

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
        blocks = []
        for position, item in enumerate(chunk.items[:count]):
            call = self.calls[item]
            self.called[item] += 1
            error = ValueError(item) if call.fails else None
            values = [] if call.fails else [item]
            last = position == count - 1
            blocks.append(Block(chunk, values, error, call.wall_s, call.cpu_s, 0.0, last))
        return blocks

    # --- Time ---------------------------------------------------------------------------------------

    def wait(self, seconds: float, watch: Any, here: bool) -> None:
        assert seconds > 0
        assert self.running or self.events, "it waits for nothing"
        until = self.now + seconds
        held = any(self.computes_held(chunk) for chunk in self.running)
        if self.events and self.events[0][0] <= until:
            self.now, _, what = heapq.heappop(self.events)
            match what:
                case Ready():
                    self.scheduler.ready(what)
                case Broken():
                    self.scheduler.broken(what)
                case (chunk, count):
                    self.scheduler.heard(self.end(chunk, count), self.now)
                case chunk:
                    self.scheduler.heard(self.end(chunk, chunk.count), self.now)
            return
        late = 0.005 if held else 0.0001
        self.now = until + (late if watch else 0.0)
        if watch:
            running = [self.look_at(chunk) for chunk in watch if chunk in self.running]
            self.scheduler.looked(Look(self.now, late, running, 0.0, 0.0, False, 0))

    def computes_held(self, chunk: Chunk) -> bool:
        call = self.calls[chunk.item(0)]
        return chunk.lane == "threads" and call.cpu_s > call.wait_s and call.held > 0.5

    def look_at(self, chunk: Chunk) -> Running:
        elapsed = self.now - self.running[chunk]
        call = self.calls[chunk.item(0)]
        return Running(chunk, elapsed, elapsed * call.cpu_s / max(1e-9, call.wall_s), 0.0, False)


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
        "backend": st.sampled_from(["auto", "threads", "processes", "asyncio", "inline"]),
        "max_workers": st.integers(1, 40),
        "chunksize": st.integers(1, 30),
    },
)


@settings(max_examples=150, deadline=None)
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


def test_calls_that_still_run_here_count_towards_max_workers() -> None:
    play = Play([Call(cpu_s=0.08)] * 40, {"max_workers": 2}).run()
    assert play.processes
    assert play.most_at_once <= 2


class TestRoutes:
    def test_calls_that_hold_the_gil_go_to_processes_after_two_were_checked(self) -> None:
        play = Play([Call(cpu_s=0.004)] * 500).run()
        assert play.scheduler.plan.route == "processes"
        assert len(play.processes) > 400

    def test_workers_that_are_up_before_two_calls_were_checked_do_not_stop_the_run(self) -> None:
        play = Play([Call(cpu_s=0.05)] * 40, start_s=0.0001).run()
        assert play.results == list(range(40))
        assert play.processes

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
        assert "told to break" in play.scheduler.history[-1][1].reason

    @pytest.mark.parametrize("on_error", ["skip", "return"])
    def test_failed_calls_are_called_once_too(self, on_error: str) -> None:
        work = [Call(cpu_s=0.004, fails=i % 7 == 0) for i in range(100)]
        play = Play(work, {"on_error": on_error}).run()
        assert play.called == [1] * 100
        assert len(play.results) == (85 if on_error == "skip" else 100)

    def test_the_first_error_ends_the_run(self) -> None:
        play = Play([Call(cpu_s=0.001, fails=i == 5) for i in range(100)]).run()
        assert isinstance(play.error, ValueError)
        assert sum(play.called) < 100
