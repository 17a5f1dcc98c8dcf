"""Which functions are seen to change the caller's objects, and which are not."""

from __future__ import annotations

import array
import contextlib
import functools
import math
import random
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._bytecode import effect_in_code
from autoexec._effects import difference, snapshot
from autoexec._function import Star

Function = Callable[[Any], Any]

total = 0
limit = 10
results: list[Any] = []
seen: set[Any] = set()
table: dict[Any, Any] = {"a": 1}
recent: deque[Any] = deque()
client: Any = None
lookup: dict[int, int] = {}


@pytest.fixture(autouse=True)
def _fresh_globals() -> Iterator[None]:
    global total, client
    yield
    total, client = 0, None
    for container in (results, seen, table, recent, lookup):
        container.clear()
    table["a"] = 1


def change(fn: Function, item: Any, *, calls: int = 1) -> str | None:
    """What the last of some calls was seen to change."""
    for _ in range(calls - 1):
        fn(item)
    before = snapshot(fn, item)
    fn(item)
    return difference(before, snapshot(fn, item))


# --- Functions that have an effect -------------------------------------------------------------------


def assigns_a_global(item: Any) -> None:
    global total
    total = item


def adds_to_a_global(item: Any) -> None:
    global total
    total += item


def deletes_a_global(item: Any) -> None:
    global client
    del client


def appends_to_a_global(item: Any) -> None:
    results.append(item)


def extends_a_global(item: Any) -> None:
    results.extend([item])


def keeps_in(item: Any, out: list[Any]) -> None:
    out.append(item)


def adds_to_a_global_set(item: Any) -> None:
    seen.add(item)


def updates_a_global_dict(item: Any) -> None:
    table.update({item: item})


def appends_to_a_global_deque(item: Any) -> None:
    recent.appendleft(item)


def stores_in_a_global_dict(item: Any) -> None:
    table[item] = item


def replaces_what_a_global_list_holds(item: Any) -> None:
    results[0] = item


def appends_within(item: Any) -> None:
    def inner() -> None:
        results.append(item)

    inner()


def appends_in_a_comprehension(item: Any) -> None:
    [results.append(part) for part in (item, item)]  # type: ignore[func-returns-value]


def assigns_an_enclosing_variable() -> Function:
    count = 0

    def fn(item: int) -> int:
        nonlocal count
        count += item
        return count

    return fn


def appends_to_a_captured_list() -> Function:
    found: list[Any] = []
    return lambda item: found.append(item)


def stores_in_a_captured_dict() -> Function:
    found: dict[Any, Any] = {}

    def fn(item: Any) -> None:
        found[len(found)] = item

    return fn


def appends_by_another_name() -> Function:
    found: list[Any] = []

    def fn(item: Any) -> None:
        alias = found
        alias.append(item)

    return fn


class Summer:
    """Adds up what it is given."""

    def __init__(self) -> None:
        self.sum = 0
        self.parts: list[int] = []
        self.squares: dict[int, int] = {}

    def add(self, item: int) -> int:
        self.sum += item
        return self.sum

    def keep(self, item: int) -> None:
        self.parts.append(item)

    def peek(self, item: int) -> int:
        return self.sum + item

    def keep_some(self, item: int) -> int:
        if item % 50 == 49:
            self.parts.append(item)
        return item

    def count_some(self, item: int) -> int:
        if item % 50 == 49:
            self.sum += 1
        return item

    def square(self, item: int) -> int:
        if item not in self.squares:
            self.squares[item] = item * item
        return self.squares[item]

    def double(self, item: int) -> int:
        twice = Summer()
        twice.parts.append(item)
        twice.sum += 2 * item
        return twice.sum

    def __call__(self, item: int) -> int:
        return self.add(item)


class CountsSome(Summer):
    def __call__(self, item: int) -> int:
        if item % 50 == 49:
            self.parts.append(item)
        return item


@contextlib.contextmanager
def timed() -> Iterator[None]:
    yield
    results.append(1)


