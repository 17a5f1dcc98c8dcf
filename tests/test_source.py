"""How items are taken from an input."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import pytest

from autoexec._source import AT_ONCE, PULL_S, Source


def pages(count: int, size: int) -> Iterator[int]:
    """An input that pauses before each page."""
    for page in range(count):
        time.sleep(3 * PULL_S)
        yield from range(page * size, (page + 1) * size)


def takes(source: Source, most: int) -> Iterator[Sequence[int]]:
    """What is taken at a time, until there is no more."""
    while True:
        taken = source.take(most)
        assert taken is not None
        items, ended, error = taken
        assert error is None
        yield items
        if ended:
            return


def test_items_that_came_do_not_wait_for_the_page_after() -> None:
    iterator = pages(4, 10)
    taken = list(takes(Source(iterator, iterator), 100))
    assert all(len(items) == 1 for items in taken[:-1])
    assert list(chain(*taken)) == list(range(40))


def test_an_input_that_does_not_pause_is_taken_in_ever_larger_pieces() -> None:
    iterator = iter(range(100_000))
    taken = list(takes(Source((one for one in iterator), iterator), 1 << 16))
    assert list(chain(*taken)) == list(range(100_000))
    assert len(taken[0]) == 1
    assert max(map(len, taken)) > 100


def test_a_collection_whose_results_leave_one_by_one_is_taken_as_asked_for() -> None:
    items = range(1000)
    first = next(takes(Source(items, iter(items), whole=False), 100))
    assert len(first) == 100


def test_of_a_range_that_no_memory_would_hold_a_part_is_taken() -> None:
    items = range(AT_ONCE + 1)
    first = next(takes(Source(items, iter(items)), 100))
    assert len(first) == 100


@pytest.mark.parametrize(
    "items",
    [
        [1, 2, 3],
        (1, 2, 3),
        {1, 2, 3},
        frozenset([1, 2, 3]),
        {1: "a", 2: "b", 3: "c"},
        {1: "a", 2: "b", 3: "c"}.keys(),
        {"a": 1, "b": 2, "c": 3}.values(),
        deque([1, 2, 3]),
        range(1, 4),
    ],
    ids=lambda items: type(items).__name__,
)
def test_a_collection_is_taken_whole(items: Collection[int]) -> None:
    taken, ended, error = Source(items, iter(items)).take(1) or ([], False, None)
    assert list(taken) == [1, 2, 3]
    assert (ended, error) == (True, None)
    assert (taken is items) == isinstance(items, (tuple, range)), "which nobody can change"


class Pair(NamedTuple):
    """A tuple whose class may give other items than it holds."""

    one: int
    other: int

    def __iter__(self) -> Iterator[int]:
        return iter([7, 8, 9])


def test_of_a_class_of_the_callers_the_iterator_says_which_the_items_are() -> None:
    items = Pair(1, 2)
    assert list(chain(*takes(Source(items, iter(items)), 5))) == [7, 8, 9]


def test_what_is_changed_meanwhile_was_copied_before() -> None:
    items = [1, 2, 3]
    taken = Source(items, iter(items)).take(1)
    items.clear()
    assert taken == ([1, 2, 3], True, None)
