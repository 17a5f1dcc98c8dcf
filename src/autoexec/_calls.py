"""Calls without an outcome, of an executor that may be gone."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future
from itertools import count
from typing import Any

from . import _thread_cache
from ._chunk import Chunk
from ._errors import AutoexecError, NotPicklable, WorkerDied, short_repr
from ._pickling import Packed
from ._pool.job import Job
from ._pool.pool import Pool
from ._types import Broken, Event, Ready
from ._worker.calls import Call, run_call

TRIES = 5
"""Workers that may end as they receive a call: one that takes too much memory would end them all."""


class NoWorkers(AutoexecError, BrokenExecutor):
    """No worker process can be started or kept for an executor."""


class InitializerFailed(NoWorkers):
    """The initializer of an executor raised an error in a worker process, which is the cause."""


for _public in (NoWorkers, InitializerFailed):
    _public.__module__ = "autoexec"  # as in `_errors`


class Calls:
    """The calls without an outcome of an executor, which may be dropped while they run.

    Args:
        pool: Where they run.
        most: Calls at once.
        own: The pool serves nobody else, so it ends with them.
    """

    def __init__(self, pool: Pool, most: int, *, own: bool = True) -> None:
        self._pool = pool
        self._most = most
        self._own = own
        self._job = Job(Packed(run_call), self._hear, "processes", admit=self._admit)
        self._numbers = count()
        self._settling: set[int] = set()  # threads that may be in callbacks of futures
        self._begin_empty()

    def _begin_empty(self) -> None:
        # Guards what follows. The pool asks `_admit` with its own lock held, so it must not be
        # called with this one. A thread that has it may take it again: a finalizer runs anywhere.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: dict[Chunk, Future[Any]] = {}
        self._taken: dict[Chunk, Future[Any]] = {}
        self._asked = 0
        self._shut = self._unattended = False  # unattended: whoever shut it does not wait
        self._broken: Broken | None = None

    def submit(self, *call: Any) -> Future[Any]:
        """Let a call run: a function, its arguments and its keyword arguments."""
        self._check_open()
        future: Future[Any] = Future()
        try:
            chunk = Chunk(next(self._numbers), [Call(*call)], "processes", "processes")
        except NotPicklable as error:
            future.set_exception(error.with_traceback(None))
            return future
        try:
            with self._changed:
                self._check_open()
                self._waiting[chunk] = future
                _open.add(self)
                wanted = min(self._most, len(self._waiting) + len(self._taken))
            if wanted > self._asked:
                self._pool.begin(self._job, wanted)  # several may: it takes a job twice
                # Not before: a Ctrl-C may come while the first worker is started.
                self._asked = wanted
            self._pool.submit(self._job, [chunk])
        except BaseException:  # it was closed meanwhile; no threads left; or Ctrl-C
            self._forget(chunk)
            raise
        return future

    def _check_open(self) -> None:
        if self._broken:
            raise _error(self._broken)
        if self._shut or _exiting:
            what = "interpreter shutdown" if _exiting else "shutdown"
            raise RuntimeError(f"cannot schedule new futures after {what}")

    def _admit(self, chunk: Chunk) -> bool:
        """Whether a call is wanted that is about to go to a worker: it cannot be cancelled then."""
        with self._changed:
            future = self._waiting.pop(chunk, None)
            if future is None:
                return False
            self._taken[chunk] = future
        if future.running() or future.set_running_or_notify_cancel():
            return True
        self._forget(chunk)
        return False

    def _hear(self, event: Event) -> None:
        if isinstance(event, Broken):
            self._fail(event)
        elif not isinstance(event, Ready):
            for block in event:
                if block.values or block.error is not None:
                    self._settle(block.chunk, block.error, *block.values)
                elif block.last:
                    self._submit_again(block.chunk)

    def _settle(self, chunk: Chunk, error: BaseException | None, value: Any = None) -> None:
        future = self._taken.get(chunk)
        if future is None:
            return
        self._settling.add(thread := threading.get_ident())
        try:
            future.set_result(value) if error is None else future.set_exception(error)
        except BaseException:  # `sys.exit` in a callback, say: the thread serves other calls, too
            logging.getLogger("concurrent.futures").exception("a callback of %r failed", future)
        finally:
            self._settling.discard(thread)
            self._forget(chunk)

    def _submit_again(self, chunk: Chunk) -> None:
        """Submit a call that came back unstarted, unless it has its outcome."""
        call = chunk.item(0)
        call.returns += 1
        if call.returns == TRIES:
            text = f"{TRIES} worker processes ended as they received the call {short_repr(call)}."
            self._settle(chunk, WorkerDied(text))
        with self._changed:
            if chunk in self._taken:
                self._waiting[chunk] = self._taken.pop(chunk)
            elif chunk not in self._waiting:
                return
        if self._broken:
            self._fail(self._broken)
        elif self._job.given_up:
            return  # why is about to be said, and settles all that wait
        elif self._job.over:  # they were abandoned
            if self._admit(chunk):
                self._settle(chunk, CancelledError())
        else:
            self._pool.submit(self._job, [chunk])

    def _fail(self, broken: Broken) -> None:
        with self._changed:
            self._broken = first = self._broken or broken
        self._settle_waiting(lambda: _error(first))
        self._forget()

    def _settle_waiting(self, error: Callable[[], BaseException]) -> None:
        """Nobody will run the calls that wait."""
        with self._changed:
            waiting = list(self._waiting)
        for chunk in waiting:
            if self._admit(chunk):
                self._settle(chunk, error())

    def close(self, *, wait: bool = False, cancel: bool = False) -> None:
        """Take no more calls; see `ProcessPoolExecutor.shutdown`."""
        with self._changed:
            self._shut, self._unattended = True, not wait
            waiting = list(self._waiting.items()) if cancel else []
        for chunk, future in waiting:
            if future.cancel():
                self._admit(chunk)  # no, but this tells those who wait for the future
        if not wait:
            self._forget()
            return
        if threading.get_ident() in self._settling:
            raise RuntimeError("A callback of a future cannot wait for all futures to be done.")
        with self._changed:
            self._changed.wait_for(lambda: not (self._waiting or self._taken))
        self._end()

    def abandon(self) -> None:
        """Take no more calls, cancel those that no worker has, and end the others with their worker."""
        self.close(cancel=True)
        self._pool.finish(self._job, abandon=True)
        # Those that came back from a worker: a future that was running cannot be cancelled.
        self._settle_waiting(CancelledError)

    def _forget(self, *done: Chunk) -> None:
        """Forget calls. With the last, wake those who wait for that; if nobody does, end."""
        with self._changed:
            for chunk in done:
                self._waiting.pop(chunk, None)
                self._taken.pop(chunk, None)
            if self._waiting or self._taken:
                return
            self._changed.notify_all()
            over = self in _open and (self._unattended or self._broken is not None)
        if over:
            with contextlib.suppress(RuntimeError):  # no threads at exit: `_finish` sees to it
                _thread_cache.start(self._end, "autoexec-ender")

    def _end(self) -> None:
        if self in _open:
            self._pool.finish(self._job, abandon=False)
            if self._own:
                self._pool.shutdown()
            _open.discard(self)

    def after_fork(self) -> None:
        """In a forked child: the workers and their calls are the parent's."""
        self._begin_empty()
        self._broken = Broken("processes", "the executor belongs to the parent of this process")


def _error(broken: Broken) -> NoWorkers:
    """A new one for each future, since whoever raises it adds to its traceback."""
    raised = broken.error  # by an initializer: what the workers load is our own
    if raised is None:
        return NoWorkers(f"No call can run: {broken.reason}.")
    text = f"No call can run: the initializer raised {short_repr(raised)} in a worker process."
    error = InitializerFailed(text)
    error.__cause__ = raised
    return error


_exiting = False
_open: set[Calls] = set()
"""Those that may have worker processes, also if their executor was dropped."""


def _finish() -> None:
    """Wait for all calls, as the standard executors do at exit."""
    global _exiting
    _exiting = True
    for calls in list(_open):
        calls.close(wait=True)


def _after_fork() -> None:
    for calls in _open:
        calls.after_fork()
    _open.clear()


# Functions of `atexit` run only after other threads, which may still submit calls, were waited for.
# The standard executors register where what is called before that does.
getattr(threading, "_register_atexit", atexit.register)(_finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
