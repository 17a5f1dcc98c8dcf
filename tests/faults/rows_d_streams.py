"""Group D, continued: results one by one, and callers who do not take them all."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import programs
import traces
from lab import (
    FOR_EVER_S,
    FORMS,
    LAZY,
    Skip,
    aiter_parallel,
    answer,
    enough,
    error_of,
    fails,
    forget_notes,
    gather,
    in_each,
    iter_parallel,
    judge,
    note,
    notes,
    plain,
    require,
    resident_bytes,
    suited,
    wait_for_ever,
    walk,
)
from programs import END_S
from register import AWAY, row

from autoexec import Failure, WorkerDied

# --- An endless input -----------------------------------------------------------------------------

BLOCK_BYTES = 20_000
PASSED = 6000
"""Items that go by: 120 MB of them."""
AHEAD = 100


class Endless:
    """An input that never ends, asynchronous or not, and knows how much of it was taken."""

    def __init__(self, size: int = 0) -> None:
        self.taken = 0
        self._size = size

    def __iter__(self) -> Iterator[Any]:
        for index in itertools.count():
            self.taken += 1
            yield index, bytes(self._size)

    async def asynchronous(self) -> AsyncIterator[Any]:
        """The same for `async for`."""
        for item in self:
            yield item


def of_block(item: tuple[int, bytes]) -> tuple[int, bytes]:
    note(item[0])
    return answer(item[0]), bytes(len(item[1]))


class Watched:
    """Sees each result of an endless input as it comes, and says when there were enough."""

    def __init__(self, endless: Endless, most_ahead: int) -> None:
        self.sizes: list[int] = []
        self._endless = endless
        self._most_ahead = most_ahead
        self._count = 0

    def __call__(self, result: tuple[int, bytes]) -> bool:
        require(result[0] == answer(self._count), f"result {self._count} is {result[0]}")
        ahead = self._endless.taken - self._count
        require(ahead <= self._most_ahead, f"{ahead} items were taken and not handed on")
        self._count += 1
        if self._count % (PASSED // 10) == 0:
            time.sleep(0.02)  # a run that goes on by itself comes as far as it may
            self.sizes.append(resident_bytes())
        return self._count == PASSED


def see_endless(form: str, backend: str, asynchronous: bool) -> None:
    """A bounded part of an endless input is taken, and memory does not grow with what goes by."""
    forget_notes()
    endless = Endless(BLOCK_BYTES)
    items = endless.asynchronous() if asynchronous else endless
    watched = Watched(endless, AHEAD)
    fn = suited(of_block, backend)
    walk(form, fn, items, watched, backend=backend, buffersize=AHEAD)
    grown, passed = max(watched.sizes) - watched.sizes[1], PASSED * BLOCK_BYTES
    require(grown < passed / 5, f"memory grew by {grown >> 20} MB while {passed >> 20} MB went by")
    calls = [one.index for one in notes()]
    require(len(calls) == len(set(calls)), "an item was called twice")
    require(PASSED <= len(calls) <= PASSED + AHEAD, f"{len(calls)} calls for {PASSED} results")


@row("D2", limit_s=90.0)
def an_endless_input(backend: str) -> None:
    """An input without an end, of which as much is taken as the caller wants results."""
    if not traces.PROC.is_dir():
        raise Skip("/proc")

    def check(form: str) -> None:
        see_endless(form, backend, asynchronous=False)
        if form.startswith("async"):
            see_endless(form, backend, asynchronous=True)
        # Who says no number has a bound all the same.
        endless = Endless()
        watched = Watched(endless, 65_536)
        walk(form, suited(of_block, backend), endless, watched, backend=backend)

    in_each(LAZY, check)


# --- Leaving --------------------------------------------------------------------------------------


ALONE_S = 10.0
"""What the first call waits for another."""


class Beside:
    """A call that waits; the first one only until another runs beside it, or so many seconds."""

    def __init__(self, alone_s: float) -> None:
        self.alone_s = alone_s

    def __call__(self, index: int) -> int:
        note(index)
        if index:
            wait_for_ever()
        until = time.monotonic() + self.alone_s
        while not index and time.monotonic() < until and len(notes()) < 2:
            time.sleep(0.01)
        return answer(index)


class BesideAsync:
    """The same on an event loop; each notes its end, however that comes."""

    async def __call__(self, index: int) -> int:
        note(index)
        try:
            until = time.monotonic() + (FOR_EVER_S if index else ALONE_S)
            while time.monotonic() < until and (index or len(notes()) < 2):
                await asyncio.sleep(0.01)
        finally:
            note(index, "end")
        return answer(index)


def beside(backend: str) -> Callable[[Any], Any]:
    """Such a call for a backend; `auto` may begin no other while it waits."""
    if backend == "asyncio":
        return BesideAsync()
    return Beside(0.5 if backend == "auto" else ALONE_S)


OPTIONS: dict[str, Any] = {"max_workers": 2, "chunksize": 1}


def leave_the_loop(form: str, backend: str) -> float:
    """Leave the `with` after one result. Returns when that began."""
    left: list[float] = []

    def enough(result: int) -> bool:
        require(result == answer(0), f"the first result is {result}")
        left.append(time.monotonic())
        return True

    walk(form, beside(backend), range(100), enough, backend=backend, **OPTIONS)
    return left[0]


def drop(form: str, backend: str) -> float:
    """Take one result and forget the iterator. Returns when."""
    fn = beside(backend)

    def within_a_thread() -> float:
        results = iter_parallel(fn, range(100), backend=backend, **OPTIONS)
        require(next(results) == answer(0), "the first result is wrong")
        now = time.monotonic()
        del results
        return now

    async def within_a_loop() -> float:
        results = aiter_parallel(fn, range(100), backend=backend, **OPTIONS)
        require(await anext(results) == answer(0), "the first result is wrong")
        now = time.monotonic()
        del results
        await asyncio.sleep(0.3)  # nobody can wait for its end, nor for that of its tasks
        for _ in range(500):
            if len(asyncio.all_tasks()) == 1:
                break
            await asyncio.sleep(0.01)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        require(not tasks, f"tasks outlived it: {tasks}")
        return now

    return within_a_thread() if form == "iterator" else asyncio.run(within_a_loop())


def see_left(leave: Callable[[str, str], float], form: str, backend: str) -> None:
    """What was pending when the iterator was left is cancelled, and soon."""
    forget_notes()
    enough.clear()
    took_s = -leave(form, backend) + time.monotonic()
    # One that had begun may have lost its core before it has noted that.
    time.sleep(0.2)
    calls = [one.index for one in notes()]
    enough.set()  # for those that are left behind on threads
    require(took_s < END_S, f"{leave.__name__}: it took {took_s:.1f} s to leave")
    most = 1 + OPTIONS["max_workers"]  # the first has ended, and all the others wait for ever
    require(len(calls) <= most, f"{leave.__name__}: {calls} had begun, of which {most} may have")
    require(backend == "auto" or len(calls) > 1, f"{leave.__name__}: no call ran beside the first")
    if backend == "asyncio":
        ended = [one.index for one in notes("end")]
        require(sorted(ended) == sorted(calls), f"{leave.__name__}: {calls} began, {ended} ended")
    time.sleep(0.1)
    later = [one.index for one in notes()]
    require(later == calls, f"{leave.__name__}: {calls} had begun, and then {later[len(calls) :]}")
    require(len(later) == len(set(later)), f"{leave.__name__}: an item was called twice: {later}")


LEAVING = """
import asyncio, sys, time
from autoexec import aiter_parallel, iter_parallel
from rows_d_streams import Beside, BesideAsync, OPTIONS
backend, form, how = sys.argv[1:]
fn = BesideAsync() if backend == "asyncio" else Beside(0.5)
def over():
    print(time.monotonic(), flush=True)
    if how == "exit": sys.exit()
