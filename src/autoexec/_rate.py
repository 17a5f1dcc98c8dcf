"""How many calls may start now, if only so many may in a second. Pure: it is told the time."""

from __future__ import annotations

import math

BURST_S = 0.02
"""Starts that were missed are made up for if they are no older than this: a wait of 1 ms was seen to
end 5 ms late beside calls that hold the GIL, and now and then 15."""


class Rate:
    """A bucket of permissions to start a call, which fills evenly and starts with one.

    From the start to any later time t there are at most `1 + per_second * t` starts, and in any
    span of t seconds at most `max(1, per_second * BURST_S) + per_second * t`.

    Args:
        per_second: The most starts in a second; None for any number.
        now: The time.
    """

    def __init__(self, per_second: float | None, now: float) -> None:
        self._rate = per_second
        self._most = 1.0 if per_second is None else max(1.0, per_second * BURST_S)
        self._level = 1.0
        self._at = now

    def allowed(self, now: float) -> float:
        """Calls that may start now; infinite without a limit."""
        if self._rate is None:
            return math.inf
        self._fill(now)
        return math.floor(self._level + 1e-9)  # what was summed up from tenths may be 0.9999999

    def started(self, calls: int) -> None:
        """So many calls start now."""
        self._level -= calls

    def next_at(self, now: float) -> float:
        """When the next call may start, if none may now; else infinite: nothing is waited for."""
        if self._rate is None or self.allowed(now) >= 1:
            return math.inf
        return now + (1 - self._level) / self._rate

    def _fill(self, now: float) -> None:
        assert self._rate is not None
        if now > self._at:
            self._level = min(self._most, self._level + (now - self._at) * self._rate)
            self._at = now
