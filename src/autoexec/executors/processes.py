"""Calls in worker processes.

A worker is a fresh interpreter, started with `subprocess`, that speaks over its own pair of pipes:
nothing is forked, so threads of the caller cannot deadlock it; the caller's main module is not
imported again, so scripts need no guard; and the death of one worker touches no other.

    driver --chunk--> pool --> writer thread --pipe--> worker
    driver <--sink------------ reader thread <--pipe--

Each worker has two threads here. The writer pickles items, one by one, so that a bad one is an
error of that item alone. The reader turns what comes back into blocks, and the end of the pipe into
`WorkerDied` for the item that was running. A dead worker is replaced; what it had not started goes
back to the scheduler. The pool deals chunks to the worker that has least to do.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from .. import _control
from .._errors import NotPicklable, RemoteTraceback, WorkerDied, short_repr
from .._pickling import dumps, loads
from .._types import Block, Broken, Chunk, Ready, Sink
from .._worker.frames import read_frame, write_frame
from .death import describe_exit

ANNOUNCE_S = 0.001
"""A worker announces outcomes after about this much work, since each time costs 20 µs on either
side. So calls of a millisecond and more are announced one by one, and a worker that dies takes no
result of another call along; of shorter calls it may take those of the last millisecond."""
_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from autoexec._worker.main import main; main(int(sys.argv[2]))"


class ProcessesExecutor:
    """Runs chunks in worker processes that were sent the function when they started."""

    def __init__(self, fn: Callable[[Any], Any], sink: Sink) -> None:
        self.sink = sink
        self.closed = False
        self._fn = fn
        self._function = b""
        self._wanted = 0
        self._lock = threading.Lock()  # guards what follows
        self._workers: list[_Worker] = []
        self._up: list[_Worker] = []
        self._waiting: deque[Chunk] = deque()
        self._opened_at = 0.0

    def open(self, workers: int) -> None:
        """Start the workers in the background: a start takes some milliseconds of this process,
        and pickling the function may take many more."""
        self._wanted = workers
        self._opened_at = time.perf_counter()
        threading.Thread(target=self._start, name="autoexec-start", daemon=True).start()

    def _start(self) -> None:
        try:
            self._function = self._function or dumps(self._fn)
        except NotPicklable as error:
            self._give_up(f"the function cannot be pickled ({error.__cause__})")
            return
        while len(self._workers) < self._wanted and self._add():
            pass

    def _add(self) -> bool:
        """Start one worker. Returns whether more may be started."""
        with self._lock:
            if self.closed:
                return False
            try:
                self._workers.append(_Worker(self, self._function))
                return True
            except OSError as error:  # no processes, descriptors or memory left
                self._wanted = len(self._workers)  # it runs with those that could be had
                why = f"no worker process can be started ({error})"
        if not self._workers:
            self._give_up(why)
        return False

    def _give_up(self, why: str) -> None:
        """No worker will serve what still waits: let it come back, and say so."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        self.sink([Block(chunk, [], None, 0.0, 0.0, 0.0, True) for chunk in waiting])
        self.sink(Broken("processes", why))

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Deal the chunks out to the workers."""
        with self._lock:
            self._waiting.extend(chunks)
            self._deal()

    def _deal(self) -> None:
        """Give waiting chunks to the workers with least to do, at most `PREFETCH` each.

        A second chunk, which spares a worker the wait for the next, is dealt only once all
        workers are up: it would be in a queue while a worker that comes up has nothing to do.
        """
        most = _control.PREFETCH if len(self._up) >= self._wanted else 1
        while self._waiting and self._up:
            worker = min(self._up, key=_Worker.load)
            if worker.load() >= most:
                return
            worker.give(self._waiting.popleft())

    # --- Said by workers, on their readers' threads -------------------------------------------------

    def came_up(self, worker: _Worker) -> None:
        """A worker is ready."""
        start_s = time.perf_counter() - self._opened_at
        with self._lock:
            self._up.append(worker)
            up = len(self._up)
            self._deal()
        self.sink(Ready("processes", up, start_s))

    def free(self) -> None:
        """A worker has done a chunk."""
        with self._lock:
            self._deal()

    def went_down(self, worker: _Worker, why: str) -> None:
        """A worker is gone; start another, unless it never came up."""
        with self._lock:
            self._workers.remove(worker)
            was_up = worker in self._up
            if was_up:
                self._up.remove(worker)
            others = bool(self._up)
        if was_up:
            self._add()
        elif not others:
            self._give_up(why)

    def close(self, *, abandon: bool) -> None:
        """End the workers. They have no unfinished business, or none that anybody waits for."""
        with self._lock:
            self.closed = True
        for worker in self._workers:
            worker.end(kill=abandon)
        for worker in self._workers:
            worker.join()


class _Worker:
    """One worker process, seen from here."""

    def __init__(self, pool: ProcessesExecutor, function: bytes) -> None:
        self._pool = pool
        self._with_it: dict[int, Chunk] = {}  # chunk number -> chunk, in the order they were given
        self._given = 0
        self._written = 0
        self._todo: SimpleQueue[int | None] = SimpleQueue()
        self._up = False
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

    def load(self) -> int:
        """Chunks that it has not finished."""
        return len(self._with_it)

    def give(self, chunk: Chunk) -> None:
        """Let it run a chunk after those that it has."""
        self._given += 1
        self._with_it[self._given] = chunk
        self._todo.put(self._given)

    # --- Writing ------------------------------------------------------------------------------------

    def _write(self, function: bytes) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            write_frame(pipe, ("start", sys.argv, sys.path, function))
            while (number := self._todo.get()) is not None:
                chunk = self._with_it[number]
                items = [_dumps_item(item) for item in chunk.items]
                write_frame(pipe, ("chunk", number, _announced_together(chunk), items))
                self._written = number
        except (OSError, ValueError):
            return  # the pipe is closed: the reader sees why

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
                    self._pool.came_up(self)
                else:
                    why = f"the function could not be loaded in a worker process:\n{message[1]}"
        except (EOFError, OSError, ValueError):
            self._todo.put(None)
        exit_text = describe_exit(self._process.wait())
        if not self._pool.closed:
            self._pool.went_down(self, why or f"a worker process {exit_text} as it started")
            self._bury(exit_text)
            self.join()

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
            self._pool.free()
        self._pool.sink(blocks)

    def _bury(self, exit_text: str) -> None:
        """Report what was with a dead worker: what it was running failed, the rest comes back."""
        running = self._up
        for number, chunk in list(self._with_it.items()):
            lost = 0
            if running and number <= self._written:
                # Any of those that are announced together may have been called.
                lost = min(_announced_together(chunk), chunk.count - chunk.arrived)
            running = False
            blocks = [
                Block(chunk, [], self._death(chunk, i, exit_text), 0.0, 0.0, 0.0, False)
                for i in range(chunk.arrived, chunk.arrived + lost)
            ]
            self._pool.sink([*blocks, Block(chunk, [], None, 0.0, 0.0, 0.0, True)])

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
        self._todo.put(None)
        if kill:
            self._process.kill()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # what was not flushed, nobody will read
            self._process.stdin.close()

    def join(self) -> None:
        """Wait for the process and its threads, which end at once after `end`."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=1.0)
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


def _announced_together(chunk: Chunk) -> int:
    """How many calls of the chunk are announced at a time."""
    if not chunk.expected_s:
        return 1
    return min(chunk.count, max(1, int(ANNOUNCE_S * chunk.count / chunk.expected_s)))


def _spawn() -> subprocess.Popen[bytes]:
    """Start an interpreter like this one, with pipes for its standard input and output."""
    stdout = _inheritable_stdout()
    # The flags of this interpreter (-O, -X, -W, ...), as `multiprocessing` passes them on too.
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    descriptor = str(-1 if stdout is None else stdout)
    command = [sys.executable, *flags, "-c", _BOOT, _PACKAGE_PARENT, descriptor]
    pipe = subprocess.PIPE
    # A process group of its own: Ctrl-C at the terminal goes to the caller, who decides.
    if sys.platform == "win32":
        return subprocess.Popen(
            command, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP, stdin=pipe, stdout=pipe
        )
    try:
        passed = () if stdout is None else (stdout,)
        return subprocess.Popen(command, process_group=0, pass_fds=passed, stdin=pipe, stdout=pipe)
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
        except BaseException as unreadable:
            blocks.append(Block(chunk, read, unreadable, 0.0, 0.0, 0.0, False))
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
