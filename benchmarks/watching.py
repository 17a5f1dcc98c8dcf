"""`python -m benchmarks.watching`: what a run costs beside its calls, in CPU time.

A run is driven by the caller's thread, which watches and hands out, so the CPU time of that thread is at
least what watching costs. It is told for the whole run and for its second half, when nothing is left to
find out; and so is the CPU time of the whole process beyond what the calls themselves used in it, beside
that of the standard executor on the same work. All are shares of the wall time of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from hashlib import pbkdf2_hmac
from multiprocessing import get_context
from typing import Any, NamedTuple

from autoexec import run_parallel

SAMPLE_S = 0.05
"""Between readings of the clocks: 20 readings a second cost less than a thousandth of a core."""
AT_ONCE = 32
"""Calls at once where they wait: a few hundred calls a second, so that handing them out, which is not
watching, does not cover everything else."""


class Used(NamedTuple):
    """What a call used, as it says itself."""

    pid: int
    thread: int
    cpu_s: float


def compute(ms: float) -> Used:
    """Python code, which holds the GIL."""
    began = time.thread_time()
    while time.thread_time() < began + ms / 1000:
        sum(range(1_000))
    return _used(began)


def derive(rounds: int) -> Used:
    """C code, which lets go of the GIL."""
    began = time.thread_time()
    pbkdf2_hmac("sha256", b"secret", b"salt", rounds)
    return _used(began)


def wait(ms: float) -> Used:
    """Wait."""
    began = time.thread_time()
    time.sleep(ms / 1000)
    return _used(began)


async def wait_async(ms: float) -> Used:
    """Wait, as a coroutine. What the loop does for it counts as cost of the run."""
    await asyncio.sleep(ms / 1000)
    return Used(os.getpid(), 0, 0.0)


def _used(began: float) -> Used:
    return Used(os.getpid(), threading.get_ident(), time.thread_time() - began)


# --- The cases ----------------------------------------------------------------------------------------

Run = Callable[[Callable[[Any], Any], Sequence[Any]], Sequence[Used]]


class Case(NamedTuple):
    """Steady work: every call is like every other."""

    name: str
    fn: Callable[[Any], Any]
    item: Any
    calls: int
    options: dict[str, Any]
    standard: Run
    """The same without this library."""


def mapped(make: Callable[[], Executor], fn: Callable[[Any], Any], items: Sequence[Any]) -> Any:
    """By an executor of the standard library."""
    with make() as executor:
        return list(executor.map(fn, items))


def gathered(fn: Callable[[Any], Any], items: Sequence[Any]) -> Any:
    """By an event loop, so many at once."""

    async def loop() -> list[Any]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(item: Any) -> Any:
            async with turns:
                return await fn(item)

        return await asyncio.gather(*map(one, items))

    return asyncio.run(loop())


_few_threads: Run = partial(mapped, partial(ThreadPoolExecutor, 2))
_threads: Run = partial(mapped, partial(ThreadPoolExecutor, AT_ONCE))
_processes: Run = partial(mapped, partial(ProcessPoolExecutor, 2, get_context("spawn")))
_alone: Run = lambda fn, items: [fn(item) for item in items]  # noqa: E731

CASES = (
    Case("computes, one after another", compute, 10.0, 300, {"max_workers": 1}, _alone),
    Case("computes in threads", derive, 30_000, 300, {"max_workers": 2}, _few_threads),
    Case("waits in threads", wait, 100.0, 1_000, {"max_workers": AT_ONCE}, _threads),
    Case("waits in coroutines", wait_async, 100.0, 1_000, {"max_workers": AT_ONCE}, gathered),
    Case("computes in processes", compute, 10.0, 600, {"max_workers": 2}, _processes),
)


# --- Measuring ----------------------------------------------------------------------------------------


class Reading(NamedTuple):
    """The clocks at one moment."""

    wall_s: float
    driver_s: float
    process_s: float


class Readings(threading.Thread):
    """Reads the clocks from time to time, among them that of the thread that drives the run.

    Args:
        read_driver: CPU seconds of that thread.
    """

    def __init__(self, read_driver: Callable[[], float]) -> None:
        super().__init__(daemon=True)
        self._read_driver = read_driver
        self._enough = threading.Event()
        self.taken: list[Reading] = []

    def run(self) -> None:
        self.read()
        while not self._enough.wait(SAMPLE_S):
            self.read()

    def read(self) -> None:
        """Take one reading."""
        self.taken.append(Reading(time.perf_counter(), self._read_driver(), time.process_time()))

    def end(self) -> None:
        """Take the last."""
        self._enough.set()
        self.join()
        self.read()


class Cost(NamedTuple):
    """What a run cost beside its calls, as shares of its wall time."""

    wall_s: float
    driver: float
    driver_later: float
    """In the second half of the run."""
    process: float


def cost(run: Callable[[], Sequence[Used]]) -> Cost:
    """Run it, and tell what it cost beside its calls."""
    me = time.pthread_getcpuclockid(threading.get_ident())
    readings = Readings(lambda: time.clock_gettime(me))
    readings.start()
    results = run()
    readings.end()
    return cost_of(readings.taken, results, os.getpid(), threading.get_ident())


def cost_of(taken: Sequence[Reading], results: Sequence[Used], pid: int, driver: int) -> Cost:
    """The cost by these readings.

    Args:
        taken: From the start of the run to its end; two at least.
        results: What the calls used.
        pid: The process that was read.
        driver: The thread that drove the run: calls that it made itself are no cost.
    """
    first, last = taken[0], taken[-1]
    middle = min(taken[:-1], key=lambda one: abs(one.wall_s - (first.wall_s + last.wall_s) / 2))
    here = [used for used in results if used.pid == pid]
    own_s = sum(used.cpu_s for used in here if used.thread == driver)
    wall_s = last.wall_s - first.wall_s
    half = (last.wall_s - middle.wall_s) / wall_s
    return Cost(
        wall_s,
        (last.driver_s - first.driver_s - own_s) / wall_s,
        (last.driver_s - middle.driver_s - own_s * half) / (wall_s * half),
        (last.process_s - first.process_s - sum(used.cpu_s for used in here)) / wall_s,
    )


# --- The table ----------------------------------------------------------------------------------------

HEADINGS = ("", "run", "driver", "its second half", "process", "standard", "calls ran in")


def line(case: Case, scale: float) -> tuple[str, ...]:
    """Measure one case."""
    items = [case.item] * max(2, round(case.calls * scale))
    ran: dict[str, int] = {}

    def run() -> Sequence[Used]:
        results = run_parallel(case.fn, items, **case.options)
        ran.update(results.report.ran)
        return [used for used in results if isinstance(used, Used)]

    ours, theirs = cost(run), cost(lambda: case.standard(case.fn, items))
    shares = [ours.driver, ours.driver_later, ours.process, theirs.process]
    return (case.name, f"{ours.wall_s:.2f} s", *(f"{share:.1%}" for share in shares), _most(ran))


def _most(ran: dict[str, int]) -> str:
    return max(ran, key=lambda route: ran[route])


def text(lines: Sequence[Sequence[str]]) -> str:
    """The table."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = "<>>>>><"
    return "\n".join(
        "  ".join(
            f"{c:{side}{w}}" for c, side, w in zip(cells, sides, widths, strict=True)
        ).rstrip()
        for cells in lines
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watching", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the calls")
    options = parser.parse_args()
    if not hasattr(time, "pthread_getcpuclockid"):
        parser.error("this system does not tell the CPU time of another thread")
    print(text([HEADINGS, *(line(case, options.scale) for case in CASES)]))
    print(
        "\nCPU time as a share of the run: of the thread that drives it, in all and in the second"
    )
    print("half; of the process beyond what the calls say that they used in it; and the same with")
    print("a plain loop, an executor of the standard library or asyncio in the place of autoexec.")


if __name__ == "__main__":
    main()
