"""The ways to run calls, each as an expert writes it: a pool is opened once and serves all batches.

A way takes the function and the batches of items, and returns a list of results for each batch. It is
handed work that it can do, and else raises whatever the library or the interpreter raises.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import autoexec

from .records import AUTOEXEC, SERIAL
from .workloads import Workload

Function = Callable[[Any], Any]
Batches = Sequence[list[Any]]
Way = Callable[[Function, Batches], list[list[Any]]]

MANY = 50_000
"""Calls beyond which what hands them over one by one is left out: at 30 µs and more for each, it takes
seconds for what a loop does in a tenth of one."""


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# --- The plain loop, and the library ------------------------------------------------------------------


def serial(fn: Function, batches: Batches) -> list[list[Any]]:
    """One call after another."""
    return [[fn(item) for item in batch] for batch in batches]


def serial_async(fn: Function, batches: Batches) -> list[list[Any]]:
    """One coroutine after another."""

    async def loop() -> list[list[Any]]:
        return [[await fn(item) for item in batch] for batch in batches]

    return asyncio.run(loop())


def automatic(fn: Function, batches: Batches) -> list[list[Any]]:
    """This library, without any option."""
    return [autoexec.run_parallel(fn, batch) for batch in batches]


# --- The standard library -----------------------------------------------------------------------------


def threads(fn: Function, batches: Batches, *, workers: int | None) -> list[list[Any]]:
    """A pool of threads; None for as many as it takes by itself."""
    with ThreadPoolExecutor(workers) as executor:
        return [list(executor.map(fn, batch)) for batch in batches]


def processes(fn: Function, batches: Batches, *, method: str, chunks: int) -> list[list[Any]]:
    """A pool of processes; 0 chunks for one item at a time, else so many for each worker."""
    with _pool(method) as executor:
        return [
            list(executor.map(fn, batch, chunksize=_size(batch, chunks) if chunks else 1))
            for batch in batches
        ]


def gather(fn: Function, batches: Batches) -> list[list[Any]]:
    """All coroutines of a batch at once."""

    async def loop() -> list[list[Any]]:
        return [list(await asyncio.gather(*map(fn, batch))) for batch in batches]

    return asyncio.run(loop())


def task_group(fn: Function, batches: Batches, *, limit: int) -> list[list[Any]]:
    """A task for each item, so many at once."""

    async def bounded(turns: asyncio.Semaphore, item: Any) -> Any:
        async with turns:
            return await fn(item)

    async def loop() -> list[list[Any]]:
        turns, results = asyncio.Semaphore(limit), list[list[Any]]()
        for batch in batches:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(bounded(turns, item)) for item in batch]
            results.append([task.result() for task in tasks])
        return results

    return asyncio.run(loop())


# --- Libraries ----------------------------------------------------------------------------------------


def joblib(fn: Function, batches: Batches, **options: Any) -> list[list[Any]]:
    """`joblib.Parallel`, its processes or its threads."""
    module = import_module("joblib")
    with module.Parallel(**options) as parallel:
        return [parallel(module.delayed(fn)(item) for item in batch) for batch in batches]


def leave_joblib() -> None:
    """Its processes stay for the next call; a process that `multiprocessing` has started would wait for
    them as it ends."""
    import_module("joblib.externals.loky").get_reusable_executor().shutdown(wait=True)


def mpire(fn: Function, batches: Batches) -> list[list[Any]]:
    """`mpire.WorkerPool`, which forks where it can."""
    with import_module("mpire").WorkerPool(cores(), keep_alive=len(batches) > 1) as pool:
        return [pool.map(fn, batch) for batch in batches]


# --- By hand ------------------------------------------------------------------------------------------


def threads_in_processes(fn: Function, batches: Batches, *, workers: int) -> list[list[Any]]:
    """Chunks go to processes, each of which runs its own in threads."""
    return _in_parts(partial(_in_threads, fn, workers), batches)


def gather_in_processes(fn: Function, batches: Batches) -> list[list[Any]]:
    """Chunks go to processes, each of which runs its own on an event loop."""
    return _in_parts(partial(_on_a_loop, fn), batches)


def _in_parts(run_part: Function, batches: Batches) -> list[list[Any]]:
    with _pool(_quickest_start()) as executor:
        return [
            [result for part in executor.map(run_part, _parts(batch)) for result in part]
            for batch in batches
        ]


def _parts(batch: list[Any]) -> list[list[Any]]:
    size = _size(batch, 4)
    return [batch[start : start + size] for start in range(0, len(batch), size)]


def _in_threads(fn: Function, workers: int, part: list[Any]) -> list[Any]:
    with ThreadPoolExecutor(workers) as executor:
        return list(executor.map(fn, part))


def _on_a_loop(fn: Function, part: list[Any]) -> list[Any]:
    return gather(fn, [part])[0]


def _size(batch: list[Any], chunks: int) -> int:
    return max(1, -(-len(batch) // (cores() * chunks)))


def _pool(method: str) -> Executor:
    return ProcessPoolExecutor(cores(), mp_context=multiprocessing.get_context(method))


def _quickest_start() -> str:
    return "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"


# --- All of them --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Contender:
    """A way with a name.

    Attributes:
        name: Short, for tables.
        family: What it is drawn as.
        way: Runs the calls.
        coroutines: Whether it is for coroutine functions or for others; None: for both.
        needs: The package that it is from.
        method: The start method that it needs.
        single: It hands over each call by itself.
        leave: Called when it is not needed any more.
    """

    name: str
    family: str
    way: Way
    coroutines: bool | None = False
    needs: str = ""
    method: str = ""
    single: bool = False
    leave: Callable[[], None] | None = None

    def takes(self, workload: Workload) -> bool:
        """Whether it is for functions of this kind."""
        return self.coroutines in (None, workload.coroutine)

    def unfit(self, workload: Workload) -> str:
        """Why it is not run on this workload, in words; empty if it is."""
        if self.needs and find_spec(self.needs) is None:
            return f"{self.needs} is not installed"
        if self.method and self.method not in multiprocessing.get_all_start_methods():
            return f"this system has no {self.method}"
        if self.single and workload.calls > MANY:
            return f"it hands over each of {workload.calls:,} calls by itself"
        return ""


def _threads(name: str, workers: int | None) -> Contender:
    return Contender(name, "threads", partial(threads, workers=workers), single=True)


def _processes(method: str, chunks: int) -> Contender:
    way = partial(processes, method=method, chunks=chunks)
    sizes = "chunks" if chunks else "singly"
    return Contender(f"{method}, {sizes}", "processes", way, method=method, single=not chunks)


def _by_hand(workers: int) -> Contender:
    way = partial(threads_in_processes, workers=workers)
    return Contender(f"processes with {workers} threads", "by hand", way, single=True)


def _task_group(limit: int) -> Contender:
    way = partial(task_group, limit=limit)
    return Contender(f"TaskGroup, {limit} at once", "asyncio", way, coroutines=True)


CONTENDERS = (
    Contender(SERIAL, "serial", serial),
    Contender(SERIAL, "serial", serial_async, coroutines=True),
    _threads("default threads", None),
    _threads("a thread a core", cores()),
    _threads("16 threads", 16),
    _threads("128 threads", 128),
    _processes("fork", 0),
    _processes("fork", 4),
    _processes("forkserver", 4),
    _processes("spawn", 4),
    Contender(
        "joblib",
        "libraries",
        partial(joblib, n_jobs=-1),
        needs="joblib",
        leave=leave_joblib,
    ),
    Contender(
        "joblib, 32 threads",
        "libraries",
        partial(joblib, n_jobs=32, prefer="threads"),
        needs="joblib",
    ),
    Contender("mpire", "libraries", mpire, needs="mpire"),
    _by_hand(16),
    _by_hand(64),
    Contender("gather", "asyncio", gather, coroutines=True),
    _task_group(16),
    _task_group(100),
    Contender("processes with gather", "by hand", gather_in_processes, coroutines=True),
    Contender(AUTOEXEC, AUTOEXEC, automatic, coroutines=None),
)
