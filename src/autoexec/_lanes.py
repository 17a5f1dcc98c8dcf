"""What is in flight on each lane. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ._chunk import Chunk
from ._routes import PROCESSES
from ._types import Lane

LOCAL: tuple[Lane, ...] = ("inline", "threads")
"""The lanes whose calls share this process's GIL, and can be watched."""
HERE: tuple[Lane, ...] = (*LOCAL, "asyncio")
LOOPS: tuple[Lane, ...] = ("asyncio", "hybrid")
"""The lanes where coroutines can run: on an event loop here, or on one in each worker."""


class LaneState:
    """One lane."""

    def __init__(self) -> None:
        self.in_flight: dict[Chunk, None] = {}
        self.calls = 0
        """Calls at once: one for each chunk, and each task of those on an event loop."""
        self.opened = 0
        """Chunks at once that it was opened for."""
        self.drains = 0
        """How many there still are of those that ran when it was opened for fewer, while these are more."""
        self.workers = 0
        """Worker processes that are up."""
        self.width = 1
        """Calls at once in each, those left out that wait there for one to end."""
        self.most = 1
        """The most that each was given so far, those included; on an event loop, since there were half as many."""

    def open(self, workers: int) -> None:
        """So many chunks at once from now on, as soon as others have ended."""
        if workers < self.opened:
            self.drains = max(self.drains, min(self.opened, self.calls))
        self.opened = workers
        self._drained()

    def drain(self) -> None:
        """One has ended, and none has taken its place."""
        self.drains -= 1
        self._drained()

    def _drained(self) -> None:
        if self.drains <= self.opened:
            self.drains = 0

    @property
    def in_line(self) -> int:
        """Chunks that wait for one of the others to end, on threads of this process."""
        return max(0, self.calls - max(self.opened, self.drains)) if self.opened else 0

    @property
    def running(self) -> int:
        """Calls that have begun, if each worker process runs as many as it may."""
        there = min(self.width * self.workers, self.opened)
        return min(self.calls, there) if self.workers else self.calls


class Lanes(dict[Lane, LaneState]):
    """All lanes that were asked for, and what matters of those in this process together."""

    def __init__(self) -> None:
        self.count = 0
        """Chunks in flight."""
        self.local = 0
        """Those of them that share this process's GIL and can be watched."""
        self.here = 0
        """These, and the tasks in it."""
        self.at_once = 0
        """Calls at once on all lanes."""
        self.longer: dict[Chunk, None] = {}
        """Those on threads with more than one item."""
        self.busy_from = 0.0
        """Since when there are always some on threads of this process."""
        self._last_local: Chunk | None = None
        self.local_peak = 1
        """The most chunks that were in flight in this process at once."""
        self.peak = 0
        """The most calls at once on all lanes."""

    def __missing__(self, name: Lane) -> LaneState:
        lane = self[name] = LaneState()
        return lane

    def add(self, chunk: Chunk) -> None:
        """A chunk is sent."""
        lane = self[chunk.lane]
        lane.in_flight[chunk] = None
        self.count += 1
        self._counts(chunk, chunk.count if chunk.lane == "asyncio" else 1)
        self.peak = max(self.peak, self.at_once - self.in_line)
        if chunk.lane in LOCAL:
            if not self.local:
                self.busy_from = chunk.sent_s
            self.local += 1
            if chunk.count > 1 and chunk.lane == "threads":
                self.longer[chunk] = None
            chunk.crowd = self.local
            self.local_peak = max(self.local_peak, chunk.crowd)
            self._last_local = chunk
        elif chunk.lane in LOOPS:  # those before it in the same interpreter
            chunk.crowd = -(-lane.calls // max(1, lane.workers))
            if chunk.lane == "asyncio" and 2 * chunk.crowd < lane.most:
                lane.most = 0  # those were before its time
            lane.most = max(lane.most, chunk.crowd)

    def _counts(self, chunk: Chunk, calls: int) -> None:
        self[chunk.lane].calls += calls
        self.at_once += calls
        if chunk.lane in HERE:
            self.here += calls

    def ended(self, chunk: Chunk, calls: int) -> None:
        """So many calls of a chunk have: places for as many tasks, whatever becomes of the others."""
        if chunk.lane == "asyncio":
            self._counts(chunk, -calls)

    def remove(self, chunk: Chunk) -> None:
        """A chunk is over."""
        lane = self[chunk.lane]
        chunk.finished = True
        del lane.in_flight[chunk]
        self.longer.pop(chunk, None)
        self.count -= 1
        self.local -= chunk.lane in LOCAL
        self._counts(chunk, chunk.done - chunk.count if chunk.lane == "asyncio" else -1)
        if lane.drains:
            lane.drain()

    def crowd(self, chunk: Chunk) -> int:
        """How many, itself included, may have shared an interpreter with a chunk while it ran."""
        if chunk.lane == "hybrid":  # the first that a worker was sent was alone only then
            return max(chunk.crowd, min(self["hybrid"].most, self["hybrid"].width))
        if chunk.lane not in LOCAL:
            return chunk.crowd
        # One that was alone when it was sent, and none was sent since, was alone all the time.
        return 1 if chunk.crowd == 1 and self._last_local is chunk else self.local_peak

    def most_beside(self, chunk: Chunk, crowd: int) -> int:
        """The same, of a chunk on an event loop with those that were begun after it.

        Args:
            chunk: A chunk.
            crowd: Its `crowd`.
        """
        return max(crowd, self["asyncio"].most) if chunk.lane == "asyncio" else crowd

    @property
    def in_line(self) -> int:
        """Calls in this process that wait for one of the others to end."""
        return self["threads"].in_line if "threads" in self else 0

    @property
    def begun(self) -> int:
        """Calls in this process that do not."""
        return self.here - self.in_line

    def workers(self, *names: Lane) -> int:
        """Worker processes that are up, or threads of a cluster."""
        return sum(self[name].workers for name in names if name in self)

    @property
    def starting(self) -> bool:
        """Whether worker processes were asked for, and none is up yet."""
        return any(
            self[name].opened and not self[name].workers for name in PROCESSES if name in self
        )

    def running_beside(self, name: Lane) -> int:
        """Calls that run on other lanes than that one, as far as these have begun what they were sent."""
        return sum(lane.running for other, lane in self.items() if other != name)

    def oldest_s(self, now: float) -> float:
        """Seconds since the first of those in this process was sent; 0 if there is none."""
        oldest = self._oldest()
        return now - oldest.sent_s if oldest else 0.0

    @property
    def oldest_crowd(self) -> int:
        """How many calls, itself included, have been under way beside that, at the most: as it was sent, or now."""
        oldest = self._oldest()
        return max(self.here, oldest.crowd if oldest else 0)

    def _oldest(self) -> Chunk | None:
        here = (self[name] for name in HERE if name in self)
        # Chunks are in the order in which they were sent.
        return min(
            (next(iter(lane.in_flight)) for lane in here if lane.in_flight),
            key=lambda chunk: chunk.sent_s,
            default=None,
        )

    def chunks(self) -> Sequence[Chunk]:
        """All chunks in flight."""
        return [chunk for lane in self.values() for chunk in lane.in_flight]

    def on(self, name: Lane) -> Sequence[Chunk]:
        """Those of one lane."""
        return list(self[name].in_flight) if name in self else ()
