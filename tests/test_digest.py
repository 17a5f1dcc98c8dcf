"""Equal values have the same digest in every process, others another; a function is what it does."""

from __future__ import annotations

import copy
import functools
import pickle
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec import NotPicklable
from autoexec._digest import digest, identity

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
)
VALUES = st.recursive(
    PLAIN | st.frozensets(PLAIN, max_size=4),
    lambda some: (
        st.lists(some, max_size=3)
        | st.tuples(some, some)
        | st.dictionaries(st.text(max_size=3), some, max_size=3)
    ),
    max_leaves=8,
)


@dataclass
class Point:
    x: int
    tags: set[str]


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a: object) -> None:
        self.a = a


class Refuses:
    def __reduce__(self) -> Any:
        raise OSError("no")


@given(VALUES)
@examples(100)
def test_a_copy_has_the_same_digest(value: object) -> None:
    assert digest(value) == digest(pickle.loads(pickle.dumps(value))) == digest(copy.copy(value))


@given(VALUES, VALUES)
@examples(200)
def test_what_is_not_equal_has_another(one: object, other: object) -> None:
    if one != other:
        assert digest(one) != digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ("a", b"a"),
        ([1], (1,)),
        (["ab"], ["a", "b"]),
        ([1, [2]], [1, 2]),
        ({1}, frozenset({1})),
        (Point(1, {"a"}), Point(2, {"a"})),
        (Slotted(1), Slotted(2)),
        (datetime(2020, 1, 1), datetime(2020, 1, 2)),
        (Decimal("1"), Decimal("1.0")),
        (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
        (int, float),
        (len, abs),
        (lambda: 1, lambda: 2),
    ],
)
def test_values_that_must_be_told_apart(one: object, other: object) -> None:
    assert digest(one) != digest(other)
    if not callable(one):
        assert digest(one) == digest(copy.deepcopy(one))


def test_the_order_of_a_dict_does_not_count_nor_which_text_is_the_same_object() -> None:
    text = "".join(["a", "bc"])
    assert digest({"x": 1, "y": 2}) == digest({"y": 2, "x": 1})
    assert digest(["abc", "abc"]) == digest(["abc", text])
    assert digest(10**5000) != digest(10**5000 + 1)


def test_a_value_that_holds_itself_has_one_too() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert digest(loop) != digest([1])


@pytest.mark.parametrize("value", [threading.Lock(), memoryview(b""), Refuses(), [Refuses()]])
def test_what_cannot_be_told_from_others_is_refused(value: object) -> None:
    with pytest.raises(NotPicklable, match="cannot be told from other values"):
        digest(value)


CODE = """
from pathlib import PurePosixPath
from decimal import Decimal
from autoexec._digest import digest, identity
print(digest([{"a", "b", "cd"}, {"x": frozenset("hello")}, 1.5, PurePosixPath("a/b"), Decimal(3)]).hex())
print(identity(lambda x: x in {"u", "v", "w"})["code"])
"""


def test_all_processes_agree_whatever_their_hash_seed() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", CODE],
            env={"PYTHONHASHSEED": seed, "SYSTEMROOT": "C:\\Windows"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1
    value = [{"a", "b", "cd"}, {"x": frozenset("hello")}, 1.5, PurePosixPath("a/b"), Decimal(3)]
    assert digest(value).hex().encode() in said.pop()


# --- Functions ---------------------------------------------------------------------------------------


def made(source: str) -> Callable[..., Any]:
    names: dict[str, Any] = {"__name__": "made"}
    exec(source, names)
    fn: Callable[..., Any] = names["fn"]
    return fn


SAME = "def fn(x, y=1):\n    return x + 1"


@pytest.mark.parametrize(
    ("source", "differs"),
    [
        (SAME, set()),
        ("# moved\n\n\ndef fn(x, y=1):\n    # said\n    return x + 1", set()),
        ("def fn(x, y=1):\n    return x + 2", {"code"}),
        ("def fn(x, y=1):\n    return x - 1", {"code"}),
        ("def fn(x, y=2):\n    return x + 1", {"default 0"}),
        ("def other(x, y=1):\n    return x + 1\nfn = other", {"name", "code"}),
    ],
)
def test_a_function_is_its_name_its_code_and_its_defaults(source: str, differs: set[str]) -> None:
    one, other = identity(made(SAME)), identity(made(source))
    assert {name for name in one if one[name] != other.get(name)} <= differs
    assert (one == other) == (not differs)


def test_where_errors_are_caught_counts() -> None:
    body = "    try:\n        a = int(x)\n{}    except ValueError:\n        return None\n{}    return a\n"
    inside = body.format("        b = int(x)\n", "")
    behind = body.format("", "    else:\n        b = int(x)\n")
    one, other = (made(f"def fn(x):\n{text}") for text in (inside, behind))
    assert identity(one)["code"] != identity(other)["code"]


def test_a_class_counts_by_how_it_makes_objects() -> None:
    source = "class fn:\n    def __init__(self, x):\n        self.x = x + {}"
    one, same, other = (made(source.format(number)) for number in (1, 1, 2))
    assert identity(one) == identity(same) != identity(other)


def test_captured_values_count_and_what_cannot_be_told_by_its_type() -> None:
    def capture(value: object) -> Callable[[], object]:
        return lambda: value

    assert identity(capture({1, 2})) == identity(capture({2, 1}))
    assert identity(capture(1)) != identity(capture(2))
    assert identity(capture(threading.Lock())) == identity(capture(threading.Lock()))
    assert identity(capture(threading.Lock())) != identity(capture(1))
    assert identity(capture(capture(1))) != identity(capture(capture(2)))


def test_partials_methods_and_objects_count_with_what_they_hold() -> None:
    class Scale:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        def apply(self, x: int) -> int:
            return x * self.factor

        def __call__(self, x: int) -> int:
            return self.apply(x)

    for make in (
        lambda n: functools.partial(pow, n),
        lambda n: functools.partial(pow, exp=n),
        lambda n: Scale(n).apply,
        Scale,
    ):
        assert identity(make(2)) == identity(make(2))
        assert identity(make(2)) != identity(make(3))
    assert identity(len) != identity(abs)
