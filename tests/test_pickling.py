"""What travels to another process, what it weighs, and what cannot go at all."""

from __future__ import annotations

import functools
import io
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._errors import NotPicklable
from autoexec._payload import SMALL_BYTES, weigh
from autoexec._pickling import PROTOCOL, Portable, dumps, loads


def adder(amount: int) -> Callable[[int], int]:
    return lambda item: item + amount


class Multiplier:
    """Has a method, and is called as well."""

    def __init__(self, by: int) -> None:
        self.by = by

    def times(self, item: int) -> int:
        return item * self.by

    def __call__(self, item: int) -> int:
        return self.times(item)


class Stubborn:
    """Cannot be pickled, for a reason of its own."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise ValueError("not for sale")


class Unspeakable(Stubborn):
    """Cannot be shown either."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Large:
    """Says that it is large; must not be pickled to find out."""

    nbytes = SMALL_BYTES + 1

    def __reduce__(self) -> tuple[Any, ...]:
        raise AssertionError("it was pickled")


def stuck() -> Callable[[int], bool]:
    lock = threading.Lock()
    return lambda item: lock.acquire()


# --- There and back ----------------------------------------------------------------------------------

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=3), parts),
    max_leaves=8,
)


@given(plain)
@examples(50)
def test_plain_data_comes_back_the_same(value: object) -> None:
    assert loads(dumps(value)) == value


@pytest.mark.parametrize("value", ["__main__", b"__main__", {"__main__": [1]}])
def test_data_that_mentions_the_main_module_comes_back_the_same(value: object) -> None:
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    ("fn", "result"),
    [
        (abs, 3),
        (adder(10), 13),
        (functools.partial(pow, 2), 8),
        (functools.partial(adder(1)), 4),
        (int("5").__add__, 8),
    ],
)
def test_functions_of_every_kind_come_back(fn: Callable[[int], int], result: int) -> None:
    assert loads(dumps(fn))(3) == result


def test_methods_and_callable_objects_come_back_with_their_object() -> None:
    source = Multiplier(4)
    for fn in (source.times, source):
        assert loads(dumps(fn))(3) == 12


def test_functions_that_can_be_imported_travel_by_name() -> None:
    assert len(dumps(pickle.dumps)) < 100


MAIN_SCRIPT = """
import sys
from autoexec._pickling import dumps

factor = 3

def triple(item):
    return item * factor

class Three(int):
    pass

sys.stdout.buffer.write(dumps((triple, Three(3), [triple])))
"""


def test_what_the_main_module_defines_travels_by_value() -> None:
    script = subprocess.run([sys.executable, "-c", MAIN_SCRIPT], capture_output=True, check=True)
    triple, three, _ = loads(script.stdout)
    assert triple(5) == 15
    assert type(three).__name__ == "Three"
    assert three == 3


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (threading.Lock(), "lock"),
        ((number for number in [1]), "generator"),
        (io.TextIOWrapper(io.BytesIO()), "TextIOWrapper"),
        (Stubborn(), "Stubborn"),
        (Unspeakable(), "Unspeakable instance"),
        ([{"deep": Stubborn()}], "Stubborn"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_what_cannot_travel_is_refused_by_name_and_with_advice(value: object, shown: str) -> None:
    with pytest.raises(NotPicklable) as caught:
        dumps(value)
    message = str(caught.value)
    assert shown in message
    assert f"of type {type(value).__name__}" in message
    assert "backend='threads'" in message
    assert caught.value.__cause__ is not None


def test_the_reason_that_a_class_gives_is_passed_on() -> None:
    with pytest.raises(NotPicklable, match="not for sale"):
        dumps(Stubborn())


# --- What it weighs ----------------------------------------------------------------------------------


def test_the_function_an_item_and_a_result_are_weighed() -> None:
    payload = weigh(abs, b"x" * 1000, b"y" * 2000)
    assert payload.obstacle is None
    assert payload.fn_bytes == len(pickle.dumps(abs, PROTOCOL))
    assert 1000 < payload.item_bytes < 1100
    assert 2000 < payload.result_bytes < 2100
    assert payload.pickle_s > 0


def test_what_a_function_captured_counts_as_its_weight() -> None:
    table = "x" * 100_000

    def fn(item: int) -> str:
        return table[item]

    assert weigh(fn, 1, None).fn_bytes > 100_000


@pytest.mark.parametrize(
    ("fn", "item", "result", "words"),
    [
        (stuck(), 1, 2, "the function cannot be pickled"),
        (abs, Stubborn(), 2, "an item cannot be pickled (not for sale)"),
        (abs, 1, Stubborn(), "a result cannot be pickled (not for sale)"),
        (abs, 1, threading.Lock(), "a result cannot be pickled"),
    ],
)
def test_what_cannot_travel_is_an_obstacle(
    fn: Callable[..., Any], item: object, result: object, words: str
) -> None:
    obstacle = weigh(fn, item, result).obstacle
    assert obstacle is not None
    assert words in obstacle


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (b"x" * (SMALL_BYTES + 1), SMALL_BYTES + 1),
        (bytearray(SMALL_BYTES + 7), SMALL_BYTES + 7),
        ("x" * (SMALL_BYTES + 9), SMALL_BYTES + 9),
        (memoryview(bytes(SMALL_BYTES + 3)), SMALL_BYTES + 3),
        (Large(), SMALL_BYTES + 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_plainly_large_is_not_pickled_to_find_out(value: object, size: int) -> None:
    payload = weigh(abs, value, None)
    assert payload.item_bytes == size
    assert payload.pickle_s > 0
    assert payload.obstacle is None


def test_a_size_that_is_not_a_number_is_no_size() -> None:
    class Odd:
        nbytes = "many"

    assert weigh(abs, Odd(), None).item_bytes > 0


def test_a_size_that_cannot_be_asked_for_is_no_size() -> None:
    class Unconnected:
        @property
        def nbytes(self) -> int:
            raise RuntimeError

    assert weigh(abs, Unconnected(), None).item_bytes > 0


# --- Values that may or may not be pickled on their way ------------------------------------------------


def test_within_a_process_a_portable_value_is_the_very_object() -> None:
    value = [1]
    assert Portable(value).value is value


@pytest.mark.parametrize("value", [[1, 2], "text", adder(1)])
def test_a_portable_value_survives_any_pickling(value: object) -> None:
    again = pickle.loads(pickle.dumps(Portable(value)))
    assert isinstance(again, Portable)
    assert type(again.value) is type(value)


def test_a_portable_lambda_still_works_at_the_other_side() -> None:
    assert pickle.loads(pickle.dumps(Portable(adder(2)))).value(3) == 5


def test_a_portable_value_is_pickled_once_however_often_it_is_sent() -> None:
    class Counting:
        pickled = 0

        def __reduce__(self) -> tuple[Any, ...]:
            Counting.pickled += 1
            return int, (1,)

    portable = Portable(Counting())
    for _ in range(3):
        pickle.dumps(portable)
    assert Counting.pickled == 1


def test_a_portable_value_that_cannot_travel_says_so() -> None:
    with pytest.raises(NotPicklable, match="not for sale"):
        pickle.dumps(Portable(Stubborn()))
