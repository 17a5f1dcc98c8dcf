"""The executors on the virtual machine: chunks begin, calls are made, blocks come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count

from autoexec._chunk import Block, Chunk, Clocks
from autoexec._types import Event, Lane, Ready

from . import work
from .machine import Machine, Phase, Process, Steps, Thread, What
from .workloads import Workload

ANNOUNCE_S = 0.01
"""As in a worker process: outcomes are sent after so much work."""
DEPTH = 2
"""Chunks at once with one worker process, as in the pool."""

WAKE_S = 1e-5
"""Who was blocked has waited for a core for a moment, however many there are."""


class Running:
    """A chunk that is being run."""

    def __init__(self, chunk: Chunk, process: Process, now: float) -> None:
        self.chunk = chunk
        self.process = process
        self.began = now
        self.thread: Thread | None = None
        self.cpu = self.queued = 0.0  # of its thread when the part began
        self.done = 0
        self.end = chunk.count
        """It ends before this item."""
        self.left = 0
        """Of a chunk on an event loop: tasks that have not ended."""


class Lanes:
    """All of them.

    Args:
        sink: Hears of outcomes and of workers.
    """

    def __init__(self, machine: Machine, workload: Workload, sink: Callable[[Event], None]) -> None:
        self.machine = machine
        self.workload = workload
        self.running: dict[Chunk, Running] = {}
        """Until the scheduler has heard of their end."""
        self._sink = sink
        self._threads = self._busy = self._limit = 0
        self._queued: deque[Chunk] = deque()
        """Chunks that wait for a thread."""
        self._workers: dict[Lane, list[Worker]] = {}
        self._waiting: deque[Chunk] = deque()
        self.pids = count(1)

    def open(self, lane: Lane, capacity: int) -> None:
        """Get ready for so many chunks at once."""
        if lane == "threads":
            self._limit = capacity
            self._hand_out()
        if lane not in ("processes", "hybrid"):
            return
        known = self._workers.setdefault(lane, [])
        wanted = min(self.workload.cores, capacity) if lane == "hybrid" else capacity
        width = -(-capacity // wanted) if lane == "hybrid" else 1
        for worker in known:
            worker.widen(width)
        since = self.machine.now
        self.machine.spend(self.workload.fn_bytes * 1e-9)
        for _ in range(wanted - len(known)):
            self.machine.spend(work.SPAWN_S)
            known.append(Worker(self, lane, width, since))

    def send(self, lane: Lane, chunks: list[Chunk]) -> None:
        """Hand chunks over; takes what that takes of the caller's thread."""
        machine = self.machine
        for chunk in chunks:
            if lane in ("processes", "hybrid"):
                machine.spend(work.sending_s(self.workload, chunk.count))
                self._waiting.append(chunk)
                self.deal(lane)
            elif lane == "asyncio":
                machine.spend(work.TASK_TRIP_S * chunk.count)
                self._begin_tasks(chunk)
            elif lane == "inline":
                self.begin(chunk, machine.parent)
            else:
                self._queued.append(chunk)
                self._hand_out()

    def _hand_out(self) -> None:
        """Begin what waits, as far as there may be threads."""
        while self._queued and self._busy < self._limit:
            chunk = self._queued.popleft()
            self._busy += 1
            new = self._busy > self._threads
            self._threads += new
            self.machine.spend(work.THREAD_TRIP_S + new * work.THREAD_START_S)
            self.begin(chunk, self.machine.parent, on_end=self._next)

    def _next(self) -> None:
        """A thread takes the next chunk by itself, which costs the driver nothing."""
        if self._queued and self._busy <= self._limit:
            self.begin(self._queued.popleft(), self.machine.parent, on_end=self._next)
        else:
            self._busy -= 1

    def deal(self, lane: Lane) -> None:
        """Give what waits to the workers that have the least to do."""
        able = [worker for worker in self._workers[lane] if worker.loaded]
        while able and self._waiting:
            worker = min(able, key=Worker.load)
            if worker.load() >= max(DEPTH, worker.width):
                return
            worker.give(self._waiting.popleft())

    def said_ready(self, lane: Lane, since: float) -> None:
        """One more worker is up."""
        loaded = sum(worker.loaded for worker in self._workers[lane])
        self._sink(Ready(lane, loaded, self.machine.now - since))
        self.deal(lane)

    # --- Chunks -----------------------------------------------------------------------------------------

    def begin(
        self, chunk: Chunk, process: Process, on_end: Callable[[], None] = lambda: None
    ) -> None:
        """A chunk begins now."""
        one = self.running[chunk] = Running(chunk, process, self.machine.now)
        chunk.began = Clocks(int(self.machine.now * 1e9), 0, 0)
        if process is self.machine.parent:
            chunk.noted = lambda: min(chunk.count, self._passed(one) + 1)
        away, looped = process is not self.machine.parent, False
        looped = self.workload.is_async and chunk.lane in ("asyncio", "hybrid")

        def steps() -> Steps:
            yield Phase(What.WAIT, 1e-9)  # until its thread is known
            yield from self._parts(one, away, looped)
            on_end()

        one.thread = self.machine.start(process, steps())

    def _begin_tasks(self, chunk: Chunk) -> None:
        """All calls of a chunk begin now, on the event loop of the caller."""
        process, now = self.machine.parent, self.machine.now
        whole = self.running[chunk] = Running(chunk, process, now)
        whole.left = chunk.count
        chunk.began = Clocks(int(now * 1e9), 0, 0)
        for position in range(chunk.count):
            one = whole if not position else Running(chunk, process, now)
            one.done = position
            one.thread = self.machine.start(process, self._task(one, whole))

    def _task(self, one: Running, whole: Running) -> Steps:
        yield Phase(What.WAIT, 1e-9)
        position, item = one.done, one.chunk.item(one.done)
        yield from work.makes_call(self.workload, one.process, item, away=False, looped=True)
        one.done += 1
        whole.left -= 1
        self._emit(one, position, one.began, last=not whole.left, task=True)

    def _parts(self, one: Running, away: bool, looped: bool) -> Steps:
        workload, chunk, machine = self.workload, one.chunk, self.machine
        part, first, started = machine.now, 0, machine.now
        while one.done < one.end:
            item = chunk.item(one.done)
            if workload.pure is not None and one.end - one.done > 1:
                yield from self._many(one, item, away, part + ANNOUNCE_S if away else None)
            else:
                yield from work.makes_call(workload, one.process, item, away=away, looped=looped)
                one.done += 1
            late = away and chunk.budget_s and machine.now - started > chunk.budget_s
            if late or chunk.recalled:
                one.end = min(one.end, one.done)
            if away and machine.now - part > ANNOUNCE_S and one.done < one.end:
                self._emit(one, first, part, last=False)
                part, first = machine.now, one.done
        self._emit(one, first, part, last=True)

    def _many(self, one: Running, item: int, away: bool, until: float | None) -> Steps:
        """Calls that only compute, as one phase, which `recall` may cut short."""
        workload, end = self.workload, one.end
        if until is not None:  # up to the item at which what there is is sent
            left_s = max(0.0, until - self.machine.now)
            end = min(end, one.done + max(1, workload.reach(item, left_s) - item))
        extra_s = workload.pickle_s / 2 * (end - one.done) if away else 0.0
        if not one.process.warm:
            one.process.warm, extra_s = True, extra_s + workload.warm_s
        assert workload.pure is not None
        if extra_s:
            yield Phase(What.HELD, extra_s)
            if one.chunk.recalled:  # meanwhile: only the call that had begun
                end = one.end = one.done + 1
        before, one_end = one.done, one.end
        yield Phase(workload.pure, workload.sums[item + end - one.done] - workload.sums[item])
        one.done = end if one.end == one_end else max(before + 1, one.end)

    def recall(self, chunk: Chunk) -> None:
        """The chunk ends after the call that is running."""
        chunk.recall()
        one = self.running.get(chunk)
        if one is None or one.thread is None or not self._in_many(one):
            return
        first, item = chunk.item(0), chunk.item(one.done)
        stop = min(first + self._passed(one) + 1, first + one.end)
        left_s = self.workload.sums[stop] - self.workload.sums[item]
        self.machine.shorten(one.thread, left_s)
        one.end = one.done + stop - item

    def _in_many(self, one: Running) -> bool:
        """Whether several calls are one phase now."""
        whole, thread = self.workload.pure, one.thread
        together = thread is not None and whole is not None and thread.phase.what is whole
        return together and one.end - one.done > 1

    def _passed(self, one: Running) -> int:
        """How many of its calls have ended."""
        if one.thread is None or not self._in_many(one):
            return one.done
        item: int = one.chunk.item(one.done)
        spent_s = one.thread.clocks()[0] - one.thread.cpu
        return min(one.end - 1, one.done + max(0, self.workload.reach(item, spent_s) - 1 - item))

    def _emit(
        self, one: Running, first: int, since: float, *, last: bool, task: bool = False
    ) -> None:
        machine, chunk, thread = self.machine, one.chunk, one.thread
        assert thread is not None
        cpu, queued = thread.clocks()
        wall_s, cpu_s, queued_s = machine.now - since, cpu - one.cpu, queued - one.queued
        one.cpu, one.queued = cpu, queued
        blocked = wall_s - cpu_s - queued_s > 1e-6
        if blocked:
            queued_s = max(queued_s, WAKE_S)
        values = [chunk.item(i) for i in range(first, one.done)]
        block = Block(chunk, values, None, wall_s, cpu_s, queued_s, last)
        block.position = first if task else None
        block.pid = one.process.pid
        if one.process is machine.parent:
            self._sink([block])
        else:
            machine.after(work.TRAVEL_S, lambda: self._sink([block]))


