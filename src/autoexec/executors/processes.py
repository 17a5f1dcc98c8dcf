"""Calls in worker processes.

A worker is a fresh interpreter, started with `subprocess`, that speaks over its own pair of pipes:
nothing is forked, so threads of the caller cannot deadlock it; the caller's main module is not
imported again, so scripts need no guard; and the death of one worker touches no other.

    driver --chunk--> shared queue --> writer thread --pipe--> worker
    driver <--sink--------------------- reader thread <-pipe--

Each worker has two threads here. The writer pickles items, one by one, so that a bad one is an
error of that item alone, and keeps two chunks with the worker. The reader turns what comes back
into blocks, and the end of the pipe into `WorkerDied` for the item that was running. A dead worker
is replaced; what it had not started goes back to the scheduler.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from .. import _host
from .._control import PREFETCH
from .._errors import NotPicklable, RemoteTraceback, WorkerDied, short_repr
from .._pickling import dumps, loads
from .._types import Block, Broken, Chunk, Ready, Sink
from .._worker.frames import read_frame, write_frame
from .death import describe_exit

EAGER_S = 0.0005
"""Calls expected to take this long announce each outcome at once, which costs 20 µs here and
there; shorter ones are announced together."""
_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from autoexec._worker.main import main; main(int(sys.argv[2]))"


class ProcessesExecutor:
    """Runs chunks in worker processes that were sent the function when they started."""

    def __init__(self, fn: Callable[[Any], Any], sink: Sink) -> None:
        self.sink = sink
        self.chunks: SimpleQueue[Chunk | None] = SimpleQueue()
        self.closed = False
        self._fn = fn
        self._function = b""
        self._workers: list[_Worker] = []
        self._up = 0
        self._lock = threading.Lock()
        self._opened_at = 0.0

    def open(self, workers: int) -> None:
        """Start the workers in the background: a start takes some milliseconds of this process,
        and pickling the function may take many more."""
        self._opened_at = time.perf_counter()
        threading.Thread(
            target=self._start, args=(workers,), name="autoexec-start", daemon=True
        ).start()

    def _start(self, workers: int) -> None:
        try:
            self._function = self._function or dumps(self._fn)
            while len(self._workers) < workers and not self.closed:
                self._add()
        except NotPicklable as error:
            self.sink(Broken("processes", f"the function cannot be pickled ({error.__cause__})"))
        except OSError as error:
            if not self._workers:  # else it runs with those that could be had
                self.sink(Broken("processes", f"no worker process could be started ({error})"))

    def _add(self) -> None:
        with self._lock:
            if not self.closed:
                self._workers.append(_Worker(self, self._function))

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Queue the chunks for whichever worker is free first."""
        for chunk in chunks:
            self.chunks.put(chunk)

    def came_up(self) -> None:
        """A worker is ready (on its reader's thread)."""
        start_s = time.perf_counter() - self._opened_at
        with self._lock:
            self._up += 1
            up, first_round = self._up, self._up <= len(self._workers)
        if first_round:
            _host.remember_process_start(start_s)
        self.sink(Ready("processes", up, start_s))

    def went_down(self, worker: _Worker, was_up: bool, why: str) -> None:
        """A worker is gone (on its reader's thread); start another, unless it never came up."""
        with self._lock:
            if self.closed:
                return
            self._workers.remove(worker)
            self._up -= was_up
        if not was_up:
            self.sink(Broken("processes", why))
            return
        try:
            self._add()
        except OSError as error:
            if not self._workers:
                self.sink(Broken("processes", f"no worker process could be started ({error})"))

    def close(self, *, abandon: bool) -> None:
        """End the workers. They have no unfinished business, or none that anybody waits for."""
        with self._lock:
            self.closed = True
        for worker in self._workers:
            self.chunks.put(None)
            worker.end(kill=abandon)
        for worker in self._workers:
            worker.join()


