"""A worker process: reads chunks of items, calls their function, sends the outcomes back.

Messages in:
    ("surroundings", {...})                  directory, environment, paths, as in the parent now
    ("call", function, arguments)            an initializer; answered like "job", for job 0
    ("prepare", module)                      import it: a function of it is on its way
    ("job", id, function, host, width)       a function that chunks will name; host: see `_Hosted`
    ("chunk", id, number, slot, budget_s, [item, ...])
    ("stop", id, number)                     give up a call, where calls run side by side
    ("forget", id)
    ("end",)
Messages out:
    ("up",)
    ("loaded", id) or ("refused", id, text)
    ("outcomes", number, values, error, traceback, wall_s, cpu_s, queued_s, last)
    ("said", kind, what)                     a log record or a warning

The main thread reads and calls. The parent may always write: what does not fit into the pipe waits
on its side. Another thread watches for the end of the pipe, which is the death of the parent, and
then ends this process at once, with everything that it started, whatever it is doing.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import threading
import time

from .._call import run_chunk
from .._chunk import Block, Chunk
from .._pickling import dumps, pack, unpack
from .errors import portable_error
from .frames import frame, read_frame
from .journal import SIZE, Journal

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Any

    from .._pickling import Wire

ANNOUNCE_S = 0.01
"""Outcomes are sent after about this much work, errors at once: a message costs the parent 0.2 ms on
a core that others could use, and nothing is lost by waiting, since the journal has it."""
QUICK_SWITCH_S = 0.001
"""Switch interval where calls run side by side: 5 ms, the default, would let each of them that has
waited for its input wait as long again for the GIL."""


def main(stdout_fd: int, journal: str) -> None:
    """Serve until the parent says that it is over, or is gone.

    Args:
        stdout_fd: Descriptor of the parent's standard output, or -1 where none was passed on.
        journal: Descriptor of the journal's memory, or its name.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    pipe_in, pipe_out = _take_pipes(stdout_fd)
    worker = _Worker(pipe_in, _Outlet(pipe_out), Journal(_memory(journal)))
    threading.Thread(target=_watch, args=(worker, pipe_in.fileno()), daemon=True).start()
    worker.serve()


def _memory(journal: str) -> mmap.mmap:
    if journal.isdecimal():
        memory = mmap.mmap(int(journal), SIZE)
        os.close(int(journal))  # the map has a descriptor of its own
        return memory
    return mmap.mmap(-1, SIZE, tagname=journal)  # type: ignore[call-arg, unused-ignore]  # Windows


def _take_pipes(stdout_fd: int) -> tuple[IO[bytes], int]:
    """Move the pipes away from standard input and output, which belong to user code."""
    pipe_in = os.fdopen(os.dup(0), "rb")
    pipe_out = os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(stdout_fd if stdout_fd >= 0 else 2, 1)
    if stdout_fd >= 0:
        os.close(stdout_fd)
    return pipe_in, pipe_out


def _watch(worker: _Worker, fd: int) -> None:
    """End with the parent: when it is gone, its end of the pipe is closed."""
    try:
        import select

        poll = select.poll()
    except (ImportError, AttributeError):  # Windows: `serve` finds out after the call that it runs
        return
    poll.register(fd, 0)  # no input, just the end
    while not any(state & (select.POLLHUP | select.POLLERR) for _, state in poll.poll()):
        time.sleep(0.01)
    if not worker.ending:
        _end_group()


def _end_group() -> None:
    """End this process and what it started: nobody is left who could."""
    if sys.platform != "win32" and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


