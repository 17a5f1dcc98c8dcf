"""Exceptions on their way home, whatever their classes do on it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from autoexec import Failure, RemoteError, run_parallel
from autoexec._pickling import loads
from autoexec._worker.errors import pack_error, portable_error


def unformattable() -> SyntaxError:
    """One that `traceback` fails on: its line of code is a number."""
    place: Any = ("file", 1, 1, 5)
    return SyntaxError("bad", place)


class ExitsAsText(Exception):
    """Ends the program as its text is asked for."""

    def __str__(self) -> str:
        sys.exit(3)


class ExitsAsItIsRead(Exception):
    """Ends the program as it is made again."""

    def __reduce__(self) -> Any:
        return sys.exit, (3,)


def test_the_text_of_a_traceback_says_where() -> None:
    try:
        raise ValueError("oops")
    except ValueError as error:
        _, text = pack_error(error)
    assert "in test_the_text_of_a_traceback_says_where" in text
    assert text.endswith("ValueError: oops")


def test_a_traceback_that_cannot_be_formatted_is_told_in_a_line() -> None:
    data, text = pack_error(unformattable())
    assert isinstance(loads(data), SyntaxError)
    assert "SyntaxError: bad" in text  # 3.14 can format it
    error, text = portable_error(unformattable())
    assert isinstance(error, SyntaxError)
    assert "SyntaxError: bad" in text  # 3.14 can format it


@pytest.mark.parametrize("kind", [ExitsAsText, ExitsAsItIsRead])
def test_an_exception_that_ends_the_program_on_its_way_does_not(kind: type[Exception]) -> None:
    data, text = pack_error(kind("oops"))
    assert kind.__name__ in text
    assert isinstance(loads(data), kind if kind is ExitsAsText else RemoteError)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("backend", ["processes", "hybrid"])
def test_an_error_that_cannot_be_formatted_fails_its_own_item_only(backend: Any) -> None:
    def call(x: int) -> int:
        if x == 5:
            place: Any = ("file", 1, 1, 5)  # a module of tests cannot be imported there
            raise SyntaxError("bad", place)
        return x

    results: list[Any] = list(
        run_parallel(call, range(12), backend=backend, max_workers=2, on_error="return")
    )
    failure = results.pop(5)
    assert isinstance(failure, Failure) and isinstance(failure.exception, SyntaxError)
    assert results == [x for x in range(12) if x != 5]