def is_timed_by_a_helper(item: Any) -> Any:
    with timed():
        return item


def counted(fn: Function) -> Function:
    """A decorator that counts calls."""
    calls = 0

    @functools.wraps(fn)
    def wrapper(item: Any) -> Any:
        nonlocal calls
        calls += 1
        return fn(item)

    return wrapper


def decorated(fn: Function) -> Function:
    """A decorator without an effect of its own."""

    @functools.wraps(fn)
    def wrapper(item: Any) -> Any:
        return fn(item)

    return wrapper


def appends_to_a_default() -> Function:
    found: list[Any] = []

    def fn(item: Any, out: list[Any] = found) -> None:
        out.append(item)

    return fn


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (assigns_a_global, "assigns the global variable 'total'"),
        (adds_to_a_global, "assigns the global variable 'total'"),
        (deletes_a_global, "assigns the global variable 'client'"),
        (appends_to_a_global, "calls results.append()"),
        (adds_to_a_global_set, "calls seen.add()"),
        (updates_a_global_dict, "calls table.update()"),
        (appends_to_a_global_deque, "calls recent.appendleft()"),
        (appends_within, "calls results.append()"),
        (appends_in_a_comprehension, "calls results.append()"),
        (assigns_an_enclosing_variable(), "assigns the enclosing variable 'count'"),
        (appends_to_a_captured_list(), "calls found.append()"),
        (extends_a_global, "calls results.extend()"),
        (functools.partial(adds_to_a_global), "assigns the global variable 'total'"),
        (functools.partial(functools.partial(appends_to_a_global)), "calls results.append()"),
        (functools.lru_cache(adds_to_a_global), "assigns the global variable 'total'"),
        (decorated(adds_to_a_global), "assigns the global variable 'total'"),
        (counted(math.sqrt), "assigns the enclosing variable 'calls'"),
        (Star(adds_to_a_global), "assigns the global variable 'total'"),
        (Star(functools.partial(adds_to_a_global)), "assigns the global variable 'total'"),
        (Summer().keep_some, "calls self.parts.append()"),
        (Summer().count_some, "changes self.sum"),
        (functools.partial(Summer().keep_some), "calls self.parts.append()"),
        (CountsSome(), "calls self.parts.append()"),
        (is_timed_by_a_helper, "calls timed(), which calls results.append()"),
    ],
)
def test_code_that_plainly_has_an_effect(fn: Function, words: str) -> None:
    assert effect_in_code(fn) == f"it {words}"


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (adds_to_a_global, "'total'"),
        (appends_to_a_global, "'results'"),
        (adds_to_a_global_set, "'seen'"),
        (stores_in_a_global_dict, "'table'"),
        (appends_to_a_global_deque, "'recent'"),
        (assigns_an_enclosing_variable(), "'count'"),
        (appends_to_a_captured_list(), "'found'"),
        (stores_in_a_captured_dict(), "'found'"),
        (appends_by_another_name(), "'found'"),
        (Summer().add, "its Summer object.sum"),
        (Summer().keep, "its Summer object.parts"),
        (Summer(), "its Summer object.sum"),
        (functools.partial(Summer.add, Summer()), "its Summer object.sum"),
        (functools.partial(Summer().add), "its Summer object.sum"),
        (functools.partial(keeps_in, out=[]), "its list object"),
        (list[int]().append, "its list object"),
        (decorated(adds_to_a_global), "'total'"),
        (counted(math.sqrt), "'calls'"),
        (appends_to_a_default(), "'out'"),
    ],
)
def test_calls_that_are_seen_to_have_an_effect(fn: Function, words: str) -> None:
    found = change(fn, 3)
    assert found is not None
    assert words in found


def test_a_value_replaced_in_a_global_list_is_seen() -> None:
    results.append(None)
    assert change(replaces_what_a_global_list_holds, 3) == "the variable 'results'[0]"


