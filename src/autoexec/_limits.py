"""What a call and a run may take: which calls have run for too long, and what is then done.

Pure: it is told the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from ._actions import Poll, Stop
from ._chunk import Chunk
from ._errors import DeadlineExceeded, ItemTimeout
from ._options import Settings
from ._types import Lane
from ._wording import seconds

POLLS = 20
"""Looks at each call within its time: so a call is given up at most a twentieth late, never early."""
LEAST_POLL_S = 0.001
LEFT_BEHIND = "It was left behind in its worker process."
_AFTERWARDS: Mapping[Lane, str] = {
    "threads": "A thread cannot be ended: it was left behind and ends with its call.",
    "processes": "Its worker process was ended, and another takes its place.",
    "hybrid": LEFT_BEHIND,
    "asyncio": "Its task was cancelled; one that blocks the event loop, as time.sleep does, ends only by itself.",
    "dask": LEFT_BEHIND,
    "ray": LEFT_BEHIND,
    "external": "Whether it still runs is up to the executor that was passed.",
}


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
                chunk.overdue = count
                since = math.inf
            self._since[chunk] = count, since
        return overdue


class Limits:
    """`timeout` and `deadline` of a run."""

    def __init__(self, settings: Settings, name: str, now: float) -> None:
        self._settings = settings
        self._name = name
        self._stopwatch = Stopwatch(settings.timeout)
        self._overdue: list[Chunk] = []
        self.until = math.inf if settings.deadline is None else now + settings.deadline
        """The time by which the run must be over."""

    def look(self, now: float, started: Iterable[tuple[Chunk, int]]) -> None:
        """So many items of the chunks in flight were started."""
        self._overdue += self._stopwatch.look(now, started)

    def next_look(self, running: bool) -> float:
        """The time to which nothing is due."""
        return min(self.until, self._stopwatch.look_at) if running else self.until

    def action(self, now: float, running: Callable[[], Sequence[Chunk]]) -> Poll | Stop | None:
        """What is to be done about calls that may take too long."""
        while self._overdue:
            chunk = self._overdue.pop()
            if not chunk.finished:
                return Stop(chunk, self._timeout(chunk))
        if now < self._stopwatch.look_at or not (chunks := running()):
            return None
        return Poll(chunks)

    def _timeout(self, chunk: Chunk) -> ItemTimeout:
        assert self._settings.timeout is not None
        return timed_out(self._name, self._settings.timeout, chunk.lane)

    def exceeded(self, done: int, length: int | None) -> DeadlineExceeded:
        """The error of a run that is not over in time."""
        assert self._settings.deadline is not None
        of = "" if length is None else f" of {length:,}"
        return DeadlineExceeded(
            f"{self._name} was not done with all items within deadline="
            f"{seconds(self._settings.deadline)}: {done:,}{of} were. Their results are in `finished`."
        )


def timed_out(name: str, timeout_s: float, lane: Lane) -> ItemTimeout:
    """The error of a call that took too long.

    Args:
        name: The function.
        timeout_s: What a call may take.
        lane: Where it ran.
    """
    limit = f"{name} took longer than timeout={seconds(timeout_s)}."
    return ItemTimeout(f"{limit} {_AFTERWARDS[lane]}")
