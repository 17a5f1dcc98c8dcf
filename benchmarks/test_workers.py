"""Worker processes beside those of the standard library: the first answer, a round trip, and many deaths."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from concurrent.futures import ProcessPoolExecutor as StandardExecutor

import pytest

from autoexec import ProcessPoolExecutor, run_parallel

from .tasks import square
from .timing import Benchmark

Make = Callable[[], Executor]


def standard(method: str) -> Make:
    """One standard worker, started like that."""
    context = multiprocessing.get_context(method)
    return lambda: StandardExecutor(1, mp_context=context)


MAKERS = [
    pytest.param(lambda: ProcessPoolExecutor(1), id="autoexec"),
    pytest.param(standard("spawn"), id="standard, spawn"),
    pytest.param(
        standard("spawn" if sys.platform == "win32" else "forkserver"), id="standard, forkserver"
    ),
]


@pytest.mark.benchmark(group="first answer of a worker process")
@pytest.mark.parametrize("make", MAKERS)
def test_first_answer(benchmark: Benchmark, make: Make) -> None:
    """From the executor to the first result; its end is not measured."""
    made: list[Executor] = []

    def first() -> None:
        made.append(make())
        assert made[-1].submit(square, 2).result() == 4

    benchmark.pedantic(first, (), rounds=15, warmup_rounds=1)
    for executor in made:
        executor.shutdown()


@pytest.mark.benchmark(group="one call to a worker process and back")
@pytest.mark.parametrize("make", MAKERS[:2])
def test_round_trip(benchmark: Benchmark, make: Make) -> None:
    """To a worker that waits."""
    with make() as executor:
        executor.submit(square, 1).result()
        benchmark(lambda: executor.submit(square, 2).result())


def one_in_twenty_dies(index: int) -> int:
    """A quick call, or the end of its worker."""
    if index % 20 == 13:
        os.kill(os.getpid(), signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
    return square(index)


@pytest.mark.benchmark(group="400 items, 20 new workers")
@pytest.mark.parametrize("how", ["nothing happens", "workers are replaced", "workers die"])
def test_deaths(benchmark: Benchmark, how: str) -> None:
    """One item in twenty kills its worker, beside a calm run that replaces a worker after every twenty."""
    fn = one_in_twenty_dies if how == "workers die" else square
    each = 20 if how == "workers are replaced" else None

    def run() -> None:
        done = run_parallel(
            fn, range(400), backend="processes", on_error="skip", max_tasks_per_child=each
        )
        assert len(done) == (380 if how == "workers die" else 400)

    benchmark.pedantic(run, (), rounds=5, warmup_rounds=1)
