"""How many items may be between the input and the caller of an iterator. Pure.

The rule: `buffersize` where it was given; else four times what can be in flight at the moment,
chunks included, but not over 16,384 items, however little a call costs. What can be in flight is
kept busy by the first quarter; the rest is for those that wait behind a slow one, and for the items
that are sent at once when a call returns.
"""

from __future__ import annotations

from ._options import Settings

AHEAD = 4
"""Calls of which one in twenty takes twenty times as long, on 8 threads, in order: 0.72 of the speed
without a bound at 2, 0.93 at 4, 0.99 at 8."""
LARGEST = 16_384
"""Two blocks of 8,192 calls, one that runs and one that is handed on: a block costs about 0.15 ms
of scheduling, calls of 50 ns take 0.4 ms; small items and results take 1 MB."""
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

    def chunk(self, size: int, slots: int) -> int:
        """The size of a chunk, so that two fit for each of the `slots` chunks in flight at once."""
        if self._given is None and self._chunked:
            return size
        return max(1, min(size, (self._given or LARGEST) // (2 * slots)))

    def bound(self, size: int, slots: int) -> int:
        """The most items between the input and the caller."""
        if self._given is not None:
            return self._given
        least = 2 * slots * size if self._chunked else slots
        return max(least, min(LARGEST, AHEAD * slots * size))
