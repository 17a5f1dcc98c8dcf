"""Every option is checked before anything starts, and a wrong one is refused in words."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ElsewhereExecutor, examples

from autoexec import aiter_parallel, arun_parallel, iter_parallel, parallel, run_parallel
from autoexec._checks import check_call, validate
from autoexec._options import (
    NAMES,
    Backend,
    BackendName,
    CommonOptions,
    Options,
    Settings,
)


class Four:
    """A whole number that is not an int, as NumPy has them."""

    def __index__(self) -> int:
        return 4


# --- Right ones ------------------------------------------------------------------------------------


def test_every_option_has_a_default() -> None:
    settings = validate({})
    assert settings == Settings()
    assert (settings.backend, settings.max_workers, settings.chunksize) == ("auto", None, "auto")
    assert (settings.on_error, settings.star) == ("raise", False)
    assert (settings.timeout, settings.deadline) == (None, None)
    assert (settings.ordered, settings.buffersize) == (True, None)


@pytest.mark.parametrize(
    "options",
    [
        *({"backend": name} for name in get_args(BackendName)),
        {"backend": ElsewhereExecutor()},
        {"max_workers": 1},
        {"max_workers": 10_000},
        {"max_workers": None},
        {"chunksize": 1},
        {"chunksize": "auto"},
        {"on_error": "raise"},
        {"on_error": "return"},
        {"on_error": "skip"},
        {"star": True},
        {"star": False},
        {"timeout": None},
        {"timeout": 0.5},
        {"timeout": 1e-9},
        {"deadline": None},
        {"deadline": 86_400.0},
        {"retries": 0},
        {"retries": 3},
        {"retries": max},
        {"max_per_second": None},
        {"max_per_second": 0.5},
        {"progress": True},
        {"progress": print},
        {"initializer": print, "initargs": (1,)},
        {"max_tasks_per_child": 1},
        {"seed": 0},
        {"memory_limit": None},
        {"memory_limit": 1 << 20},
        {"memory_limit": 0.5},
        {"memory_limit": 1.0},
        {"resume": "run.db"},
        {"resume": "run.db", "resume_failed": True},
        {"joblog": "run.log"},
        {"ordered": True},
        {"ordered": False},
        {"buffersize": None},
        {"buffersize": 1},
    ],
    ids=lambda options: re.sub(r" at 0x\w+", "", str(options)),
)
def test_right_values_are_kept(options: dict[str, Any]) -> None:
    settings = validate(options)._asdict()
    assert {name: settings[name] for name in options} == options


@pytest.mark.parametrize("name", ["resume", "joblog"])
def test_paths_become_texts(name: str) -> None:
    assert validate({name: Path("a", "b")})._asdict()[name] == str(Path("a", "b"))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"resume": b"run.db"}, TypeError, "resume must be the name of a file"),
        ({"resume": ""}, ValueError, "resume must be the name of a file"),
        ({"joblog": "a\0b"}, ValueError, "joblog must be the name of a file"),
        ({"joblog": True}, TypeError, "joblog must be the name of a file"),
        ({"resume_failed": 1, "resume": "x"}, TypeError, "resume_failed must be True or False"),
        ({"resume_failed": True}, ValueError, "pass resume='run.db' as well"),
    ],
)
def test_wrong_files_are_refused(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        validate(options)


@pytest.mark.parametrize("name", ["max_workers", "chunksize"])
def test_whole_numbers_of_other_types_become_ints(name: str) -> None:
    value = validate({name: Four()})._asdict()[name]
    assert type(value) is int
    assert value == 4


@given(
    st.one_of(
        st.integers(min_value=1, max_value=10**9),
        st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    ),
    st.sampled_from(["timeout", "deadline"]),
)
@examples(50)
def test_any_time_that_is_more_than_nothing_and_finite_will_do(seconds: float, name: str) -> None:
    value = validate({name: seconds})._asdict()[name]
    assert type(value) is float
    assert value == seconds


@pytest.mark.parametrize(
    ("options", "limited"),
    [({}, False), ({"timeout": 1}, True), ({"deadline": 1}, True), ({"max_workers": 1}, False)],
)
def test_a_run_with_a_limit_of_time_is_limited(options: dict[str, Any], limited: bool) -> None:
    assert validate(options).limited is limited


@pytest.mark.parametrize(
    ("backend", "route"),
    [
        ("auto", "auto"),
        ("threads", "threads"),
        ("hybrid", "hybrid"),
        (ThreadPoolExecutor(1), "external"),
    ],
)
def test_an_executor_of_the_callers_is_the_route_external(backend: Backend, route: str) -> None:
    assert validate({"backend": backend}).route == route


# --- Wrong ones --------------------------------------------------------------------------------------

WRONG: list[tuple[str, object, type[Exception]]] = [
    ("backend", "thread", ValueError),
    ("backend", "Threads", ValueError),
    ("backend", "", ValueError),
    ("backend", None, TypeError),
    ("backend", 4, TypeError),
    ("backend", ThreadPoolExecutor, TypeError),
    ("max_workers", 0, ValueError),
    ("max_workers", -1, ValueError),
    ("max_workers", 2.0, TypeError),
    ("max_workers", "4", TypeError),
    ("max_workers", True, TypeError),
    ("max_workers", [4], TypeError),
    ("chunksize", 0, ValueError),
    ("chunksize", -5, ValueError),
    ("chunksize", 1.5, TypeError),
    ("chunksize", None, TypeError),
    ("chunksize", "automatic", TypeError),
    ("chunksize", False, TypeError),
    ("on_error", "ignore", ValueError),
    ("on_error", "Raise", ValueError),
    ("on_error", None, TypeError),
    ("on_error", True, TypeError),
    ("star", 1, TypeError),
    ("star", None, TypeError),
    ("star", "yes", TypeError),
    ("ordered", 0, TypeError),
    ("ordered", None, TypeError),
    ("ordered", "completed", TypeError),
    ("buffersize", 0, ValueError),
    ("buffersize", -1, ValueError),
    ("buffersize", 2.5, TypeError),
    ("buffersize", "auto", TypeError),
    ("buffersize", True, TypeError),
    *(
        (name, value, error)
        for name in ("timeout", "deadline")
        for value, error in [
            (0, ValueError),
            (0.0, ValueError),
            (-1, ValueError),
            (float("nan"), ValueError),
            (float("inf"), ValueError),
            (float("-inf"), ValueError),
            (True, TypeError),
            (False, TypeError),
            ("1", TypeError),
            (1j, TypeError),
            ([1], TypeError),
            (timedelta(seconds=1), TypeError),
        ]
    ),
]


@pytest.mark.parametrize(("name", "value", "error"), WRONG)
def test_wrong_values_are_refused_in_a_sentence_that_names_the_option(
    name: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match=rf"^{name} must be .+[.?]$"):
        validate({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, value, _ in WRONG if not isinstance(value, type)],
)
def test_what_was_passed_is_named(name: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        validate({name: value})
    message = str(caught.value)
    assert repr(value) in message or type(value).__name__ in message


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_checked(name: str) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        validate({name: object()})


@given(
    st.integers(max_value=0),
    st.sampled_from(["max_workers", "chunksize", "timeout", "deadline"]),
)
@examples(50)
def test_nothing_and_less_is_out_of_range(value: int, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        validate({name: value})


@pytest.mark.parametrize("name", ["timeout", "deadline"])
def test_more_seconds_than_any_float_holds_are_out_of_range(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        validate({name: 10**400})


def test_a_class_of_executors_is_answered_with_how_to_make_one() -> None:
    with pytest.raises(TypeError, match=r"pass ThreadPoolExecutor\(\.\.\.\)"):
        validate({"backend": ThreadPoolExecutor})


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [
        ("max_worker", "max_workers"),
        ("workers", "max_workers"),
        ("chunk_size", "chunksize"),
        ("onerror", "on_error"),
        ("backends", "backend"),
        ("starred", "star"),
        ("time_out", "timeout"),
        ("deadlines", "deadline"),
    ],
)
def test_an_unknown_option_is_answered_with_the_one_that_was_meant(
    unknown: str, meant: str
) -> None:
    with pytest.raises(TypeError, match=f"no option '{unknown}'. Did you mean '{meant}'"):
        validate({unknown: 1})


def test_an_option_like_no_other_is_answered_with_all_there_are() -> None:
    with pytest.raises(TypeError) as caught:
        validate({"zzz": 1})
    assert "Did you mean" not in str(caught.value)
    assert all(name in str(caught.value) for name in NAMES)


def test_something_that_only_looks_like_an_executor_is_refused() -> None:
    class Lookalike:
        submit = map = shutdown = Executor.submit

    with pytest.raises(TypeError, match="not a Lookalike"):
        validate({"backend": Lookalike()})


# --- The function and the items --------------------------------------------------------------------


class Once:
    """Counts how often it is asked for an iterator."""

    asked = 0

    def __iter__(self) -> Iterator[int]:
        self.asked += 1
        return iter([1, 2])


class Indexed:
    """Iterable the old way."""

    def __getitem__(self, index: int) -> int:
        return [1, 2][index]


class Breaking:
    """Iterable, but its source cannot be opened."""

    def __iter__(self) -> Iterator[int]:
        raise TypeError("the file is in the wrong format")


@pytest.mark.parametrize("items", [[1, 2], (1, 2), {1: "a", 2: "b"}, range(1, 3), Indexed()])
def test_anything_iterable_will_do(items: Any) -> None:
    assert list(check_call(len, items)) == [1, 2]


def test_a_source_is_opened_once() -> None:
    items = Once()
    iterator = check_call(len, items)
    assert list(iterator) == [1, 2]
    assert items.asked == 1


def test_a_generator_is_not_started() -> None:
    started: list[bool] = []

    def source() -> Iterator[int]:
        started.append(True)
        yield 1

    iterator = check_call(len, source())
    assert not started
    assert list(iterator) == [1]


@pytest.mark.parametrize(
    ("fn", "instead"),
    [
        (None, r"not fn\("),
        (3, r"not fn\("),
        ("len", "not its name"),
        ([len], r"not fn\("),
    ],
)
def test_what_cannot_be_called_is_refused(fn: object, instead: str) -> None:
    refused = rf"^fn must be callable, but {type(fn).__name__} is not\. Pass .*{instead}"
    with pytest.raises(TypeError, match=refused):
        check_call(fn, [1])


def rows(item: int) -> Iterator[int]:
    yield item


async def rows_later(item: int) -> AsyncIterator[int]:
    yield item


class Rows:
    def __call__(self, item: int) -> Iterator[int]:
        yield item

    def method(self, item: int) -> Iterator[int]:
        yield item


async def _each(made: Any) -> None:
    async for _ in made:
        pass


FORMS: list[Callable[[Any], Any]] = [
    lambda fn: run_parallel(fn, [1]),
    lambda fn: iter_parallel(fn, [1]),
    lambda fn: asyncio.run(arun_parallel(fn, [1])),
    lambda fn: asyncio.run(_each(aiter_parallel(fn, [1]))),
    parallel,
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("fn", "instead"),
    [
        (rows, "rows is a generator function.* list"),
        (functools.partial(rows), "rows is a generator function.* list"),
        (Rows(), "Rows is a generator function.* list"),
        (Rows().method, "Rows.method is a generator function.* list"),
        (rows_later, "rows_later is an asynchronous generator function.* async for"),
    ],
)
def test_a_generator_function_is_refused_with_what_its_calls_would_give(
    fn: Any, instead: str, form: Callable[[Any], Any]
) -> None:
    with pytest.raises(TypeError, match=rf"^fn must return its result, but {instead}"):
        form(fn)


def test_who_makes_something_of_a_generator_is_not_refused() -> None:
    check_call(contextlib.contextmanager(rows), [1])
    assert run_parallel(lambda item: list(rows(item)), [1, 2]) == [[1], [2]]


def test_swapped_arguments_are_noticed() -> None:
    with pytest.raises(TypeError, match="The function comes first"):
        check_call([1, 2], len)


@pytest.mark.parametrize("items", [None, 3, object()])
def test_what_cannot_be_iterated_over_is_refused(items: object) -> None:
    with pytest.raises(TypeError, match=rf"^items must be iterable, but {type(items).__name__} is"):
        check_call(len, items)


def test_asynchronous_items_are_answered_with_how_to_collect_them() -> None:
    async def source() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError, match=r"\[item async for item in items\]"):
        check_call(len, source())


def test_an_error_of_the_items_own_is_not_hidden() -> None:
    with pytest.raises(TypeError) as caught:
        check_call(len, Breaking())
    told = f"{caught.value} {caught.value.__cause__}"
    assert "the file is in the wrong format" in told


# --- What a run may be told besides ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"retries": -1}, ValueError, "retries must be at least 0"),
        ({"retries": True}, TypeError, "retries must be a whole number"),
        ({"retries": 1.5}, TypeError, "or a function"),
        ({"retries": None}, TypeError, "retries"),
        ({"max_per_second": 0}, ValueError, "more than 0 calls a second"),
        ({"max_per_second": float("inf")}, ValueError, "finite"),
        ({"max_per_second": "5"}, TypeError, "max_per_second"),
        ({"progress": 1}, TypeError, "progress must be True, False or a function"),
        ({"initializer": 3}, TypeError, "initializer must be callable"),
        ({"initializer": print, "initargs": 3}, TypeError, "initargs must be a tuple"),
        ({"initializer": print, "initargs": "ab"}, TypeError, "initargs must be a tuple"),
        ({"initargs": (1,)}, ValueError, "there is none"),
        ({"max_tasks_per_child": 0}, ValueError, "max_tasks_per_child must be at least 1"),
        ({"memory_limit": 0}, ValueError, "at least a MiB"),
        ({"memory_limit": 1}, ValueError, "or a share such as 0.8"),
        ({"memory_limit": -(10**9)}, ValueError, "at least a MiB"),
        ({"memory_limit": 0.0}, ValueError, "more than 0 and at most 1.0"),
        ({"memory_limit": 1.5}, ValueError, "for bytes pass a whole number"),
        ({"memory_limit": float("nan")}, ValueError, "more than 0"),
        ({"memory_limit": "120%"}, ValueError, "at most 1.0"),
        ({"memory_limit": "much"}, ValueError, "or '2 GB'"),
        ({"memory_limit": ""}, ValueError, "or '2 GB'"),
        ({"memory_limit": True}, TypeError, "memory_limit must be bytes"),
        ({"memory_limit": [1]}, TypeError, "or None for a safe share"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": "x"}, TypeError, "seed must be a whole number"),
        ({"sources": {}}, TypeError, "no option 'sources'"),
    ],
    ids=lambda options: re.sub(r" at 0x\w+", "", str(options)),
)
def test_wrong_values_are_refused_in_words(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        validate(options)


@pytest.mark.parametrize(
    ("given", "limit"),
    [("2GB", 2 * 10**9), ("1.5 GiB", 3 << 29), ("80%", 0.8), ("0.25", 0.25), (1 << 30, 1 << 30)],
)
def test_a_limit_of_memory_is_bytes_or_a_share(given: Any, limit: int | float) -> None:
    read = validate({"memory_limit": given}).memory_limit
    assert read == limit
    assert type(read) is type(limit)


def test_every_option_of_the_settings_is_typed() -> None:
    assert set(Options.__annotations__) | set(CommonOptions.__annotations__) == set(NAMES)
