"""What the clocks show of calls under way, read on the driver's thread."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ._call import is_runnable, queued_ns, queued_ns_of, times_blocked
from ._children import child_cpu_s
from ._chunk import Chunk
from ._host import has_gil, newly_stolen_s
from ._thread_cache import shielded_cpu_s
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


def process_cpu_s() -> float:
    """What this process has computed so far, the calling thread left out, and what it had others do."""
    return time.process_time() - time.thread_time() - shielded_cpu_s()


GAP_S = 0.001
GAP_SHARE = 0.1
"""A call that computes for all but this much of its time counts as computing, whether or not it waited for a
core. Asking the kernel would mean waiting for the GIL three times, so that a look at such a call took 22 ms, not 6."""
AWAY_S = 0.003
"""Less is not asked for: the host tells in ticks of 10 ms."""
LOOKING_S = 0.001
"""More than a look takes, 10 to 60 µs, if there is a core for it."""


class Beat:
    """A wait of the driver while calls are watched, or the look that follows it, which begins now.

    Args:
        seconds: How long it is to take.
    """

    def __init__(self, seconds: float) -> None:
        self.gil_taken: bool | None = None
        """Whether the GIL was somebody's when the wait ended, once it has; None where the system does not tell."""
        self._queued_ns = queued_ns()
        self._computed_s = time.process_time()
        self._blocked = times_blocked()  # after what lets go of the GIL
        self._until = time.perf_counter() + seconds

    def ended(self) -> tuple[float, float]:
        """How late it ended, and for how much of that the host of a virtual machine had taken the cores away.

        Time spent ready but without a core is a busy machine, not a busy GIL. What the host takes from the
        thread that has the GIL is in no clock of that thread: a call that computed for 8 ms took 42, and seemed
        to wait. Nobody computes meanwhile; but so it is where a call waits and keeps the GIL, so that the host
        is asked as well.
        """
        late_s = time.perf_counter() - self._until
        if self._blocked >= 0:
            # The wait itself blocks once. It blocks again if the GIL is not free by then, however soon it is: beside
            # NumPy on short arrays, which lets go of it for some nanoseconds every 2 µs, a beat is 0.25 ms late, or
            # many seconds.
            self.gil_taken = times_blocked() > self._blocked + 1
        if late_s <= 0.0:
            return 0.0, 0.0
        late_s = max(0.0, late_s - (queued_ns() - self._queued_ns) * 1e-9)
        away_s = late_s - (time.process_time() - self._computed_s)
        return late_s, min(away_s, newly_stolen_s()) if away_s > AWAY_S else 0.0


def look(
    running: list[Running],
    late_s: float | None,
    returned: int,
    new_child: bool = False,
    here: Sequence[Chunk] = (),
    gil_taken: bool | None = None,
) -> Look:
    """A look with the clocks of this moment filled in; call it on the driver's thread."""
    return Look(
        now_s=time.perf_counter(),
        late_s=late_s,
        running=running,
        process_cpu_s=process_cpu_s(),
        child_cpu_s=child_cpu_s(),
        new_child=new_child,
        returned=returned,
        spent_s=mean_spent_s(glance(here[:: 1 + len(here) // SAMPLED])),
        gil=has_gil(),
        gil_taken=gil_taken,
    )


def glance(chunks: Sequence[Chunk]) -> list[Running]:
    """How long the calls that chunks are in have run, and computed, as far as that is known, by clocks
    that are read without letting go of the GIL."""
    found: list[Running] = []
    for chunk in chunks:
        began, clock_id = chunk.began, chunk.clock_id
        # Of a longer one nobody knows what its last call takes, but for what it takes longer than expected.
        before_s = 0.0 if chunk.count == 1 else chunk.expected_s
        if chunk.finished or began is None or clock_id is None or before_s is None:
            continue
        cpu_ns, now_ns = thread_cpu_ns(clock_id), time.perf_counter_ns()
        elapsed_s = 1e-9 * (now_ns - began.wall_ns) - before_s
        if cpu_ns is not None and elapsed_s > 0.0:
            cpu_s = max(0.0, 1e-9 * (cpu_ns - began.cpu_ns) - before_s)
            found.append(Running(chunk, elapsed_s, cpu_s, 0.0, False))
    return found


def mean_spent_s(seen: Sequence[Running]) -> float:
    """CPU seconds of calls so far in the mean; 0 of none."""
    return sum(one.cpu_s for one in seen) / max(1, len(seen))


def running(chunks: Sequence[Chunk], *, on_time: bool = True) -> list[Running]:
    """How long chunks have been running, and on how much CPU, by the clocks of their threads.

    Args:
        chunks: What is to be looked at.
        on_time: The wait before ended so. If not, or if it was cut short, nobody wants to know whether a
            thread has a core: to ask would be to let go of the GIL three times, and to wait for it 5 ms each.
    """
    found: list[Running] = []
    for chunk in chunks:
        began = chunk.began
        if began is None:  # still in the queue
            continue
        elapsed_s = (time.perf_counter_ns() - began.wall_ns) * 1e-9
        cpu = None if chunk.clock_id is None else thread_cpu_ns(chunk.clock_id)
        if cpu is None:
            cpu_s = (time.process_time() - chunk.process_cpu_s) / len(chunks)
        else:
            cpu_s = (cpu - began.cpu_ns) * 1e-9
        if chunk.native_id and elapsed_s - cpu_s > GAP_S + GAP_SHARE * elapsed_s:
            chunk.queued_ns = max(0, queued_ns_of(chunk.native_id) - began.queued_ns)
        runnable = is_runnable(chunk.native_id) if chunk.native_id and on_time else False
        wanting_s = chunk.queued_ns * 1e-9 + chunk.away_s
        found.append(Running(chunk, elapsed_s, cpu_s, wanting_s, runnable))
    return found
