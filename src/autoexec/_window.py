"""The two ends of a run: items in hand that are not sent yet, outcomes that wait for their turn.

Pure: outcomes arrive in any order, leave in input order, and each index exactly once. What an
error means (`on_error`) is decided here and nowhere else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from ._options import OnError

ItemT = TypeVar("ItemT")


class Failure(Generic[ItemT]):
    """Stands in the place of a result when `on_error="return"`. False in a condition."""

    __slots__ = ("exception", "index", "item", "seconds")
    __match_args__ = ("index", "item", "exception", "seconds")

    index: int
    """Position of the item in the input, from 0."""
    item: ItemT
    exception: BaseException
    seconds: float
    """How long the call ran."""

    def __init__(self, index: int, item: ItemT, exception: BaseException, seconds: float) -> None:
        # Written by hand: a frozen dataclass would add 12 ms to `import autoexec`.
        for name, value in zip(self.__match_args__, (index, item, exception, seconds), strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Failure is a record; {name!r} cannot be changed")

    def __reduce__(self) -> tuple[Any, ...]:
        return Failure, (self.index, self.item, self.exception, self.seconds)

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return (
            f"Failure(index={self.index}, item={self.item!r}, exception={self.exception!r},"
            f" seconds={self.seconds:.3g})"
        )


class Hand:
    """Items taken from the input and not sent yet; recalled ones go first."""

    def __init__(self) -> None:
        self._runs: deque[list[Any]] = deque()  # [first index, items, position]
        self.count = 0

    def add(self, first: int, items: list[Any], *, front: bool = False) -> None:
        (self._runs.appendleft if front else self._runs.append)([first, items, 0])
        self.count += len(items)

    def take(self, count: int) -> tuple[int, list[Any], int]:
        """The next consecutive items, at most `count`: the index of the first, a list, and where
        in that list they start; they end with it."""
        run = self._runs[0]
        first, items, position = run
        if position + count >= len(items):
            self._runs.popleft()
            self.count -= len(items) - position
            return first + position, items, position
        run[2] += count
        self.count -= count
        return first + position, items[position : position + count], 0

    def first(self) -> int:
        """The index of the next item."""
        first, _, position = self._runs[0]
        return int(first + position)

    def peek(self) -> Any:
        _, items, position = self._runs[0]
        return items[position]


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
            self.skipped += 1
            self._left_out.add(index)
            self._put(index, 1, [])
        else:
            self._put(index, 1, [Failure(index, item, error, seconds)])
        return False

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
            if count > 1 and self._waiting and min(self._waiting) < self._next:
                raise AssertionError(f"item {min(self._waiting)} has two outcomes")
        return ready

    def finished(self, taken: list[Any]) -> dict[int, Any]:
        """All results by the index of their item.

        Args:
            taken: What `take` has given so far, in one list.
        """
        done = [i for i in range(self._next) if i not in self._left_out]
        found = dict(zip(done, taken, strict=True))
        for first, (_, values) in sorted(self._waiting.items()):
            found.update(enumerate(values, first))
        return found
