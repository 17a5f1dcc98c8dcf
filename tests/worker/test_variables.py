"""Whether variables of modules are here what they are in the parent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._worker.variables import Differs, checked, text_of, value_at

SIZE = 7
NAMES = ["a"]


class Holder:
    __slots__ = ("inner",)
    limit = 3

    @property
    def asked(self) -> int:
        raise AssertionError("code of the class was run")


HOLDER = Holder()

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(), parts, max_size=4)
    | st.frozensets(st.integers(), max_size=4) | st.tuples(parts, parts),
    max_leaves=12,
)  # fmt: skip


def test_the_function_is_given_if_all_is_as_it_should_be() -> None:
    expected = {(__name__, ("SIZE",)): "7", (__name__, ("Holder", "limit")): "3"}
    assert checked(len, expected) is len


@pytest.mark.parametrize(
    ("names", "there", "words"),
    [
        (("SIZE",), "8", "SIZE, which is 8 here and 7 in a worker"),
        (("NAMES",), text_of(["b"]), "NAMES, which is not the same in a worker"),
        (("NONE",), "8", "NONE, which is 8 here and None in a worker"),
        (("HOLDER",), "8", "HOLDER, which is not the same in a worker"),
    ],
)
def test_else_it_is_said_what_differs(names: tuple[str, ...], there: str, words: str) -> None:
    with pytest.raises(Differs, match=words):
        checked(len, {(__name__, names): there})


def test_a_module_that_nobody_has_imported_will_be_new() -> None:
    assert checked(len, {("no_such_module", ("x",)): "1"}) is len


def test_no_code_of_a_class_is_run() -> None:
    assert isinstance(value_at(globals(), ("HOLDER", "asked")), property)
    assert value_at(globals(), ("HOLDER", "none")) is None


@given(plain)
@examples(100)
def test_what_is_plain_has_a_text_and_the_same_has_the_same(value: Any) -> None:
    text = text_of(value)
    assert text is not None
    assert text == text_of(value)


@given(plain, plain)
@examples(200)
def test_what_is_not_the_same_has_another(one: Any, other: Any) -> None:
    if repr(one) != repr(other) and one != other:
        assert text_of(one) != text_of(other)


@pytest.mark.parametrize(
    "value", [object(), [object()], {"a": object()}, list(range(1000)), "x" * 2000]
)
def test_what_is_not_plain_or_large_has_none(value: object) -> None:
    assert text_of(value) is None
