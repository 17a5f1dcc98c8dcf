"""A run for an event loop: driven by a helper thread, never by the loop itself.

    loop      next -> what is ready            tasks of coroutine functions; async input
                        ^                             |                      |
    thread    run -> window -> lists                  +--- outcomes, items --+-> run
                                                                                  ^
    thread    input that may block -------------------------------------- items --+

The same run, step for step, as that of a calling thread, since what it does must not be done on a
loop: it pickles, starts processes, compares the caller's state and takes from inputs that may block.
It is the better place for the heartbeat too: a wait on a loop ends late beside any long callback,
whoever holds the GIL. What belongs to the loop is done there: coroutines run as its tasks, an
asynchronous input is pulled by one, and the caller is woken there.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import _thread_cache
from ._account import report_of
from ._actions import Done
from ._collect import complete
from ._errors import for_iterators
from ._options import Settings
from ._run import Run, refuse_second_import
from ._source import Source
from ._stream import report_before

if TYPE_CHECKING:
    from types import TracebackType

    from ._report import Report, Results

R_co = TypeVar("R_co", covariant=True)

LEAVE_S = 1.5
"""Seconds that an end is waited for: workers are killed and tasks cancelled within a moment, but a
task may refuse to be."""
STUCK_S = 0.1
"""Seconds after which a driving thread that was told to leave is taken to be in a call: that of
`backend="inline"`, or of a single item. Else it is at its next step within a millisecond."""


class Driver:
    """A thread that drives a run.

    Args:
        run: It.
        job: Called with the run on the thread; what comes of it is the outcome.
        then: Called on the loop afterwards.
    """

    def __init__(
        self, run: Run, job: Callable[[Run], Any], then: Callable[[], None] = lambda: None
    ) -> None:
        loop = asyncio.get_running_loop()
        run.belong_to(loop)
        self._run = run
        self._ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        self._ended.add_done_callback(lambda _: then())
        context = contextvars.copy_context()
        drive = partial(_drive, run, job, loop, self._ended)
        _thread_cache.start(lambda: context.run(drive), "autoexec-driver")

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._ended.done()

    async def outcome(self) -> Any:
        """What came of the job. If the one who awaits this is cancelled, so is everything."""
        try:
            value, error = await asyncio.shield(self._ended)
        except BaseException:
            await self.leave()
            raise
        try:
            if error is not None:
                raise error
            return value
        finally:
            del error

    async def leave(self) -> None:
        """Have it end, and wait for that for a moment."""
        self._run.leave()
        ended = self._ended
        await asyncio.wait([ended], timeout=STUCK_S)
        if not self._run.closing:  # it is let go of without the thread, which will find that done
            ended = asyncio.get_running_loop().create_future()
            drive = partial(_drive, self._run, _abandon, asyncio.get_running_loop(), ended)
            _thread_cache.start(drive, "autoexec-driver")
        if not ended.done():
            await asyncio.wait([ended], timeout=LEAVE_S)


def _drive(
    run: Run,
    job: Callable[[Run], Any],
    loop: asyncio.AbstractEventLoop,
    ended: asyncio.Future[tuple[Any, BaseException | None]],
) -> None:
    value, error = None, None
    try:
        value = job(run)
    except BaseException as exc:
        error = exc
    with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
        loop.call_soon_threadsafe(_settle, ended, value, error)
    del error, value


def _abandon(run: Run) -> None:
    run.close(abandon=True)


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if not future.done():
        future.set_result((value, error))


async def arun(fn: Callable[..., Any], source: Source, settings: Settings) -> Results[Any]:
    """Call `fn` on every item of the source and collect the results in input order."""
    refuse_second_import()
    results: Results[Any] = await Driver(Run(fn, source, settings), complete).outcome()
    return results


class Channel:
    """Lists of results on their way from the thread to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.lists: deque[list[Any]] = deque()
        self.sent = 0
        """Results that the thread has put here."""
        self.used = 0
        """Those of them that the caller is done with."""
        self.news = asyncio.Event()
        self._loop = loop
        self._said = 0

    def use(self, count: int) -> None:
        """The caller is done with so many more."""
        self.used += count

    def makes_room(self) -> bool:
        """Whether the thread should hear of it: at the latest when half of what was here is used, as
        to wake it for each would cost 50 µs a result."""
        if self.lists and 2 * (self.used - self._said) < self.sent - self._said:
            return False
        self._said = self.used
        return True

    def send(self, lists: Sequence[list[Any]]) -> None:
        """From the thread."""
        fresh = [values for values in lists if values]
        if fresh:
            self.sent += sum(map(len, fresh))
            self.lists.extend(fresh)
            self._loop.call_soon_threadsafe(self.news.set)


