"""A virtual machine: cores, processes with a GIL each, and resources that serve so many at a time.

Exact processor sharing by two clocks. `now` is the time; `work` is how much CPU a thread that is never
in want of a GIL has had, which goes slower than `now` while more wants to run than there are cores.
Each GIL has a clock as well, which goes by `work` shared out among those that want it. So an event costs
the logarithm of what is in flight, however many cores there are.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Generator
from enum import IntEnum
from typing import Any, NamedTuple


class What(IntEnum):
    """What a thread does for a while."""

    HELD = 0
    """Computes under the GIL."""
    FREE = 1
    """Computes without it, on `arg` cores at once."""
    WAIT = 2
    SERVED = 3
    """Waits for one of the places of resource `arg`, and has it for so long."""
    CHILD = 4
    """Waits for a child process that computes so long."""
    PARK = 5
    """Waits for `wake`."""
    CALL = 6
    """Computes under the GIL within one C function, which nothing interrupts."""


class Phase(NamedTuple):
    """What a thread does next, and how long that takes where nothing is in its way."""

    what: What
    seconds: float
    arg: int = 1


PARKED = Phase(What.PARK, 0.0)
Steps = Generator[Phase, None, None]


class Process:
    """A process, with the threads of it that want its GIL."""

    __slots__ = ("cpu", "free", "holders", "pid", "seq", "share", "t", "turn", "warm", "work")

    def __init__(self, pid: int = 0) -> None:
        self.pid = pid
        """0: that of the caller."""
        self.holders: list[tuple[float, int, Thread]] = []  # by the `share` at which each is done
        self.share = 0.0
        """CPU that each thread that wanted the GIL all the time has had."""
        self.turn = 0.0
        """The same on a machine with a core to spare."""
        self.free = 0
        """Cores wanted by threads that do not hold the GIL."""
        self.cpu = 0.0
        self.t = self.work = 0.0
        self.seq = 0
        self.warm = False

    def at(self, now: float, work: float) -> None:
        """Bring the clocks up to date."""
        done = work - self.work
        if self.holders:
            self.share += done / len(self.holders)
            self.turn += (now - self.t) / len(self.holders)
        self.cpu += done * (bool(self.holders) + self.free)
        self.t, self.work = now, work


class Thread:
    """A thread, or a task of an event loop."""

    __slots__ = ("cpu", "machine", "mark", "phase", "process", "queued", "seq", "steps")

    def __init__(self, machine: Machine, process: Process, steps: Steps) -> None:
        self.machine = machine
        self.process = process
        self.steps = steps
        self.cpu = self.queued = 0.0
        self.phase = PARKED
        self.mark = (0.0, 0.0)  # clocks at the beginning of the phase: of CPU, of all time
        self.seq = -1

    def clocks(self) -> tuple[float, float]:
        """CPU seconds so far, and seconds without a core."""
        cpu, whole = self._span()
        return self.cpu + cpu, self.queued + max(0.0, whole - cpu)

    def _span(self) -> tuple[float, float]:
        machine, process = self.machine, self.process
        if self.phase.what in (What.HELD, What.CALL):
            process.at(machine.now, machine.work)
            return process.share - self.mark[0], process.turn - self.mark[1]
        if self.phase.what is What.FREE:
            return machine.work - self.mark[0], machine.now - self.mark[1]
        return 0.0, 0.0

    def account(self) -> None:
        """The phase is over."""
        self.cpu, self.queued = self.clocks()
        self.phase = PARKED


class Resource:
    """Serves so many at a time."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.queue: deque[Thread] = deque()


