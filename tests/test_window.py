"""Outcomes in any order become results in input order, each once."""

from __future__ import annotations

import copy
import pickle
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._failure import Failure
from autoexec._options import OnError
from autoexec._window import StreamWindow, UnorderedWindow, Window

# --- Outcomes ----------------------------------------------------------------------------------------

Delivery = tuple[int, list[int] | None]
"""The first index, and the values of a run; None is an error."""


@st.composite
def deliveries(draw: st.DrawFn) -> list[Delivery]:
    """The outcomes of items 0, 1, 2, ... in runs, shuffled; the value of an item is its index."""
    sizes = draw(st.lists(st.integers(0, 5), max_size=12))  # 0 stands for an error
    ends = list(accumulate((max(1, size) for size in sizes), initial=0))
    runs: list[Delivery] = [
        (first, list(range(first, end)) if size else None)
        for size, (first, end) in zip(sizes, pairwise(ends), strict=True)
    ]
    return draw(st.permutations(runs))


def put(window: Window, delivery: Delivery) -> None:
    first, values = delivery
    if values is None:
        window.put_error(first, f"item {first}", ValueError(first), seconds=0.5)
    else:
        window.put_values(first, values)


def taken(window: Window) -> list[object]:
    return [value for run in window.take() for value in run]


def index_of(result: object) -> object:
    return result.index if isinstance(result, Failure) else result


@given(deliveries())
@examples(200)
def test_results_leave_in_input_order_once_each(runs: list[Delivery]) -> None:
    window = Window("return")
    results: list[object] = []
    for run in runs:
        put(window, run)
        results += taken(window)
    total = sum(1 if values is None else len(values) for _, values in runs)
    assert [index_of(result) for result in results] == list(range(total))


@given(deliveries())
@examples(200)
def test_results_leave_as_soon_as_all_before_them_are_there(runs: list[Delivery]) -> None:
    window = Window("return")
    there: set[int] = set()
    results: list[object] = []
    for first, values in runs:
        put(window, (first, values))
        there |= {first} if values is None else set(values)
        results += taken(window)
        missing = next(index for index in range(len(there) + 1) if index not in there)
        assert len(results) == missing


@given(deliveries())
@examples(100)
def test_skipped_errors_leave_no_gap(runs: list[Delivery]) -> None:
    window = Window("skip")
    for run in runs:
        put(window, run)
    good = sorted(value for _, values in runs for value in values or [])
    errors = sum(values is None for _, values in runs)
    assert taken(window) == good
    assert (window.failures, window.skipped) == (errors, errors)


@given(deliveries().filter(bool), st.data())
@examples(200)
def test_a_second_outcome_is_refused(runs: list[Delivery], data: st.DataObject) -> None:
    window = Window("return")
    again = data.draw(st.sampled_from(runs))
    take_at = data.draw(st.integers(0, len(runs)))
    for position, run in enumerate(runs):
        if position == take_at:
            window.take()
        put(window, run)
    with pytest.raises(AssertionError, match=f"item {again[0]} has two outcomes"):
        put(window, again)


def test_a_second_outcome_for_an_item_within_a_run_is_refused() -> None:
    window = Window("return")
    window.put_values(0, [0, 1, 2])
    window.take()
    with pytest.raises(AssertionError, match="item 1 has two outcomes"):
        window.put_values(1, [1])


def test_overlapping_runs_are_refused_before_results_are_lost() -> None:
    window = Window("return")
    for run in [(0, [0, 1, 2]), (1, [1]), (3, [3])]:
        put(window, run)
    with pytest.raises(AssertionError, match="item 1 has two outcomes"):
        window.take()


def test_a_run_stays_the_list_it_came_as() -> None:
    window = Window("raise")
    values = [1, 2, 3]
    window.put_values(0, values)
    assert window.take()[0] is values


def test_no_values_are_no_outcome() -> None:
    window = Window("raise")
    window.put_values(0, [])
    window.put_values(0, [1])
    assert list(window.take()) == [[1]]


# --- Errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_error", "ends"), [("raise", True), ("return", False), ("skip", False)]
)
def test_only_raise_ends_the_run(on_error: OnError, ends: bool) -> None:
    window = Window(on_error)
    assert window.put_error(0, "item", ValueError(), seconds=0.1) is ends
    assert window.failures == 1


def test_raise_hands_on_what_came_before_and_no_more() -> None:
    window = Window("raise")
    window.put_values(0, [10])
    window.put_error(1, "item", ValueError(), seconds=0.1)
    window.put_values(2, [12])
    assert taken(window) == [10]


def test_return_puts_a_failure_in_the_place_of_the_result() -> None:
    window = Window("return")
    error = ValueError("no")
    window.put_values(1, [11])
    window.put_error(0, "item", error, seconds=0.25)
    results: list[Any] = taken(window)
    failure: Failure[str] = results[0]
    assert type(failure) is Failure
    assert (failure.index, failure.item, failure.seconds) == (0, "item", 0.25)
    assert failure.exception is error
    assert results[1:] == [11]
    assert window.skipped == 0


# --- What is there before all is there ---------------------------------------------------------------


