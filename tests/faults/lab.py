"""The judge of the fault suite, and what its rows are made of.

A fault is survived only if all five hold:

1. the call returned by the deadline;
2. every item that is not affected has its value, in order, and was called exactly once;
3. every item that is has a typed error with its index, and was called at most once;
4. the next call works;
5. two seconds later no process, thread, descriptor or file is left.

`judge` sees to the first three; `run_row`, which runs a row in a process of its own, to the others.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import traces

import autoexec
from autoexec import Failure

run_parallel: Callable[..., Any] = autoexec.run_parallel
"""As it is called by who does not know the backend before the program runs."""
iter_parallel: Callable[..., Any] = autoexec.iter_parallel
arun_parallel: Callable[..., Any] = autoexec.arun_parallel
aiter_parallel: Callable[..., Any] = autoexec.aiter_parallel

LAZY = ("iterator", "async iterator")
"""Forms of a run that hand on results one by one."""
FORMS = ("list", "async list", *LAZY)
"""All of its forms."""

CALLS = "FAULTS_CALLS"
"""Environment variable with the path of the file in which calls are counted."""
DEADLINE_S = 20.0
FULL = bool(os.environ.get("FAULTS_FULL"))
"""Whether the rows are run at their full size, which takes minutes."""


class Wrong(AssertionError):
    """A fault was not survived; says why."""


class Skip(Exception):
    """A row needs what this machine does not have; says what."""


class Fails(NamedTuple):
    """How an item is to fail."""

    kind: type[BaseException] | tuple[type[BaseException], ...]
    texts: tuple[str, ...] = ()
    """What the text of its exception says."""


def fails(kind: type[BaseException] | tuple[type[BaseException], ...], *texts: str) -> Fails:
    """How an item is to fail: with an exception of that kind whose text says this."""
    return Fails(kind, texts)


def require(condition: object, otherwise: str) -> None:
    """Raise `Wrong` with that sentence unless the condition holds."""
    if not condition:
        raise Wrong(otherwise)


# --- What calls do --------------------------------------------------------------------------------


def answer(index: int) -> int:
    """What a call for the item of that index gives, unless the row says otherwise."""
    return 7 * index + 1


@functools.cache
def _counter() -> int:
    """The descriptor of the file of calls: opened once, since a row may leave none to open."""
    return os.open(os.environ[CALLS], os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)


def note(index: int, what: str = "begin") -> None:
    """Count a call, in a way that outlives whatever happens to this process next."""
    os.write(_counter(), f"{what} {index} {os.getpid()} {time.monotonic()}\n".encode())


@dataclass(frozen=True)
class Note:
    """What a call has noted."""

    what: str
    index: int
    pid: int
    at_s: float


def notes(what: str = "begin") -> list[Note]:
    """What calls have noted since the last `judge` began."""
    text = os.pread(_counter(), os.fstat(_counter()).st_size, 0).decode()
    found = [line.split() for line in text.splitlines()]
    return [
        Note(kind, int(index), int(pid), float(at_s))
        for kind, index, pid, at_s in found
        if kind == what
    ]


def forget_notes() -> None:
    """Begin to count anew."""
    os.ftruncate(_counter(), 0)


FOR_EVER_S = 600.0
enough = threading.Event()
"""Set, it ends the calls of this process that wait for ever: a thread cannot be ended otherwise."""


def wait_for_ever() -> None:
    """Wait until there is `enough` of it, or the process is ended."""
    enough.wait(FOR_EVER_S)


def wait_for_notes(count: int, what: str = "begin", seconds: float = DEADLINE_S) -> list[Note]:
    """Wait until so many calls have noted that."""
    wait_until(lambda: len(notes(what)) >= count, f"{count} calls have begun", seconds)
    return notes(what)


def wait_until(condition: Callable[[], object], what: str, seconds: float = traces.GRACE_S) -> None:
    """Wait until something holds, or raise `Wrong`."""
    for _ in range(round(seconds / 0.01)):  # see `left_since`
        if condition():
            return
        time.sleep(0.01)
    require(condition(), f"not within {seconds:g} s: {what}")


def resident_bytes() -> int:
    """The memory that this process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def segfault() -> NoReturn:
    """Read from address 0."""
    ctypes.string_at(0)
    raise AssertionError("address 0 could be read")


