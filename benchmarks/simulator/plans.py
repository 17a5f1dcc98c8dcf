"""What an expert would pick by hand, each played on the same machine, its pool's start included."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from . import work
from .machine import PARKED, Machine, Phase, Process, Steps, Thread, What, run
from .workloads import Workload


class Best(NamedTuple):
    """The quickest plan."""

    name: str
    seconds: float


class Fixed(NamedTuple):
    """A plan that is not changed while it runs."""

    name: str
    bound_s: float
    """It cannot be quicker than that."""
    play: Callable[[float], float]
    """Seconds that it takes; infinite if more than the argument."""


def best(workload: Workload, *, again: bool = False) -> Best:
    """The quickest of all plans. Those that cannot be are not played.

    Args:
        workload: What is to be done.
        again: The process of the caller has done it before, so that what it warms up there is warm.
    """
    found = Best("inline", workload.amounts.wall_s + (0.0 if again else workload.warm_s))
    for plan in sorted(plans(workload, again=again), key=lambda plan: plan.bound_s):
        if plan.bound_s < found.seconds:
            seconds = plan.play(found.seconds)
            if seconds < found.seconds:
                found = Best(plan.name, seconds)
    return found


def plans(workload: Workload, *, again: bool = False) -> Iterator[Fixed]:
    """All but running one after another."""
    cores, count = workload.cores, len(workload.calls)
    if workload.is_async:
        widths = [16, 64, 512, 5000]
        yield from (_here(workload, width, again=again, looped=True) for width in widths)
    else:
        widths = sorted({cores, 8, 16, 32, 64, 128, 256})
        yield from (_here(workload, width, again=again, looped=False) for width in widths)
    if workload.travels and cores > 1:
        sizes = {1, 4, 32, max(1, count // (4 * cores))}
        yield from (_away(workload, 1, size) for size in sorted(sizes))
        yield from (_away(workload, width, 1) for width in ((16, 128) if workload.is_async else (4, 16, 64)))  # fmt: skip


def _least(workload: Workload, at_once: int, gils: int) -> float:
    """No plan is quicker, with so many calls at once, under so many GILs."""
    sums = workload.amounts
    return max(
        sums.wall_s / at_once,
        sums.held_s / gils,
        sums.cpu_s / workload.cores,
        max(workload.walls),
        sums.served_s,
    )


def _here(workload: Workload, width: int, *, again: bool, looped: bool) -> Fixed:
    count = len(workload.calls)
    trip_s = work.TASK_TRIP_S if looped else work.THREAD_TRIP_S
    bound_s = max(_least(workload, width, 1), workload.amounts.held_s + count * trip_s)

    def play(until: float) -> float:
        machine = Machine(workload.cores, workload.limits)
        machine.parent.warm = again
        items, done = iter(range(count)), [0]

        def serve() -> Steps:
            for item in items:
                yield Phase(What.HELD, trip_s)
                yield from work.makes_call(workload, machine.parent, item, looped=looped)
                done[0] += 1

        for _ in range(min(width, count)):
            if not looped:
                machine.spend(work.THREAD_START_S)
            machine.start(machine.parent, serve())
        return machine.now if run(machine, until, lambda: done[0] == count) else math.inf

    return Fixed(f"{'tasks' if looped else 'threads'} {width}", bound_s, play)


def _away(workload: Workload, width: int, size: int) -> Fixed:
    """Worker processes, with so many calls at once in each, fed chunks of a size."""
    count, cores = len(workload.calls), workload.cores
    chunks = -(-count // size)
    start_s = work.SPAWN_S + work.BOOT_S + workload.fn_bytes * 3e-9
    parent_s = chunks * work.PROCESS_TRIP_S + count * (
        workload.pickle_s / 2 + workload.item_bytes * work.BYTE_S
    )
    at_once = min(cores * width, chunks)
    bound_s = max(start_s + _least(workload, at_once, cores), parent_s)
    name = f"processes, chunks of {size}" if width == 1 else f"processes x {width}"

    def play(until: float) -> float:
        return _Pool(workload, width, size).play(until)

    return Fixed(name, bound_s, play)


class _Pool:
    """As the standard pools do it: a feeder, and one queue to all workers."""

    def __init__(self, workload: Workload, width: int, size: int) -> None:
        self.workload = workload
        self.machine = Machine(workload.cores, workload.limits)
        chunks = -(-len(workload.calls) // size)
        self.width = min(width, -(-chunks // workload.cores))  # more would have nothing to do
        self.size = size
        self.ready: deque[range] = deque()
        self.idle: list[Thread] = []
        self.feeder: Thread | None = None
        self.waking = False
        self.done = 0

    def play(self, until: float) -> float:
        count = len(self.workload.calls)
        self.feeder = self.machine.start(self.machine.parent, self._feed(count))
        over = run(self.machine, until, lambda: self.done == count)
        return self.machine.now if over else math.inf

    def _feed(self, count: int) -> Steps:
        workload = self.workload
        for _ in range(min(workload.cores, -(-count // self.size))):
            yield Phase(What.HELD, work.SPAWN_S)
            self._spawn()
        yield Phase(What.HELD, workload.fn_bytes * 1e-9)
        for first in range(0, count, self.size):
            while len(self.ready) > workload.cores * self.width:
                yield PARKED
            items = range(first, min(count, first + self.size))
            both_s = work.sending_s(workload, len(items)) + work.receiving_s(workload, len(items))
            yield Phase(What.HELD, both_s)
            self.ready.append(items)
            if self.idle:
                self.machine.wake(self.idle.pop())

    def _spawn(self) -> None:
        process = Process()

        def main() -> Steps:
            yield from work.boots(self.workload)
            for _ in range(self.width - 1):
                yield Phase(What.HELD, work.THREAD_START_S * (not self.workload.is_async))
                self._slot(process)
            self._slot(process)

        self.machine.start(process, main())

    def _slot(self, process: Process) -> None:
        workload, looped = self.workload, self.workload.is_async
        holder: list[Thread] = []

        def serve() -> Steps:
            yield Phase(What.WAIT, 1e-9)  # until it is known by name
            while True:
                while not self.ready:
                    self.idle.append(holder[0])
                    yield PARKED
                items = self.ready.popleft()
                if not self.waking:
                    self.waking = True
                    self.machine.after(0.0, self._wake_feeder)
                yield Phase(What.WAIT, work.TRAVEL_S / 2)
                yield from work.makes_calls(workload, process, items, away=True, looped=looped)
                self.done += len(items)

        holder.append(self.machine.start(process, serve()))

    def _wake_feeder(self) -> None:
        self.waking = False
        room = len(self.ready) <= self.workload.cores * self.width
        if room and self.feeder is not None and self.feeder.phase is PARKED:
            self.machine.wake(self.feeder)