@pytest.mark.parametrize("method", ["add", "keep"])
def test_unpacked_items_do_not_hide_the_object_of_a_method(method: str) -> None:
    fn = Star(getattr(Summer(), method))
    before = snapshot(fn, (3,))
    fn((3,))
    assert difference(before, snapshot(fn, (3,))) is not None


# --- Functions that have none ----------------------------------------------------------------------


def computes(item: Any) -> int:
    return int(item) * 2


def reads_a_global(item: Any) -> bool:
    return bool(item < limit) and item not in table


def fills_a_list_of_its_own(item: Any) -> list[Any]:
    results: list[Any] = []
    results.append(item)
    return results


def appends_to_what_it_makes(item: Any) -> int:
    count = 0

    def inner() -> int:
        nonlocal count
        count += 1
        return count

    return inner() + inner()


def gathers_in_a_closure(item: Any) -> list[Any]:
    found: list[Any] = []

    def inner(part: Any) -> None:
        found.append(part)

    for part in range(int(item)):
        inner(part)
    return found


def declares_a_global_and_reads_it(item: Any) -> Any:
    global total
    return total + item


def calls_methods_of_modules(item: Any) -> float:
    return math.sqrt(abs(item))


def recurses(item: int) -> int:
    return 1 if item <= 1 else item * recurses(item - 1)


def fills_a_cache_if_it_is_none(item: Any) -> Any:
    global client
    if client is None:
        client = object()
    return client, item


def fills_a_cache_if_it_is_there_but_empty(item: Any) -> Any:
    global client
    if not client:
        client = [item]
    return client


def leaves_early_if_a_cache_is_filled(item: Any) -> Any:
    global client
    if client is not None:
        return client
    client = object()
    return client


def fills_a_cache_looked_up_by_name(item: Any) -> Any:
    global client
    if globals().get("client") is None:
        client = object()
    return client


def remembers(item: int) -> int:
    if item not in lookup:
        lookup[item] = item * item
    return lookup[item]


def reads_what_it_captured() -> Function:
    known = {"a": 1}
    return lambda item: known.get(item)


PURE: list[Function] = [
    computes,
    reads_a_global,
    fills_a_list_of_its_own,
    appends_to_what_it_makes,
    gathers_in_a_closure,
    declares_a_global_and_reads_it,
    calls_methods_of_modules,
    recurses,
    fills_a_cache_if_it_is_none,
    fills_a_cache_if_it_is_there_but_empty,
    leaves_early_if_a_cache_is_filled,
    fills_a_cache_looked_up_by_name,
    remembers,
    reads_what_it_captured(),
    functools.lru_cache(computes),
    functools.partial(computes),
    functools.partial(max, 4),
    Star(computes),
    Summer().peek,
    Summer().square,
    Summer().double,
    lambda item: item + 1,
    math.sqrt,
    str,
    type,
    [1, 2, 3].count,
    {"a": 1}.get,
]


@pytest.mark.parametrize("fn", PURE)
def test_code_without_an_effect(fn: Function) -> None:
    assert effect_in_code(fn) is None


@pytest.mark.parametrize("fn", [fn for fn in PURE if not isinstance(fn, Star)])
def test_calls_without_an_effect_after_the_first(fn: Function) -> None:
    assert change(fn, 3, calls=2) is None


def test_a_method_that_only_reads_has_no_effect() -> None:
    assert change(Summer().peek, 3) is None


@pytest.mark.parametrize("item", [Path("a/b"), PurePosixPath("a"), re.compile("a"), Fraction(1, 3)])
def test_what_values_of_the_standard_library_keep_for_themselves_is_no_effect(item: Any) -> None:
    assert change(lambda x: (str(x), hash(x), x == x), item) is None


class Node:
    """Can be hashed, and changes nevertheless."""

    def __init__(self) -> None:
        self.seen = False

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return self is other


def test_a_value_of_the_users_that_can_be_hashed_is_looked_into() -> None:
    assert change(lambda node: setattr(node, "seen", True), Node()) == "its item.seen"


