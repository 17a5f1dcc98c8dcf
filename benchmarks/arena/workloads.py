"""The workloads: what is called, on what, and how often.

They are sized so that the quickest contender takes half a second or so on two cores: long enough that
starting something is not all that is measured, short enough for twenty contenders three times.
"""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import calls
from .scene import Scene

WORDS = ("error", "user", "path", "took", "status", "cache", "retry", "host")
BLOCK = 25
"""Calls of a kind in a row, where kinds alternate."""


class Case(NamedTuple):
    """A workload as it is run."""

    fn: Callable[[Any], Any]
    items: list[Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of work.

    Attributes:
        name: Short, for tables.
        what: What one call does, in words.
        make: The case for so many calls at a scene. It is the same whenever it is made.
        calls: How many there are when it is measured in earnest.
        batches: They come in so many runs, one after the other.
        coroutine: The function is `async def`.
        needs: The package without which it cannot be run.
    """

    name: str
    what: str
    make: Callable[[int, Scene], Case]
    calls: int
    batches: int = 1
    coroutine: bool = False
    needs: str = ""

    @property
    def lacking(self) -> str:
        """The package that it needs and that is not installed."""
        there = not self.needs or importlib.util.find_spec(self.needs) is not None
        return "" if there else self.needs

    def scaled(self, scale: float) -> tuple[int, int]:
        """How many calls, in how many runs, for this share of the work: at least two in each."""
        batches = max(1, round(self.batches * scale))
        in_each = self.calls / self.batches * (scale if self.batches == 1 else 1.0)
        return batches * max(2, round(in_each)), batches


def batches_of(items: list[Any], count: int) -> list[list[Any]]:
    """The items in so many lists of one length, in their order."""
    size = len(items) // count
    return [items[i * size : (i + 1) * size] for i in range(count)]


# --- Cases that take more than a line ----------------------------------------------------------------


def _texts(count: int, _: Scene) -> Case:
    chance = random.Random(1)
    text = " ".join(chance.choices(WORDS, k=40_000)).encode()
    return Case(calls.compressed_size, [text[i % 1000 :] for i in range(count)])


def _logs(count: int, _: Scene) -> Case:
    chance = random.Random(2)
    log = "".join(
        f'{chance.choice(WORDS)}={chance.randrange(10_000)} note="{chance.choice(WORDS)} again"\n'
        for _ in range(1_500)
    )
    return Case(calls.count_fields, [log[i % 50 :] for i in range(count)])


def _documents(count: int, _: Scene) -> Case:
    chance = random.Random(3)
    rows = [{"id": i, "at": chance.random(), "tags": [*WORDS[:3]]} for i in range(500)]
    return Case(calls.round_trip, [json.dumps(rows[i % 5 :]) for i in range(count)])


def _titles(count: int, _: Scene) -> Case:
    return Case(calls.slug, [f" Number {i % 1000} of Many " for i in range(count)])


def _blocks(count: int, _: Scene) -> Case:
    wait, compute = -20, 40_000
    return Case(calls.wait_or_compute, [compute if i // BLOCK % 2 else wait for i in range(count)])


def _heavy_tail(count: int, _: Scene) -> Case:
    """One call in twenty-five takes forty times as long as the middle one."""
    chance = random.Random(4)
    sizes = [min(400_000, round(6_000 * chance.paretovariate(1.1))) for _ in range(count)]
    return Case(calls.collatz, sizes)


def _a_tenth(count: int, _: Scene) -> Case:
    chance = random.Random(5)
    return Case(calls.collatz, [135_000 if chance.random() < 0.1 else 7_000 for _ in range(count)])


def _misses(count: int, _: Scene) -> Case:
    chance = random.Random(6)
    wait, compute = -100, 700
    return Case(
        calls.wait_or_compute, [wait if chance.random() < 0.05 else compute for _ in range(count)]
    )


def _closure(count: int, _: Scene) -> Case:
    names = {number: f"the name of number {number}" for number in range(150_000)}

    def look_up(number: int) -> int:
        return calls.collatz(20_000) + len(names[number])

    return Case(look_up, list(range(count)))


def _method(count: int, _: Scene) -> Case:
    return Case(calls.Model(50_000_000).score, list(range(count)))


def _same(fn: Callable[[Any], Any], item: Any) -> Callable[[int, Scene], Case]:
    """So many times the same item."""
    return lambda count, _: Case(fn, [item] * count)


def _numbered(fn: Callable[[Any], Any]) -> Callable[[int, Scene], Case]:
    """The numbers from 0."""
    return lambda count, _: Case(fn, list(range(count)))


# --- All of them -------------------------------------------------------------------------------------

WORKLOADS = (
    Workload(
        "Python, coarse",
        "computes in Python for 40 ms",
        _same(calls.collatz, 270_000),
        calls=25,
    ),
    Workload(
        "Python, fine",
        "computes in Python for 0.1 ms",
        _same(calls.collatz, 700),
        calls=10_000,
    ),
    Workload(
        "heavy tail",
        "computes in Python, mostly for 2 ms, now and then for 60",
        _heavy_tail,
        calls=300,
    ),
    Workload(
        "a tenth heavy",
        "computes in Python for 1 ms, one call in ten for 20",
        _a_tenth,
        calls=250,
    ),
    Workload(
        "tiny",
        "changes a short text in a third of a microsecond",
        _titles,
        calls=500_000,
    ),
    Workload(
        "compression",
        "compresses 250 kB in C code that lets go of the GIL",
        _texts,
        calls=40,
    ),
    Workload(
        "NumPy, small",
        "does hundreds of operations on short arrays",
        _numbered(calls.small_arrays),
        calls=250,
        needs="numpy",
    ),
    Workload(
        "NumPy, large",
        "does a few operations on a long array, without the GIL",
        _numbered(calls.large_array),
        calls=200,
        needs="numpy",
    ),
    Workload(
        "images",
        "shrinks a picture, without the GIL",
        _numbered(calls.thumbnail),
        calls=120,
        needs="PIL",
    ),
    Workload(
        "SQLite",
        "asks a database in memory of its own",
        _same(calls.query, 20_000),
        calls=250,
    ),
    Workload(
        "regex",
        "searches 45 kB of a log in one call that holds the GIL",
        _logs,
        calls=500,
    ),
    Workload(
        "JSON",
        "parses and writes 35 kB in two calls that hold the GIL",
        _documents,
        calls=500,
    ),
    Workload(
        "closure",
        "computes for 3 ms in a closure over 150,000 texts",
        _closure,
        calls=300,
    ),
    Workload(
        "large object",
        "computes for 4 ms in a method of an object of 50 MB",
        _method,
        calls=250,
    ),
    Workload(
        "latency",
        "waits for 40 ms",
        _same(calls.pause, 40),
        calls=300,
    ),
    Workload(
        "server",
        "asks a server that serves 16 at a time, 20 ms each",
        lambda count, scene: Case(calls.ask, [f"{scene.port}/question {i}" for i in range(count)]),
        calls=320,
    ),
    Workload(
        "one at a time",
        "asks a server that serves one at a time, 4 ms each",
        lambda count, scene: Case(calls.ask, [f"{scene.port}/alone {i}" for i in range(count)]),
        calls=100,
    ),
    Workload(
        "cache misses",
        "computes in Python for 0.1 ms, or, one call in twenty, waits for 100",
        _misses,
        calls=1_500,
    ),
    Workload(
        "files",
        "reads a file of 20 kB",
        lambda count, scene: Case(calls.file_checksum, [scene.file(i) for i in range(count)]),
        calls=10_000,
    ),
    Workload(
        "subprocesses",
        "waits for a program that computes for some milliseconds",
        _numbered(calls.child_process),
        calls=40,
    ),
    Workload(
        "mixed",
        "waits for 15 ms, then computes in Python for 4",
        _numbered(calls.wait_and_compute),
        calls=200,
    ),
    Workload(
        "mixed, async",
        "the same as a coroutine",
        _numbered(calls.wait_and_compute_async),
        calls=200,
        coroutine=True,
    ),
    Workload(
        "computing, async",
        "computes for 3 ms in a coroutine",
        _numbered(calls.compute_async),
        calls=300,
        coroutine=True,
    ),
    Workload(
        "alternating",
        "waits for 20 ms or computes for 6, in blocks of 25",
        _blocks,
        calls=250,
    ),
    Workload(
        "web handler",
        "waits for 2 ms; 100 runs of 8 calls, one after the other",
        _numbered(calls.handle),
        calls=800,
        batches=100,
    ),
)
