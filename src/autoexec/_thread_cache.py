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
import weakref
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

IDLE_S = 0.5
"""An idle thread ends after this time: long enough for the next of many short runs, short enough
that nothing is found two seconds after the last."""

KEPT_S = 1.5
"""The same of one that is kept meanwhile: hundreds of them wait while a few calls compute, and each that wakes up wants
the GIL."""

HEED_S = 0.05
"""What a Ctrl-C may be late by."""

Job = Callable[["Thread"], None]


class Thread:
    """A thread, and the jobs that it is handed one at a time. It waits for the next here, for whoever needs a
    thread, unless its last job has kept it."""

    def __init__(self, job: Job, name: str) -> None:
        self.jobs: SimpleQueue[Job] = SimpleQueue()
        self.jobs.put(job)
        self.thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._owner: weakref.ref[object] | None = None
        self._stays = (
            False  # read by the thread alone: it may be let go before its job is quite over
        )

    def keep(self, owner: object) -> None:
        """Within a job: this hands it the next ones itself, until it lets go of it."""
        self._owner = weakref.ref(owner)
        self._stays = True

    def leave(self) -> None:
        """Within a job: nobody keeps it any more."""
        self._owner = None

    def let_go(self) -> None:
        """The same of one that waits."""
        self._owner = None
        _idle.append(self)

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            self._stays = False
            job(self)
            del job  # an idle thread must not keep anything alive
            if not self._stays:
                _idle.append(self)

    def _next(self) -> Job | None:
        while True:
            try:
                return self.jobs.get(timeout=IDLE_S if self._owner is None else KEPT_S)
            except Empty:
                if self._is_over():
                    return None

    def _is_over(self) -> bool:
        """Whether nobody can hand it a job any more."""
        if (owner := self._owner) is not None:
            # A Ctrl-C may have come as it was about to be handed one: it is in no list then.
            return owner() is None and self._owner is owner
        try:
            _idle.remove(self)
        except ValueError:
            return False  # it was taken off the list just now, so a job is on its way
        return True


_idle: deque[Thread] = deque()
"""The threads that have nothing to do. Each operation on it is atomic, so it needs no lock: whoever
takes a thread off it, the thread itself included, has it to himself."""


def start(job: Callable[[], None], name: str) -> None:
    """Run a job on an idle thread, or on a new one.

    Args:
        job: Must not raise.
        name: The thread's name while it runs this.
    """
    begin(lambda _: job(), name)


def begin(job: Job, name: str) -> None:
    """The same for a job that is told its thread, and may keep it."""
    thread = _take_idle()
    if thread is None:
        # Not within an `except`: a Ctrl-C in here must not be shown as an error within another.
        Thread(job, name).thread.start()
    else:
        thread.thread.name = name
        thread.jobs.put(job)


_shielded_s = 0.0


def shield(job: Callable[[], None]) -> None:
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


def _take_idle() -> Thread | None:
    while True:
        try:
            thread = _idle.pop()  # the last to become idle, so that the others may end
        except IndexError:
            return None
        if thread.thread.is_alive():  # after a fork there may be threads of the parent's
            return thread


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # a fork takes no threads along
