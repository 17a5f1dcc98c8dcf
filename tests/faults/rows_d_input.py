"""Group D: inputs and options that are not as they should be, or not as one expects."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import traces
from lab import (
    FORMS,
    LAZY,
    answer,
    forget_notes,
    gather,
    in_each,
    judge,
    note,
    notes,
    plain,
    require,
    run_parallel,
    suited,
    walk,
)
from register import row


class Lost(Exception):
    """The input broke."""


def ten_then_error() -> Iterator[int]:
    yield from range(10)
    raise Lost("after ten items")


async def ten_then_error_async() -> AsyncIterator[int]:
    for index in ten_then_error():
        yield index


@row("D1")
def an_input_that_raises(backend: str) -> None:
    """The input raises after ten items."""

    def check(form: str) -> None:
        for on_error in ("raise", "return", "skip"):
            see_lost(form, backend, ten_then_error(), on_error)
            if form.startswith("async"):
                see_lost(form, backend, ten_then_error_async(), on_error)

    in_each(FORMS, check)


def see_lost(form: str, backend: str, items: Any, on_error: str) -> None:
    """There are ten calls, ten results where they are handed on one by one, and the input's error."""
    forget_notes()
    fn = suited(plain, backend)
    found: list[Any] = []
    options: dict[str, Any] = {"backend": backend, "on_error": on_error}
    try:
        if form in LAZY:
            walk(form, fn, items, found.append, **options)
        else:
            found = gather(form, fn, items, **options)
    except Lost as error:
        require("after ten items" in str(error), f"another error came: {error!r}")
    else:
        require(False, f"no error came but {found}")
    handed = [answer(index) for index in range(10 if form in LAZY else 0)]
    require(found == handed, f"the results before the error are {found}")
    calls = sorted(one.index for one in notes())
    require(calls == list(range(10)), f"the calls were for {calls}")


class Pulled:
    """A generator that knows which threads took something from it, and when it was at its end."""

    def __init__(self, count: int, pause_s: float = 0.0) -> None:
        self.count = count
        self.pause_s = pause_s
        self.threads: set[int] = set()
        self.at_once = 0
        self.ended_s = 0.0
        self._inside = threading.Lock()

    def __iter__(self) -> Iterator[int]:
        for index in range(self.count):
            self.at_once += not self._inside.acquire(blocking=False)
            self.threads.add(threading.get_ident())
            time.sleep(self.pause_s)
            self._inside.release()
            yield index
        self.ended_s = time.monotonic()


@row("D5")
def a_generator_and_many_workers(backend: str) -> None:
    """A generator as input of a run with eight workers."""
    pulled = Pulled(60, 0.001)
    found = run_parallel(suited(sleepy, backend), pulled, backend=backend, max_workers=8)
    require(found == [answer(index) for index in range(60)], f"the results are {found}")
    require(len(pulled.threads) == 1, f"{len(pulled.threads)} threads took items")
    require(not pulled.at_once, "two threads took an item at the same time")
    calls = sorted(one.index for one in notes())
    require(calls == list(range(60)), f"the calls were for {calls}")


def sleepy(index: int) -> int:
    time.sleep(0.005)
    return plain(index)


def refused(
    form: str, kind: type[Exception], text: str, fn: Any, items: Any, **options: Any
) -> None:
    """A run is refused, with an error that says what is the matter, before anything starts."""
    given = f"{fn!r}, {items!r}, {options!r}"
    try:
        found = gather(form, fn, items, **options)
    except Exception as error:
        good = isinstance(error, kind) and text in str(error)
        require(good, f"a run of {given} raised {error!r}")
    else:
        require(False, f"a run of {given} gave {found!r:.80}")


NOT_NUMBERS: tuple[Any, ...] = ("2", 2.5, True, [2])
NOT_POSITIVE = (0, -1)

REFUSED: list[tuple[type[Exception], str, dict[str, Any]]] = [
    *[(TypeError, "max_workers", {"max_workers": value}) for value in NOT_NUMBERS],
    *[(ValueError, "max_workers", {"max_workers": value}) for value in NOT_POSITIVE],
    *[(TypeError, "chunksize", {"chunksize": value}) for value in (2.5, True, [2], None)],
    *[(ValueError, "chunksize", {"chunksize": value}) for value in NOT_POSITIVE],
    *[(ValueError, "on_error", {"on_error": value}) for value in ("ignore", "")],
    *[(TypeError, "on_error", {"on_error": value}) for value in (None, 1)],
    *[(TypeError, "star", {"star": value}) for value in (None, 1, "yes")],
    *[(TypeError, "timeout", {"timeout": value}) for value in ("1", True, [1])],
    *[(ValueError, "timeout", {"timeout": value}) for value in (0, -1.0, float("nan"))],
    *[(TypeError, "deadline", {"deadline": value}) for value in ("1", True, [1])],
    *[(ValueError, "deadline", {"deadline": value}) for value in (0, -1.0, float("nan"))],
    *[(TypeError, "timeline", {"timeline": value}) for value in (None, 1, "run.json")],
    *[(TypeError, "retries", {"retries": value}) for value in ("1", 1.5, True, None)],
    *[(ValueError, "retries", {"retries": value}) for value in (-1,)],
    *[(TypeError, "max_per_second", {"max_per_second": value}) for value in ("1", True, [1])],
    *[(ValueError, "max_per_second", {"max_per_second": value}) for value in (0, -1.0)],
    *[(TypeError, "progress", {"progress": value}) for value in (None, 1, "yes")],
    *[(TypeError, "initializer", {"initializer": value}) for value in (1, "print")],
    *[(TypeError, "initargs", {"initializer": print, "initargs": value}) for value in (1, "a")],
    (ValueError, "initargs", {"initargs": (1,)}),
    *[(TypeError, "max_tasks_per_child", {"max_tasks_per_child": v}) for v in NOT_NUMBERS],
    *[(ValueError, "max_tasks_per_child", {"max_tasks_per_child": v}) for v in NOT_POSITIVE],
    *[(TypeError, "memory_limit", {"memory_limit": value}) for value in (True, [1])],
    *[(ValueError, "memory_limit", {"memory_limit": value}) for value in (0, -1, 0.0, 2.5, "x")],
    *[(TypeError, "seed", {"seed": value}) for value in NOT_NUMBERS],
    *[(ValueError, "seed", {"seed": value}) for value in (-1,)],
    (TypeError, "Did you mean 'max_workers'", {"max_worker": 2}),
    (TypeError, "no option 'frobnicate'", {"frobnicate": 2}),
]


