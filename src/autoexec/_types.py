"""The records of a run: what happened, what was seen, what it means, what is done about it.

Times are seconds (`_s`) on the clock of `time.perf_counter`, sizes are bytes (`_bytes`).
Everything here is inert: no clock is read and nothing is started. Records are named tuples rather
than frozen dataclasses: 0.4 µs to build instead of 1.2, and 20 ms less at import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from ._chunk import Block, Chunk
from ._routes import Lane as Lane
from ._routes import Route as Route


class Kind(StrEnum):
    """What a task is, as far as choosing an executor is concerned."""

    TINY = "tiny"
    IO = "I/O-bound"
    CPU_HELD = "CPU-bound (holds the GIL)"
    CPU_FREE = "CPU-bound (releases the GIL)"
    MIXED = "mixed"
    ASYNC = "async"
    CHILDREN = "child processes"
    UNSEEN = "not measured"


class Ready(NamedTuple):
    """A lane can take work at full width from now on."""

    lane: Lane
    workers: int
    start_s: float | None
    """Seconds that the worker which was last to be ready took to start; None if it was there already, or
    nobody measured it."""


class Broken(NamedTuple):
    """A lane cannot take work any more. Chunks that wait in a pool come back unstarted; of others nothing
    more may be heard."""

    lane: Lane
    reason: str
    error: BaseException | None = None
    """What was raised, if anything was."""
    harmless: bool = False
    """It says nothing of the function: the calls may as well run in this process."""
    initializing: bool = False
    """It is the caller's initializer that failed."""


Event = Sequence[Block] | Ready | Broken
Sink = Callable[[Event], None]


class Settled(NamedTuple):
    """What became of consecutive items for good: values, then perhaps one error."""

    first: int
    """The index of the first."""
    values: Sequence[Any]
    error: BaseException | None = None
    wall_s: float = 0.0
    """Seconds of all the calls together."""
    began_s: float = 0.0
    """When the first of them began; 0 if nobody knows."""
    lane: str = ""
    pid: int = 0
    """The worker process that ran them; 0: this process, or one of somebody else's."""

    @property
    def covers(self) -> int:
        """How many items these are."""
        return len(self.values) + (self.error is not None)


class Executor(Protocol):
    """The seam: all that the driver asks of a way to run calls.

    Outcomes, per item and in the order of each chunk or with their position in it, go to the sink
    that the executor was made with, from any thread.
    """

    def open(self, workers: int) -> None:
        """Get ready in the background for this many chunks at once; says `Ready` when done. Threads may be asked for
        fewer than before: then some of those that run end before another begins."""

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Run the chunks. Returns at once, except for `inline`."""

    def stop(self, chunk: Chunk, error: BaseException) -> None:
        """Give up the call that a chunk is in: it has this error, and the items that were not
        started come back. Nothing happens if that call has just ended. Where the calls of a chunk run
        side by side, it has only one."""

    def close(self, *, abandon: bool) -> None:
        """Let go of everything. `abandon`: do not wait for calls that are still running."""


class Running(NamedTuple):
    """A look at a call, or block of calls, that has not returned yet."""

    chunk: Chunk
    elapsed_s: float
    cpu_s: float
    queued_s: float
    runnable: bool
    """It has a core or wants one: its time without one does not show in `queued_s` yet. False
    where the system does not tell."""


class Look(NamedTuple):
    """What the driver saw when it woke up from a wait."""

    now_s: float
    late_s: float | None
    """How late the wait ended, run-queue delay taken off: the GIL heartbeat. None if it was cut
    short by an outcome."""
    running: Sequence[Running]
    process_cpu_s: float
    """CPU time of this process, all threads, less that of the driver."""
    child_cpu_s: float
    """CPU time of child processes that have ended; 0 where the system does not tell."""
    new_child: bool
    """A child process appeared since the run began; False where nobody looked or can tell."""
    returned: int
    """Calls that have returned since the last look."""
    spent_s: float = 0.0
    """CPU seconds so far of calls that run side by side here, in the mean; 0 where nobody looked."""
    gil: bool = False
    """There is a GIL now; False where nobody looked."""
    gil_taken: bool | None = None
    """Whether somebody had it when the wait ended; None where the system does not tell."""


class Payload(NamedTuple):
    """What it would take to run the function in another process, found on sample values."""

    fn_bytes: int
    item_bytes: int
    result_bytes: int
    pickle_s: float
    """Seconds to pickle and unpickle one item and one result, here and there."""
    obstacle: str | None
    """Why a process cannot run it at all."""


class Most(NamedTuple):
    """What most calls take, where a few take far longer again and again."""

    wall_s: float
    """Seconds of one of them."""
    calls: float
    """Calls to one that takes far longer, itself included."""


class Profile(NamedTuple):
    """What was measured of the function's calls so far."""

    calls: int
    """Calls that returned and were measured."""
    elapsed_s: float
    """Seconds of local calls seen so far, running ones included: the weight of the evidence."""
    wall_s: float
    """Mean seconds a call takes; if none has returned, how long the first has been running."""
    least_s: float
    """Seconds of the quickest call: what remains of the wall time where nothing is in the way."""
    cpu_s: float
    """Mean CPU seconds of a call in its own thread."""
    child_s: float
    """Median CPU seconds of a call in child processes that it waited for."""
    gil_share: float | None
    """Share of the CPU time that held the GIL, 0 to 1. None: not enough was seen to tell."""
    late_ms: float
    """Median lateness in milliseconds of the heartbeat while a call was computing."""
    overlap: float | None
    """CPU seconds per second while two or more calls ran in this process. None: none did."""
    spread: float
    """Coefficient of variation of the seconds per call."""
    remaining: int | None
    """Items not yet sent anywhere. None: the length of the input is not known."""
    done: int
    """Items that have an outcome."""
    is_async: bool
    new_child: bool = False
    """A child process appeared while the first call ran, and none has ended yet."""
    checks: int = 0
    """Calls around which the caller's state was compared."""
    busy: float = 0.0
    """The same as `overlap` with what child processes used; 0 where no calls overlapped."""
    inner: float = 0.0
    """CPU seconds per second of other threads of this process while one call ran alone: its own."""
    takes_turns: bool = False
    """Calls that compute were seen to get no more done on threads than one of them would."""
    untouched: bool = False
    """The first of them left everything as it was: it fills no cache either."""
    effect: str | None = None
    """What ties the function to the caller's process: what it changes there, or shares with others."""
    may_change: bool = True
    """Its code stores to objects that it has not made itself, as far as that was looked at."""
    payload: Payload | None = None
    processes_ready: int = 0
    """Worker processes that are up."""
    hybrid_ready: int = 0
    """The same of those with several calls at once in each."""
    cluster_threads: int = 0
    """Threads of a cluster that take batches; 0 while it is not known to have any."""
    running_s: float = 0.0
    """Seconds that the call which is watched by itself has run so far; 0 if there is none."""
    used: float | None = None
    """Share of their time in which calls beside others in this process had a core or wanted one. None: not seen.
    Those that compute when alone, and do not beside others, wait for each other."""
    beside_s: float = 0.0
    """Seconds that they take then, without those for want of a core; 0: not seen."""
    blocked: float = 0.0
    """How often they wait for something in a second of computing then, such as a lock; 0: not seen."""
    alone_s: float = 0.0
    """Seconds that a coroutine takes without those for which others on its loop compute, at the least; 0: not seen."""
    rivals: float = 0.0
    """Threads of other programs that compete for the cores with calls that compute on every one; 0: not seen."""
    most: Most | None = None
    """What most calls take, where a few take far longer."""
    worker_s: float | None = None
    """Seconds that one more worker process costs: until it has the function, and by how much longer its first
    calls take. None: that was not seen yet."""
    seen_alone: bool = False
    """More than one call was seen that nobody was in the way of: the first pays for imports and empty caches."""

    @property
    def wait_s(self) -> float:
        """Mean seconds a call waits for something other than a core or the GIL."""
        return max(0.0, self.wall_s - self.cpu_s)

    @property
    def held_s(self) -> float:
        """Mean seconds a call computes while it holds the GIL (all of it, if not known)."""
        share = 1.0 if self.gil_share is None or self.takes_turns else self.gil_share
        # Calls that overlap cannot hold it for longer than there is time.
        return self.cpu_s * min(share, 1 / max(1.0, self.overlap or 0.0))


