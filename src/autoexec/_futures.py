"""The standard library's `ProcessPoolExecutor`, on the worker processes of this package.

A worker that dies takes only the call with it that it ran; functions need not be importable.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from itertools import count, islice
from typing import Any, ParamSpec, TypeVar

from . import _host, _thread_cache
from ._chunk import Chunk
from ._errors import AutoexecError, NotPicklable, WorkerDied, short_repr
from ._pickling import Packed, pack
from ._pool.job import Job
from ._pool.pool import Initializer, Pool
from ._types import Broken, Event, Ready
from ._worker.calls import Call, initialize, run_call, run_each

P = ParamSpec("P")
T = TypeVar("T")
Group = Future[list[Any]]

FAREWELL_S = 5.0
"""Seconds that workers have to end by themselves: for the exit handlers of user code in them."""
TRIES = 5
"""Workers that may end as they receive a call: one that takes too much memory would end them all."""


class NoWorkers(AutoexecError, BrokenExecutor):
    """No worker process can be started or kept for an executor."""


class InitializerFailed(NoWorkers):
    """The initializer of an executor raised an error in a worker process, which is the cause."""


for _public in (NoWorkers, InitializerFailed):
    _public.__module__ = "autoexec"  # as in `_errors`


class ProcessPoolExecutor(Executor):
    """Runs calls in worker processes, and takes the place of the standard library's.

    Args:
        max_workers: The most calls at once; as many processes are started as needed for that.
            Default: the cores that this process may use.
        mp_context: Only None, since workers are always fresh interpreters.
        initializer: Called in each worker before anything else.
        initargs: Its arguments.
        max_tasks_per_child: Calls after which a worker is replaced. Default: never.

    Raises:
        TypeError, ValueError: An argument is of the wrong type or out of range.
        NotPicklable: The initializer cannot travel to a worker.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        *,
        max_tasks_per_child: int | None = None,
    ) -> None:
        if mp_context is not None:
            raise ValueError("mp_context must be None: workers are always fresh interpreters.")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be callable, but {initializer!r} is not.")
        if not isinstance(initargs, Iterable):
            raise TypeError(f"initargs must be a tuple of arguments, not {initargs!r}.")
        most = _host.cores() if max_workers is None else _whole("max_workers", max_workers)
        if max_tasks_per_child is not None:
            _whole("max_tasks_per_child", max_tasks_per_child)
        # By this name a run that uses the executor knows that calls count one by one.
        self._max_tasks_per_child = max_tasks_per_child
        first = None
        if initializer is not None:
            first = Initializer(pack(initialize), pack((initializer, tuple(initargs))))
        pool = Pool(
            idle_s=None,
            max_calls=max_tasks_per_child,
            initializer=first,
            spread=most,
            farewell_s=FAREWELL_S,
        )
        self._calls = Calls(pool, most)
        weakref.finalize(self, self._calls.close).atexit = False  # at exit, see `_finish`

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn(*args, **kwargs)` in a worker; it is pickled now, with its arguments.

        Returns:
            The future of what it returns or raises, which is `NotPicklable` if the call or its
            result cannot travel, and `WorkerDied` if its worker ended as it ran.

        Raises:
            RuntimeError: The executor was shut down.
            InitializerFailed, NoWorkers: No worker can run it.
        """
        return self._calls.submit(fn, args, kwargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Call `fn` with the items of the iterables side by side, like the built-in `map`.

        Args:
            timeout: Seconds from now within which the results must be there.
            chunksize: Calls that go to a worker together.
            buffersize: How many such groups are submitted ahead of the results that are taken; the
                iterables are read no further. Default: all, now.

        Returns:
            The results in the order of the items; an error is raised as its result is taken,
            `TimeoutError` if it was not there in time.

        Raises:
            TypeError, ValueError: A number is of the wrong type or less than 1.
        """
        size = _whole("chunksize", chunksize)
        ahead = None if buffersize is None else _whole("buffersize", buffersize)
        deadline = None if timeout is None else time.monotonic() + timeout
        submissions = _submissions(weakref.ref(self), fn, zip(*iterables, strict=False), size)
        return _results(list(islice(submissions, ahead)), submissions, deadline)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and end the workers once all calls are done.

        Args:
            wait: Return only then. A callback of a future must not: RuntimeError.
            cancel_futures: Cancel the calls that no worker has yet.
        """
        self._calls.close(wait=wait, cancel=cancel_futures)

    def kill_workers(self) -> None:
        """Take no more calls, and end the workers with what they have started: calls that none has are
        cancelled, and those that run fail with `WorkerDied`."""
        self._calls.abandon()

    def terminate_workers(self) -> None:
        """The same. The workers are not asked first, as those of the standard library are."""
        self._calls.abandon()


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
        with self._changed:
            self._check_open()
            self._waiting[chunk] = future
            _open.add(self)
            wanted = min(self._most, len(self._waiting) + len(self._taken))
            more, self._asked = wanted > self._asked, max(wanted, self._asked)
        try:
            if more:
                self._pool.begin(self._job, wanted)
            self._pool.submit(self._job, [chunk])
        except BaseException:  # no threads left, or Ctrl-C
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


def _submissions(
    executor: weakref.ref[ProcessPoolExecutor], fn: Any, inputs: Iterator[Any], size: int
) -> Iterator[Group]:
    """Submit a group of calls when asked for its future, as long as the executor is there: results
    that nobody takes must not keep it."""
    while group := list(islice(inputs, size)):
        if (target := executor()) is None:
            return
        future = target.submit(run_each, fn, group)
        del target, group
        yield future


def _results(futures: list[Group], rest: Iterator[Group], deadline: float | None) -> Iterator[Any]:
    try:
        futures.reverse()
        while futures:
            futures[:0] = islice(rest, 1)
            group = _result(futures.pop(), deadline)
            group.reverse()
            while group:
                yield group.pop()  # nothing here keeps it
    finally:
        for future in futures:
            future.cancel()


def _result(future: Future[Any], deadline: float | None) -> Any:
    try:
        return future.result(None if deadline is None else deadline - time.monotonic())
    finally:
        future.cancel()  # if it is late
        del future  # its error knows this frame: that would be a cycle


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number of at least 1, not {value!r}.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value!r}.")
    return value


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