def test_a_number_made_anew_is_the_same_number() -> None:
    holder = Summer()
    holder.sum = 10**30

    def fn(item: Any) -> None:
        holder.sum = 10**30 * int(item)

    assert change(fn, 1) is None


# --- Items -------------------------------------------------------------------------------------------


class Point:
    """An ordinary object."""

    def __init__(self) -> None:
        self.x = 1
        self.history = [0]


class Slotted:
    """An object without a dict, and with a slot that only it can name."""

    __slots__ = ("__hidden", "x")

    def __init__(self) -> None:
        self.x = 1
        self.__hidden = 1

    def hide(self, value: int) -> None:
        self.__hidden = value


class SlottedChild(Slotted):
    """All its slots are its parent's."""

    __slots__ = ()


def stored(key: Any, value: Any) -> Function:
    return lambda item: item.__setitem__(key, value)


CHANGES: dict[str, tuple[Any, Function]] = {
    "list grows": ([1, 2], lambda item: item.append(3)),
    "list element": ([1, 2], stored(0, 9)),
    "list order": ([2, 1], lambda item: item.sort()),
    "list within a list": ([[1], [2]], lambda item: item[1].clear()),
    "list within a tuple": (([1],), lambda item: item[0].append(2)),
    "dict grows": ({"a": 1}, stored("b", 2)),
    "dict value": ({"a": 1}, stored("a", 2)),
    "dict shrinks": ({"a": 1}, lambda item: item.pop("a")),
    "list within a dict": ({"a": [1]}, lambda item: item["a"].append(2)),
    "defaultdict": (defaultdict(int), lambda item: item["new"]),
    "Counter": (Counter("ab"), lambda item: item.update("a")),
    "set grows": ({1, 2}, lambda item: item.add(3)),
    "set element": ({1, 2}, lambda item: (item.remove(1), item.add(3))),
    "deque grows": (deque([1, 2]), lambda item: item.append(3)),
    "deque element": (deque([1, 2]), stored(0, 9)),
    "bytearray": (bytearray(b"abc"), stored(1, 0)),
    "array": (array.array("d", [1, 2]), stored(1, 0.5)),
    "memoryview": (memoryview(bytearray(8)), stored(1, 5)),
    "memoryview with gaps": (memoryview(bytearray(8))[::2], stored(1, 5)),
    "attribute": (Point(), lambda item: setattr(item, "x", 2)),
    "new attribute": (Point(), lambda item: setattr(item, "y", 2)),
    "attribute deleted": (Point(), lambda item: delattr(item, "x")),
    "list in an attribute": (Point(), lambda item: item.history.append(1)),
    "slot": (Slotted(), lambda item: setattr(item, "x", 2)),
    "private slot": (Slotted(), lambda item: item.hide(2)),
    "slot of a parent": (SlottedChild(), lambda item: setattr(item, "x", 2)),
}


@pytest.mark.parametrize(("item", "fn"), CHANGES.values(), ids=CHANGES)
def test_items_that_were_changed_in_place(item: Any, fn: Function) -> None:
    found = change(fn, item)
    assert found is not None
    assert found.startswith("its item")


Plain = Any


def plain(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Plain]:
    """Lists and dicts within each other."""
    return st.recursive(
        leaves,
        lambda parts: (
            st.lists(parts, max_size=4) | st.dictionaries(st.text(max_size=3), parts, max_size=4)
        ),
        max_leaves=8,
    )


values = plain(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80))


def containers_in(value: Plain) -> Iterator[list[Any] | dict[str, Any]]:
    if isinstance(value, (list, dict)):
        container = cast("list[Any] | dict[str, Any]", value)
        yield container
        for part in container.values() if isinstance(container, dict) else container:
            yield from containers_in(part)


@given(values)
@examples(50)
def test_looking_at_an_item_shows_no_change(item: Plain) -> None:
    assert change(lambda item: None, item) is None


