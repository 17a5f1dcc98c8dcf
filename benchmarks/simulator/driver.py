"""Plays a run of the real scheduler on the virtual machine, as `_run` does on a real one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from autoexec._actions import (
    Action,
    Done,
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
from autoexec._chunk import Block, Chunk
from autoexec._clocks import mean_spent_s
from autoexec._host import COSTS
from autoexec._options import Settings
from autoexec._priors import Prior
from autoexec._scheduler import Scheduler
from autoexec._types import Event, Host, Look, Payload, Plan, Ready, Running
from autoexec._watching import LOOK_S

from . import work
from .lanes import Lanes
from .machine import Machine, What
from .workloads import Workload

SWITCH_S = 0.005
"""Who wants the GIL beside Python code gets it after this long."""
BEAT_LATE_S = 0.0001
"""How late a wait ends that finds the GIL free."""
LATE_BY_ACCIDENT = 0.01
"""Share of the waits that end late though the GIL is free."""
LOOK_COST_S = 20e-6
LONGEST_CALL_S = 100.0
PULLED = 64
"""Items that come at a time from an input whose length is not known."""
ACTIONS = 500_000
"""More than any run here takes: a scheduler that goes round in circles is caught by it."""


class Played(NamedTuple):
    """How a run went."""

    seconds: float
    history: Sequence[tuple[float, Plan]]
    ran: dict[str, int]
    at_once: int
    actions: int


class Drive:
    """A driver without a clock of its own.

    Args:
        workload: What is played.
        settings: The options.
        prior: What an earlier run of it in the same process has shown.
    """

    def __init__(
        self, workload: Workload, settings: Settings | None = None, prior: Prior | None = None
    ) -> None:
        self.workload = workload
        self.machine = Machine(workload.cores, workload.limits)
        self.machine.parent.warm = prior is not None
        self.lanes = Lanes(self.machine, workload, self._put)
        self.inbox: deque[Event] = deque()
        self.results = 0
        self._random = Random(workload.seed)
        self.actions = 0
        self._taken = 0
        self._looked = 0.0
        self._returned = 0
        self._checking: set[Chunk] = set()
        self.scheduler = Scheduler(
            Host(workload.cores, True, True, False, None, COSTS),
            settings or Settings(),
            length=None if workload.lazy else len(workload.calls),
            is_async=workload.is_async,
            name="simulated",
            now=0.0,
            prior=prior,
        )
        self.scheduler.looked(self._look((), None))

    def _put(self, event: Event) -> None:
        self.inbox.append(event)

    def play(self) -> Played:
        """Play the run to its end.

        Raises:
            AssertionError: An item was lost or doubled, or the run does not end.
        """
        for self.actions in range(ACTIONS):
            action = self.scheduler.next_action(self.machine.now)
            if isinstance(action, Done):
                assert action.error is None, action.error
                break
            self._do(action)
            for values in self.scheduler.window.take():
                assert list(values) == list(range(self.results, self.results + len(values)))
                self.results += len(values)
        else:
            raise AssertionError(f"{self.workload.name}: the run does not end")
        assert self.results == len(self.workload.calls), "an item was lost"
        scheduler = self.scheduler
        ran = dict(scheduler.ran)
        return Played(
            self.machine.now, scheduler.planner.history, ran, scheduler.at_once, self.actions
        )

    def prior(self) -> Prior:
        """What the run has shown, for the next of the same function."""
        return self.scheduler.planner.prior()

    def _do(self, action: Action) -> None:
        scheduler = self.scheduler
        match action:
            case Take(most):
                scheduler.took(*self._take(most))
            case Open(lane, workers):
                self.lanes.open(lane, workers)
            case Send(lane, chunks, check):
                if check:
                    self._checking.add(chunks[0])
                self.lanes.send(lane, list(chunks))
                if lane == "inline":
                    while not self.inbox:
                        self.machine.step(self.machine.now + 1.0)
            case Recall(chunk):
                self.lanes.recall(chunk)
            case Poll(chunks):
                running = self.lanes.running
                started = [(c, running[c].done + 1 if c in running else 0) for c in chunks]
                scheduler.progressed(started, self.machine.now)
            case Peek(chunks):
                seen, machine = self._glance(chunks), self.machine
                machine.parent.at(machine.now, machine.work)
                scheduler.peeked(seen, machine.now, machine.parent.cpu - machine.driver_cpu)
            case Stop():
                raise AssertionError("no workload here has a time limit")
            case Inspect():
                scheduler.inspected(None, may_change=False)
            case Weigh():
                scheduler.weighed(self._weigh())
            case Wait(seconds, watch, here):
                self._wait(seconds, watch, here)
            case Done():
                raise AssertionError("that was the end")

    def _take(self, most: int) -> tuple[list[int], bool]:
        if self.workload.lazy:
            most = min(most, PULLED)
        else:
            most = len(self.workload.calls)
        items = list(range(self._taken, min(self._taken + most, len(self.workload.calls))))
        self._taken += len(items)
        return items, self._taken == len(self.workload.calls)

    def _weigh(self) -> Payload:
        workload = self.workload
        self.machine.spend(2e-4 + 2 * workload.pickle_s + workload.fn_bytes * 1e-9)
        obstacle = None if workload.travels else "the function cannot be pickled"
        return Payload(workload.fn_bytes, workload.item_bytes, 100, workload.pickle_s, obstacle)

    # --- Waiting is watching ------------------------------------------------------------------------

    def _wait(self, seconds: float, watched: Sequence[Chunk], here: Sequence[Chunk]) -> None:
        assert self.inbox or self.machine.busy(), f"{self.workload.name}: it waits for nothing"
        until = self.machine.now + seconds
        waited = not self.inbox
        while not self.inbox and self.machine.step(until):
            pass
        late = None
        event = self.inbox.popleft() if self.inbox else None
        if waited:
            self._wake(by_event=event is not None)
        if event is None and watched:
            late = self.machine.now - until
        if isinstance(event, list):
            self._returned += sum(len(block.values) for block in event)
        if watched or (here and self.machine.now > self._looked + LOOK_S):
            self.machine.spend(LOOK_COST_S)
            self.scheduler.looked(self._look(watched, late, here))
            self._returned = 0
            self._looked = self.machine.now
        if event is not None:
            self._dispatch(event)

    def _wake(self, *, by_event: bool) -> None:
        """The caller's thread wants the GIL back: it has it when a thread stops computing, or is made
        to let go of it, which is not possible within a call of a C function."""
        machine, holders = self.machine, self.machine.parent.holders
        if holders:
            # Threads take turns here, so it is the first in line that has it.
            least = min(holders)[2]
            first, until = least.phase, machine.now + SWITCH_S
            if first.what is What.CALL:
                until = machine.now + LONGEST_CALL_S
            while least.phase is first and machine.step(until):
                pass
        elif not by_event:
            by_accident = self._random.random() < LATE_BY_ACCIDENT
            late_s = self._random.uniform(0.001, 0.005) if by_accident else BEAT_LATE_S
            until = machine.now + late_s
            while machine.step(until):
                pass

    def _look(
        self, chunks: Sequence[Chunk], late: float | None, here: Sequence[Chunk] = ()
    ) -> Look:
        machine, found = self.machine, list[Running]()
        for chunk in chunks:
            one = self.lanes.running.get(chunk)
            if one is None or one.thread is None:
                continue
            cpu_s, queued_s = one.thread.clocks()
            runnable = one.thread.phase.what is What.FREE
            found.append(Running(chunk, machine.now - one.began, cpu_s, queued_s, runnable))
        machine.parent.at(machine.now, machine.work)
        new_child = bool(found) and not self.scheduler.profiler.done and machine.children > 0
        cpu_s = machine.parent.cpu - machine.driver_cpu
        returned, spent_s = self._returned, mean_spent_s(self._glance(here))
        return Look(
            machine.now, late, found, cpu_s, machine.child_cpu, new_child, returned, spent_s
        )

    def _glance(self, chunks: Sequence[Chunk]) -> list[Running]:
        found: list[Running] = []
        for chunk in chunks:
            one = self.lanes.running.get(chunk)
            if one is not None and one.thread is not None:
                elapsed_s, cpu_s = self.machine.now - one.began, one.thread.clocks()[0]
                found.append(Running(chunk, elapsed_s, cpu_s, 0.0, False))
        return found

    def _dispatch(self, event: Event) -> None:
        if isinstance(event, Ready):
            self.scheduler.ready(event)
            return
        assert isinstance(event, list)
        blocks: list[Block] = event
        for block in blocks:
            if block.chunk in self._checking:
                self._checking.discard(block.chunk)
                self.scheduler.checked(None, of_item=False)
            if block.last:
                del self.lanes.running[block.chunk]
            if block.chunk.lane in ("processes", "hybrid"):
                self.machine.spend(work.receiving_s(self.workload, len(block.values)))
        self.scheduler.heard(blocks, self.machine.now)
