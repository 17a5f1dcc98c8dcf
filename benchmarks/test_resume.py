"""What a journal costs: items of 5 ms, two at a time, with it and without."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from autoexec import run_parallel

from .timing import Benchmark

ITEMS = 400


def wait(item: int) -> dict[str, int]:
    """A call of 5 ms."""
    time.sleep(0.005)
    return {"item": item}


def compute(item: int) -> int:
    """The same, of the processor."""
    until = time.perf_counter() + 0.005
    while time.perf_counter() < until:
        item += 1
    return item


@pytest.mark.parametrize("journal", [False, True], ids=["without", "with"])
@pytest.mark.parametrize(
    ("fn", "backend"), [(wait, "threads"), (compute, "processes")], ids=["threads", "processes"]
)
def test_journal(
    benchmark: Benchmark, tmp_path: Path, journal: bool, fn: Any, backend: Any
) -> None:
    """A run of 400 items, each time with a new journal."""
    benchmark.group = f"{ITEMS} items of 5 ms, two at a time: {backend}"
    files = (tmp_path / f"{number}.db" for number in itertools.count())

    def run() -> None:
        options: dict[str, Any] = {"resume": next(files)} if journal else {}
        run_parallel(fn, range(ITEMS), backend=backend, max_workers=2, **options)

    benchmark.pedantic(run, (), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="20,000 items that are in the journal")
def test_nothing_left(benchmark: Benchmark, tmp_path: Path) -> None:
    """A run that calls nothing any more."""
    run_parallel(abs, range(20_000), resume=tmp_path / "run.db")
    benchmark(lambda: run_parallel(abs, range(20_000), resume=tmp_path / "run.db"))
