"""Group F: many calls, and calls that leave something behind each time."""

from __future__ import annotations

import gc
import os
import time
import weakref
from typing import Any

import traces
from lab import (
    FULL,
    LAZY,
    Skip,
    answer,
    in_each,
    note,
    notes,
    require,
    resident_bytes,
    run_parallel,
    suited,
    wait_until,
    walk,
)
from register import row

from autoexec import Failure

CALLS = 1000


def quick(index: int) -> int:
    return answer(index)


def counts() -> tuple[int, int, int]:
    """Processes, threads and descriptors."""
    now = traces.look()
    traces.watch(60.0)
    return len(now.processes), len(now.threads), len(now.descriptors)


@row("F1", limit_s=90.0)
def a_thousand_calls(backend: str) -> None:
    """A thousand runs, one after another."""
    os.environ.pop("AUTOEXEC_IDLE_SECONDS", None)  # as it is for everybody
    fn: Any = suited(quick, backend)
    expected = [answer(index) for index in range(4)]
    seen: list[tuple[int, int, int]] = []
    for number in range(CALLS):
        found = run_parallel(fn, range(4), backend=backend, max_workers=2)
        require(found == expected, f"run {number} gave {found}")
        if number % 100 == 99:
            gc.collect()
            seen.append(counts())
    # Threads come and go between runs, the more the busier the machine, and idle ones end after a moment. What is
    # lost stays lost.
    first = [max(some) for some in zip(*seen[:5], strict=True)]
    wait_until(
        lambda: all(now <= then + 3 for now, then in zip(counts(), first, strict=True)),
        f"there are no more processes, threads, descriptors than at first, {seen}",
    )


LEAK_BYTES = 10 << 20
_leaked: list[bytearray] = []


def leak(index: int) -> int:
    """Keep 10 MB, and tell how much this process has."""
    note(index)
    _leaked.append(bytearray(b"x") * LEAK_BYTES)
    return resident_bytes()


@row("F2", ["processes"])
def calls_that_leak(backend: str) -> None:
    """Every call leaks 10 MB, in workers that end after four calls."""
    from autoexec import ProcessPoolExecutor

    if not traces.PROC.is_dir():
        raise Skip("/proc")
    count = 400 if FULL else 32
    with ProcessPoolExecutor(2, max_tasks_per_child=4) as executor:
        sizes = run_parallel(leak, range(count), backend=executor)
        began = time.monotonic()
        sizes += list(executor.map(leak, range(8)))
        require(time.monotonic() - began < 20, "eight more calls took more than twenty seconds")
    require(len(notes()) == count + 8, f"{len(notes())} calls for {count + 8} items")
    grown = (max(sizes) - min(sizes)) / LEAK_BYTES
    require(grown < 5, f"a worker grew by {grown:.0f} calls' worth of memory")


STREAMED = 1_000_000 if FULL else 20_000


class Kept:
    """A result that can be watched."""

    def __init__(self, index: int) -> None:
        self.index = index


class Broken(Exception):
    """The call for an item failed."""


def keep_or_fail(index: int) -> Kept:
    if index % 10 == 3:
        raise Broken(f"item {index}")
    return Kept(index)


@row("F3", limit_s=3000.0 if FULL else 90.0)
def a_million_streamed_items(backend: str) -> None:
    """A great many items go by, one in ten of which fails, and nothing collects garbage."""
    if not traces.PROC.is_dir():
        raise Skip("/proc")
    gc.collect()
    gc.disable()
    try:
        in_each(LAZY, lambda form: see_stream(form, backend))
    finally:
        gc.enable()


def see_stream(form: str, backend: str) -> None:
    """Results and errors are gone once the caller is done with them, and memory stays as it is."""
    traces.watch(1000.0 if FULL else 40.0)
    count, sizes, most = 0, [], 0
    alive: weakref.WeakSet[Any] = weakref.WeakSet()

    def see(result: Any) -> None:
        nonlocal count, most
        failed = isinstance(result, Failure)
        alive.add(result.exception if failed else result)
        require(result.index == count, f"item {count} gave {result!r:.80}")
        require(failed == (count % 10 == 3), f"item {count} gave {result!r:.80}")
        count += 1
        most = max(most, len(alive))
        if count % (STREAMED // 20) == 0:
            sizes.append(resident_bytes())

    items = iter(range(STREAMED))  # as if nobody knew how many there are
    options: dict[str, Any] = {"backend": backend, "buffersize": 1000, "on_error": "return"}
    walk(form, suited(keep_or_fail, backend), items, see, **options)
    require(count == STREAMED, f"{STREAMED} items gave {count} results")
    # Those that are on their way are there, and no others.
    require(most <= 1100, f"{most} results and errors were there at once")
    grown_mb = (sizes[-1] - min(sizes[4:10])) >> 20
    require(grown_mb < 16, f"memory grew by {grown_mb} MB")
