"""What dispatch costs on each engine, and what batches gain on Dask. For docs/scale.md.

    python -m benchmarks.engines costs              # per dispatch and per item, every engine
    python -m benchmarks.engines dask --items 100000    # against client.map and batches made by hand
    python -m benchmarks.engines stream --items 1000000 # memory of the caller and the scheduler

Clusters of two workers are started on this machine, on the loopback interface. `PYTHONPATH=tests` is
not needed: what the workers call is in this package.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from autoexec import iter_parallel, run_parallel

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import clusters

SINGLE = 400
"""Dispatches of one item each by which a dispatch is measured."""
MANY = 200_000
"""Items in batches of a thousand by which an item is measured."""


def nothing(x: int) -> int:
    """A call that costs nothing."""
    return x


def wait(x: int) -> int:
    """A call of a millisecond that waits."""
    time.sleep(0.001)
    return x


def compute(x: int) -> int:
    """A call of about a millisecond that computes and holds the GIL."""
    total = 0
    for i in range(18_000):
        total += i
    return x


def wait_for_all(xs: list[int]) -> list[int]:
    """A batch made by hand."""
    return [wait(x) for x in xs]


def compute_all(xs: list[int]) -> list[int]:
    """The same of calls that compute."""
    return [compute(x) for x in xs]


def seconds(call: Callable[[], object]) -> float:
    """What a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def costs(_: int) -> None:
    """Print the cost of a dispatch and of an item on every engine."""
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2) as processes:
        engines: list[tuple[str, Any]] = [
            ("inline", "inline"),
            ("threads", "threads"),
            ("processes", "processes"),
            ("external (threads)", threads),
            ("external (processes)", processes),
            ("dask", clusters.dask()),
            ("ray", clusters.backend("ray")),
        ]
        print("| engine | a dispatch, µs | CPU of it here, µs | an item in batches of 1,000, µs |")
        print("|---|---|---|---|")
        for name, backend in engines:
            run_parallel(nothing, range(40), backend=backend, chunksize=1)  # so that workers are up
            cpu_s = time.process_time()
            single = _least(
                lambda: run_parallel(nothing, range(SINGLE), backend=backend, chunksize=1)
            )
            cpu_s = (time.process_time() - cpu_s) / 3
            many = _least(
                lambda: run_parallel(nothing, range(MANY), backend=backend, chunksize=1_000)
            )
            print(
                f"| {name} | {single / SINGLE * 1e6:,.0f} | {cpu_s / SINGLE * 1e6:,.0f} | {many / MANY * 1e6:,.2f} |"
            )


def _least(call: Callable[[], object]) -> float:
    return min(seconds(call) for _ in range(3))


def dask(items: int) -> None:
    """Print how long items of a millisecond take through Dask, each way."""
    client = clusters.dask()
    run_parallel(nothing, range(40), backend=client, chunksize=1)
    for fn, by_hand in ((wait, wait_for_all), (compute, compute_all)):
        size = max(1, items // 200)
        batches = [list(range(i, min(items, i + size))) for i in range(0, items, size)]
        ours = seconds(lambda: run_parallel(fn, range(items), backend=client))
        hand = seconds(lambda: client.gather(client.map(by_hand, batches, pure=False)))
        each = seconds(lambda: client.gather(client.map(fn, range(items), pure=False)))
        print(
            f"{fn.__name__}, {items:,} items: {ours:.2f} s; batches of {size} by hand {hand:.2f} s"
            f" ({ours / hand:.2f}); one task an item {each:.2f} s ({each / ours:.1f} times as long)"
        )


def stream(items: int) -> None:
    """Print the memory of the caller and of the scheduler while a stream goes through Dask."""
    distributed = clusters.dask().cluster  # its scheduler is in this process, and counted with it
    client = clusters.dask()

    def count() -> Iterator[int]:
        yield from range(items)

    print("item, resident MB of caller and scheduler, tasks at the scheduler, items taken ahead")
    began = time.perf_counter()
    for i, _ in enumerate(iter_parallel(nothing, count(), backend=client)):
        if i % (items // 10) == 0:
            print(f"{i:,}, {_resident_mb():.0f}, {len(distributed.scheduler.tasks)}")
    print(f"{items:,}, {_resident_mb():.0f}; {time.perf_counter() - began:.1f} s")


def _resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("costs", "dask", "stream"))
    parser.add_argument("--items", type=int, default=100_000)
    given = parser.parse_args()
    {"costs": costs, "dask": dask, "stream": stream}[given.what](given.items)


if __name__ == "__main__":
    main()
