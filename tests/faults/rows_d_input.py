"""Group D: inputs and options that are not as they should be, or not as one expects."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import traces
from lab import answer, forget_notes, judge, note, notes, plain, require, run_parallel, suited
from register import row


class Lost(Exception):
    """The input broke."""


def ten_then_error() -> Iterator[int]:
    yield from range(10)
    raise Lost("after ten items")


@row("D1")
def an_input_that_raises(backend: str) -> None:
    """The input raises after ten items."""
    for on_error in ("raise", "return", "skip"):
        forget_notes()
        options: dict[str, Any] = {"backend": backend, "on_error": on_error}
        try:
            found = run_parallel(suited(plain, backend), ten_then_error(), **options)
        except Lost as error:
            require("after ten items" in str(error), f"another error came: {error!r}")
        else:
            require(False, f"no error came but {found}")
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


def refused(kind: type[Exception], text: str, fn: Any, items: Any, **options: Any) -> None:
    """A run is refused, with an error that says what is the matter, before anything starts."""
    given = f"{fn!r}, {items!r}, {options!r}"
    try:
        found = run_parallel(fn, items, **options)
    except Exception as error:
        good = isinstance(error, kind) and text in str(error)
        require(good, f"run_parallel({given}) raised {error!r}")
    else:
        require(False, f"run_parallel({given}) gave {found!r:.80}")


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
    (TypeError, "Did you mean 'max_workers'", {"max_worker": 2}),
    (TypeError, "no option 'frobnicate'", {"frobnicate": 2}),
]


@row("D7")
def what_is_not_a_call_at_all(backend: str) -> None:
    """No items, one item, no function, no iterable, options that are wrong in every way."""
    fn = suited(plain, backend)
    require(run_parallel(fn, [], backend=backend) == [], "no items gave some results")
    require(run_parallel(fn, iter(()), backend=backend) == [], "no items gave some results")
    before = traces.look()
    refused(TypeError, "callable", 7, [1], backend=backend)
    refused(TypeError, "first", [1], plain, backend=backend)
    refused(TypeError, "[item]", fn, 7, backend=backend)
    refused(TypeError, "[item]", fn, None, backend=backend)
    refused(ValueError, "backend", fn, [1], backend=backend.upper())
    refused(TypeError, "backend", fn, [1], backend=None)
    for kind, text, options in REFUSED:
        refused(kind, text, fn, [1, 2, 3], **{"backend": backend, **options})
    started = {**traces.look().processes, **traces.look().threads}.keys()
    new = started - before.processes.keys() - before.threads.keys()
    require(not new, f"processes or threads were started: {new}")
    require(not notes(), "the function was called all the same")
    judge(fn, [0], backend)


class Ticks:
    """An asynchronous iterable."""

    def __aiter__(self) -> Ticks:
        return self

    async def __anext__(self) -> int:
        raise StopAsyncIteration


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
    refused(TypeError, "async for", identity, Ticks(), backend=backend)
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
