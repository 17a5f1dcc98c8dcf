"""Whether the code of a function may change objects that it has not made itself, and what it plainly
changes of classes, modules and functions, also by way of helpers. What else code plainly changes is
tested together with what calls are seen to change, in `test_effects`."""

from __future__ import annotations

import functools
import logging
import operator
import os
import re
import string
import threading
from collections.abc import Callable
from typing import Any, ClassVar, cast

import pytest

from autoexec._bytecode import effect_in_code, may_change_objects

Function = Callable[..., Any]
table: dict[Any, Any] = {}


class Thing:
    def __init__(self) -> None:
        self.size = 0

    def grow(self, by: int) -> None:
        self.size += by

    def measure(self, by: int) -> int:
        return self.size * by


# --- Functions that keep to their own ------------------------------------------------------------


def counts_words(text: str) -> dict[str, int]:
    words: dict[str, int] = {}
    for word in text.split():
        words[word] = words.get(word, 0) + 1
    return words


def adds_in_place(text: str) -> dict[str, int]:
    found = dict.fromkeys(text, 0)
    for letter in text:
        found[letter] += 1
    found.setdefault("", 0)
    return found


def fills_an_object(size: int) -> Thing:
    thing = Thing()
    thing.size = size
    thing.size += 1
    return thing


def gathers(items: list[int]) -> list[int]:
    found = []
    for item in items:
        found.append(item + 1)
    del found[0]
    return [each for each in found if each]


def sorts_a_copy(items: list[int]) -> list[int]:
    ordered = list(items)
    ordered.sort()
    ordered[1:2] = [0]
    return ordered


def sieves(limit: int) -> list[int]:
    sieve = [1] * limit
    sieve[1] = 0
    return sieve


@pytest.mark.parametrize(
    "fn",
    [
        counts_words,
        adds_in_place,
        fills_an_object,
        gathers,
        sorts_a_copy,
        sieves,
        Thing().measure,
        functools.partial(counts_words),
        len,
    ],
)
def test_objects_of_its_own_may_change(fn: Function) -> None:
    assert not may_change_objects(fn)


# --- Functions that may reach the caller's ---------------------------------------------------------


def fills_its_item(item: dict[str, int]) -> None:
    item["sum"] = 1


def deletes_from_its_item(item: dict[str, int]) -> None:
    del item["sum"]


def adds_to_its_item(item: list[int]) -> None:
    item[len(item) - 1] += 2


def replaces_a_slice(item: list[int]) -> None:
    item[1:2] = [3]


def appends_by_another_name(item: list[int]) -> None:
    also = item
    also.append(1)


def appends_to_an_element(items: list[list[int]]) -> None:
    first = items[0]
    first.append(1)


def fills_a_global(item: int) -> None:
    table[item] = 1


def marks_each(items: list[Thing]) -> None:
    for thing in items:
        thing.size = 1


def reaches_far(item: Any) -> None:
    item.table[item.key if item else 3] += 1


def nests(items: list[Any]) -> list[Any]:
    def mark(item: Any) -> Any:
        item.done = True
        return item

    return [mark(item) for item in items]


@pytest.mark.parametrize(
    "fn",
    [
        fills_its_item,
        deletes_from_its_item,
        adds_to_its_item,
        replaces_a_slice,
        appends_by_another_name,
        appends_to_an_element,
        fills_a_global,
        marks_each,
        reaches_far,
        nests,
        Thing().grow,
        functools.partial(fills_its_item),
    ],
)
def test_objects_of_others_may_change(fn: Function) -> None:
    assert may_change_objects(fn)


# --- Plain effects on classes, modules and functions ---------------------------------------------


