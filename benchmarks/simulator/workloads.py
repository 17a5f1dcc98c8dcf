"""What calls are like: named workloads for each kind, and a seeded generator of any number more."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from random import Random
from typing import Any, NamedTuple

from .machine import Phase, What

Call = tuple[Phase, ...]
PYTHON_S = 100e-6
"""Calls shorter than this only compute: no wait worth the name is shorter."""


class Amounts(NamedTuple):
    """Seconds that calls take together."""

    wall_s: float
    """One after another."""
    held_s: float
    """Of that under the GIL."""
    cpu_s: float
    """Of all cores."""
    served_s: float
    """With the resource that is the shortest, all of its places in use."""


class Workload:
    """Calls, and the machine that they run on.

    Args:
        calls: What each does.
        cores: Cores of the machine.
        kind: A heading of the table.
        is_async: They are coroutines.
        lazy: The length of the input is not known.
        limits: Places of each resource that they share.
        warm_s: CPU seconds under the GIL that the first in a process takes besides.
        fn_bytes: Size of the function with what it captured.
        item_bytes: Size of an item; results are small.
        pickle_s: Seconds to pickle and read an item and a result.
        travels: It can be run in another process at all.
    """

    def __init__(self, calls: Sequence[Call], cores: int = 2, **facts: Any) -> None:
        self.calls = calls
        self.cores = cores
        self.kind: str = facts.pop("kind", "")
        self.name = f"{facts.pop('name', self.kind)} on {cores}"
        self.is_async: bool = facts.pop("is_async", False)
        self.lazy: bool = facts.pop("lazy", False)
        self.limits: tuple[int, ...] = facts.pop("limits", ())
        self.warm_s: float = facts.pop("warm_s", 0.0)
        self.fn_bytes: int = facts.pop("fn_bytes", 1000)
        self.item_bytes: int = facts.pop("item_bytes", 100)
        self.pickle_s: float = facts.pop("pickle_s", 3e-6)
        self.travels: bool = facts.pop("travels", True)
        self.seed: int = facts.pop("seed", 1)
        assert not facts, facts

    @cached_property
    def pure(self) -> What | None:
        """What all calls do and nothing else, if that is computing on one core."""
        kinds = {(phase.what, phase.arg) for call in self.calls for phase in call}
        single = len(kinds) == 1 and all(len(call) == 1 for call in self.calls)
        what, cores = next(iter(kinds))
        return what if single and cores == 1 and what in (What.HELD, What.FREE) else None

    @cached_property
    def sums(self) -> list[float]:
        """Seconds of the calls before each, where all only compute."""
        return [0.0, *itertools.accumulate(call[0].seconds for call in self.calls)]

    def reach(self, first: int, seconds: float) -> int:
        """The first item that starts no sooner than so much work after the start of `first`."""
        return bisect_right(self.sums, self.sums[first] + seconds)

    @cached_property
    def amounts(self) -> Amounts:
        """What all calls take together."""
        phases = [phase for call in self.calls for phase in call]

        def total(*what: What) -> float:
            return sum(phase.seconds for phase in phases if phase.what in what)

        native_s = sum(phase.seconds * phase.arg for phase in phases if phase.what is What.FREE)
        served_s = [0.0] * len(self.limits)
        for phase in phases:
            if phase.what is What.SERVED:
                served_s[phase.arg] += phase.seconds / self.limits[phase.arg]
        held_s = total(What.HELD, What.CALL)
        cpu_s = held_s + total(What.CHILD) + native_s
        return Amounts(sum(self.walls), held_s, cpu_s, max(served_s, default=0.0))

    @cached_property
    def walls(self) -> list[float]:
        """Seconds that each call takes alone."""
        return [sum(phase.seconds for phase in call) for call in self.calls]


def call(
    *,
    wait_s: float = 0.0,
    held_s: float = 0.0,
    free_s: float = 0.0,
    child_s: float = 0.0,
    served: int | None = None,
    threads: int = 1,
    atomic: bool = False,
) -> Call:
    """A call that waits, then computes: in a child process, under the GIL, without it."""
    wait = Phase(What.WAIT, wait_s) if served is None else Phase(What.SERVED, wait_s, served)
    phases = (
        wait,
        Phase(What.CHILD, child_s),
        Phase(What.CALL if atomic else What.HELD, held_s),
        Phase(What.FREE, free_s, threads),
    )
    return tuple(phase for phase in phases if phase.seconds > 0) or (Phase(What.HELD, 1e-7),)


Make = Callable[[float], Call]


def scaled(make: Make, scales: Sequence[float], seed: int) -> list[Call]:
    """Calls of so many times the usual size, and 3 % of noise."""
    noise = Random(seed).lognormvariate
    return [make(scale * noise(0.0, 0.03)) for scale in scales]


# --- How the sizes of calls vary over the run ---------------------------------------------------------


def even(n: int, _: Random) -> list[float]:
    return [1.0] * n


def tiny_first(n: int, random: Random) -> list[float]:
    small = max(1, int(n * random.uniform(0.03, 0.3)))
    return [0.002] * small + [1.0] * (n - small)


def falling(n: int, _: Random) -> list[float]:
    return [2.0 * (n - i) / n for i in range(n)]


def rising(n: int, _: Random) -> list[float]:
    return [2.0 * (i + 1) / n for i in range(n)]


def heavy_tail(n: int, random: Random) -> list[float]:
    return [min(60.0, 0.4 * random.paretovariate(1.5)) for _ in range(n)]


def few_huge(n: int, random: Random) -> list[float]:
    return [100.0 if random.random() < 3 / n else 1.0 for _ in range(n)]


def blocks(n: int, _: Random) -> list[float]:
    return [1.0 if i * 10 // n % 2 else 0.05 for i in range(n)]


def tenth_heavy(n: int, random: Random) -> list[float]:
    return [10.0 if random.random() < 0.1 else 0.3 for _ in range(n)]


def scattered(n: int, random: Random) -> list[float]:
    return [random.lognormvariate(-0.32, 0.8) for _ in range(n)]


DRIFTS: dict[str, Callable[[int, Random], list[float]]] = {
    "even": even,
    "tiny first": tiny_first,
    "falling": falling,
    "rising": rising,
    "heavy tail": heavy_tail,
    "few huge": few_huge,
    "blocks": blocks,
    "tenth heavy": tenth_heavy,
    "scattered": scattered,
}


# --- Named --------------------------------------------------------------------------------------------


def named(cores: int) -> Iterator[Workload]:
    """A workload of each kind that was ever a problem."""

    def make(kind: str, n: int, drift: str = "even", **rest: Any) -> Workload:
        names = ("wait_s", "held_s", "free_s", "child_s", "served", "threads", "atomic")
        usual = {name: rest.pop(name) for name in names if name in rest}
        seconds = [name for name in usual if name.endswith("_s")]

        def one(scale: float) -> Call:
            return call(**{**usual, **{name: usual[name] * scale for name in seconds}})

        sizes = DRIFTS[drift](n, Random(5))
        return Workload(scaled(one, sizes, 7), cores, kind=kind, **rest)

    more = max(1, cores // 4)
    yield make("tiny", 20_000, held_s=2e-6)
    yield make("python", 300 * more, held_s=0.004)
    yield make("python long", 20 * more, held_s=0.2)
    yield make("python short", 3000, held_s=0.0002)
    yield make("long C call with the GIL", 100 * more, held_s=0.03, atomic=True)
    yield make("hashing", 300 * more, free_s=0.004)
    yield make("numpy small", 8_000, held_s=2e-5)
    yield make("native threads", 60, free_s=0.02, threads=cores)
    yield make("latency", 500, wait_s=0.05, held_s=2e-5)
    yield make("latency short", 800, wait_s=0.003, held_s=2e-5)
    yield make("server of 16", 400, wait_s=0.02, held_s=1e-5, served=0, limits=(16,))
    yield make("client of 10", 300, wait_s=0.02, held_s=1e-5, served=0, limits=(10,), travels=False)
    yield make("lock across a wait", 100, wait_s=0.02, served=0, limits=(1,), travels=False)
    yield make("child processes", 40 * more, child_s=0.05, held_s=0.001)
    yield make("mixed", 400 * more, wait_s=0.02, held_s=0.005)
    yield make("mixed light", 400 * more, wait_s=0.02, held_s=0.001)
    yield make("mixed free", 200 * more, wait_s=0.01, free_s=0.01)
    yield make("async latency", 1000, wait_s=0.05, held_s=2e-5, is_async=True)
    yield make("async cpu", 300 * more, wait_s=0.02, held_s=0.004, is_async=True)
    yield make("large payload", 200, held_s=0.01, item_bytes=5_000_000, pickle_s=0.01)
    yield make("large state", 300, held_s=0.004, fn_bytes=20_000_000)
    yield make("warm-up", 200 * more, held_s=0.005, warm_s=0.3)
    yield make("lazy", 300 * more, held_s=0.004, lazy=True)
    yield make("lazy latency", 400, wait_s=0.03, held_s=2e-5, lazy=True)
    yield make("cannot travel", 100, held_s=0.01, travels=False)
    for drift in list(DRIFTS)[1:]:
        yield make(f"{drift}, python", 300 * more, drift, held_s=0.006)
        yield make(f"{drift}, latency", 300, drift, wait_s=0.02, held_s=2e-5)
    yield from changing(cores, more)


def changing(cores: int, more: int) -> Iterator[Workload]:
    """What calls do changes, not only how much of it."""
    n = 150 * more
    waits, computes = call(wait_s=0.02, held_s=1e-4), call(held_s=0.006)
    yield Workload([waits] * n + [computes] * n, cores, kind="waits, then computes")
    yield Workload([computes] * n + [waits] * n, cores, kind="computes, then waits")
    yield Workload(([waits] * 40 + [computes] * 40) * (n // 40), cores, kind="alternates")
    random = Random(11)
    cached = [call(wait_s=0.1, held_s=1e-4) if random.random() < 0.05 else call(held_s=5e-5)
              for _ in range(1500)]  # fmt: skip
    yield Workload(cached, cores, kind="slow cache misses")
    hit, miss = call(free_s=0.002), call(wait_s=0.1, free_s=0.002)
    native = [miss if random.random() < 0.05 else hit for _ in range(800)]
    yield Workload(native, cores, kind="slow cache misses, native")


# --- Generated ----------------------------------------------------------------------------------------


def generated(count: int, seed: int = 1) -> Iterator[Workload]:
    """So many workloads, the same ones every time."""
    for number in range(count):
        yield one(Random(f"{seed}/{number}"), number)


def one(random: Random, number: int) -> Workload:
    """A workload at random."""
    cores = random.choice([1, 2, 2, 4, 8, 16, 64, 128])
    cost = math.exp(random.uniform(math.log(1e-6), math.log(2.0)))
    total = math.exp(random.uniform(math.log(0.05), math.log(60.0)))
    most = 10_000 if cost < PYTHON_S else 500
    n = max(2, min(most, round(total / cost)))
    drift = random.choice(["even", "even", "even", *DRIFTS])
    wait = 0.0 if cost < PYTHON_S else random.choice([0.0, 0.0, 0.5, 0.8, 0.95, 0.995])
    held = random.choice([1.0, 1.0, 0.0, 0.5]) if cost >= PYTHON_S else 1.0
    usual: dict[str, Any] = {
        "wait_s": cost * wait, "held_s": cost * (1 - wait) * held,
        "free_s": cost * (1 - wait) * (1 - held),
    }  # fmt: skip
    facts: dict[str, Any] = {}
    if wait and random.random() < 0.3:
        facts["limits"] = (random.choice([1, 4, 10, 16, 50]),)
        facts["travels"] = random.random() < 0.5
    if random.random() < 0.1:
        facts["lazy"] = True
    if random.random() < 0.1:
        facts["warm_s"] = random.uniform(0.01, 0.3)
    if random.random() < 0.1:
        size = random.choice([10_000, 1_000_000, 10_000_000])
        facts.update(item_bytes=size, pickle_s=size * 2e-9)
    if wait and random.random() < 0.2:
        facts["is_async"] = True

    def make(scale: float) -> Call:
        amounts = {name: amount * scale for name, amount in usual.items()}
        return call(**amounts, served=0 if "limits" in facts else None)

    calls = scaled(make, DRIFTS[drift](n, random), number)
    kind = (
        "tiny"
        if cost < PYTHON_S
        else "computes"
        if not wait
        else "mixed"
        if wait < 0.9
        else "waits"
    )
    limit = f" limit {facts['limits'][0]}" if "limits" in facts else ""
    kind = ("async " if "is_async" in facts else "") + kind + (" limited" if limit else "")
    what = f"#{number} {n} x {cost * 1e3:.3g} ms, wait {wait:g}, held {held:g}, {drift}{limit}"
    extra = "".join(f" {name}" for name in facts if name != "limits")
    return Workload(calls, cores, kind="random: " + kind, name=what + extra, **facts)