class Machine:
    """Cores and a clock.

    Args:
        cores: How many.
        limits: Places of each resource that calls share.
    """

    def __init__(self, cores: int, limits: tuple[int, ...] = ()) -> None:
        self.cores = cores
        self.now = self.work = 0.0
        self.speed = 1.0
        self.parent = Process()
        self.driver_cpu = 0.0
        """Of the main thread, as far as it counts as the parent's."""
        self.child_cpu = 0.0
        """Of child processes that have ended."""
        self.children = 0
        """Child processes that were started."""
        self._demand = 0
        self._resources = [Resource(places) for places in limits]
        self._order = itertools.count()
        self._by_time: list[tuple[float, int, Thread | Callable[[], None]]] = []
        self._by_work: list[tuple[float, int, Thread | Process]] = []

    # --- What happens ---------------------------------------------------------------------------------

    def start(self, process: Process, steps: Steps) -> Thread:
        """Start a thread."""
        thread = Thread(self, process, steps)
        self._resume(thread)
        return thread

    def wake(self, thread: Thread) -> None:
        """Let a parked thread go on."""
        assert thread.phase.what is What.PARK
        self._resume(thread)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Have something happen later."""
        heapq.heappush(self._by_time, (self.now + seconds, next(self._order), act))

    def step(self, until: float) -> bool:
        """Go to the next event, or to `until` if none is before that; whether there was one."""
        by_work = self._by_work
        while by_work and by_work[0][2].seq != by_work[0][1]:
            heapq.heappop(by_work)
        at_work = self.now + (by_work[0][0] - self.work) / self.speed if by_work else until + 1
        at_time = self._by_time[0][0] if self._by_time else until + 1
        if min(at_work, at_time) > until:
            self._pass(until)
            return False
        if at_time <= at_work:
            self._pass(at_time)
            what = heapq.heappop(self._by_time)[2]
            self._end_wait(what) if isinstance(what, Thread) else what()
        else:
            self._pass(at_work)
            worked = heapq.heappop(by_work)[2]
            self._end_turn(worked) if isinstance(worked, Process) else self._end_free(worked)
        return True

    def busy(self) -> bool:
        """Whether anything is still to happen."""
        return bool(self._by_time or self._by_work)

    def spend(self, seconds: float) -> None:
        """The main thread of the parent computes under the GIL."""
        if not self.parent.holders and self._demand < self.cores:
            until = self.now + seconds
            while self.step(until):
                pass
            return
        self.driver_cpu += seconds
        over: list[bool] = []

        def steps() -> Steps:
            yield Phase(What.HELD, seconds)
            over.append(True)

        self.start(self.parent, steps())
        while not over:
            self.step(self.now + 1.0)

    def shorten(self, thread: Thread, seconds: float) -> None:
        """The phase that a thread is in, computing, takes no longer than so much CPU."""
        process = thread.process
        if thread.phase.what in (What.HELD, What.CALL):
            process.at(self.now, self.work)
            at = max(process.share, thread.mark[0] + seconds)
            process.holders = [h if h[2] is not thread else (at, *h[1:]) for h in process.holders]
            heapq.heapify(process.holders)
            self._schedule(process)
        elif thread.phase.what is What.FREE:
            self._at_work(max(self.work, thread.mark[0] + seconds), thread)

    # --- Phases ---------------------------------------------------------------------------------------

    def _resume(self, thread: Thread) -> None:
        phase = next(thread.steps, None)
        if phase is None:
            thread.seq = -1
            return
        thread.phase = phase
        process = thread.process
        match phase.what:
            case What.HELD | What.CALL:
                process.at(self.now, self.work)
                if not process.holders:
                    self._want(1)
                thread.mark = process.share, process.turn
                done = process.share + phase.seconds
                heapq.heappush(process.holders, (done, next(self._order), thread))
                self._schedule(process)
            case What.FREE | What.CHILD:
                self._want(phase.arg)
                if phase.what is What.FREE:
                    process.at(self.now, self.work)
                    process.free += phase.arg
                else:
                    self.children += 1
                thread.mark = self.work, self.now
                self._at_work(self.work + phase.seconds, thread)
            case What.SERVED:
                resource = self._resources[phase.arg]
                if resource.places:
                    resource.places -= 1
                    self._wait(thread)
                else:
                    resource.queue.append(thread)
            case What.WAIT:
                self._wait(thread)
            case What.PARK:
                pass

    def _wait(self, thread: Thread) -> None:
        at = self.now + thread.phase.seconds
        heapq.heappush(self._by_time, (at, next(self._order), thread))

    def _end_wait(self, thread: Thread) -> None:
        if thread.phase.what is What.SERVED:
            resource = self._resources[thread.phase.arg]
            if resource.queue:
                self._wait(resource.queue.popleft())
            else:
                resource.places += 1
        self._resume(thread)

    def _end_free(self, thread: Thread) -> None:
        phase = thread.phase
        self._want(-phase.arg)
        if phase.what is What.CHILD:
            self.child_cpu += phase.seconds
        else:
            thread.process.at(self.now, self.work)
            thread.process.free -= phase.arg
        thread.account()
        self._resume(thread)

    def _end_turn(self, process: Process) -> None:
        process.at(self.now, self.work)
        thread = heapq.heappop(process.holders)[2]
        thread.account()
        if not process.holders:
            self._want(-1)
        self._schedule(process)
        self._resume(thread)

    def _schedule(self, process: Process) -> None:
        process.seq = -2
        if process.holders:
            left = max(0.0, process.holders[0][0] - process.share)
            self._at_work(self.work + left * len(process.holders), process)

    def _at_work(self, work: float, what: Thread | Process) -> None:
        what.seq = next(self._order)
        heapq.heappush(self._by_work, (work, what.seq, what))

    def _want(self, cores: int) -> None:
        self._demand += cores
        self.speed = min(1.0, self.cores / max(1, self._demand))

    def _pass(self, until: float) -> None:
        if until > self.now:
            self.work += (until - self.now) * self.speed
            self.now = until


def run(machine: Machine, until: float, over: Callable[[], Any]) -> bool:
    """Play until something is true; whether that was before `until`."""
    while not over():
        if not machine.step(until):
            return False
    return True
