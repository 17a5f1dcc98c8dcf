"""Results one by one, as the caller asks for them: the same run, driven by each `next`.

    window -> lists -> portions -> __next__

Nothing happens between two calls of `next` but what is in flight already, so the caller's pace is
the pace of the intake, without another thread. What is ready goes out before an input that may
block is asked for more, and before another call is made on this very thread.
"""

from __future__ import annotations

import _thread
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ._account import report_of
from ._actions import Done, Wait
from ._errors import for_iterators
from ._options import Settings
from ._run import Run, refuse_second_import
from ._source import Source

if TYPE_CHECKING:
    from types import TracebackType

    from ._report import Report

R_co = TypeVar("R_co", covariant=True)

PORTION_S = 0.001
"""Seconds that the caller should take over a portion of results. Between two of them the run is seen
to, which takes 20 µs: 2 %. Without portions, workers would have nothing to do while the caller is
busy with a long list; with one for each result, a million results would take 20 s."""


class Portions:
    """Lists of results on their way to the caller, in portions that suit his pace."""

    def __init__(self) -> None:
        self.count = 0
        """Results in hand."""
        self._lists: deque[tuple[list[Any], int]] = deque()  # and where each starts
        self._most = 1
        self._full = False
        self._slow = False
        self._given_s = 0.0

    def add(self, lists: Sequence[list[Any]]) -> None:
        """Results came."""
        for values in lists:
            if values:
                self._lists.append((values, 0))
                self.count += len(values)

    def used_up(self, now: float) -> None:
        """The caller is done with the last portion: was it of the right size?"""
        took = now - self._given_s
        slow, self._slow = self._slow, took > 2 * PORTION_S
        if self._slow and slow:  # once may have been the system's doing
            self._most = max(1, self._most // 2)
        elif self._full and took < PORTION_S / 2:
            self._most *= 2

    def next(self, now: float) -> list[Any]:
        """The next portion; empty if there is nothing in hand."""
        portion: list[Any] = []
        own = False  # else it is a list of somebody else's
        while self._lists and len(portion) < self._most:
            values, start = self._lists.popleft()
            room = self._most - len(portion)
            if not portion and not start and len(values) <= room:
                portion = values
                continue
            if len(values) - start > room:
                self._lists.appendleft((values, start + room))
            if own:
                portion += values[start : start + room]
            else:
                portion, own = portion + values[start : start + room], True
        self.count -= len(portion)
        self._full = len(portion) == self._most
        self._given_s = now
        return portion


class ResultIterator(Generic[R_co]):
    """Results as `iter_parallel` hands them on.

    An iterator, and a context manager that closes it. It belongs to one thread at a time. Nothing
    is taken from the input before the first `next`.
    """

    def __init__(self, fn: Callable[..., Any], source: Source, settings: Settings) -> None:
        self._values: Iterator[Any] = iter(())
        self._make: Callable[[Settings], Run] = partial(Run, fn, source, stream=True)
        self._settings = settings
        self._run: Run | None = None
        self._done: Done | None = None
        self._report: Report | None = None
        self._closed = False
        """Before its end."""
        self._portions = Portions()
        self._busy = _thread.allocate_lock()
        self._process = os.getpid()

    def __iter__(self) -> ResultIterator[R_co]:
        return self

    def __next__(self) -> R_co:
        # The quickest way to the next of a list, by a third: no name is looked up, no error caught.
        for value in self._values:
            return value  # type: ignore[no-any-return]
        return self._more()  # type: ignore[no-any-return]

    def _more(self) -> Any:
        """The first value of the next portion."""
        self._enter()
        try:
            if self._closed:
                raise ValueError(
                    "This iterator of iter_parallel was closed before its end, so there may be more"
                    " results than it has given: make a new one to read on."
                )
            if self._report is not None:
                raise StopIteration
            try:
                values = self._next_portion()
            except BaseException:  # also a Ctrl-C
                self._end(abandon=True)
                raise
            if values:
                rest = iter(values)
                value = next(rest)  # before another thread may take it, and this one finds none
                self._values = rest
                return value
            self._raise()
        finally:
            self._busy.release()

    def _enter(self) -> None:
        if not self._busy.acquire(blocking=False):
            raise ValueError(
                "This iterator of iter_parallel is waiting for a result already, in another thread or"
                " further up: let one thread take the results, or give each an iterator of its own."
            )
        if self._process != os.getpid():
            self._busy.release()
            raise RuntimeError(
                "This iterator of iter_parallel belongs to the process that this one was forked from:"
                " make it where it is used."
            )

    def _started(self) -> Run:
        if self._run is None:
            refuse_second_import()
            self._run = self._make(self._settings)
            self._run.begin()
        return self._run

    def _next_portion(self) -> list[Any]:
        """What is ready, or what is next to be; empty when the run is over."""
        run, portions = self._started(), self._portions
        window = run.scheduler.window
        portions.used_up(time.perf_counter())
        while self._done is None:
            run.hear()
            portions.add(window.take())
            if portions.count and run.calls_here:
                break
            run.scheduler.feed.held = portions.count
            action = run.act()
            portions.add(window.take())
            if isinstance(action, Done):
                self._done = action
                run.close(abandon=action.error is not None)
                break
            if portions.count and (isinstance(action, Wait) or run.may_block):
                break
            run.perform(action)
        run.recorder.commit()  # so that no result that was handed on is made again
        return portions.next(time.perf_counter())

    def _raise(self) -> None:
        """The end: what ended the run, or that there is no more."""
        assert self._run is not None and self._done is not None
        done, self._done = self._done, None
        self._run.hand_over(done.error)
        self._end(abandon=False)
        try:
            raise StopIteration if done.error is None else for_iterators(done.error)
        finally:
            del done  # its traceback holds this frame, which would be a cycle

    def _end(self, *, abandon: bool) -> None:
        run = self._run
        if run is None:
            return  # it has not begun
        self._values = iter(())
        self._portions = Portions()
        self._report = report_of(run)
        self._make = _nothing
        run.close(abandon=abandon)
        self._run = None  # last: after a Ctrl-C it is closed with this iterator

    @property
    def report(self) -> Report:
        """What was done so far, and why; after the end, of all."""
        if self._report is not None:
            return self._report
        if self._run is None:
            return report_before(self._make, self._settings)
        return report_of(self._run)

    def close(self) -> None:
        """Cancel what has not started, leave what is running, and let go of everything.

        Raises:
            ValueError: A thread is waiting for a result.
        """
        if self._process != os.getpid():
            return  # a fork has nothing to let go of
        self._enter()
        try:
            if self._report is None:
                self._closed = True
                self._end(abandon=True)
        finally:
            self._busy.release()

    def __enter__(self) -> ResultIterator[R_co]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Nobody refers to this any more, so no thread is in it. It may not even be whole.
        run = getattr(self, "_run", None)
        if run is not None and self._process == os.getpid():
            run.close(abandon=True)


def report_before(make: Callable[[Settings], Run], settings: Settings) -> Report:
    """The report before the first result was asked for. It is that of a run made for this only, which never
    begins: no clock starts, and no bar is drawn."""
    run = make(settings._replace(progress=False))
    return report_of(run)._replace(options=settings.given)


def _nothing(settings: Settings) -> Run:
    raise AssertionError("the run is over")
