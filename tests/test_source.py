"""How items are taken from an input."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain

from autoexec._source import PULL_S, Source


def pages(count: int, size: int) -> Iterator[int]:
    """An input that pauses before each page."""
    for page in range(count):
        time.sleep(3 * PULL_S)
        yield from range(page * size, (page + 1) * size)


def takes(source: Source, most: int) -> Iterator[list[int]]:
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


def test_a_collection_is_taken_as_asked_for() -> None:
    items = range(1000)
    first = next(takes(Source(items, iter(items)), 1000))
    assert len(first) > 1


def test_a_list_is_copied_whole() -> None:
    items = [1, 2, 3]
    source = Source(items, iter(items))
    taken = source.take(1)
    items.clear()
    assert taken == ([1, 2, 3], True, None)
