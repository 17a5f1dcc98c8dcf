"""Which calls have run for longer than they may. Pure: it is told the time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ._chunk import Chunk

POLLS = 20
"""Looks at each call within its time: so a call is given up at most a twentieth late, never early."""
LEAST_POLL_S = 0.001


class Stopwatch:
    """Times the call that each chunk is in, by how far the chunk has come.

    Args:
        timeout_s: What a call may take; None for as long as it likes.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self.look_at = math.inf if timeout_s is None else 0.0
        """When to look again at what is running."""
        self._timeout_s = timeout_s
        self._since: dict[
            Chunk, tuple[int, float]
        ] = {}  # items started, and when that was first seen

    def look(self, now: float, started: Iterable[tuple[Chunk, int]]) -> Sequence[Chunk]:
        """The chunks whose present call has taken too long; each call is named once.

        Args:
            now: The time.
            started: Chunks in flight, and how many of their items were started.
        """
        assert self._timeout_s is not None
        self.look_at = now + max(LEAST_POLL_S, self._timeout_s / POLLS)
        before, self._since = self._since, {}
        overdue: list[Chunk] = []
        for chunk, count in started:
            seen, since = before.get(chunk, (0, now))
            if count != seen:
                since = now
            elif count and now - since >= self._timeout_s:
                overdue.append(chunk)
                since = math.inf
            self._since[chunk] = count, since
        return overdue
