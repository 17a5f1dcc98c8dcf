"""What the library itself costs: for one item, for ten, for very many, and to import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from autoexec import run_parallel

from .tasks import square
from .timing import Benchmark

MANY = range(200_000)
many = pytest.mark.parametrize(
    "items", [list(MANY), tuple(MANY), MANY], ids=["list", "tuple", "range"]
)
"""A list is copied before the first call, as it may be changed meanwhile."""


@pytest.mark.benchmark(group="a few items")
@pytest.mark.parametrize("items", [1, 10])
def test_run_parallel(benchmark: Benchmark, items: int) -> None:
    """A call of `run_parallel`, the tasks themselves being next to nothing."""
    benchmark(run_parallel, square, list(range(items)))


@pytest.mark.benchmark(group="200,000 tiny items")
@many
def test_comprehension(benchmark: Benchmark, items: Sequence[int]) -> None:
    """The plain loop."""
    benchmark(lambda: [square(x) for x in items])


@pytest.mark.benchmark(group="200,000 tiny items")
@many
def test_auto(benchmark: Benchmark, items: Sequence[int]) -> None:
    """The same through `run_parallel`."""
    benchmark(run_parallel, square, items)


@pytest.mark.benchmark(group="start of an interpreter")
@pytest.mark.parametrize("code", ["pass", "import autoexec"])
def test_python(benchmark: Benchmark, code: str) -> None:
    """The difference is what the import costs."""
    command = [sys.executable, "-c", code]
    benchmark.pedantic(subprocess.run, (command,), {"check": True}, rounds=15, warmup_rounds=1)
