"""Calls of which most take about as long, and a few far longer: a cache that misses one time in twenty. Pure."""

from __future__ import annotations

from collections import deque

from ._chunk import Chunk
from ._means import median
from ._types import Most

RECENT_BLOCKS = 31
"""Dispatches of which the middle one tells what most calls take."""
LEAST_BLOCKS = 8
"""The fewest by which that is told."""
FAR = 4.0
"""Times what most take from which a call takes far longer. In simulation cache misses took 1.07 times as long with 2,
and a heavy tail 1.26 times with 8; of 438 workloads two others were quicker with 2 (0.69, 0.89), one with 8 (0.68)."""
SEVERAL = 1.5
"""Calls that took far longer, as many as are remembered, from which that was no accident."""
LONG_SINCE = 8
"""Times as many calls as come to one of the few without any, after which there are none any more: by chance that
happens once in three thousand times."""
MEMORY_CALLS = 256
"""Calls over which it is counted how many take far longer: those come back in waves, as they were begun together, so
that by the last 16 of them one in twenty was taken for one in four."""
FEW = 0.25
"""Share of the calls from which these are no few: the work has changed, or calls wait for each other. What most took
before is forgotten then, else native calls that came to hold the GIL stayed on threads, for 8.6 s instead of 4."""


class Mixture:
    """Sees whether there are such, and how many.

    Args:
        known: What an earlier run has shown.
    """

    def __init__(self, known: Most | None = None) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT_BLOCKS)
        self._calls = self._far = 0.0
        self._since = 0  # calls since the last that took far longer
        self._than_s = 0.0  # what most took then
        if known is not None:
            self._recent.extend([known.wall_s] * LEAST_BLOCKS)
            self._calls = float(MEMORY_CALLS)
            self._far = self._calls / known.calls
            self._than_s = known.wall_s

    def add(self, wall_s: float, calls: int, *, known: bool) -> None:
        """Account for so many calls that took so long each.

        Args:
            wall_s: Seconds.
            calls: How many were dispatched together.
            known: It was seen before they ended that one of them takes far longer.
        """
        kept = (1 - 1 / MEMORY_CALLS) ** calls
        self._calls = kept * self._calls + calls
        self._far *= kept
        self._since += calls
        far = self.is_far(wall_s)
        if far and not known:
            self.takes_far_longer()
        if (far or known) and self._are_few:
            return
        if far:
            self._recent.clear()  # of what most took before none is far
            self._calls = self._far = 0.0
        self._recent.append(wall_s)
        if self._far and median(self._recent) > FAR * self._than_s:
            # What was far longer is what most take.
            self._calls = self._far = 0.0

    def takes_far_longer(self) -> None:
        """A call does."""
        self._far += 1
        self._since = 0
        self._than_s = median(self._recent)

    def mark(self, chunk: Chunk) -> None:
        """A call of this chunk does, which has not ended: it counts once, however often that is seen."""
        if not chunk.far:
            chunk.far = True
            self.takes_far_longer()

    def is_far(self, wall_s: float) -> bool:
        """Whether that is far longer than most take."""
        return bool(self._recent) and wall_s > FAR * median(self._recent)

    @property
    def most(self) -> Most | None:
        """What most calls take, if a few take far longer again and again."""
        if self._far < SEVERAL or len(self._recent) < LEAST_BLOCKS or not self._are_few:
            return None
        one_in = self._calls / self._far
        return Most(median(self._recent), one_in) if self._since <= LONG_SINCE * one_in else None

    @property
    def _are_few(self) -> bool:
        return self._far < FEW * self._calls