@given(values.filter(lambda value: isinstance(value, (list, dict))), st.data())
@examples(100)
def test_a_change_anywhere_in_plain_data_is_seen(item: Plain, data: st.DataObject) -> None:
    target = data.draw(st.sampled_from(list(containers_in(item))))

    def fn(item: Plain) -> None:
        if isinstance(target, dict):
            target["a key that is new"] = 1
        elif target and data.draw(st.booleans()):
            target[-1] = object()
        else:
            target.append(1)

    assert change(fn, item) is not None


def test_data_that_contains_itself_is_looked_at_once() -> None:
    item: list[Any] = [1]
    item.append(item)
    assert change(lambda item: None, item) is None
    assert change(stored(0, 2), item) == "its item[0]"


def test_a_long_chain_is_not_followed_for_ever() -> None:
    item: list[Any] = []
    for _ in range(100_000):
        item = [item]
    assert len(snapshot(computes, item)) < 1000
    while item:  # one by one, since taking it apart all at once would recurse
        item = item.pop()


def test_both_ends_of_a_long_list_are_compared() -> None:
    item = list(range(100_000))
    assert change(stored(0, None), item) == "its item[0]"
    assert change(stored(-1, None), item) == "its item[-1]"


def test_arrays_that_are_stored_by_column_are_compared() -> None:
    numpy = pytest.importorskip("numpy")
    item = numpy.zeros((3, 4), order="F")
    assert change(stored((1, 2), 1.0), item) == "its item"


def test_both_ends_of_a_large_buffer_are_compared() -> None:
    item = bytearray(16 << 20)
    assert change(stored(0, 1), item) == "its item"
    assert change(stored(-1, 1), item) == "its item"


# --- Objects that refuse to be looked at --------------------------------------------------------------


class NoDict:
    """Works like the proxies of web frameworks outside of a request."""

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        raise RuntimeError("working outside of request context")


class NoClass:
    """The same for its class."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise RuntimeError("working outside of request context")


class NoLength(list[int]):
    """A list that is elsewhere."""

    def __len__(self) -> int:
        raise RuntimeError("not connected")


class NoGet(dict[str, int]):
    """A dict that is elsewhere."""

    def __init__(self) -> None:
        super().__init__(a=1)

    def get(self, *args: Any) -> Any:
        raise RuntimeError("not connected")


class NoRepr(int):
    """A number that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("not for you")


@pytest.mark.parametrize("make", [NoDict, NoClass, NoLength, NoGet, NoRepr])
def test_objects_that_refuse_to_be_looked_at_are_left_alone(make: Callable[[], object]) -> None:
    item = make()
    assert difference(snapshot(computes, item), snapshot(computes, item)) is None


class Endless:
    """Has every attribute, as proxies of remote objects do."""

    def __init__(self, depth: int = 0) -> None:
        assert depth < 100, "one attribute after another was looked up a hundred times"
        self.depth = depth

    def __getattr__(self, name: str) -> Endless:
        return Endless(self.depth + 1)

    def __call__(self, item: Any) -> Any:
        return item


def test_functions_that_have_every_attribute_are_not_followed_for_ever() -> None:
    assert effect_in_code(Endless()) is None
    assert change(Endless(), 1) is None


def test_a_captured_variable_may_not_be_assigned_yet() -> None:
    def fn(item: Any) -> Any:
        return later if item else None

    assert change(fn, 0) is None
    later = 1
    assert fn(1) == later


# --- Random generators -------------------------------------------------------------------------------


class Simulation:
    def __init__(self, rng: Any) -> None:
        self.rng = rng

    def step(self, item: Any) -> Any:
        return self.rng.random()


def test_a_generator_that_has_drawn_is_not_as_it_was() -> None:
    assert change(Simulation(random.Random(1)).step, 0) == "its Simulation object.rng"
    assert change(Simulation(random.SystemRandom()).step, 0) is None


def test_a_generator_of_numpy_that_has_drawn_is_not_as_it_was() -> None:
    numpy = pytest.importorskip("numpy")
    assert change(Simulation(numpy.random.default_rng(1)).step, 0) == "its Simulation object.rng"
    assert change(Simulation(numpy.random.RandomState(1)).step, 0) is not None
