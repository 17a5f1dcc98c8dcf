"""The far end of a run: outcomes that wait for their turn. Pure.

They arrive in any order, leave in input order, and each index exactly once. What an error means
(`on_error`) is decided here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._failure import Failure
from ._options import OnError


class Window:
    """Outcomes that wait for those before them.

    Runs of values stay the lists that they came as, so a block of 200,000 values costs one
    operation, not 200,000.
    """

    def __init__(self, on_error: OnError) -> None:
        self._on_error = on_error
        self._waiting: dict[
            int, tuple[int, list[Any]]
        ] = {}  # first index -> (items covered, values)
        self._next = 0
        self.passed = 0
        """Items whose outcome has left."""
        self.failures = 0
        self.skipped = 0
        self._left_out: set[int] = set()

    def put_values(self, first: int, values: list[Any]) -> None:
        """Accept the values of consecutive items, the first of them at index `first`."""
        if values:
            self._put(first, len(values), values)

    def put_error(self, index: int, item: Any, error: BaseException, seconds: float) -> bool:
        """Accept an error. Returns whether it ends the run."""
        self.failures += 1
        if self._on_error == "raise":
            return True
        if self._on_error == "skip":
            self._leave_out(index)
            self._put(index, 1, [])
        else:
            self._put(index, 1, [Failure(index, item, error, seconds)])
        return False

    def _leave_out(self, index: int) -> None:
        self.skipped += 1
        self._left_out.add(index)

    def ends_before(self, index: int) -> bool:
        """Whether an item is not needed any more, since an error ends the results before it."""
        return False

    def end(self) -> BaseException | None:
        """The error that the results have come to, given away."""
        return None

    def _put(self, first: int, count: int, values: list[Any]) -> None:
        if first < self._next or first in self._waiting:
            raise AssertionError(f"item {first} has two outcomes")
        self._waiting[first] = (count, values)

    def take(self) -> Sequence[list[Any]]:
        """The runs of results that are next in order; they leave the window."""
        ready: list[list[Any]] = []
        while (run := self._waiting.pop(self._next, None)) is not None:
            count, values = run
            self._next += count
            ready.append(values)
            self.passed = self._next
        # Once for all of them: for each, 20,000 chunks that waited for a slow one took ten seconds.
        if ready and self._waiting and min(self._waiting) < self._next:
            raise AssertionError(f"item {min(self._waiting)} has two outcomes")
        return ready

    def finished(self, taken: list[Any]) -> dict[int, Any]:
        """All results by the index of their item.

        Args:
            taken: What `take` has given so far, in one list.
        """
        done = [i for i in range(self._next) if i not in self._left_out]
        # Not strict: a Ctrl-C may come between `take` and the list.
        return dict(zip(done, taken, strict=False)) | self.waiting()

    def waiting(self) -> dict[int, Any]:
        """The results that wait for those before them, by the index of their item."""
        found: dict[int, Any] = {}
        for first, (_, values) in sorted(self._waiting.items()):
            found.update(enumerate(values, first))
        return found


class StreamWindow(Window):
    """The window of an iterator: an error that ends it does so in its place, after the results
    before it. Nothing is remembered of what has left, however long the input."""

    def __init__(self, on_error: OnError) -> None:
        super().__init__(on_error)
        self._end: tuple[int, BaseException] | None = None

    def put_error(self, index: int, item: Any, error: BaseException, seconds: float) -> bool:
        """Accept an error. It ends the run when the results have come to it."""
        if super().put_error(index, item, error, seconds):
            if self._end is None or index < self._end[0]:
                self._end = index, error
        return False

    def _leave_out(self, index: int) -> None:
        self.skipped += 1

    def ends_before(self, index: int) -> bool:
        """Whether an item is not needed any more, since an error ends the results before it."""
        return self._end is not None and self._end[0] <= index

    def end(self) -> BaseException | None:
        """The error that the results have come to, given away."""
        if self._end is None or self._end[0] != self._next:
            return None
        error, self._end = self._end[1], None
        return error


class UnorderedWindow(Window):
    """The window of an iterator that hands on outcomes as they come."""

    def __init__(self, on_error: OnError) -> None:
        super().__init__(on_error)
        self._ready: list[list[Any]] = []

    def _leave_out(self, index: int) -> None:
        self.skipped += 1

    def _put(self, first: int, count: int, values: list[Any]) -> None:
        self.passed += count
        if values:
            self._ready.append(values)

    def take(self) -> Sequence[list[Any]]:
        """The results that came since the last time."""
        ready, self._ready = self._ready, []
        return ready
