"""What is kept comes back as the very same, and a changed byte is seen."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec import NotPicklable, RemoteError
from autoexec._stored import Row, error_of, row_of_error, row_of_value, value_of

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = st.recursive(
    LEAVES,
    lambda some: (
        st.lists(some, max_size=3)
        | st.tuples(some)
        | st.dictionaries(st.text(max_size=3) | st.integers(), some, max_size=3)
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and (
            one == other or (math.isnan(one) and math.isnan(other))
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same([*one.items()], [*other.items()])
    return bool(one == other)


@given(VALUES)
@examples(200)
def test_results_come_back_with_their_types(value: object) -> None:
    row = row_of_value(3, b"d", value, 0.5)
    assert (row.json is None) != (row.pickle is None)
    assert same(value_of(row), value)


@pytest.mark.parametrize(
    "value", [None, True, 1, 1.5, -0.0, "\ud800", {"a": [1, {"b": None}]}, [], {}], ids=ascii
)
def test_what_is_json_is_kept_as_json(value: object) -> None:
    row = row_of_value(0, b"", value, 0.0)
    assert row.pickle is None
    assert same(value_of(row), value)


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "value", [(1,), {1: 2}, {1}, b"x", math.inf, [math.nan], 10**5000, LOOP, 1j], ids=lambda v: type(v).__name__
)  # fmt: skip
def test_what_is_not_quite_json_is_pickled(value: object) -> None:
    assert row_of_value(0, b"", value, 0.0).json is None


def test_what_only_cloudpickle_can_is_kept_too() -> None:
    assert value_of(row_of_value(0, b"", lambda: 7, 0.0))() == 7
    with pytest.raises(NotPicklable):
        row_of_value(0, b"", threading.Lock(), 0.0)


def test_errors_come_back_as_they_are_or_as_their_text() -> None:
    error = error_of(row_of_error(0, b"", KeyError("k"), 0.0))
    assert repr(error) == "KeyError('k')"

    class Local(Exception):
        def __reduce__(self) -> Any:
            raise TypeError

    row = row_of_error(0, b"", Local("what"), 0.0)
    assert row.pickle is None
    assert isinstance(error_of(row), RemoteError)
    assert str(error_of(row)).endswith("Local: what")
    assert isinstance(error_of(row._replace(pickle=b"garbage")), RemoteError)


@pytest.mark.parametrize(
    "change",
    [
        {"item_index": 2},
        {"item_digest": b"e"},
        {"json": "2"},
        {"pickle": b"x"},
        {"failed": "x"},
        {"seconds": 1.0},
    ],
)
def test_any_change_shows_in_the_mark(change: dict[str, Any]) -> None:
    row = Row(1, b"d", "1", None, None, 0.5)
    assert row.mark == Row(*row).mark != row._replace(**change).mark
