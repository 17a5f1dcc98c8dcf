"""Whether the code of a function may change objects that it has not made itself. What code plainly
changes is tested together with what calls are seen to change, in `test_effects`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from autoexec._bytecode import may_change_objects

Function = Callable[..., Any]
table: dict[Any, Any] = {}


class Thing:
    def __init__(self) -> None:
        self.size = 0

    def grow(self, by: int) -> None:
        self.size += by

    def measure(self, by: int) -> int:
        return self.size * by


# --- Functions that keep to their own ------------------------------------------------------------


def counts_words(text: str) -> dict[str, int]:
    words: dict[str, int] = {}
    for word in text.split():
        words[word] = words.get(word, 0) + 1
    return words


def adds_in_place(text: str) -> dict[str, int]:
    found = dict.fromkeys(text, 0)
    for letter in text:
        found[letter] += 1
    found.setdefault("", 0)
    return found


def fills_an_object(size: int) -> Thing:
    thing = Thing()
    thing.size = size
    thing.size += 1
    return thing


def gathers(items: list[int]) -> list[int]:
    found = []
    for item in items:
        found.append(item + 1)
    del found[0]
    return [each for each in found if each]


def sorts_a_copy(items: list[int]) -> list[int]:
    ordered = list(items)
    ordered.sort()
    ordered[1:2] = [0]
    return ordered


def sieves(limit: int) -> list[int]:
    sieve = [1] * limit
    sieve[1] = 0
    return sieve


@pytest.mark.parametrize(
    "fn",
    [
        counts_words,
        adds_in_place,
        fills_an_object,
        gathers,
        sorts_a_copy,
        sieves,
        Thing().measure,
        functools.partial(counts_words),
        len,
    ],
)
def test_objects_of_its_own_may_change(fn: Function) -> None:
    assert not may_change_objects(fn)


# --- Functions that may reach the caller's ---------------------------------------------------------


def fills_its_item(item: dict[str, int]) -> None:
    item["sum"] = 1


def deletes_from_its_item(item: dict[str, int]) -> None:
    del item["sum"]


def adds_to_its_item(item: list[int]) -> None:
    item[len(item) - 1] += 2


def replaces_a_slice(item: list[int]) -> None:
    item[1:2] = [3]


def appends_by_another_name(item: list[int]) -> None:
    also = item
    also.append(1)


def fills_a_global(item: int) -> None:
    table[item] = 1


def marks_each(items: list[Thing]) -> None:
    for thing in items:
        thing.size = 1


def reaches_far(item: Any) -> None:
    item.table[item.key if item else 3] += 1


def nests(items: list[Any]) -> list[Any]:
    def mark(item: Any) -> Any:
        item.done = True
        return item

    return [mark(item) for item in items]


@pytest.mark.parametrize(
    "fn",
    [
        fills_its_item,
        deletes_from_its_item,
        adds_to_its_item,
        replaces_a_slice,
        appends_by_another_name,
        fills_a_global,
        marks_each,
        reaches_far,
        nests,
        Thing().grow,
        functools.partial(fills_its_item),
    ],
)
def test_objects_of_others_may_change(fn: Function) -> None:
    assert may_change_objects(fn)