class Worker:
    """A worker process, which starts now."""

    def __init__(self, lanes: Lanes, lane: Lane, width: int, since: float) -> None:
        self.lanes = lanes
        self.lane: Lane = lane
        self.width = width
        self.loaded = False
        self.process = Process(next(lanes.pids))
        self._queue: deque[Chunk] = deque()
        self._running = 0
        self._on_the_way = 0

        def main() -> Steps:
            yield from work.boots(lanes.workload)
            self.loaded = True
            lanes.said_ready(lane, since)

        lanes.machine.start(self.process, main())

    def widen(self, width: int) -> None:
        """It may run so many side by side."""
        self.width = max(self.width, width)
        self._go_on()

    def load(self) -> int:
        """Chunks that it has."""
        return self._running + len(self._queue) + self._on_the_way

    def give(self, chunk: Chunk) -> None:
        """It is sent a chunk."""
        self._on_the_way += 1
        self.lanes.machine.after(work.TRAVEL_S, lambda: self._arrives(chunk))

    def _arrives(self, chunk: Chunk) -> None:
        self._on_the_way -= 1
        self._queue.append(chunk)
        self._go_on()

    def _go_on(self) -> None:
        while self._queue and self._running < self.width:
            self._running += 1
            self.lanes.begin(self._queue.popleft(), self.process, self._ended)

    def _ended(self) -> None:
        self._running -= 1
        self._go_on()
        self.lanes.deal(self.lane)
