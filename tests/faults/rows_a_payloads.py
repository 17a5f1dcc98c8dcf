"""Group A: what travels to a worker process and back, or cannot."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from lab import (
    FORMS,
    Fails,
    answer,
    fails,
    in_each,
    is_answer,
    judge,
    note,
    require,
    suited,
)
from register import AWAY, row

from autoexec import NotPicklable, RemoteError, RemoteTraceback, WorkerDied

COUNT = 12
BAD = 5


class Item:
    """An item that knows its index."""

    def __init__(self, index: int) -> None:
        self.index = index


def of_item(item: Any) -> int:
    """A call that wants nothing of its item but the index."""
    index: int = getattr(item, "index", item)
    note(index)
    return answer(index)


def right_item(item: Any, result: Any) -> bool:
    """Whether the result is that of the item."""
    return is_answer(getattr(item, "index", item), result)


def with_bad(kind: Callable[[int], Any], bad: int = BAD, count: int = COUNT) -> list[Any]:
    """Indices as items, one of which is of that kind instead."""
    return [kind(index) if index == bad else index for index in range(count)]


def expect(backend: str, how: Fails, bad: int = BAD) -> dict[str, Any]:
    """What fails where only other processes are affected: `auto` may use them, or may not."""
    if backend in AWAY:
        return {"affected": {bad: how}}
    return {"maybe": {bad: how}} if backend == "auto" else {}


class RefusesToBePickled(Item):
    def __reduce__(self) -> Any:
        raise ValueError("stays where it is")


@row("A1")
def an_item_that_cannot_be_pickled(backend: str) -> None:
    """An item whose `__reduce__` raises."""
    affected = {BAD: fails(NotPicklable, "stays where it is")} if backend in AWAY else {}
    fn, items = suited(of_item, backend), with_bad(RefusesToBePickled)
    in_each(FORMS, lambda form: judge(fn, items, backend, affected, right=right_item, form=form))
    if backend == "auto":
        items = with_bad(RefusesToBePickled, bad=100, count=160)
        judge(slowly, items, backend, right=right_item)


def slowly(item: Any) -> int:
    """Compute for some milliseconds, so that processes are worth their while."""
    until = time.thread_time() + 0.006
    while time.thread_time() < until:
        pass
    return of_item(item)


class ExitsWhenPickled(Item):
    def __reduce__(self) -> Any:
        raise SystemExit(3)


@row("A2")
def an_item_that_exits_when_pickled(backend: str) -> None:
    """An item whose pickling raises SystemExit."""
    items = with_bad(ExitsWhenPickled)
    expected = expect(backend, fails(NotPicklable))
    judge(suited(of_item, backend), items, backend, right=right_item, **expected)


def refuse() -> None:
    """What an item calls when it is read."""
    raise LookupError("cannot be read")


class RefusesToBeRead(Item):
    def __reduce__(self) -> Any:
        return refuse, ()


class ExitsWhenRead(Item):
    def __reduce__(self) -> Any:
        return os._exit, (4,)


@row("A3")
def an_item_that_cannot_be_read(backend: str) -> None:
    """An item whose unpickling raises, one whose unpickling ends the process."""
    for kind, how in (
        (RefusesToBeRead, fails(LookupError, "cannot be read")),
        (ExitsWhenRead, fails(WorkerDied, "exited with code 4")),
    ):
        expected = expect(backend, how)
        judge(suited(of_item, backend), with_bad(kind), backend, right=right_item, **expected)


class CrashesWhenRead(Item):
    def __reduce__(self) -> Any:
        return ctypes.string_at, (0,)


@row("A4")
def an_item_that_crashes_when_read(backend: str) -> None:
    """An item whose unpickling is a segmentation fault."""
    expected = expect(backend, fails(WorkerDied, "SIGSEGV"))
    items = with_bad(CrashesWhenRead)
    judge(suited(of_item, backend), items, backend, right=right_item, **expected)


def lock_for_bad(index: int) -> Any:
    note(index)
    return threading.Lock() if index == BAD else answer(index)


@row("A5")
def a_lock_as_a_result(backend: str) -> None:
    """A result that cannot leave its process."""
    expected = expect(backend, fails(NotPicklable, "lock", "threads"))
    judge(suited(lock_for_bad, backend), range(COUNT), backend, right=lock_or_answer, **expected)


def lock_or_answer(index: int, result: Any) -> bool:
    return hasattr(result, "acquire") if index == BAD else is_answer(index, result)


class RefusesToComeHome:
    def __reduce__(self) -> Any:
        return refuse, ()


class ExitsAtHome:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit(5)",)


def unreadable_results(index: int) -> Any:
    note(index)
    return {BAD: RefusesToComeHome(), BAD + 2: ExitsAtHome()}.get(index, answer(index))


@row("A6")
def a_result_that_cannot_be_read(backend: str) -> None:
    """A result whose unpickling raises in the caller's process."""
    how = {BAD: fails(LookupError, "cannot be read"), BAD + 2: fails(SystemExit)}
    expected: dict[str, Any] = {"affected": how} if backend in AWAY else {"maybe": how}
    fn = suited(unreadable_results, backend)
    judge(fn, range(COUNT), backend, right=any_object_or_answer, **expected)


