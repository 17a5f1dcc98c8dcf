"""`auto` beside each backend on a task of each kind: a group is a check of the routing.

In each group `auto` should be close to the best of the others, whichever that is.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from autoexec import Report, Results, run_parallel

from . import tasks
from .timing import Benchmark

ROUNDS = 5
HAND_PICKED = ["serial", "threads", "processes"]
Say = Callable[[str], None]


def compare(
    benchmark: Benchmark, say: Say, backend: str, fn: Callable[[Any], Any], items: list[Any]
) -> None:
    """Time one way to run the items, and note what `auto` chose."""
    if backend == "serial":
        benchmark.pedantic(serial, (fn, items), rounds=ROUNDS)
        return
    options = {"backend": backend}
    results: Results[Any] = benchmark.pedantic(
        run_parallel, (fn, items), options, rounds=ROUNDS, warmup_rounds=1
    )
    if backend == "auto":
        note(benchmark, say, results.report)


def serial(fn: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    """Run one call after another."""
    if inspect.iscoroutinefunction(fn):
        return [asyncio.run(fn(item)) for item in items]
    return [fn(item) for item in items]


def note(benchmark: Benchmark, say: Say, report: Report) -> None:
    """Keep the class and the route beside the times, and for the end of the session."""
    benchmark.extra_info["kind"] = str(report.kind)
    benchmark.extra_info["route"] = report.route
    say(f"{benchmark.group}: {report.route}, since the task is {report.kind}")


@pytest.mark.benchmark(group="cpu")
@pytest.mark.parametrize("backend", [*HAND_PICKED, "auto"])
def test_cpu(benchmark: Benchmark, say: Say, backend: str) -> None:
    """Python code."""
    compare(benchmark, say, backend, tasks.count_primes, [8_000] * 100)


@pytest.mark.benchmark(group="io")
@pytest.mark.parametrize("backend", [*HAND_PICKED, "auto"])
def test_io(benchmark: Benchmark, say: Say, backend: str) -> None:
    """Waiting."""
    compare(benchmark, say, backend, tasks.wait, [0.02] * 50)


@pytest.mark.benchmark(group="releasing the GIL")
@pytest.mark.parametrize("backend", [*HAND_PICKED, "auto"])
def test_free(benchmark: Benchmark, say: Say, backend: str) -> None:
    """Native code that lets go of the GIL."""
    compare(benchmark, say, backend, tasks.digest, [8_000_000] * 150)


@pytest.mark.benchmark(group="async")
@pytest.mark.parametrize("backend", [*HAND_PICKED, "asyncio", "auto"])
def test_async(benchmark: Benchmark, say: Say, backend: str) -> None:
    """Coroutines."""
    compare(benchmark, say, backend, tasks.async_wait, [0.02] * 50)


@pytest.mark.benchmark(group="tiny")
@pytest.mark.parametrize("backend", [*HAND_PICKED, "auto"])
def test_tiny(benchmark: Benchmark, say: Say, backend: str) -> None:
    """Calls too small for any pool."""
    compare(benchmark, say, backend, tasks.square, list(range(20_000)))