def error_of(call: Callable[[], object]) -> BaseException:
    """What a call raises."""
    try:
        result = call()
    except Exception as error:
        return error
    raise Wrong(f"it did not raise anything but gave {result!r:.100}")


class Suited:
    """A function as a backend wants it: a coroutine function for an event loop."""

    def __init__(self, fn: Callable[[Any], Any]) -> None:
        self._fn = fn

    async def __call__(self, item: Any) -> Any:
        return self._fn(item)


def suited(fn: Callable[[Any], Any], backend: str) -> Callable[[Any], Any]:
    """The function as it is, or for an event loop an `async` one that calls it."""
    return Suited(fn) if backend == "asyncio" else fn


# --- The forms of a run ---------------------------------------------------------------------------


def gather(form: str, fn: Callable[[Any], Any], items: Any, **options: Any) -> list[Any]:
    """All results of a run in that form."""
    import asyncio  # not above: every worker that calls a function of this module imports it

    if form == "list":
        return list(run_parallel(fn, items, **options))
    if form == "async list":
        return list(asyncio.run(arun_parallel(fn, items, **options)))
    found: list[Any] = []
    walk(form, fn, items, found.append, **options)
    return found


def walk(
    form: str,
    fn: Callable[[Any], Any],
    items: Any,
    enough: Callable[[Any], object],
    **options: Any,
) -> None:
    """Go over the results of a run in a lazy form, until one of them is enough.

    Args:
        form: Of the iterator.
        fn: The function.
        items: Its items.
        enough: Called with each result as soon as it is there. The iterator is left if it is true.
        options: For `iter_parallel`.
    """
    import asyncio

    async def within_a_loop() -> None:
        async with aiter_parallel(fn, items, **options) as results:
            async for result in results:
                if enough(result):
                    break

    if form == "async iterator":
        asyncio.run(within_a_loop())
        return
    with iter_parallel(fn, items, **options) as results:
        for result in results:
            if enough(result):
                break


def in_each(forms: Sequence[str], check: Callable[[str], object]) -> None:
    """Check every form of a run, and say of each what is wrong with it.

    Raises:
        Wrong: Something is, in one of them at least.
    """
    wrong = []
    for form in forms:
        forget_notes()
        traces.watch(DEADLINE_S)
        try:
            check(form)
        except Skip:
            raise
        except Exception as error:
            traceback.print_exc()
            text = str(error) if isinstance(error, Wrong) else repr(error)
            wrong.append(f"{form}: {text}")
    require(not wrong, "; ".join(wrong))


# --- The judge ------------------------------------------------------------------------------------


def is_answer(item: Any, result: Any) -> bool:
    """Whether a result is right, where items are their own indices."""
    return bool(result == answer(item))


def judge(
    fn: Callable[[Any], Any],
    items: Sequence[Any],
    backend: Any,
    affected: Mapping[int, Fails] | None = None,
    *,
    maybe: Mapping[int, Fails] | None = None,
    killed: Callable[[], Collection[int]] = tuple,
    right: Callable[[Any, Any], bool] = is_answer,
    deadline_s: float = DEADLINE_S,
    form: str = "list",
    **options: Any,
) -> list[Any]:
    """Run a function over items and see to it that only what should fail does.

    Args:
        fn: Notes its index first.
        items: As many as there are results.
        backend: As in `run_parallel`.
        affected: The items that are to fail, and how.
        maybe: Items that may fail in that way or have their value.
        killed: Worker processes that were killed from outside, as known afterwards. An item that
            was running there may have failed.
        right: Whether the result of an item is right.
        deadline_s: What the call may take.
        form: Of the run.
        options: For `run_parallel`.

    Raises:
        Wrong: Something is not as it should be.
    """
    forget_notes()
    traces.watch(deadline_s)
    results = gather(form, fn, items, backend=backend, on_error="return", **options)
    traces.watch(deadline_s)
    verdict = _Verdict(results, affected or {}, maybe or {}, set(killed()), backend == "hybrid")
    require(len(results) == len(items), f"{len(items)} items gave {len(results)} results")
    wrong = [
        sentence
        for index, (item, result) in enumerate(zip(items, results, strict=True))
        for sentence in verdict.of(index, item, result, right)
    ] + verdict.of_casualties()
    require(not wrong, "; ".join(wrong[:6]) + f" ({len(wrong)} in all)" * (len(wrong) > 6))
    return list(results)


