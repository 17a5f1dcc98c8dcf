"""Each item has a random stream of its own, whatever runs it."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import subprocess
import sys
from typing import Any

import pytest

import autoexec
from autoexec import Failure, item_generator, item_random, item_seed, run_parallel
from autoexec._options import BackendName
from autoexec._seed import NumberedChunk

BACKENDS: list[BackendName] = ["auto", "inline", "threads", "processes", "asyncio", "hybrid"]
HAS_NUMPY = importlib.util.find_spec("numpy") is not None


def draw(x: Any) -> tuple[Any, ...]:
    drawn = float(item_generator().random()) if HAS_NUMPY else item_seed() + 1
    return x, item_random().random(), item_seed(), drawn


async def draw_later(x: Any) -> tuple[Any, ...]:
    await asyncio.sleep(0)
    return draw(x)


def expected(seed: int, count: int) -> list[tuple[Any, ...]]:
    return list(run_parallel(draw, range(count), backend="inline", seed=seed))


@pytest.mark.parametrize("fn", [draw, draw_later])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_gives_the_same_streams(backend: BackendName, fn: Any) -> None:
    assert run_parallel(fn, range(9), backend=backend, seed=11) == expected(11, 9)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("size", [1, 4])
def test_so_does_every_number_of_workers_and_size_of_chunks(workers: int, size: int) -> None:
    for backend in ("threads", "processes"):
        found = run_parallel(
            draw, iter(range(9)), backend=backend, max_workers=workers, chunksize=size, seed=5
        )
        assert found == expected(5, 9)


def test_items_and_seeds_have_different_streams() -> None:
    numbers = [row[1:] for seed in (0, 1) for row in expected(seed, 20)]
    for column in zip(*numbers, strict=True):
        assert len(set(column)) == 40


def test_the_streams_are_those_that_are_documented() -> None:
    _, first, number, drawn = expected(3, 2)[1]
    assert first == random.Random(number).random()
    numpy = pytest.importorskip("numpy")
    sequence = numpy.random.SeedSequence(3, spawn_key=(1,))
    assert drawn == numpy.random.default_rng(sequence).random()


def test_asking_twice_in_a_call_goes_on_with_the_same_stream() -> None:
    def two(x: int) -> tuple[float, float]:
        return item_random().random(), item_random().random()

    (pair,) = run_parallel(two, [0], seed=1)
    assert pair[0] != pair[1]


def test_each_attempt_has_the_same_stream() -> None:
    drawn: list[float] = []

    def fn(x: int) -> float:
        drawn.append(item_random().random())
        if len(drawn) < 3:
            raise ValueError(x)
        return drawn[-1]

    run_parallel(fn, [0], seed=1, retries=2)
    assert len(drawn) == 3
    assert len(set(drawn)) == 1


def test_items_stay_as_they_are_in_errors_and_failures() -> None:
    def fail(x: str) -> None:
        raise ValueError(x)

    for backend in BACKENDS:
        results = run_parallel(fail, ["a", "b"], backend=backend, seed=1, on_error="return")
        assert [failure.item for failure in results.failures] == ["a", "b"]
        assert "item 1, 'b'" in results.failures[1].exception.__notes__[0]


def test_unpacked_items_have_streams_too() -> None:
    def add(a: int, b: int) -> tuple[int, int]:
        return a + b, item_seed()

    (first, second) = run_parallel(add, [(1, 2), (3, 4)], star=True, seed=1)
    assert (first[0], second[0]) == (3, 7)
    assert first[1] != second[1]


@pytest.mark.parametrize("ask", [item_seed, item_random, item_generator])
def test_outside_of_a_call_there_is_no_stream(ask: Any) -> None:
    with pytest.raises(RuntimeError, match="seed="):
        ask()
    (failure,) = run_parallel(lambda x: ask(), [0], on_error="return")
    assert isinstance(failure, Failure)
    assert isinstance(failure.exception, RuntimeError)
    run_parallel(draw, [0], backend="inline", seed=1)
    with pytest.raises(RuntimeError):
        ask()


def test_a_numbered_chunk_shows_plain_items_to_all_but_its_executor() -> None:
    chunk = NumberedChunk(5, ["x", "a", "b"], "threads", "threads", 1)
    assert (chunk.count, chunk.item(1), chunk.rest()) == (2, "b", ["a", "b"])
    assert list(chunk.todo) == [(5, "a"), (6, "b")]
    chunk.done = 1
    assert chunk.rest() == ["b"]
    chunk.recall()
    assert chunk.cut() == ["b"]


def test_numpy_and_random_are_not_imported_for_it() -> None:
    code = (
        "import sys, autoexec\n"
        "autoexec.run_parallel(lambda x: x, range(3), backend='inline', seed=1)\n"
        "print([name for name in ('numpy', 'random') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
    assert autoexec.item_seed is item_seed