class Store:
    """What several calls share, if they are in one process."""

    total = 0
    best: int | None = None
    rows: ClassVar[list[Any]] = []
    groups: ClassVar[dict[Any, list[Any]]] = {}
    cache: ClassVar[dict[Any, Any]] = {}
    made: Any = None
    size = 0
    local = threading.local()

    @classmethod
    def count(cls, item: int) -> None:
        cls.total += item

    def count_by_class(self, item: int) -> None:
        self.__class__.total += item

    def count_by_type(self, item: int) -> None:
        type(self).total += item

    def count_by_name(self, item: int) -> None:
        Store.total += item

    @classmethod
    def only_once(cls, item: int) -> Any:
        if cls.made is None:
            cls.made = object()
        return cls.made, item

    @staticmethod
    def keep(item: int) -> None:
        kept.append(item)


kept: list[Any] = []
settings: dict[Any, Any] = {}
model: Any = None
names: Any = None


def adds_to_a_class(item: int) -> None:
    Store.total += item


def adds_by_assignment(item: int) -> None:
    Store.total = Store.total + item


def adds_if_wanted(item: int) -> None:
    if Store.made:
        Store.total += item


def keeps_the_best(item: int) -> None:
    if Store.best is None or item > Store.best:
        Store.best = item


def counts_each(item: int) -> None:
    if item not in Store.cache:
        Store.cache[item] = 0
    Store.cache[item] += 1


def appends_to_a_class(item: int) -> None:
    Store.rows.append(item)


def registers(item: int) -> None:
    if item in Store.cache:
        raise ValueError(item)
    Store.cache[item] = item


def drops_repeated(item: int) -> None:
    if item not in Store.rows:
        Store.rows.append(item)


def appends_to_a_group(item: int) -> None:
    Store.groups[item % 2].append(item)


def fills_a_slice(item: int) -> None:
    Store.rows[0:1] = [item]


def deletes_from_a_class(item: int) -> None:
    del Store.rows[item]


def deletes_an_attribute(item: int) -> None:
    del Store.made


def sets_by_name(item: int) -> None:
    setattr(Store, f"v{item}", item)


def changes_a_module(item: int) -> None:
    string.counted = item  # type: ignore[attr-defined]


def changes_the_environment(item: int) -> None:
    os.environ[f"ITEM_{item}"] = "1"


def changes_itself(item: int) -> None:
    changes_itself.calls += 1  # type: ignore[attr-defined]


def changes_within(items: list[int]) -> list[Any]:
    return [Store.rows.append(item) for item in items]  # type: ignore[func-returns-value]


def appends(item: int) -> None:
    kept.append(item)


def appends_by_a_helper(item: int) -> None:
    appends(item)


def appends_by_two_helpers(item: int) -> None:
    appends_by_a_helper(item)


def stores(item: int) -> None:
    settings[item] = item


def stores_by_a_helper(item: int) -> None:
    stores(item)


def counts_by_a_class_method(item: int) -> None:
    Store.count(item)


def keeps_by_a_static_method(item: int) -> None:
    Store.keep(item)


def appends_by_an_enclosed_helper() -> Function:
    found: list[int] = []

    def add(item: int) -> None:
        found.append(item)

    def fn(item: int) -> None:
        add(item)

    return fn