class _Verdict:
    def __init__(
        self,
        results: Sequence[Any],
        affected: Mapping[int, Fails],
        maybe: Mapping[int, Fails],
        killed: set[int],
        side_by_side: bool,
    ) -> None:
        self._affected = affected
        self._maybe = maybe
        self._killed = killed
        self._calls = Counter(one.index for one in notes())
        self._pids = {one.index: one.pid for one in notes()}
        self._casualties: Counter[int | None] = Counter()
        self._side_by_side = side_by_side
        failed = [i for i in {**affected, **maybe} if isinstance(results[i], Failure)]
        self._ended_in = {self._pids.get(i) for i in failed} if side_by_side else set()

    def of(
        self, index: int, item: Any, result: Any, right: Callable[[Any, Any], bool]
    ) -> list[str]:
        """What is wrong with the outcome of an item, in sentences."""
        calls = self._calls[index]
        if not isinstance(result, Failure):
            if index in self._affected:
                return [f"item {index} did not fail but gave {result!r:.60}"]
            wrong = [] if right(item, result) else [f"item {index} gave {result!r:.60}"]
            return wrong + [f"item {index} was called {calls} times"] * (calls != 1)
        wrong = [f"item {index} was called {calls} times"] * (calls > 1)
        if result.index != index:
            wrong.append(f"the failure of item {index} says it is that of {result.index}")
        expected = self._affected.get(index) or self._maybe.get(index)
        if expected is None:
            return wrong + self._of_casualty(index, result.exception)
        return wrong + _compare(index, result.exception, expected)

    def _of_casualty(self, index: int, error: BaseException) -> list[str]:
        """An item that failed though nothing is wrong with it: only where it ran in a process that
        another item, or the row, has ended."""
        pid = self._pids.get(index)
        typed = type(error).__name__ in ("WorkerDied", "ItemTimeout")
        # A call may have been about to begin when its process ended, or the item that ended it was
        # never called, so that nobody knows where that was.
        near = self._side_by_side and (pid is None or None in self._ended_in)
        near = near or (pid is None and bool(self._killed))
        if typed and (pid in self._killed | self._ended_in or near):
            self._casualties[pid] += 1
            return []
        return [f"item {index} failed with {error!r:.200}"]

    def of_casualties(self) -> list[str]:
        """One call at a time runs in a process, so no more than one can have died with it."""
        if self._side_by_side:
            return []
        return [
            f"{count} items failed with process {pid}"
            for pid, count in self._casualties.items()
            if count > (len(self._killed) if pid is None else 1)
        ]


def _compare(index: int, error: BaseException, expected: Fails) -> list[str]:
    wrong = []
    if not isinstance(error, expected.kind):
        wrong.append(f"item {index} failed with {error!r:.200}, not {expected.kind}")
    for text in expected.texts:
        if text not in str(error):
            wrong.append(f"the error of item {index} does not say {text!r}: {str(error)!r:.300}")
    return wrong


def plain(index: int) -> int:
    """A call with which nothing is wrong."""
    note(index)
    return answer(index)


def next_call(backend: str) -> None:
    """See to it that a run works on the same backend in the same process."""
    try:
        judge(suited(plain, backend), range(8), backend, max_workers=2)
    except Wrong as wrong:
        raise Wrong(f"the next call: {wrong}") from wrong
