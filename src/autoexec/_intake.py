"""What came from the input and was not sent anywhere yet. Pure."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any


class Intake:
    """The items in hand, in order; those that come back go first.

    Args:
        length: Items of the whole input; None if that is not known.
    """

    def __init__(self, length: int | None) -> None:
        self.length = length
        self.count = 0
        """Items in hand."""
        self.taken = 0
        """Items that came from the input."""
        self.ended = length == 0
        """It has no more."""
        self.error: BaseException | None = None
        """What it raised."""
        self.stays: set[int] = set()
        """Indices of items that cannot leave this process."""
        self._runs: deque[list[Any]] = deque()  # [first index, items, position]
        self._later: list[tuple[float, int, list[Any]]] = []  # a heap: (time, index, [item])

    @property
    def over(self) -> bool:
        """Whether there is nothing in hand and nothing will come."""
        return self.ended and not self.count and not self._later

    @property
    def remaining(self) -> int | None:
        """Items not sent yet, or None while nobody knows."""
        held = self.count + len(self._later)
        if self.ended:
            return held
        if self.length is None:
            return None
        return max(1, self.length - self.taken + held)

    def took(
        self,
        items: Sequence[Any],
        ended: bool,
        error: BaseException | None,
        settled: Iterable[tuple[int, int]] = (),
    ) -> None:
        """Items came; `ended` if these were the last, `error` if the input raised after them.

        Args:
            settled: Those that need not be sent: the index of the first and how many, in their order.
        """
        at = first = self.taken
        self.taken += len(items)
        for index, count in (*settled, (self.taken, 0)):
            if index > at:  # all of them are the list itself
                whole = index - at == len(items)
                self._add(at, items if whole else items[at - first : index - first], front=False)
            at = index + count
        self.ended = ended
        self.error = error

    def give_back(self, first: int, items: Sequence[Any]) -> None:
        """Items that were sent were not started."""
        self._add(first, items, front=True)

    def put_off(self, index: int, item: Any, until: float) -> None:
        """An item that was sent is to be sent again, but not before a time."""
        heapq.heappush(self._later, (until, index, [item]))

    def wake(self, now: float) -> None:
        """Take those in hand again whose time has come: they go first."""
        while self._later and self._later[0][0] <= now:
            _, index, items = heapq.heappop(self._later)
            self._add(index, items, front=True)

    @property
    def wakes_at(self) -> float:
        """When the next of them is due."""
        return self._later[0][0] if self._later else math.inf

    def _add(self, first: int, items: Sequence[Any], *, front: bool) -> None:
        (self._runs.appendleft if front else self._runs.append)([first, items, 0])
        self.count += len(items)

    def take(self, count: int) -> tuple[int, Sequence[Any], int]:
        """The next consecutive items, at most `count`: the index of the first, what they are from, and where
        in that they start; they end with it."""
        run = self._runs[0]
        first, items, position = run
        if position + count >= len(items):
            self._runs.popleft()
            self.count -= len(items) - position
            return first + position, items, position
        run[2] += count
        self.count -= count
        return first + position, items[position : position + count], 0

    def drop(self) -> None:
        """The next items are not needed, as far as they are consecutive."""
        _, items, position = self._runs.popleft()
        self.count -= len(items) - position

    def first(self) -> int:
        """The index of the next item."""
        first, _, position = self._runs[0]
        return int(first + position)

    def peek(self) -> Any:
        """The next item."""
        _, items, position = self._runs[0]
        return items[position]