def counted(fn: Function) -> Function:
    """A decorator that counts calls on its wrapper."""

    @functools.wraps(fn)
    def wrapper(item: Any) -> Any:
        wrapper.calls += 1  # type: ignore[attr-defined]
        return fn(item)

    return wrapper


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (adds_to_a_class, "changes Store.total"),
        (adds_by_assignment, "changes Store.total"),
        (adds_if_wanted, "changes Store.total"),
        (keeps_the_best, "changes Store.best"),
        (counts_each, "changes Store.cache"),
        (appends_to_a_class, "calls Store.rows.append()"),
        (registers, "changes Store.cache"),
        (drops_repeated, "calls Store.rows.append()"),
        (appends_to_a_group, "calls Store.groups[...].append()"),
        (fills_a_slice, "changes Store.rows"),
        (deletes_from_a_class, "changes Store.rows"),
        (deletes_an_attribute, "changes Store.made"),
        (sets_by_name, "changes Store"),
        (changes_a_module, "changes string.counted"),
        (changes_the_environment, "changes os.environ"),
        (changes_itself, "changes changes_itself.calls"),
        (changes_within, "calls Store.rows.append()"),
        (counted(len), "changes wrapper.calls"),
        (Store.count, "changes cls.total"),
        (functools.partial(Store.count), "changes cls.total"),
        (Store().count_by_class, "changes self.__class__.total"),
        (Store().count_by_type, "changes self.__class__.total"),
        (Store().count_by_name, "changes Store.total"),
        (appends_by_a_helper, "calls appends(), which calls kept.append()"),
        (
            appends_by_two_helpers,
            "calls appends_by_a_helper(), which calls appends(), which calls kept.append()",
        ),
        (stores_by_a_helper, "calls stores(), which changes settings"),
        (counts_by_a_class_method, "calls Store.count(), which changes cls.total"),
        (keeps_by_a_static_method, "calls Store.keep(), which calls kept.append()"),
        (appends_by_an_enclosed_helper(), "calls add(), which calls found.append()"),
    ],
)
def test_changes_of_classes_modules_and_functions_are_plain(fn: Function, words: str) -> None:
    assert effect_in_code(fn) == f"it {words}"


# --- Caches, which each process can fill for itself, and what is the function's own ----------------


def fills_if_none(item: int) -> Any:
    if Store.made is None:
        Store.made = object()
        Store.size = 3
    return Store.made, item


def fills_unless_there(item: int) -> Any:
    if not hasattr(Store, "later"):
        Store.later = object()  # type: ignore[attr-defined]
    return item


def fills_after_leaving(item: int) -> Any:
    if Store.made:
        return Store.made
    Store.size = 3
    Store.made = object()
    return Store.made


def fills_after_a_level(item: int) -> None:
    if Store.size >= 1:
        return
    Store.made = object()
    Store.size = 1


def fills_or_keeps(item: int) -> Any:
    Store.made = Store.made or object()
    return Store.made, item


def fills_by_a_choice(item: int) -> Any:
    Store.made = Store.made if Store.made is not None else object()
    return Store.made, item


def fills_a_global_by_a_choice(item: int) -> Any:
    global model
    model = model if model else object()
    return model, item


def fills_by_a_local(item: int) -> Any:
    made = Store.made
    if made is None:
        made = Store.made = object()
    return made, item


def remembers(item: int) -> Any:
    if item not in Store.cache:
        if len(Store.cache) > 100:
            Store.cache.clear()
        Store.cache[item] = item * item
    return Store.cache[item]


def remembers_what_it_gets(item: int) -> Any:
    found = Store.cache.get(item)
    if found is None:
        found = Store.cache[item] = item * item
    return found


def remembers_what_it_gets_at_once(item: int) -> Any:
    if (found := Store.cache.get(item)) is None:
        Store.cache[item] = found = item * item
    return found


def remembers_what_is_missing(item: int) -> Any:
    try:
        return Store.cache[item]
    except KeyError:
        Store.cache[item] = item * item
        return Store.cache[item]


def remembers_the_last(item: int) -> Any:
    if Store.size != item:
        Store.size = item
        Store.made = item * item
    return Store.made


def remembers_on_itself(item: int) -> Any:
    if not remembers_on_itself.table:  # type: ignore[attr-defined]
        remembers_on_itself.table.update({1: 2})  # type: ignore[attr-defined]
    return item


def load() -> None:
    global model, names
    model = object()
    names = ["a"]


def loads_by_a_helper(item: int) -> Any:
    if model is None:
        load()
    return model, item


def loaded() -> Any:
    global model, names
    if model is None:
        model = object()
        names = ["a"]
    return model


def loads_by_a_careful_helper(item: int) -> Any:
    return loaded(), item


def square(item: int) -> int:
    if item not in settings:
        settings[item] = item * item
    return int(settings[item])


