"""What the clocks show of calls under way, read on the driver's thread."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ._call import is_runnable, queued_ns_of
from ._chunk import Chunk
from ._host import child_cpu_s
from ._types import Look, Running

SAMPLED = 16
"""Calls of which it is seen how much they have computed: the clock of a thread is read in 1 µs, and keeps
the GIL."""


def thread_cpu_ns(clock_id: int) -> int | None:
    """What the CPU clock of another thread shows (Linux), or None if it cannot be read."""
    try:
        return time.clock_gettime_ns(clock_id)
    except (OSError, AttributeError):
        return None


def look(
    running: list[Running],
    late_s: float | None,
    returned: int,
    new_child: bool = False,
    spent_s: float = 0.0,
) -> Look:
    """A look with the clocks of this moment filled in; call it on the driver's thread."""
    return Look(
        now_s=time.perf_counter(),
        late_s=late_s,
        running=running,
        process_cpu_s=time.process_time() - time.thread_time(),
        child_cpu_s=child_cpu_s(),
        new_child=new_child,
        returned=returned,
        spent_s=spent_s,
    )


def mean_spent_s(chunks: Sequence[Chunk]) -> float:
    """What the calls that chunks are in have computed so far, in the mean; 0 if that is not known."""
    chunks = chunks[:: 1 + len(chunks) // SAMPLED]
    spent = [
        cpu_ns - began.cpu_ns
        for chunk in chunks
        if chunk.count == 1 and (began := chunk.began) is not None and chunk.clock_id is not None
        if not chunk.finished and (cpu_ns := thread_cpu_ns(chunk.clock_id)) is not None
    ]
    return 1e-9 * sum(spent) / len(spent) if spent else 0.0


def running(chunks: Sequence[Chunk]) -> list[Running]:
    """How long chunks have been running, and on how much CPU, by the clocks of their threads."""
    found: list[Running] = []
    for chunk in chunks:
        began = chunk.began
        if began is None:  # still in the queue
            continue
        elapsed = time.perf_counter_ns() - began.wall_ns
        cpu = None if chunk.clock_id is None else thread_cpu_ns(chunk.clock_id)
        if cpu is None:
            cpu_s = (time.process_time() - chunk.process_cpu_s) / len(chunks)
        else:
            cpu_s = (cpu - began.cpu_ns) * 1e-9
        queued = queued_ns_of(chunk.native_id) - began.queued_ns if chunk.native_id else 0
        runnable = is_runnable(chunk.native_id) if chunk.native_id else False
        found.append(Running(chunk, elapsed * 1e-9, cpu_s, max(0, queued) * 1e-9, runnable))
    return found
