"""What a worker process costs, by those that were started for a run, and which calls are the first in one."""

from __future__ import annotations

from ._chunk import Block

COLD = 128
"""Workers of which the first calls are left out: where each is replaced after a few, there are no others."""


class StartCost:
    """What it takes to start a worker, and what its first calls take longer.

    Args:
        known: Seconds that an earlier run has shown.
    """

    def __init__(self, known: float | None) -> None:
        self._known = known
        self._cold: dict[int, int] = {}  # calls of each worker that began before any had ended
        self._start_s = 0.0  # of the first that was started for this run
        self._first_there: tuple[float, int] | None = None  # its first calls: seconds, how many

    def started(self, seconds: float) -> None:
        """A worker process, which was started for this run, has the function."""
        if not self._start_s:
            # Of one that was there before, the first calls tell nothing of what it took.
            self._start_s, self._first_there = seconds, None

    def add(self, block: Block, calls: int, crowd: int) -> bool:
        """Account for calls in a worker. Returns whether these are its first, or among those that it began side by
        side: they import what they need, each behind the others, and tell nothing of those after them. (NumPy for
        0.1 s: calls of 1 ms seemed to take four, and one more worker was started.)"""
        if crowd == 1 and (not block.pid or len(self._cold) >= COLD):
            return False
        if block.pid not in self._cold and block.chunk.lane == "processes":
            self._first_there = self._first_there or (block.wall_s, calls)
        cold = self._cold.get(block.pid, crowd)
        self._cold[block.pid] = cold - calls
        return cold > 0

    def worker_s(self, call_s: float | None) -> float | None:
        """Seconds of a worker, once it is known how long a call takes."""
        if not self._start_s or self._first_there is None or call_s is None:
            return self._known
        wall_s, calls = self._first_there
        return self._start_s + max(0.0, wall_s - calls * call_s)
