"""The window between the items taken from the input and the results handed on.

Pure: outcomes arrive in any order, leave in input order, and each index exactly once. What an
error means (`on_error`) is decided here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from ._options import OnError

ItemT = TypeVar("ItemT")


class Failure(NamedTuple, Generic[ItemT]):
    """Stands in the place of a result when `on_error="return"`. False in a condition."""

    index: int
    """Position of the item in the input, from 0."""
    item: ItemT
    exception: BaseException
    seconds: float
    """How long the call ran."""

    def __bool__(self) -> bool:
        return False


class Window:
    """Outcomes that wait for those before them.

    Runs of values stay the lists that they came as, so a block of 200,000 values costs one
    operation, not 200,000.
    """

    def __init__(self, on_error: OnError) -> None:
        self._on_error = on_error
        self._waiting: dict[int, tuple[int, list[Any]]] = {}  # first index -> (items covered, values)
        self._next = 0
        self.failures = 0
        self.skipped = 0

    @property
    def next_index(self) -> int:
        """The first index whose outcome has not been handed on."""
        return self._next

    @property
    def waiting(self) -> int:
        """Outcomes held back because an earlier one is missing."""
        return sum(count for count, _ in self._waiting.values())

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
        ready = []
        while (run := self._waiting.pop(self._next, None)) is not None:
            count, values = run
            self._next += count
            ready.append(values)
        return ready