REFUSED_LAZY: list[tuple[type[Exception], str, dict[str, Any]]] = [
    *[(TypeError, "ordered", {"ordered": value}) for value in (None, 1, "yes")],
    *[(TypeError, "buffersize", {"buffersize": value}) for value in NOT_NUMBERS],
    *[(ValueError, "buffersize", {"buffersize": value}) for value in NOT_POSITIVE],
]
"""The same for the options of the iterators."""


@row("D7")
def what_is_not_a_call_at_all(backend: str) -> None:
    """No items, one item, no function, no iterable, options that are wrong in every way."""
    # First, while there is no pool: the threads that end one would seem to be started by these.
    in_each(FORMS, lambda form: see_refused(form, backend))
    in_each(FORMS, lambda form: see_few(form, backend))


def see_refused(form: str, backend: str) -> None:
    fn = suited(plain, backend)
    before = traces.look()
    refused(form, TypeError, "callable", 7, [1], backend=backend)
    refused(form, TypeError, "first", [1], plain, backend=backend)
    refused(form, TypeError, "[item]", fn, 7, backend=backend)
    refused(form, TypeError, "[item]", fn, None, backend=backend)
    refused(form, ValueError, "backend", fn, [1], backend=backend.upper())
    refused(form, TypeError, "backend", fn, [1], backend=None)
    for kind, text, options in REFUSED + REFUSED_LAZY * (form in LAZY):
        refused(form, kind, text, fn, [1, 2, 3], **{"backend": backend, **options})
    started = {**traces.look().processes, **traces.look().threads}.keys()
    new = started - before.processes.keys() - before.threads.keys()
    require(not new, f"processes or threads were started: {new}")
    require(not notes(), "the function was called all the same")


def see_few(form: str, backend: str) -> None:
    fn = suited(plain, backend)
    nothings: tuple[Iterable[Any], ...] = ([], iter(()))
    for nothing in nothings:
        found = gather(form, fn, nothing, backend=backend)
        require(found == [], f"no items gave {found}")
    judge(fn, [0], backend, form=form)


class Ticks:
    """An asynchronous iterable."""

    async def __aiter__(self) -> AsyncIterator[int]:
        for index in range(5):
            await asyncio.sleep(0.001)
            yield index


def identity(item: Any) -> Any:
    note(0)
    return item


def gives(backend: str, items: Any, expected: list[Any]) -> None:
    """A function that gives its item back gives these."""
    found = list(run_parallel(suited(identity, backend), items, backend=backend))
    require(found == expected, f"{type(items).__name__} gave {found}")


@row("D10", imports=["numpy", "pandas"])
def inputs_that_are_not_lists(backend: str) -> None:
    """An iterator as slow as the calls, an asynchronous one, a dict, a set, arrays, texts."""
    see_overlap(backend)
    gives(backend, {"a": 1, "b": 2}, ["a", "b"])
    gives(backend, {"a": 1, "b": 2}.items(), [("a", 1), ("b", 2)])
    several = {3, 1, 2}
    gives(backend, several, list(several))
    gives(backend, "abc", ["a", "b", "c"])
    gives(backend, range(5, 0, -1), [5, 4, 3, 2, 1])
    gives(backend, bytearray(b"ab"), [97, 98])
    for form in ("list", "iterator"):
        refused(form, TypeError, "async for", identity, Ticks(), backend=backend)
    for form in ("async list", "async iterator"):
        ticks = gather(form, suited(identity, backend), Ticks(), backend=backend)
        require(ticks == list(range(5)), f"{form}: an asynchronous input gave {ticks}")
    see_arrays(backend)


def see_overlap(backend: str) -> None:
    """Calls begin long before a slow input has ended."""
    pulled = Pulled(20, 0.02)
    forget_notes()
    found = run_parallel(suited(twentieth, backend), pulled, backend=backend)
    require(found == [answer(index) for index in range(20)], f"a slow input gave {found}")
    began = min(one.at_s for one in notes())
    require(began < pulled.ended_s - 0.2, "no call began before the input had ended")


def twentieth(index: int) -> int:
    time.sleep(0.02)
    return plain(index)


def see_arrays(backend: str) -> None:
    """Arrays give their elements or rows, a column its values."""
    call: Callable[[Any], Any] = suited(total, backend)
    try:
        import numpy
    except ImportError:
        return
    require(
        run_parallel(call, numpy.arange(6).reshape(3, 2), backend=backend) == [1, 5, 9],
        "the rows of an array are wrong",
    )
    try:
        import pandas  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return
    column = pandas.DataFrame({"x": [1, 2, 3]})["x"]
    require(run_parallel(call, column, backend=backend) == [1, 2, 3], "a column is wrong")


def total(row: Any) -> int:
    return int(row.sum())