class Held(NamedTuple):
    """Memory of one process."""

    now_bytes: int
    """Its pages that are in memory, shared ones included."""
    peak_bytes: int
    """The most that ever were."""


class Memory(NamedTuple):
    """What the system says of memory at one moment."""

    total_bytes: int
    """Of the machine; or what the cgroup may have, if that is less."""
    free_bytes: int
    """What of it can be had before the kernel must swap or kill."""
    here: Held
    """This process."""
    workers: Mapping[int, Held]
    """Its worker processes, by their numbers."""

    @property
    def used_bytes(self) -> int:
        """What this process and its workers hold."""
        return self.here.now_bytes + sum(worker.now_bytes for worker in self.workers.values())


class Costs(NamedTuple):
    """What dispatch costs on this machine."""

    thread_start_s: float
    thread_trip_s: float
    task_trip_s: float
    process_start_s: float
    process_spawn_s: float
    """What each worker's start takes of this process, one after the other."""
    process_trip_s: float
    byte_s: float
    """Seconds a byte takes to another process, pickling not included."""


class Host(NamedTuple):
    """The facts of this machine and process that matter for deciding."""

    cores: int
    gil: bool
    main_waits: bool
    """The main thread waits for the run: this process serves nobody else meanwhile, as it would if a
    server's thread or an event loop had made the call."""
    warm: bool
    """Worker processes enough for every core wait for work."""
    processes_barred: str | None
    """Why worker processes cannot be started from here."""
    costs: Costs
    free_bytes: int = 0
    """Memory that is free at once, if that bounds what this process may take: nobody uses it for files, and no
    cgroup allows less. 0 where that is not so, or the system does not tell."""


class Alternative(NamedTuple):
    """A route that was weighed."""

    route: Route
    workers: int
    predicted_s: float | None
    """Predicted seconds for the items that remained. None: the route was not possible."""
    reason: str
    beside: int = 0
    """Calls at once in this process, beside those of the workers."""


class Plan(NamedTuple):
    """How the items that are not yet started are run: capacities by lane, and why."""

    route: Route
    kind: Kind
    workers: int
    """Calls at once, those left out that go on here beside worker processes."""
    capacities: Mapping[Lane, int]
    """The most in flight at once, by lane: chunks, or on an event loop calls."""
    predicted_s: float | None
    reason: str
    waiting: bool = False
    """The calls mostly wait, so concurrency is found by throughput, up to `workers`."""
    rejected: tuple[Alternative, ...] = ()
    width: int = 1
    """Calls at once within one batch that goes to a cluster."""