class _Outlet:
    """The way out, for one message at a time."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        pieces = frame(message)
        with self._lock:
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    try:
                        rest = rest[os.write(self._fd, rest) :]
                    except BrokenPipeError:
                        _end_group()  # the parent is gone


class _Worker:
    def __init__(self, pipe: IO[bytes], out: _Outlet, journal: Journal) -> None:
        self._pipe = pipe
        self._out = out
        self._journal = journal
        self._jobs: dict[int, _Alone | _Hosted] = {}
        self.ending = False

    def serve(self) -> None:
        """Do what the messages say, until the last."""
        self._out.send(("up",))
        while not self.ending:
            try:
                name, *rest = read_frame(self._pipe)
            except EOFError:
                _end_group()
            getattr(self, f"_on_{name}")(*rest)

    def _on_surroundings(self, now: dict[str, Any]) -> None:
        from .surroundings import take_on

        take_on(now, self._out.send)

    def _on_call(self, function: Wire, arguments: Wire) -> None:
        try:
            unpack(function)(*unpack(arguments))
        except BaseException as exc:
            self._refuse(0, exc)
        else:
            self._out.send(("loaded", 0))

    def _on_prepare(self, module: str) -> None:
        try:
            __import__(module)
        except BaseException:  # reading the function will say so
            return

    def _on_job(self, job: int, function: Wire, host: bytes | None, width: int) -> None:
        try:
            fn = unpack(function)
            if host is None:
                self._jobs[job] = _Alone(fn, self._out, self._journal)
            else:
                self._jobs[job] = _Hosted(fn, self._out, self._journal, unpack(host), width)
        except BaseException as exc:
            self._refuse(job, exc)
        else:
            self._out.send(("loaded", job))

    def _refuse(self, job: int, exc: BaseException) -> None:
        error, text = portable_error(exc)
        self._out.send(("refused", job, _error_bytes(error), text))

    def _on_chunk(self, job: int, *chunk: Any) -> None:
        self._jobs[job].run(*chunk)

    def _on_stop(self, job: int, number: int) -> None:
        self._jobs[job].stop(number)

    def _on_forget(self, job: int) -> None:
        if known := self._jobs.pop(job, None):
            known.close()

    def _on_end(self) -> None:
        self.ending = True


class _Alone:
    """Calls one after another, on the main thread."""

    def __init__(self, fn: Callable[[Any], Any], out: _Outlet, journal: Journal) -> None:
        self._fn = fn
        self._out = out
        self._journal = journal

    def run(self, number: int, slot: int, budget_s: float, items: list[Wire]) -> None:
        """Run a chunk, and send what came of it every few milliseconds.

        The items of each such part are a chunk of their own, which is recalled when it is time.
        """
        until = time.perf_counter() + budget_s if budget_s else None
        done = 0
        while done < len(items):
            done = self._run_part(number, slot, items, done, until)
            if done < len(items) and until is not None and time.perf_counter() > until:
                # Too long for what was expected: others may have nothing to do meanwhile.
                self._send(number, Block(_NONE, [], None, 0.0, 0.0, 0.0, True))
                return

    def _run_part(
        self, number: int, slot: int, items: list[Wire], done: int, until: float | None
    ) -> int:
        journal, clock, fn = self._journal, time.perf_counter, self._fn
        part = Chunk(0, items, "processes", "processes", done)
        announce_at = clock() + ANNOUNCE_S
        position = done

        def call(item: Wire) -> Wire:
            # Reading an item and pickling its result happen within the call, so that what goes
            # wrong with either, a crash included, is that item's error.
            nonlocal position
            journal.start(slot, number, position + 1)
            result = pack(fn(unpack(item)))
            kept = type(result) is bytes and journal.keep(position, result)
            position += 1
            if not kept or clock() > announce_at or journal.halted:
                part.recall()
            return result

        def emit(block: Block) -> None:
            nonlocal done, position
            done += len(block.values) + (block.error is not None)
            position = done
            # Not noted after each call: should the worker be ended between two, the result of the
            # first is in the journal, and no other was started.
            journal.end(slot, number, done)
            block.last = done == len(items)
            if block.values or block.error is not None or block.last:
                _flush_prints()
                self._send(number, block)
            if journal.halted:
                _end_group()  # by a call that handled the request to end: no other may begin

        run_chunk(call, part, emit)
        return done

    def _send(self, number: int, block: Block) -> None:
        self._out.send(_wire(number, block))
        self._journal.sent()

    def stop(self, number: int) -> None:
        """Nothing: who could read the message is the one that runs the call."""

    def close(self) -> None:
        """Nothing is open."""


_NONE = Chunk(0, [], "processes", "processes")


class _Hosted:
    """Calls side by side, on an executor within this process: threads, or an event loop.

    The parent says which, by a class that is read here, since this side knows no executors.
    """

    def __init__(
        self, fn: Callable[[Any], Any], out: _Outlet, journal: Journal, host: Any, width: int
    ) -> None:
        self._out = out
        self._journal = journal
        self._numbers: dict[Chunk, int] = {}
        calls = _portable_calls(fn, journal, getattr(host, "asynchronous", False))
        self._executor = host(calls, self._sink)
        sys.setswitchinterval(QUICK_SWITCH_S)
        self._executor.open(width)

    def run(self, number: int, slot: int, budget_s: float, items: list[Wire]) -> None:
        """Start a chunk."""
        noted = [(slot, number, i + 1, item) for i, item in enumerate(items)]
        chunk = Chunk(0, noted, "threads", "threads")
        chunk.watched = True
        self._numbers[chunk] = number
        self._executor.submit([chunk])

    def _sink(self, event: Any) -> None:
        for block in event:
            number = self._numbers.pop(block.chunk) if block.last else self._numbers[block.chunk]
            self._out.send(_wire(number, block))
        _flush_prints()

    def stop(self, number: int) -> None:
        """Give up the call that a chunk is in."""
        for chunk, its in list(self._numbers.items()):
            if its == number:
                self._executor.stop(chunk, TimeoutError())

    def close(self) -> None:
        """Let go of the executor."""
        self._executor.close(abandon=True)


def _portable_calls(
    fn: Callable[[Any], Any], journal: Journal, asynchronous: bool
) -> Callable[[Any], Any]:
    async def call_async(noted: tuple[int, int, int, Wire]) -> Wire:
        journal.start(*noted[:3])
        result = fn(unpack(noted[3]))
        return pack(await result if hasattr(result, "__await__") else result)

    def call(noted: tuple[int, int, int, Wire]) -> Wire:
        journal.start(*noted[:3])
        return pack(fn(unpack(noted[3])))

    return call_async if asynchronous else call


def _flush_prints() -> None:
    """What a call printed must not be lost when this process ends without ceremony."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed, or replaced by the call
            continue


def _wire(number: int, block: Block) -> tuple[Any, ...]:
    error, traceback = None, None
    if block.error is not None:
        portable, traceback = portable_error(block.error)
        error = _error_bytes(portable)
    values = list(block.values)
    times = block.wall_s, block.cpu_s, block.queued_s
    return "outcomes", number, values, error, traceback, *times, block.last


def _error_bytes(error: BaseException) -> bytes:
    try:
        return dumps(error)
    except Exception:  # `portable_error` tried, but its second pickling may still fail
        return dumps(RuntimeError(f"an error of type {type(error).__name__}"))