def any_object_or_answer(index: int, result: Any) -> bool:
    return index in (BAD, BAD + 2) or is_answer(index, result)


class TwoArguments(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"code {code}: {text}")


class HoldsALock(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class Forbids(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} cannot be set")


class UnreadableAtHome(Exception):
    """Can be made again in the process that raised it, and in no other."""

    def __reduce__(self) -> Any:
        return only_in, (os.getpid(), str(self))


def only_in(pid: int, text: str) -> Exception:
    if pid != os.getpid():
        raise LookupError("cannot be read here")
    return UnreadableAtHome(text)


def raise_for_bad(error: Callable[[], Exception], index: int) -> int:
    note(index)
    if index == BAD:
        raise error()
    return answer(index)


def raise_two_arguments(index: int) -> int:
    return raise_for_bad(lambda: TwoArguments(7, "too much"), index)


def raise_lock(index: int) -> int:
    return raise_for_bad(lambda: HoldsALock("too much"), index)


def raise_forbidding(index: int) -> int:
    return raise_for_bad(lambda: Forbids("too much"), index)


def raise_unreadable(index: int) -> int:
    return raise_for_bad(lambda: UnreadableAtHome("too much"), index)


def see_error(fn: Callable[[int], int], backend: str, kind: type[Exception]) -> None:
    """One item fails with that exception, or with one that stands for it and names it."""
    kinds = (kind, RemoteError)
    how = {BAD: fails(kinds, "too much")}
    error = judge(suited(fn, backend), range(COUNT), backend, how)[BAD].exception
    if backend in AWAY:
        require(isinstance(error.__cause__, RemoteTraceback), f"no remote traceback in {error!r}")
        require(fn.__name__ in str(error.__cause__), f"no frame of {fn.__name__} in its traceback")
        require(kind.__name__ in f"{error!r}", f"{error!r} does not name {kind.__name__}")


@row("A7")
def an_exception_that_cannot_be_made_again(backend: str) -> None:
    """An exception class with a two-argument `__init__`."""
    see_error(raise_two_arguments, backend, TwoArguments)


@row("A8")
def an_exception_that_cannot_be_pickled(backend: str) -> None:
    """An exception that holds a lock, and one that only its own process can read."""
    see_error(raise_lock, backend, HoldsALock)
    how = {BAD: fails((UnreadableAtHome, RemoteError))}
    judge(suited(raise_unreadable, backend), range(COUNT), backend, how)


@row("A9")
def an_exception_that_forbids_attributes(backend: str) -> None:
    """An exception on which no attribute can be set, neither a note nor a cause."""
    how = {BAD: fails((Forbids, RemoteError), "too much")}
    judge(suited(raise_forbidding, backend), range(COUNT), backend, how)


def deep_for_bad(index: int) -> Any:
    note(index)
    if index != BAD:
        return answer(index)
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


def list_or_answer(index: int, result: Any) -> bool:
    return isinstance(result, list) if index == BAD else is_answer(index, result)


@row("A12")
def a_deeply_nested_result(backend: str) -> None:
    """A result nested so deeply that it cannot be pickled."""
    expected = expect(backend, fails(NotPicklable))
    judge(suited(deep_for_bad, backend), range(COUNT), backend, right=list_or_answer, **expected)
