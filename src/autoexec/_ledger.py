"""What a run writes down for its report: its slowest calls, deaths of workers, who ran what when.

Bounded, and told the time. It keeps no item alive, and never asks a user's class for its repr,
which might take long or do anything. 200,000 tiny calls are a few blocks, so a comparison for each
block is not seen.

Starts of calls are as measured where they ran: `perf_counter` is one clock for all processes of a
machine. Where nobody saw the start (a call that was given up, a worker that died, an executor of
the caller's), the span ends when it was heard of, and says that it is estimated.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any, NamedTuple

from ._chunk import Block
from ._errors import ItemTimeout, NotSent, WorkerDied
from ._types import Lane, Route

SLOWEST = 5
"""Calls that a report names as the slowest."""
SPANS = 100_000
"""Spans of a timeline that are kept, the last ones: 200 bytes each."""
SKEW_S = 0.001
"""A start this much before its chunk was sent is of another clock."""
SHOWN = 60
"""Characters of an item that are shown."""


class Slow(NamedTuple):
    """One of the slowest calls, or blocks of calls that were timed together."""

    first: int
    """The index of its first item."""
    calls: int
    """Calls in the block."""
    seconds: float
    """What each of them took; the mean, if there are several."""
    item: str
    """The first item, in short."""
    route: Route
    """How they were run: a call of `inline` may have run on a thread of this process."""
    failed: bool


class Span(NamedTuple):
    """Calls that ran one after another, timed together."""

    lane: Lane
    pid: int
    """The worker process that ran them; 0: this process, or one of somebody else's."""
    began_s: float
    """Seconds from the start of the run."""
    seconds: float
    first: int
    """The index of its first item."""
    calls: int
    failed: bool
    """The last of its calls raised."""
    estimated: bool
    """Nobody saw when it began."""


class Recording:
    """The spans of a run, in the order in which they were heard of."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.spans: deque[Span] = deque(maxlen=SPANS)
        self.heard: int = 0
        """Spans so far; more than are kept, perhaps."""

    def __repr__(self) -> str:
        return f"<recording of {self.heard:,} spans>"

    def copy(self) -> Recording:
        """What later spans are not added to."""
        made = Recording(self.started)
        made.spans = self.spans.copy()
        made.heard = self.heard
        return made

    def add(self, block: Block, now: float, calls: int, wall_s: float) -> None:
        """A block was heard of."""
        chunk, began = block.chunk, block.began_s
        estimated = not chunk.sent_s - SKEW_S <= began <= now
        if estimated:
            # It ended now, at the latest; without a length, it began when it was sent, at the
            # earliest.
            began = max(chunk.sent_s, now - wall_s) if wall_s else chunk.sent_s
            wall_s = max(0.0, min(wall_s or now, now - began))
        self.heard += 1
        self.spans.append(
            Span(
                lane=chunk.lane,
                pid=block.pid,
                began_s=began - self.started,
                seconds=wall_s,
                first=chunk.first + block.at,
                calls=calls,
                failed=block.error is not None,
                estimated=estimated,
            )
        )


class Ledger:
    """What is written down of a run.

    Args:
        now: The time of its start.
        timeout_s: What a call may take.
        record: Keep the timeline too.
    """

    def __init__(self, now: float, timeout_s: float | None, *, record: bool) -> None:
        self.recording = Recording(now) if record else None
        self.dead: set[int] = set()
        """Worker processes that died."""
        self._timeout_s = timeout_s
        self._slow: list[Slow] = []
        self._floor = 0.0

    def add(self, block: Block, now: float) -> None:
        """A block was heard of, and is not counted in its chunk yet."""
        if block.error is not None:
            self._failed(block, now)
            return
        if block.wall_s > self._floor:  # so is any mean, if it is
            self._note(block, 0, len(block.values), block.wall_s)
        if self.recording is not None and block.values:
            self.recording.add(block, now, len(block.values), block.wall_s)

    def _failed(self, block: Block, now: float) -> None:
        error, wall_s, before = block.error, block.wall_s, len(block.values)
        calls = before + (not isinstance(error, NotSent))
        if isinstance(error, WorkerDied):
            self.dead.add(block.pid)
        if isinstance(error, ItemTimeout) and not wall_s and self._timeout_s:
            wall_s = self._timeout_s
            self._note(block, before, 1, wall_s)
        elif wall_s > self._floor:
            self._note(block, 0, calls, wall_s)
        if self.recording is not None and calls:
            self.recording.add(block, now, calls, wall_s)

    def _note(self, block: Block, position: int, calls: int, wall_s: float) -> None:
        if not calls or wall_s / calls <= self._floor:
            return
        chunk = block.chunk
        at = block.at + position
        item, index = glimpse(chunk.item(at)), chunk.first + at
        failed = block.error is not None
        self._slow.append(Slow(index, calls, wall_s / calls, item, chunk.route, failed))
        if len(self._slow) > SLOWEST:
            self._slow.remove(min(self._slow, key=_length))
        if len(self._slow) == SLOWEST:
            self._floor = min(map(_length, self._slow))

    def recorded(self) -> Recording | None:
        """The recording as it is now: a report that is asked for on the way stays as it was."""
        return self.recording and self.recording.copy()

    def slowest(self) -> tuple[Slow, ...]:
        """The slowest first."""
        return tuple(sorted(self._slow, key=_length, reverse=True))


def _length(slow: Slow) -> float:
    return slow.seconds


def glimpse(item: Any) -> str:
    """A short text for an item: plain values as they are written, all else by its type."""
    kind = type(item)
    if kind in (str, bytes):
        text = repr(item[:SHOWN])
        return text if len(item) <= SHOWN else text + "..."
    if kind is int and item.bit_length() > 200:  # whose digits take time, or are refused
        return f"<int of {item.bit_length():,} bits>"
    if kind in (int, float, bool, complex, type(None)):
        return repr(item)
    # Without importing it, since who has a path has done that.
    if (pathlib := sys.modules.get("pathlib")) and kind in (pathlib.PosixPath, pathlib.WindowsPath):
        return glimpse(str(item))
    if kind in (tuple, list) and item and all(type(part) in _PLAIN for part in item[:3]):
        parts = [glimpse(part) for part in item[:3]] + ["..."] * (len(item) > 3)
        text = ", ".join(parts)
        return f"({text})" if kind is tuple else f"[{text}]"
    return f"<{kind.__name__}>"


_PLAIN = (str, bytes, int, float, bool, complex, type(None))