def remembers_by_a_helper(item: int) -> int:
    return square(item)


@functools.lru_cache
def cached(item: int) -> int:
    kept.append(item)
    return item


def uses_a_cached_helper(item: int) -> int:
    return cached(item)


def fill(rows: list[int], thing: Thing) -> None:
    rows.append(1)
    thing.size = 1


def fills_its_own_by_a_helper(item: int) -> list[int]:
    rows: list[int] = []
    fill(rows, Thing())
    return rows


def changes_what_it_makes(item: int) -> Any:
    Store = Thing()  # a local variable of that name
    Store.size += item
    os = {"environ": 1}
    os["environ"] = item
    return Store, os


bare: Any = classmethod(cast("Any", fill))  # as decorators leave it in a variable now and then


def names_a_bare_class_method(item: int) -> Any:
    return bare, item


def keeps_per_thread(item: int) -> Any:
    Store.local.item = item
    return Store.local.item


def reads_a_class(item: int) -> int:
    total = Store.total + len(Store.rows) + len(os.environ)
    total += item
    return total


def calls_functions_named_like_methods(path: str) -> Any:
    return operator.add(path, path), os.remove


def calls_a_module_by_such_a_name(path: str) -> None:
    os.remove(path)


def sorts_what_it_loads(item: int) -> list[Any]:
    rows = sorted(Store.rows)
    rows.append(item)
    return rows


def retried(fn: Function) -> Function:
    """A decorator of another module that keeps statistics on its wrapper, as tenacity does."""
    code = """
def retried(fn):
    def wrapper(item):
        wrapper.statistics = {}
        return fn(item)
    return functools.wraps(fn)(wrapper)
"""
    library: dict[str, Any] = {"functools": functools}
    exec(code, library)
    return library["retried"](fn)  # type: ignore[no-any-return]


def dispatched() -> Function:
    """Its wrapper fills a cache of its own, in a helper."""
    return functools.singledispatch(reads_a_class)


@pytest.mark.parametrize(
    "fn",
    [
        fills_if_none,
        fills_unless_there,
        fills_after_leaving,
        fills_after_a_level,
        fills_or_keeps,
        fills_by_a_choice,
        fills_a_global_by_a_choice,
        fills_by_a_local,
        remembers,
        remembers_what_it_gets,
        remembers_what_it_gets_at_once,
        remembers_what_is_missing,
        remembers_the_last,
        remembers_on_itself,
        loads_by_a_helper,
        loads_by_a_careful_helper,
        remembers_by_a_helper,
        uses_a_cached_helper,
        fills_its_own_by_a_helper,
        changes_what_it_makes,
        names_a_bare_class_method,
        keeps_per_thread,
        reads_a_class,
        calls_functions_named_like_methods,
        calls_a_module_by_such_a_name,
        sorts_what_it_loads,
        retried(reads_a_class),
        dispatched(),
        functools.partial(re.sub, "a", "b"),
        Store.only_once,
        fills_its_item,
        marks_each,
    ],
)
def test_caches_and_what_is_its_own_are_no_effect(fn: Function) -> None:
    assert effect_in_code(fn) is None


LOG = logging.getLogger("here")


def sets_what_it_needs(x: int) -> int:
    os.environ["OMP_NUM_THREADS"] = "1"
    LOG.propagate = False
    return x


def keeps_in_the_environment(x: int) -> int:
    os.environ["LAST"] = str(x)
    return x


def makes_a_class(x: int) -> int:
    class Own:
        made = 0

        def count(self) -> int:
            self.__class__.made += x
            return self.__class__.made

    return Own().count()


def test_what_a_call_sets_for_itself_is_no_effect() -> None:
    assert effect_in_code(sets_what_it_needs) is None
    assert effect_in_code(makes_a_class) is None
    assert effect_in_code(keeps_in_the_environment) == "it changes os.environ"