class _Worker:
    """One worker process, seen from here."""

    def __init__(self, pool: ProcessesExecutor, function: bytes) -> None:
        self._pool = pool
        self._slots = threading.Semaphore(PREFETCH)
        self._with_it: dict[int, Chunk] = {}  # chunk number -> chunk, in the order they were sent
        self._sent = 0
        self._up = False
        self._gone = False
        self._process = _spawn()
        self._threads = [
            threading.Thread(target=target, args=args, name=f"autoexec-{name}", daemon=True)
            for target, args, name in (
                (self._write, (function,), "writer"),
                (self._read, (), "reader"),
            )
        ]
        for thread in self._threads:
            thread.start()

    # --- Writing ------------------------------------------------------------------------------------

    def _write(self, function: bytes) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            write_frame(pipe, ("start", sys.path, function))
            while True:
                self._slots.acquire()
                if self._gone:
                    return
                chunk = self._pool.chunks.get()
                if chunk is None:
                    return
                if self._gone:
                    self._pool.chunks.put(chunk)
                    return
                self._send(chunk)
        except (OSError, ValueError):
            return  # the pipe is closed: the reader has seen why

    def _send(self, chunk: Chunk) -> None:
        assert self._process.stdin is not None
        eager = chunk.expected_s is None or chunk.expected_s > EAGER_S * chunk.count
        items = [_dumps_item(item) for item in chunk.items]
        self._sent += 1
        self._with_it[self._sent] = chunk
        write_frame(self._process.stdin, ("chunk", self._sent, eager, items))

    # --- Reading ------------------------------------------------------------------------------------

    def _read(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        why = ""
        try:
            while True:
                message = read_frame(pipe)
                if message[0] == "outcomes":
                    self._take(*message[1:])
                elif message[0] == "up":
                    self._up = True
                    self._pool.came_up()
                else:
                    why = f"the function could not be loaded in a worker process:\n{message[1]}"
        except (EOFError, OSError, ValueError):
            self._gone = True
        self._slots.release()  # so that the writer sees that it is over
        exit_text = describe_exit(self._process.wait())
        if not self._pool.closed:
            self._bury(exit_text)
            self._pool.went_down(self, self._up, why or f"a worker ended as it started: {exit_text}")

    def _take(self, number: int, outcomes: list[Any], last: bool) -> None:
        chunk = self._with_it[number]
        blocks = [
            block
            for i, outcome in enumerate(outcomes)
            for block in _blocks(chunk, *outcome, last=last and i == len(outcomes) - 1)
        ]
        chunk.arrived += sum(len(block.values) + (block.error is not None) for block in blocks)
        if last:
            del self._with_it[number]
            self._slots.release()
        self._pool.sink(blocks)

    def _bury(self, exit_text: str) -> None:
        """Report what was with a dead worker: what it was running failed, the rest comes back."""
        running = True
        for chunk in list(self._with_it.values()):
            eager = chunk.expected_s is None or chunk.expected_s > EAGER_S * chunk.count
            # In a chunk of short calls any that has not answered may have been called.
            lost = (1 if eager else chunk.count - chunk.arrived) if running and self._up else 0
            blocks = [
                Block(chunk, [], self._death(chunk, i, exit_text), 0.0, 0.0, 0.0, False)
                for i in range(chunk.arrived, chunk.arrived + lost)
            ]
            blocks.append(Block(chunk, [], None, 0.0, 0.0, 0.0, True))
            self._pool.sink(blocks)
            running = False

    @staticmethod
    def _death(chunk: Chunk, position: int, exit_text: str) -> WorkerDied:
        return WorkerDied(
            f"A worker process {exit_text} while it ran item {chunk.first + position},"
            f" {short_repr(chunk.item(position))}. The other items are not affected. To see what"
            " the item does, call the function on it directly in a process that may end."
        )

    # --- Ending -------------------------------------------------------------------------------------

    def end(self, *, kill: bool) -> None:
        """Close the pipe, at whose end the worker exits, or kill it at once."""
        self._gone = True
        self._slots.release()
        if kill:
            self._process.kill()
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except OSError:  # something was still to be flushed to a worker that is gone
            pass

    def join(self) -> None:
        """Wait for the process and its threads, which end at once after `end`."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=1.0)
        if self._process.stdout is not None:
            self._process.stdout.close()


def _spawn() -> subprocess.Popen[bytes]:
    """Start an interpreter like this one, with pipes for its standard input and output."""
    stdout = _inheritable_stdout()
    # A process group of its own: Ctrl-C at the terminal goes to the caller, who decides.
    apart: dict[str, Any] = (
        {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        if sys.platform == "win32"
        else {"process_group": 0, "pass_fds": () if stdout is None else (stdout,)}
    )
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    try:
        return subprocess.Popen(
            [sys.executable, *flags, "-c", _BOOT, _PACKAGE_PARENT, str(-1 if stdout is None else stdout)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            **apart,
        )
    finally:
        if stdout is not None:
            os.close(stdout)


def _inheritable_stdout() -> int | None:
    """A duplicate of this process's standard output for the worker's; None on Windows, where a
    worker prints to standard error instead."""
    if sys.platform == "win32":
        return None
    try:
        return os.dup(1)
    except OSError:  # closed, as in a daemon
        return None


def _blocks(
    chunk: Chunk,
    values: list[bytes],
    error: bytes | None,
    traceback: str | None,
    wall_s: float,
    cpu_s: float,
    queued_s: float,
    *,
    last: bool,
) -> list[Block]:
    """An outcome with its values read; one that cannot be read is an error of that item."""
    blocks: list[Block] = []
    read: list[Any] = []
    for data in values:
        try:
            read.append(loads(data))
        except BaseException as problem:
            blocks.append(Block(chunk, read, problem, 0.0, 0.0, 0.0, False))
            read = []
    problem = None if error is None else _read_error(error, traceback)
    return [*blocks, Block(chunk, read, problem, wall_s, cpu_s, queued_s, last)]


def _read_error(data: bytes, traceback: str | None) -> BaseException:
    error: BaseException = loads(data)
    error.__cause__ = RemoteTraceback(traceback or "")
    return error


class _Unsendable:
    """Travels in the place of an item that cannot; reading it raises why."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, (self._reason,)


def _refuse(reason: str) -> None:
    raise NotPicklable(reason)


def _dumps_item(item: Any) -> bytes:
    try:
        return dumps(item)
    except NotPicklable as error:
        return dumps(_Unsendable(str(error)))
