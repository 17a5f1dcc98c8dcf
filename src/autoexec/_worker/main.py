"""A worker process: reads chunks of items, calls their function, sends the outcomes back.

Messages in:
    ("surroundings", {...})                  directory, environment, paths, as in the parent now
    ("call", function, arguments)            an initializer; answered like "job", for job 0
    ("prepare", module)                      import it: a function of it is on its way
    ("job", id, function, host, width)       a function that chunks will name; host: see `Hosted`
    ("width", id, width)                     there may be more side by side now
    ("chunk", id, number, slot, budget_s, items)  each pickled by itself, or plain ones in one piece
    ("stop", id, number)                     give up a call, where calls run side by side
    ("forget", id)
    ("end",)
Messages out:
    ("up",)
    ("loaded", id, start_cpu_s) or ("refused", id, error, text)
    ("outcomes", number, values, error, traceback, wall_s, cpu_s, queued_s, last,
     began_s)
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

from .._pickling import unpack
from .alone import Alone
from .errors import pack_error
from .frames import read_frame
from .notes import SIZE, Notes
from .outlet import Outlet, end_group, flush_prints

MACOS_MS = 250.0
"""How often it is seen there whether the parent is gone."""
LAST_S = 6.0
"""What a worker that ends has for it, should its parent be gone: more than that would give it."""

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from typing import IO, Any, NoReturn

    from .._pickling import Wire
    from .hosted import Hosted


def main(pipe_in: str, pipe_out: str, notes: str) -> None:
    """Serve until the parent says that it is over, or is gone.

    Args:
        pipe_in: Descriptor of the pipe to read; empty for standard input, on Windows.
        pipe_out: That of the one to write; empty for standard output.
        notes: Descriptor of the memory for its notes, or the name of that.
    """
    _leave_ctrl_c_to_parent()
    _never_stop()
    try:
        reading, writing = _passed_on(pipe_in, pipe_out) if pipe_in else _take_standard_pipes()
        worker = _Worker(os.fdopen(reading, "rb"), Outlet(writing), Notes(_memory(notes)))
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=worker.forked)
        threading.Thread(target=_watch, args=(worker, reading), daemon=True).start()
        worker.serve()
    except BaseException:
        _fail()


def _leave_ctrl_c_to_parent() -> None:
    """Not ignored, as the programs that calls start would ignore it, too, and could not be interrupted."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: None)


def _never_stop() -> None:
    """Let a call that uses the terminal have an error, or its will. A process in the background, as this one
    is, would be stopped by that, and nobody would wake it. Blocked rather than ignored: a program that a call
    starts, with handlers of its own for these signals, tried to read for ever."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTIN, signal.SIGTTOU])


def _fail() -> NoReturn:
    """End at once. A thread that a call has left behind would be waited for otherwise, and meanwhile the parent
    waits for this process."""
    try:
        import traceback

        traceback.print_exc()
        flush_prints()
    finally:
        os._exit(1)


def _memory(notes: str) -> mmap.mmap:
    if notes.isdecimal():
        memory = mmap.mmap(int(notes), SIZE)
        os.close(int(notes))  # the map has a descriptor of its own
        return memory
    return mmap.mmap(-1, SIZE, tagname=notes)  # type: ignore[call-arg, unused-ignore]  # Windows


def _passed_on(*pipes: str) -> list[int]:
    """The descriptors of pipes, which are no business of programs that calls start."""
    fds = list(map(int, pipes))
    for fd in fds:
        os.set_inheritable(fd, False)
    return fds


def _take_standard_pipes() -> tuple[int, int]:
    """Move the pipes away from standard input and output, which belong to user code."""
    pipes = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return pipes


def _watch(worker: _Worker, fd: int) -> None:
    """End with the parent: when it is gone, its end of the pipe is closed."""
    try:
        import select

        poll = select.poll()
    except (ImportError, AttributeError):  # Windows: `serve` finds out after the call that it runs
        return
    # No input, just the end. There it does not return without an event to wait for, and may miss that one.
    macos = sys.platform == "darwin"
    poll.register(fd, select.POLLHUP if macos else 0)
    while not any(
        state & (select.POLLHUP | select.POLLERR)
        for _, state in poll.poll(MACOS_MS if macos else None)
    ):
        time.sleep(0.01)
    if worker.ending:
        time.sleep(LAST_S)  # its parent would have ended it by now
    end_group()


class _Worker:
    def __init__(self, pipe: IO[bytes], out: Outlet, notes: Notes) -> None:
        self._pipe = pipe
        self._out = out
        self._notes = notes
        self._jobs: dict[int, Alone | Hosted] = {}
        self.ending = False
        self._start_cpu_s = time.thread_time()
        """What it took to start, and to import what functions need, on this thread, which did nothing else."""
        self._load_cpu_s = 0.0
        """What it took to read one of the functions, at the most."""

    def forked(self) -> None:
        """This is a process that a call has forked: it has no part in what its parent says, and as long as
        it held the pipe nobody would hear of that one's death. A call that it falls out of is its last."""
        if not self._out.cut_off():
            return  # a fork of a fork: the numbers may be somebody else's by now
        self._notes.leave()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, self._pipe.fileno(), inheritable=False)
        os.close(null)

    def serve(self) -> None:
        """Do what the messages say, until the last."""
        self._out.send(("up",))
        while not self.ending:
            try:
                name, *rest = read_frame(self._pipe)
            except EOFError:
                end_group()
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
            self._out.send(("loaded", 0, self._start_cpu_s + self._load_cpu_s))

    def _on_prepare(self, module: str) -> None:
        began_s = time.thread_time()
        try:
            __import__(module)
        except BaseException:  # reading the function will say so
            return
        finally:
            self._start_cpu_s += time.thread_time() - began_s

    def _on_job(self, job: int, function: Wire, host: bytes | None, width: int) -> None:
        began_s = time.thread_time()
        try:
            fn = unpack(function)
            if host is None:
                self._jobs[job] = Alone(fn, self._out, self._notes)
            else:
                from .hosted import Hosted

                self._jobs[job] = Hosted(fn, self._out, self._notes, unpack(host), width)
        except BaseException as exc:
            self._refuse(job, exc)
        else:
            self._load_cpu_s = max(self._load_cpu_s, time.thread_time() - began_s)
            self._out.send(("loaded", job, self._start_cpu_s + self._load_cpu_s))

    def _refuse(self, job: int, exc: BaseException) -> None:
        self._out.send(("refused", job, *pack_error(exc)))

    def _on_width(self, job: int, width: int) -> None:
        if known := self._jobs.get(job):  # else it was refused
            known.open(width)

    def _on_chunk(self, job: int, *chunk: Any) -> None:
        self._jobs[job].run(*chunk)

    def _on_stop(self, job: int, number: int) -> None:
        self._jobs[job].stop(number)

    def _on_forget(self, job: int) -> None:
        if known := self._jobs.pop(job, None):
            known.close()

    def _on_end(self) -> None:
        self.ending = True
