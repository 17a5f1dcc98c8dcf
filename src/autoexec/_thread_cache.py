"""Threads that wait a moment for more work before they end.

Starting a thread and waiting for its end takes 100 to 250 µs, which a caller that maps ten items a
hundred times a second would pay each time; handing a job to one that is idle takes 15. They are
daemon threads: the interpreter does not wait for them at exit, whatever they run.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

IDLE_S = 0.5
"""An idle thread ends after this time: long enough for the next of many short runs, short enough
that nothing is found two seconds after the last."""

HEED_S = 0.05
"""What a Ctrl-C may be late by."""

Job = Callable[[], None]


class _Idler:
    """A thread, and the jobs that it is handed one at a time."""

    def __init__(self, job: Job, name: str) -> None:
        self.jobs: SimpleQueue[Job] = SimpleQueue()
        self.jobs.put(job)
        self.thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            job()
            del job  # an idle thread must not keep anything alive
            _idle.append(self)

    def _next(self) -> Job | None:
        try:
            return self.jobs.get(timeout=IDLE_S)
        except Empty:
            pass
        try:
            _idle.remove(self)
        except ValueError:
            # Taken off the list just now, so a job is on its way.
            return self.jobs.get()
        return None


_idle: deque[_Idler] = deque()
"""The threads that have nothing to do. Each operation on it is atomic, so it needs no lock: whoever
takes a thread off it, the thread itself included, has it to himself."""


def start(job: Job, name: str) -> None:
    """Run a job on an idle thread, or on a new one.

    Args:
        job: Must not raise.
        name: The thread's name while it runs this.
    """
    idler = _take_idle()
    if idler is None:
        # Not within an `except`: a Ctrl-C in here must not be shown as an error within another.
        _Idler(job, name).thread.start()
    else:
        idler.thread.name = name
        idler.jobs.put(job)


_shielded_s = 0.0


def shield(job: Job) -> None:
    """Run a job where no Ctrl-C comes, and wait for its end.

    Signals arrive on the main thread, between any two of its instructions: also between the fork of a process
    and the line that keeps its number. So the job of that thread runs on another, and a Ctrl-C ends the wait
    alone. The thread is a new one (0.1 ms): an idle one may have another affinity, or niceness, than the caller has
    by now, which a process that it starts would have too.

    Args:
        job: What it raises is raised here.
    """
    # While the interpreter ends, other threads do not go on.
    if threading.current_thread() is not threading.main_thread() or sys.is_finalizing():
        job()
        return
    errors: list[BaseException] = []
    ended = threading.Lock()
    ended.acquire()

    def run() -> None:
        global _shielded_s
        before_s = time.thread_time()
        try:
            job()
        except BaseException as error:
            errors.append(error)
        _shielded_s += time.thread_time() - before_s
        ended.release()

    alone = False
    try:
        threading.Thread(target=run, name="autoexec-shield", daemon=True).start()
    except RuntimeError:  # no more threads: the system's limit, or the interpreter is ending
        alone = True
    if alone:  # not within the `except`, as above
        job()
        return
    while not ended.acquire(timeout=HEED_S):  # one that comes just before a wait does not end it
        pass
    if errors:
        raise errors.pop()  # its traceback holds this frame: from a variable of it that would be a cycle


def shielded_cpu_s() -> float:
    """What shielded jobs have computed on other threads, in all."""
    return _shielded_s


def _take_idle() -> _Idler | None:
    try:
        return _idle.pop()  # the last to become idle, so that the others may end
    except IndexError:
        return None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # a fork takes no threads along
