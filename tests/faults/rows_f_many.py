"""Group F: many calls, and calls that leave something behind each time."""

from __future__ import annotations

import gc
import os
import time
from typing import Any

import traces
from lab import FULL, Skip, answer, note, notes, require, run_parallel, suited
from register import row

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
    # Threads come and go between runs, but there are no more of them as time goes by.
    first, last = [max(some) for some in zip(*seen[:5], strict=True)], seen[-1]
    grown = [now > then + 3 for now, then in zip(last, first, strict=True)]
    require(not any(grown), f"processes, threads, descriptors went from {seen[0]} to {last}")


LEAK_BYTES = 10 << 20
_leaked: list[bytearray] = []


def leak(index: int) -> int:
    """Keep 10 MB, and tell how much this process has."""
    note(index)
    _leaked.append(bytearray(b"x") * LEAK_BYTES)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


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
