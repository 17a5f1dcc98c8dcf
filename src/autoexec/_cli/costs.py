"""What each route costs on this machine, measured through the very executors that runs use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from .. import _host, executors
from .._chunk import Chunk
from .._evidence import BEAT_S
from .._options import Settings
from .._pickling import Packed
from .._types import Broken, Event, Executor, Lane, Ready

THREADS, DISPATCHES, TRIPS, BEATS = 100, 500, 100, 100
"""Times that each is done; the median counts, as do so many at once where they come in crowds."""
SENT_BYTES = 8 << 20
"""Enough that 0.2 ms of dispatch are lost in it."""
PATIENCE_S = 3.0
"""For anything that should take a tenth of a second: then the machine cannot do it."""


class Measured(NamedTuple):
    """What was measured here, in seconds; None where it cannot be had."""

    late_s: float
    """How late a wait of 1 ms ends when nothing else runs."""
    thread_start_s: float
    thread_trip_s: float | None
    task_trip_s: float | None
    process_start_s: float | None
    process_trip_s: float | None
    byte_s: float | None


def measure() -> Measured:
    """Measure all of it. Takes about a second."""
    process_start_s = process_trip_s = byte_s = None
    processes = None if _host.read_host().processes_barred else _Lane("processes", _same)
    if processes is not None:
        if ready := processes.open():
            process_start_s = ready.start_s
            process_trip_s = processes.trip(1)
            byte_s = processes.bytes_s()
        processes.close()
    return Measured(
        late_s=_median(_late, BEATS),
        thread_start_s=_median(_thread, THREADS),
        thread_trip_s=_crowd("threads", _same),
        task_trip_s=_crowd("asyncio", _same_async),
        process_start_s=process_start_s,
        process_trip_s=process_trip_s,
        byte_s=byte_s,
    )


def _same(item: Any) -> int:
    return 0


async def _same_async(item: Any) -> int:
    return 0


def _median(sample: Callable[[], float], times: int) -> float:
    return sorted(sample() for _ in range(times))[times // 2]


def _late() -> float:
    """A wait as a run makes it: for an outcome that does not come."""
    nothing: SimpleQueue[None] = SimpleQueue()
    began = time.perf_counter()
    try:
        nothing.get(timeout=BEAT_S)
    except Empty:
        return max(0.0, time.perf_counter() - began - BEAT_S)
    raise AssertionError("nothing was put there")


def _thread() -> float:
    began = time.perf_counter()
    thread = threading.Thread(target=_same, args=(0,))
    thread.start()
    thread.join()
    return time.perf_counter() - began


def _crowd(name: Lane, fn: Callable[[Any], Any]) -> float | None:
    """Seconds for one of many calls that are handed over at once."""
    lane = _Lane(name, fn)
    lane.open()
    lane.trip(1)  # starts what there is to start
    took_s = lane.trip(DISPATCHES)
    lane.close()
    return took_s


class _Lane:
    """An executor and its reports."""

    def __init__(self, name: Lane, fn: Callable[[Any], Any]) -> None:
        self._name: Lane = name
        self._inbox: SimpleQueue[Event] = SimpleQueue()
        self._executor: Executor = executors.make(name, Packed(fn), self._inbox.put, Settings())

    def open(self) -> Ready | None:
        """Open it. Returns what it says when it is ready, if it says so; its `start_s` is None where
        workers were there before, as they never are when the command runs."""
        self._executor.open(1)
        if self._name != "processes":
            return None
        try:
            event = self._inbox.get(timeout=PATIENCE_S)
        except Empty:
            return None
        return event if isinstance(event, Ready) else None

    def trip(self, crowd: int) -> float | None:
        """Median seconds from dispatch to outcome: of so many at once, for each."""
        samples = [self._once([0] * crowd) for _ in range(TRIPS if crowd == 1 else 5)]
        known = sorted(sample for sample in samples if sample is not None)
        return known[len(known) // 2] / crowd if known else None

    def bytes_s(self) -> float | None:
        """Seconds that a byte takes there."""
        content = bytes(SENT_BYTES)
        samples = [self._once([content]) for _ in range(5)]
        known = [sample for sample in samples if sample is not None]
        return min(known) / SENT_BYTES if known else None

    def _once(self, items: list[Any]) -> float | None:
        chunks = [Chunk(i, [item], self._name, self._name) for i, item in enumerate(items)]
        began = time.perf_counter()
        self._executor.submit(chunks)
        left = len(chunks)
        while left:
            try:
                event = self._inbox.get(timeout=PATIENCE_S)
            except Empty:
                return None
            if isinstance(event, Broken):
                return None
            if not isinstance(event, Ready):
                left -= sum(block.last for block in event)
        return time.perf_counter() - began

    def close(self) -> None:
        self._executor.close(abandon=True)
