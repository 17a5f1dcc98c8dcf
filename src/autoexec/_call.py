"""The one code path by which an item is run: by a sample, inline, in a thread, in a worker process.

It times consecutive calls together, so that 200,000 calls of 50 ns cost one pair of clock
readings, and turns what a call raised into a value. It imports next to nothing, because the far
side of a process imports it too.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from . import _proc
from ._chunk import Block, Chunk, Clocks
from ._errors import with_traceback

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

if sys.platform != "win32":
    import resource

_cpu_clock = getattr(time, "pthread_getcpuclockid", None)


LONG_S = 0.001
"""Chunks that took so much longer than they computed have the run queue read for them. With spinners on
both cores, calls of 8 ms for which that was not done took 28, seemed to wait, were run 256 at a time, and
took 800."""
BESIDE_S = 0.0002
"""The same for those that computed for most of their time: calls of 2 ms may have waited for 0.7 for a lock of each
other's, or for a core."""
KEPT_OPEN = 32
"""Threads that read it, by a descriptor that they keep: hundreds of threads wait for connections, which
take descriptors as well. Those beyond are taken for like them: a reading lets go of the GIL, which a
hundred threads want. Three readings a call, of three system calls each where none was kept, took 0.3 ms of
requests that compute for 0.6."""


def _open_if_many_are_left(path: str) -> int:
    """A descriptor; -1 if there is none, or it is among the last half of those that there may be: sixteen threads
    had taken all, and the file that a call wanted could not be opened."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
    if sys.platform != "win32" and 2 * fd > resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0:
        os.close(fd)
        return -1
    return fd


class _OwnQueue:
    """The run-queue clock of one thread, if it is one of those that have one."""

    _PATH = "/proc/thread-self/schedstat"
    _slots = threading.Semaphore(KEPT_OPEN)  # here, since at exit a module's names go first

    def __init__(self) -> None:
        self.last_ns = 0
        """What it showed last: since then at the most, a call has waited for a core."""
        self._fd = -1
        if sys.platform == "linux" and self._slots.acquire(blocking=False):
            self._fd = _open_if_many_are_left(self._PATH)
            if self._fd < 0:
                self._slots.release()

    @property
    def is_read(self) -> bool:
        return self._fd >= 0

    def read_ns(self) -> int:
        if self._fd >= 0:
            self.last_ns = _parse_schedstat(os.pread(self._fd, 64, 0))
        return self.last_ns

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._slots.release()


class _PerThread(threading.local):
    def __init__(self) -> None:
        self.queue = _OwnQueue()  # closed when the thread ends


_per_thread = _PerThread()


def queued_ns() -> int:
    """Nanoseconds this thread was ready to run without a core (Linux; elsewhere 0, as on threads that do
    not read it)."""
    try:
        return _per_thread.queue.read_ns()
    except OSError:
        return 0


def _queued_since_last_ns() -> int:
    """The same since it was asked last on this thread: 1 at the least, where that can be seen at all."""
    queue = _per_thread.queue
    last_ns = queue.last_ns
    return max(int(queue.is_read), queued_ns() - last_ns)


def queued_ns_of(native_id: int) -> int:
    """Nanoseconds that another thread of this process was ready to run without a core."""
    return _parse_schedstat(_proc.read(f"/proc/self/task/{native_id}/schedstat", 64))


def times_blocked() -> int:
    """How often this thread gave up its core to wait for something (Linux; elsewhere -1)."""
    if sys.platform != "linux":
        return -1
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def is_runnable(native_id: int) -> bool:
    """Whether a thread of this process runs or waits for a core (Linux; elsewhere False)."""
    stat = _proc.read(f"/proc/self/task/{native_id}/stat", 512)
    return stat.rpartition(b")")[2].split()[:1] == [b"R"]


def _parse_schedstat(text: bytes) -> int:
    try:
        return int(text.split()[1])
    except (IndexError, ValueError):
        return 0


def run_chunk(fn: Callable[[Any], Any], chunk: Chunk, emit: Callable[[Block], None]) -> None:
    """Call `fn` on each item of the chunk, in order, and emit blocks of outcomes.

    Args:
        fn: Called with one item.
        chunk: Its `todo` is used up, or as much of it as `Chunk.recall` leaves.
        emit: Receives one block per run of values that ends with an error, and a last one.
    """
    # Of every chunk, for 1 µs: it may turn out to take so long that it must be looked at. Only the run
    # queue takes longer: of the others it is what it was last, which is the least that it can be.
    queued = queued_ns() if _is_new(chunk) else _per_thread.queue.last_ns
    chunk.native_id = threading.get_native_id()
    if _cpu_clock is not None:
        chunk.clock_id = _cpu_clock(threading.get_ident())
    else:
        chunk.process_cpu_s = time.process_time()
    chunk.began = Clocks(time.perf_counter_ns(), time.thread_time_ns(), queued)
    more = True
    while more:
        block = _run_block(fn, chunk)
        more = not block.last
        emit(block)
        # The frame of `fn`, which its traceback keeps, refers to its callers: a block that stayed
        # in a variable of ours would be a cycle with the error in it.
        del block


def _is_new(chunk: Chunk) -> bool:
    """Whether it is to be watched, or nothing is known of it."""
    return chunk.watched or chunk.expected_s is None


def _run_block(fn: Callable[[Any], Any], chunk: Chunk) -> Block:
    values = chunk.partial = chunk.made_of()
    error: BaseException | None = None
    todo, queued = chunk.todo, 0
    before = times_blocked()
    cpu = time.thread_time_ns()
    wall = began = time.perf_counter_ns()
    # Written out, `values.append` is specialised by CPython and the loop costs 1.05 of a list
    # comprehension; bound to a local name first, as once was the advice, 1.13; `extend(map(...))`
    # 1.2, and that would take a StopIteration from `fn` for the end of the items.
    try:
        for item in todo:
            values.append(fn(item))
    except BaseException as exc:
        error = without_this_frame(exc)
    # The wall clock is the innermost: reading the run queue takes 2 µs and lets go of the GIL.
    wall = time.perf_counter_ns() - wall
    cpu = time.thread_time_ns() - cpu
    blocked = times_blocked() - before  # 0 as well where that is not told
    if before >= 0 and not blocked:
        # A thread that was never blocked has waited for a core only, whoever had it: on a virtual
        # machine time that the host took is in neither the CPU clock nor the run queue.
        queued = max(0, wall - cpu)
    elif wall - cpu > (BESIDE_S if 2 * cpu > wall else LONG_S) * 1e9:
        queued = min(wall - cpu, _queued_since_last_ns())
    last = error is None or not todo.__length_hint__()  # type: ignore[attr-defined]
    try:
        times = wall * 1e-9, cpu * 1e-9, queued * 1e-9
        return Block(chunk, values, error, *times, last, began * 1e-9, blocked)
    finally:
        del error, values


def without_this_frame(exc: BaseException) -> BaseException:
    """Cut our own frame off a traceback: it holds `exc` in a local, which would be a cycle."""
    traceback = exc.__traceback__
    return with_traceback(exc, traceback.tb_next if traceback else None)
