"""How many items may be between the input and the caller of an iterator. Pure.

The rule: `buffersize` where it was given; else eight times what can be in flight at the moment,
chunks included, but not over 65,536 items, however little a call costs. What can be in flight is
kept busy by the first eighth; the rest is for results that wait behind a slow one, and for the items
that are sent at once when a call returns. While the caller waits, it is eight times what the plan
allows, although the search for how many waiting calls at once has not come to that many.
"""

from __future__ import annotations

from ._options import Settings

AHEAD = 8
"""Where one call in twenty takes twenty times as long, results in order come at this share of the
speed without a bound: on 2, 8 and 32 workers 0.86, 0.56, 0.45 at 4; 0.97, 0.85, 0.81 at 8; all of it
at 16, for twice the memory."""
LARGEST = 65_536
"""Small items and results take 5 MB then."""
BLOCK_S = 0.003
"""Calls that are made one after another go in blocks of this time: handing one over costs 0.1 ms, and
0.5 on a busy machine. A block of 20 ms, as in a run whose results are collected, could hold 400 MB
of results of 10 kB."""
PATIENCE = 0.1
"""Share of the time that a slow pull took for which what is in flight is waited for before the next,
so that the result of one event comes out before the next event comes in. It costs a tenth at most."""


class Buffer:
    """The bound of one run.

    Args:
        settings: `buffersize` is obeyed whatever the chunks are; else `chunksize` is.
    """

    def __init__(self, settings: Settings) -> None:
        self._given = settings.buffersize
        self._chunked = settings.chunksize != "auto"

    def chunk(self, size: int, slots: int, wall_s: float) -> int:
        """The size of a chunk, so that two fit for each of the `slots` chunks in flight at once.

        Args:
            size: What it would be in a run without a bound.
            slots: Chunks in flight at once.
            wall_s: Mean seconds of a call.
        """
        if self._given is None and self._chunked:
            return size
        if slots == 1:
            size = min(size, int(BLOCK_S / max(wall_s, 1e-9)))
        return max(1, min(size, (self._given or LARGEST) // (2 * slots)))

    def bound(self, size: int, slots: int) -> int:
        """The most items between the input and the caller."""
        if self._given is not None:
            return self._given
        least = 2 * slots * size if self._chunked else slots
        return max(least, min(LARGEST, AHEAD * slots * size))
