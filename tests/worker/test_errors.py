"""Exceptions on their way home, whatever their classes do on it."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from autoexec import Failure, RemoteError, run_parallel
from autoexec._pickling import dumps, loads
from autoexec._worker.errors import _Copied, pack_error, portable_error


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
    assert isinstance(loads(data), kind)


# --- Copies of what pickle cannot make again -----------------------------------------------------------


class Refused(Exception):
    """As many are written: its text is made of its arguments."""

    def __init__(self, status: int, *, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.lock = threading.Lock()


class Missing(OSError):
    """Pickles well, and is then made of the wrong arguments."""

    def __init__(self, path: str) -> None:
        super().__init__(2, "not here", path)


class Slotted(Exception):
    __slots__ = ("first", "second")

    def __init__(self, first: int, second: int) -> None:
        super().__init__("slots")
        self.first = first


class Forbids(Exception):
    """Has no attributes but what it was made with."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(one, other)

    def __setattr__(self, name: str, value: object) -> None:
        raise RuntimeError(name)


class Numbered(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(f"number {number}")
        self.number = number


@pytest.mark.parametrize(
    "error",
    [
        Refused(503, reason="busy"),
        Missing("/none"),
        Slotted(1, 2),
        Forbids(1, 2),
        Numbered(7),
        ValueError(object()),
        UnicodeDecodeError("utf-8", b"abc", 1, 2, "bad"),
    ],
)
def test_what_pickle_cannot_make_again_is_of_its_class_all_the_same(error: Exception) -> None:
    again = loads(pack_error(error)[0])
    assert type(again) is type(error)
    assert isinstance(error, ValueError) or str(again) == str(error)


def test_a_copy_has_the_attributes_that_can_travel_and_says_which_cannot() -> None:
    refused = loads(pack_error(Refused(503, reason="busy"))[0])
    assert refused.status == 503
    assert refused.__notes__ == ["It has lost .lock on its way from a worker process."]
    assert loads(pack_error(Missing("/none"))[0]).filename == "/none"
    # By itself: what `tblib` registers, which Dask imports, pickles such a one without its slots.
    slotted = loads(dumps(_Copied(Slotted(1, 2))))
    assert slotted.first == 1 and not hasattr(slotted, "second")


class Group(ExceptionGroup[Exception]):
    """Cannot be made of its arguments by its base either."""

    def __new__(cls, text: str, errors: list[Exception], more: int) -> Group:
        return super().__new__(cls, text, errors)

    def __init__(self, text: str, errors: list[Exception], more: int) -> None:
        super().__init__(text, errors)


def test_what_cannot_be_copied_has_a_stand_in() -> None:
    again = loads(pack_error(Group("oops", [ValueError(1)], 5))[0])
    assert isinstance(again, RemoteError)
    assert "Group: oops" in str(again)


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