@given(deliveries(), st.data(), st.sampled_from(["return", "skip"]))
@examples(200)
def test_what_is_finished_is_found_by_the_index_of_its_item(
    runs: list[Delivery], data: st.DataObject, on_error: Any
) -> None:
    window = Window(on_error)
    heard = runs[: data.draw(st.integers(0, len(runs)))]
    gone: list[object] = []
    for run in heard:
        put(window, run)
        if data.draw(st.booleans()):
            gone += taken(window)
    found = window.finished(gone)
    good = {value: value for _, values in heard for value in values or []}
    failed = {first for first, values in heard if values is None}
    assert {index: value for index, value in found.items() if index in good} == good
    left = found.keys() - good.keys()
    if on_error == "skip":
        assert not left
    else:
        assert left == failed
        assert all(index_of(found[index]) == index for index in left)


def test_what_waits_behind_a_gap_is_finished_too() -> None:
    window = Window("raise")
    window.put_values(0, ["a"])
    window.put_values(3, ["d", "e"])
    gone = taken(window)
    assert gone == ["a"]
    assert window.finished(gone) == {0: "a", 3: "d", 4: "e"}


def test_what_is_finished_is_in_the_order_of_the_items() -> None:
    window = Window("return")
    for run in [(7, [7]), (4, [4, 5]), (1, [1]), (0, [0])]:
        put(window, run)
    gone = taken(window)
    assert list(window.finished(gone)) == [0, 1, 4, 5, 7]


def test_items_that_were_left_out_do_not_move_the_others() -> None:
    window = Window("skip")
    for index in (0, 2, 5):
        window.put_error(index, "item", ValueError(), seconds=0.1)
    window.put_values(1, ["b"])
    window.put_values(3, ["d"])
    window.put_values(6, ["g"])
    gone = taken(window)
    assert window.finished(gone) == {1: "b", 3: "d", 6: "g"}


def test_at_first_nothing_is_finished() -> None:
    assert Window("raise").finished([]) == {}


# --- Failures ----------------------------------------------------------------------------------------


def test_a_failure_is_false() -> None:
    assert not Failure(0, "item", ValueError(), 0.1)


def test_a_failure_cannot_be_changed() -> None:
    failure = Failure(0, "item", ValueError(), 0.1)
    with pytest.raises(AttributeError, match="index"):
        failure.index = 1


def test_a_failure_can_be_matched() -> None:
    match Failure(3, "item", ValueError(), 0.1):
        case Failure(index, item, ValueError()):
            assert (index, item) == (3, "item")
        case _:
            pytest.fail("no match")


def test_a_failure_can_be_pickled_and_copied() -> None:
    failure = Failure(3, ["item"], ValueError("no"), 0.1)
    for again in (pickle.loads(pickle.dumps(failure)), copy.deepcopy(failure)):
        assert (again.index, again.item, again.seconds) == (3, ["item"], 0.1)
        assert again.exception.args == ("no",)


def test_a_failure_shows_what_failed() -> None:
    shown = repr(Failure(3, "item", ValueError("no"), 0.12345))
    assert shown == "Failure(index=3, item='item', exception=ValueError('no'), seconds=0.123)"


# --- Windows of iterators ------------------------------------------------------------------------------


@given(deliveries())
@examples(200)
def test_in_an_iterator_results_end_at_the_first_error_in_order(runs: list[Delivery]) -> None:
    window = StreamWindow("raise")
    results: list[object] = []
    ends: list[BaseException] = []
    for first, values in runs:
        put(window, (first, values))
        results += taken(window)
        end = window.end()
        ends += [end] if end is not None else []
    errors = [first for first, values in runs if values is None]
    total = min(errors, default=sum(len(values or ()) for _, values in runs))
    assert results == list(range(total))
    assert [end.args[0] for end in ends] == sorted(errors)[:1]


@given(deliveries())
@examples(200)
def test_without_order_results_leave_at_once(runs: list[Delivery]) -> None:
    window = UnorderedWindow("return")
    for first, values in runs:
        put(window, (first, values))
        wanted = [first] if values is None else values
        assert [index_of(result) for result in taken(window)] == wanted
    assert window.passed == sum(1 if values is None else len(values) for _, values in runs)
    assert taken(window) == []


@given(deliveries(), st.sampled_from(["return", "skip"]))
@examples(200)
def test_in_an_iterator_nothing_is_remembered_of_what_has_left(
    runs: list[Delivery], on_error: OnError
) -> None:
    window = StreamWindow(on_error)
    for run in runs:
        put(window, run)
    taken(window)
    total = sum(1 if values is None else len(values) for _, values in runs)
    assert window.passed == total
    assert window.waiting() == {}
    assert not window.ends_before(total)
    assert window.end() is None


def test_an_item_after_an_error_is_not_needed_and_one_before_it_is() -> None:
    window = StreamWindow("raise")
    window.put_error(5, "item", ValueError(), 0.0)
    assert [index for index in range(8) if window.ends_before(index)] == [5, 6, 7]
    window.put_error(3, "item", ValueError(), 0.0)
    assert [index for index in range(8) if window.ends_before(index)] == [3, 4, 5, 6, 7]