def stream_to(channel: Channel, run: Run) -> Done | None:
    """Drive a run to its end, or until nobody wants its results, and send them on as they come."""
    scheduler = run.scheduler
    done: Done | None = None
    try:
        run.begin()
        while (done := run.step()) is None:
            _send(channel, run)
            scheduler.feed.held = channel.sent - channel.used
        _send(channel, run)
        run.hand_over(done.error)
        return done
    finally:
        run.close(abandon=done is None or done.error is not None)


def _send(channel: Channel, run: Run) -> None:
    lists = run.scheduler.window.take()
    if lists:
        run.recorder.commit()  # so that no result that was handed on is made again
        channel.send(lists)


class AsyncResultIterator(Generic[R_co]):
    """Results as `aiter_parallel` hands them on.

    An asynchronous iterator, and a context manager that closes it. It belongs to one task at a time.
    Nothing is taken from the input before the first `anext`. From then on the run goes by itself,
    as far as `buffersize` lets it.
    """

    def __init__(self, fn: Callable[..., Any], source: Source, settings: Settings) -> None:
        self._values: Iterator[Any] = iter(())
        refuse_second_import()
        self._make = partial(Run, fn, source, stream=True)
        self._settings = settings
        self._run: Run | None = None
        self._channel: Channel | None = None
        self._driver: Driver | None = None
        self._given = 0
        self._closed = False
        """Before its end."""
        self._report: Report | None = None
        self._busy = False

    def __aiter__(self) -> AsyncResultIterator[R_co]:
        return self

    async def __anext__(self) -> R_co:
        for value in self._values:
            return value  # type: ignore[no-any-return]
        return await self._more()  # type: ignore[no-any-return]

    async def _more(self) -> Any:
        """The first value of the next list."""
        self._enter()
        try:
            if self._closed:
                raise ValueError(
                    "This iterator of aiter_parallel was closed before its end, so there may be more"
                    " results than it has given: make a new one to read on."
                )
            if self._report is not None:
                raise StopAsyncIteration
            try:
                values = await self._next_list()
            except BaseException:  # also a cancellation
                await self._end()
                raise
            self._values = iter(values)
            return next(self._values)
        finally:
            self._busy = False

    def _enter(self) -> None:
        if self._busy:
            raise RuntimeError(
                "This iterator of aiter_parallel is awaited already, by another task: let one task"
                " take the results, or give each an iterator of its own."
            )
        self._busy = True

    async def _next_list(self) -> list[Any]:
        run, channel, driver = self._started()
        channel.use(self._given)
        self._given = 0
        if channel.makes_room():
            run.poke()
        while not channel.lists:
            if driver.over:
                done = await driver.outcome()
                try:
                    raise StopAsyncIteration if done.error is None else for_iterators(done.error)
                finally:
                    del done
            channel.news.clear()
            await channel.news.wait()
        values = channel.lists.popleft()
        self._given = len(values)
        return values

    def _started(self) -> tuple[Run, Channel, Driver]:
        run = self._run = self._run or self._make(self._settings)
        if self._channel is None or self._driver is None:
            self._channel = Channel(asyncio.get_running_loop())
            self._driver = Driver(
                run, partial(stream_to, self._channel), then=self._channel.news.set
            )
        return run, self._channel, self._driver

    async def _end(self) -> None:
        run = self._run
        if self._report is None and run is not None:  # else it has not begun
            self._values = iter(())
            self._report = report_of(run)
            if self._driver is not None:
                await self._driver.leave()
                self._report = report_of(run)
            self._channel = self._driver = self._run = None

    @property
    def report(self) -> Report:
        """What was done so far, and why; after the end, of all."""
        if self._report is not None:
            return self._report
        if self._run is None:
            return report_before(self._make, self._settings)
        return report_of(self._run)

    async def aclose(self) -> None:
        """Cancel what is pending, tasks included, and wait until they are gone; threads that run a
        call are left behind.

        Raises:
            RuntimeError: A task is waiting for a result.
        """
        self._enter()
        try:
            self._closed = self._closed or self._report is None
            await self._end()
        finally:
            self._busy = False

    async def __aenter__(self) -> AsyncResultIterator[R_co]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # An `async for` that was left: tasks are cancelled, but nobody can wait for their end.
        run = getattr(self, "_run", None)
        if run is not None:
            run.leave()
