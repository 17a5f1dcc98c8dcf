"""Items leave in order, each once; those that come back leave first."""

from __future__ import annotations

from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._intake import Intake


def takes(intake: Intake, count: int) -> list[tuple[int, object]]:
    """The items of one take, each with its index."""
    first, source, start = intake.take(count)
    return list(enumerate(source[start:], start=first))


@given(st.lists(st.integers(1, 6), max_size=6), st.data())
@examples(100)
def test_items_leave_in_order_once_each(sizes: list[int], data: st.DataObject) -> None:
    intake = Intake(None)
    total = sum(sizes)
    for first, end in pairwise(accumulate(sizes, initial=0)):
        intake.took(
            [f"item {index}" for index in range(first, end)], ended=end == total, error=None
        )
    left: list[tuple[int, object]] = []
    while intake.count:
        assert intake.count == total - len(left)
        assert intake.first() == len(left)
        assert intake.peek() == f"item {len(left)}"
        count = data.draw(st.integers(1, 8))
        taken = takes(intake, count)
        assert 1 <= len(taken) <= count
        left += taken
    assert left == [(index, f"item {index}") for index in range(total)]


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 3))
@examples(100)
def test_items_that_are_settled_do_not_leave(settled: list[bool], before: int) -> None:
    intake = Intake(None)
    intake.took(["earlier"] * before, ended=False, error=None)
    items = [f"item {index}" for index in range(len(settled))]
    spans = [(before + index, 1) for index, known in enumerate(settled) if known]
    intake.took(list(items), ended=True, error=None, settled=spans)
    assert intake.taken == before + len(items)
    left = [pair for _ in range(len(items) + before) if intake.count for pair in takes(intake, 99)]
    expected = [(before + i, item) for i, item in enumerate(items) if not settled[i]]
    assert left[before:] == expected
    assert intake.over


def test_items_that_come_back_leave_first() -> None:
    intake = Intake(None)
    intake.took(["a", "b", "c", "d", "e"], ended=True, error=None)
    assert takes(intake, 3) == [(0, "a"), (1, "b"), (2, "c")]
    intake.give_back(1, ["b", "c"])
    assert (intake.count, intake.first(), intake.peek()) == (4, 1, "b")
    assert takes(intake, 10) == [(1, "b"), (2, "c")]
    assert intake.first() == 3
    assert takes(intake, 10) == [(3, "d"), (4, "e")]
    assert intake.count == 0


def test_the_rest_of_a_list_is_not_copied() -> None:
    intake = Intake(None)
    items: list[object] = ["a", "b", "c"]
    intake.took(items, ended=True, error=None)
    intake.take(1)
    first, source, start = intake.take(10)
    assert source is items
    assert (first, start) == (1, 1)


@given(st.lists(st.integers(0, 6), max_size=6).filter(any), st.data())
@examples(100)
def test_what_remains_is_known_once_the_length_or_the_end_is(
    sizes: list[int], data: st.DataObject
) -> None:
    total = sum(sizes)
    known = data.draw(st.booleans())
    intake = Intake(total if known else None)
    sent = 0
    for size in sizes:
        assert intake.remaining == (
            max(1, total - sent) if known and total else 0 if known else None
        )
        intake.took([None] * size, ended=False, error=None)
        if intake.count:
            sent += len(takes(intake, 2))
    intake.took([], ended=True, error=None)
    assert intake.remaining == intake.count == total - sent
    assert intake.over == (total == sent)
