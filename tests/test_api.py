"""The public face: options in words, the decorator, and what a type checker infers."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import weakref
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

import autoexec
from autoexec import (
    AsyncResultIterator,
    Failure,
    ResultIterator,
    Results,
    aiter_parallel,
    arun_parallel,
    iter_parallel,
    parallel,
    run_parallel,
)

if TYPE_CHECKING:
    from typing import assert_type


@parallel
def square(x: int) -> int:
    """The square."""
    return x * x


@parallel(backend="threads", max_workers=2)
def shout(word: str, mark: str = "!") -> str:
    return word.upper() + mark


@parallel
async def later(x: int) -> str:
    await asyncio.sleep(0)
    return str(x)


class Scale:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    @parallel
    def apply(self, x: int) -> int:
        return x * self.factor


class TestDecorator:
    def test_the_function_is_called_as_before(self) -> None:
        assert square(3) == 9
        assert shout("a", mark="?") == "A?"
        assert asyncio.run(later(4)) == "4"

    def test_it_keeps_name_docstring_and_signature(self) -> None:
        assert square.__name__ == "square"
        assert square.__doc__ == "The square."
        assert str(inspect.signature(square)) == "(x: 'int') -> 'int'"

    def test_map_runs_it_over_many_items(self) -> None:
        assert square.map(range(5)) == [0, 1, 4, 9, 16]
        assert later.map([1, 2]) == ["1", "2"]

    def test_map_uses_the_options_of_the_decorator(self) -> None:
        results = shout.map(["a", "b"])
        assert results == ["A!", "B!"]
        assert results.report.route == "threads"

    def test_methods_are_bound(self) -> None:
        scale = Scale(3)
        assert scale.apply(2) == 6
        assert scale.apply.map([1, 2]) == [3, 6]

    def test_it_can_be_given_to_run_parallel(self) -> None:
        assert run_parallel(square, [2, 3]) == [4, 9]
        assert run_parallel(later, [2, 3]) == ["2", "3"]

    def test_it_works_inside_a_worker(self) -> None:
        assert run_parallel(lambda x: square(x) + 1, [2, 3], backend="processes") == [5, 10]

    def test_wrong_options_are_refused_when_the_decorator_runs(self) -> None:
        with pytest.raises(TypeError, match="Did you mean 'max_workers'"):
            parallel(max_worker=3)  # type: ignore[call-overload]  # pyright: ignore
        with pytest.raises(TypeError, match="must be callable"):
            parallel(3)  # type: ignore[call-overload]  # pyright: ignore


class TestRefusals:
    """Clear errors before anything starts."""

    def test_an_unknown_option(self) -> None:
        with pytest.raises(TypeError, match="no option 'workers'"):
            run_parallel(square, [1], workers=3)  # type: ignore[call-overload]  # pyright: ignore

    def test_a_function_that_cannot_be_called(self) -> None:
        with pytest.raises(TypeError, match="The function comes first"):
            run_parallel([1, 2], str)  # type: ignore[call-overload]  # pyright: ignore

    def test_items_that_cannot_be_iterated(self) -> None:
        with pytest.raises(TypeError, match=r"for a single item pass \[item\]"):
            run_parallel(square, 3)  # type: ignore[call-overload]  # pyright: ignore

    def test_a_coroutine_nobody_asked_for_is_named(self) -> None:
        with pytest.raises(TypeError, match="returned a coroutine"):
            run_parallel(lambda x: later(x), [1, 2, 3])
        assert run_parallel(lambda x: later(x), [1, 2, 3], backend="asyncio") == ["1", "2", "3"]


def test_a_failure_is_a_record() -> None:
    failure = Failure(3, "item", ValueError("no"), 0.5)
    assert not failure
    with pytest.raises(AttributeError, match="record"):
        failure.index = 4
    again: Failure[str] = pickle.loads(pickle.dumps(failure))
    assert (again.index, again.item, str(again.exception), again.seconds) == (3, "item", "no", 0.5)
    assert repr(failure) == "Failure(index=3, item='item', exception=ValueError('no'), seconds=0.5)"


def test_results_can_be_pickled_with_their_report() -> None:
    results = run_parallel(len, ["a", "bc"])
    again: Results[int] = pickle.loads(pickle.dumps(results))
    assert again == [1, 2]
    assert again.report == results.report


def test_results_hold_no_dict() -> None:
    """CPython 3.12 specialises the append of an inline call only on such a list."""
    results = run_parallel(len, ["a"])
    assert not hasattr(results, "__dict__")
    assert weakref.ref(results)() is results
    assert copy.copy(results).report is results.report


def test_every_public_name_exists_and_is_documented() -> None:
    for name in autoexec.__all__:
        assert getattr(autoexec, name).__doc__, name


def check_types() -> None:
    """Never called: what a type checker must infer."""

    async def fetch(x: int) -> bytes:
        return bytes(x)

    def add(a: int, b: int) -> str:
        return str(a + b)

    def half(x: int) -> float:
        return x / 2

    assert_type(run_parallel(half, [1]), Results[float])
    assert_type(run_parallel(half, [1], max_workers=2, backend="threads"), Results[float])
    assert_type(run_parallel(half, [1], on_error="skip"), Results[float])
    assert_type(run_parallel(half, [1], on_error="return"), "Results[float | Failure[int]]")
    assert_type(run_parallel(fetch, [1]), Results[bytes])
    assert_type(run_parallel(fetch, [1], on_error="return"), "Results[bytes | Failure[int]]")
    assert_type(run_parallel(add, [(1, 2)], star=True), Results[str])
    assert_type(
        run_parallel(add, [(1, 2)], star=True, on_error="return"),
        "Results[str | Failure[tuple[int, int]]]",
    )
    assert_type(run_parallel(lambda x: x + 1, [1]), Results[int])
    assert_type(square(2), int)
    assert_type(square.map([1]), Results[int])
    assert_type(later.map([1]), Results[str])


async def check_types_of_the_other_forms() -> None:
    """Never called: what a type checker must infer."""

    async def fetch(x: int) -> bytes:
        return bytes(x)

    async def numbers() -> AsyncIterator[int]:
        yield 1

    def add(a: int, b: int) -> str:
        return str(a + b)

    def half(x: int) -> float:
        return x / 2

    assert_type(iter_parallel(half, [1]), ResultIterator[float])
    assert_type(iter_parallel(half, [1], ordered=False, buffersize=3), ResultIterator[float])
    assert_type(iter_parallel(fetch, [1], on_error="skip"), ResultIterator[bytes])
    assert_type(iter_parallel(half, [1], on_error="return"), "ResultIterator[float | Failure[int]]")
    assert_type(iter_parallel(add, [(1, 2)], star=True), ResultIterator[str])
    assert_type(next(iter_parallel(fetch, [1])), bytes)
    assert_type(await arun_parallel(half, [1]), Results[float])
    assert_type(await arun_parallel(fetch, numbers()), Results[bytes])
    assert_type(await arun_parallel(fetch, [1], on_error="return"), "Results[bytes | Failure[int]]")
    assert_type(await arun_parallel(add, [(1, 2)], star=True), Results[str])
    assert_type(aiter_parallel(half, numbers()), AsyncResultIterator[float])
    assert_type(aiter_parallel(fetch, [1], ordered=False), AsyncResultIterator[bytes])
    assert_type(
        aiter_parallel(fetch, numbers(), on_error="return"),
        "AsyncResultIterator[bytes | Failure[int]]",
    )
    async for value in aiter_parallel(add, [(1, 2)], star=True):
        assert_type(value, str)


def names(module: Any) -> set[str]:
    return {name for name in vars(module) if not name.startswith("_")}


def test_nothing_public_is_missing_from_all() -> None:
    others = {"executors", "joblib", "testing", "TYPE_CHECKING", "Any"}
    assert names(autoexec) - others <= set(autoexec.__all__)