if form == "iterator":
    results = iter_parallel(fn, range(100), backend=backend, **OPTIONS)
    for result in results:
        over()
        break
else:
    async def main():
        global results
        results = aiter_parallel(fn, range(100), backend=backend, **OPTIONS)
        async for result in results:
            over()
            break
    asyncio.run(main())
"""


def see_exit(form: str, backend: str) -> None:
    """A script that comes to its end, or exits, within such a loop."""
    for how in ("end", "exit"):
        forget_notes()
        out = programs.said(LEAVING, backend, form, how)
        took_s = time.monotonic() - float(out)
        require(took_s < END_S, f"{how}: the program took {took_s:.1f} s to end")


@row("D3")
def a_loop_that_is_left_early(backend: str) -> None:
    """The loop over the results is left, the iterator is dropped, the script exits within it."""

    def check(form: str) -> None:
        see_left(leave_the_loop, form, backend)
        see_left(drop, form, backend)
        see_exit(form, backend)

    in_each(LAZY, check)


class AtItsEnd(Exception):
    """The iterator said that there are no more results."""


def read_on(form: str, backend: str, close: bool) -> None:
    """Read on after three results and a close, or after the last result."""
    fn, count = suited(plain, backend), 10

    def within_a_thread() -> None:
        results = iter_parallel(fn, range(count), backend=backend)
        if close:
            found = list(itertools.islice(results, 3))
            results.close()
        else:
            found = list(results)
        require(found == [answer(i) for i in range(len(found))], f"the results are {found}")
        try:
            more = next(results)
        except StopIteration:
            raise AtItsEnd from None
        require(False, f"a closed iterator gave {more}")

    async def within_a_loop() -> None:
        results = aiter_parallel(fn, range(count), backend=backend)
        found = [await anext(results) for _ in range(3 if close else count)]
        if close:
            await results.aclose()
        require(found == [answer(i) for i in range(len(found))], f"the results are {found}")
        try:
            more = await anext(results)
        except StopAsyncIteration:
            raise AtItsEnd from None
        require(False, f"a closed iterator gave {more}")

    if form == "iterator":
        within_a_thread()
    else:
        asyncio.run(within_a_loop())


@row("D4")
def reading_on_after_the_end(backend: str) -> None:
    """A caller reads on after the last result, and after a close before that."""

    def check(form: str) -> None:
        require(ends(lambda: read_on(form, backend, close=False)), "there was no end")
        error = error_of(lambda: read_on(form, backend, close=True))
        require(
            not isinstance(error, AtItsEnd),
            "after a close it says that there are no more results, as if 3 of 10 were all",
        )
        require("close" in str(error), f"after a close it raises {error!r}")

    in_each(LAZY, check)


def ends(read: Callable[[], None]) -> bool:
    """Whether reading says that there are no more results."""
    return isinstance(error_of(read), AtItsEnd)


# --- Failures in the middle -----------------------------------------------------------------------

FAILING = (0, 4, 9, 19)
FATAL = 13


def fail_now_and_then(index: int) -> int:
    note(index)
    if index in FAILING:
        raise ValueError(f"not {index}")
    return answer(index)


def fail_or_die(index: int) -> int:
    if index == FATAL:
        note(index)
        os.kill(os.getpid(), signal.SIGKILL)
    return fail_now_and_then(index)


@row("D6")
def reading_on_past_a_failure(backend: str) -> None:
    """Items fail, the first and the last too, and one kills its worker; the caller reads on."""
    affected = {index: fails(ValueError, f"not {index}") for index in FAILING}
    dead = {FATAL: fails(WorkerDied, "SIGKILL")}

    def check(form: str) -> None:
        fn = suited(fail_now_and_then, backend)
        judge(fn, range(20), backend, affected, form=form)
        see_unordered(form, fn, backend)
        if backend == "hybrid":  # one that is to fail may be about to begin where one dies
            either = {i: fails((ValueError, WorkerDied)) for i in FAILING}
            judge(fail_or_die, range(20), backend, maybe=either | dead, form=form)
        elif backend in AWAY:
            judge(fail_or_die, range(20), backend, affected | dead, form=form)

    in_each(LAZY, check)


def see_unordered(form: str, fn: Callable[[Any], Any], backend: str) -> None:
    """The same where results come as calls end."""
    forget_notes()
    options: dict[str, Any] = {"backend": backend, "on_error": "return", "ordered": False}
    found = gather(form, fn, range(20), **options)
    failed = sorted(one.index for one in found if isinstance(one, Failure))
    require(failed == list(FAILING), f"unordered: the items that failed are {failed}")
    values = sorted(one for one in found if not isinstance(one, Failure))
    expected = [answer(index) for index in range(20) if index not in FAILING]
    require(values == expected, f"unordered: the results are {values}")
    calls = sorted(one.index for one in notes())
    require(calls == list(range(20)), f"unordered: the calls were for {calls}")


# --- A callback that raises -----------------------------------------------------------------------


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Bad(Exception):
    """The callback is broken."""


def bad_progress(done: int, total: int | None) -> None:
    raise Bad(f"{done} of {total}")


def a_little(index: int) -> int:
    time.sleep(0.01)
    return plain(index)


@row("D8")
def a_progress_callback_that_raises(backend: str) -> None:
    """The callback that is told of the progress raises every time."""

    def check(form: str) -> None:
        kept = Kept()
        logging.getLogger().addHandler(kept)
        try:  # longer than it takes until it is told again
            judge(suited(a_little, backend), range(30), backend, form=form, progress=bad_progress)
        finally:
            logging.getLogger().removeHandler(kept)
        told = [one for one in kept.records if one.levelno >= logging.WARNING]
        require(len(told) == 1, f"{len(told)} warnings were logged")
        text = logging.Formatter().format(told[0])
        require("progress" in text and "Bad" in text, f"what was logged is {text!r}")

    in_each(FORMS, check)


# --- A slow input ---------------------------------------------------------------------------------

PAUSE_S = 1.0
LATE_S = 0.7


class Producer:
    """An input that gives an item now and then, and knows when it gave it."""

    def __init__(self, count: int) -> None:
        self.given_s: list[float] = []
        self._count = count

    def __iter__(self) -> Iterator[int]:
        for index in range(self._count):
            time.sleep(PAUSE_S)
            self.given_s.append(time.monotonic())
            yield index

    async def asynchronous(self) -> AsyncIterator[int]:
        """The same for `async for`."""
        for index in range(self._count):
            await asyncio.sleep(PAUSE_S)
            self.given_s.append(time.monotonic())
            yield index


def see_prompt(form: str, backend: str, asynchronous: bool) -> None:
    """Each result comes soon after its item, not with the next one."""
    forget_notes()
    producer = Producer(5)
    items = producer.asynchronous() if asynchronous else producer
    came_s: list[float] = []
    walk(
        form,
        suited(plain, backend),
        items,
        lambda _: came_s.append(time.monotonic()),
        backend=backend,
    )
    require(len(came_s) == 5, f"there were {len(came_s)} results")
    late = [came - given for came, given in zip(came_s, producer.given_s, strict=True)]
    # The first one may wait for a worker to start, and one more for a busy machine.
    require(sum(one > LATE_S for one in late[1:]) <= 1, f"results came late, by {rounded(late)}")


def rounded(seconds: list[float]) -> str:
    """In words."""
    return ", ".join(f"{one:.2f} s" for one in seconds)


@row("D9")
def an_input_that_is_slow(backend: str) -> None:
    """An input gives an item every second."""

    def check(form: str) -> None:
        see_prompt(form, backend, asynchronous=False)
        if form.startswith("async"):
            see_prompt(form, backend, asynchronous=True)

    in_each(LAZY, check)
