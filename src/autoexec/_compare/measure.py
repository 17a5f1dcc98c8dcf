"""One task under each of its ways: how long it took, and whether the results are the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from .. import run_parallel
from .._errors import AutoexecError
from .._report import Report
from .._wording import seconds
from .tasks import Task, Way

MOST_RUNS = 5
"""Runs of the same thing, of which the fastest counts: what else the machine did made the others
slower. Those that take long are run once, since they are disturbed less for their length."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The fastest run of a task in one way."""

    seconds: float
    report: Report | None
    """What autoexec says of it; None for the serial loop."""


@dataclass(slots=True)
class Row:
    """A task and what was measured of it."""

    task: Task
    timings: dict[Way, Timing] = field(default_factory=dict[Way, Timing])
    differing: list[Way] = field(default_factory=list[Way])
    """The ways that gave other results than the serial loop."""
    failures: dict[Way, str] = field(default_factory=dict[Way, str])
    """The ways that cannot run here, and why."""


def measure(task: Task, repeat_s: float, log: TextIO) -> Row:
    """Run a task in each of its ways and compare the results.

    Args:
        task: Its first way is the serial loop, whose results are those that count.
        repeat_s: A way is run again while its runs took less than this together.
        log: Gets a line about each way as it runs.

    Raises:
        Exception: What the task's function raised.
    """
    row = Row(task)
    expected = run_serial(task.fn, task.items[:1], task.ways)  # imports what the function needs
    for way in task.ways:
        with _line(log, f"{task.name}: {way} ...") as finish:
            try:
                timing, results = _best(task, way, repeat_s)
            except AutoexecError as error:
                row.failures[way] = str(error)
                finish("failed")
                continue
            finish(seconds(timing.seconds))
        row.timings[way] = timing
        expected = results if way == "serial" else expected
        if results != expected:
            row.differing.append(way)
    return row


def _best(task: Task, way: Way, repeat_s: float) -> tuple[Timing, list[Any]]:
    """The fastest of some runs, and the results of the last one."""
    timing, results = _once(task, way)
    spent_s, runs = timing.seconds, 1
    while spent_s < repeat_s and runs < MOST_RUNS:
        again, results = _once(task, way)
        spent_s, runs = spent_s + again.seconds, runs + 1
        timing = min(timing, again, key=lambda timing: timing.seconds)
    return timing, results


def _once(task: Task, way: Way) -> tuple[Timing, list[Any]]:
    started = time.perf_counter()
    if way == "serial":
        results = run_serial(task.fn, task.items, task.ways)
        return Timing(time.perf_counter() - started, None), results
    parallel = run_parallel(task.fn, task.items, backend=way)
    return Timing(time.perf_counter() - started, parallel.report), list(parallel)


def run_serial(fn: Callable[[str], Any], items: list[str], ways: tuple[Way, ...]) -> list[Any]:
    """What one writes without thinking of concurrency: a loop."""
    if "asyncio" not in ways:
        return [fn(item) for item in items]
    import asyncio

    async def one_by_one() -> list[Any]:
        return [await fn(item) for item in items]

    return asyncio.run(one_by_one())


@contextmanager
def _line(log: TextIO, start: str) -> Generator[Callable[[str], None], None, None]:
    """A line whose end is written later, and which ends in any case."""
    end = ""

    def finish(text: str) -> None:
        nonlocal end
        end = " " + text

    log.write(start)
    log.flush()
    try:
        yield finish
    finally:
        log.write(end + "\n")
        log.flush()
