"""The standard library's `ProcessPoolExecutor`, on the worker processes of this package.

When a worker dies, only the call that it was running is lost; functions need not be importable.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import Any, ParamSpec, TypeVar

from . import _host
from ._calls import Calls
from ._pickling import pack
from ._pool.pool import Initializer, Pool
from ._worker.calls import run_each
from ._worker.home import initialize

P = ParamSpec("P")
T = TypeVar("T")
Group = Future[list[Any]]

FAREWELL_S = 5.0
"""Seconds that workers have to end by themselves: for the exit handlers of user code in them."""


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
        # By these names a run that uses the executor knows how many calls it takes at once, and that they count
        # one by one.
        self._max_workers = most
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
        weakref.finalize(self, self._calls.close).atexit = False  # at exit, see `_calls`

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
