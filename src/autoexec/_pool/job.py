"""A function, the chunks of it that wait, and who hears of their outcomes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from .._chunk import Block, Chunk
from .._pickling import MAIN, Packed, pack
from .._types import Lane, Ready, Sink

if TYPE_CHECKING:
    from .worker import Worker

_ids = count(1)
TRIES = 3
"""Workers that may die while they load the function before it is taken to kill them."""
DELIVERIES = 5
"""How many workers may die on receiving an item, which may not fit into their memory, before the item is
blamed. Without this limit, 104 died within 12 s."""


class Job:
    """What one run wants of the pool.

    Args:
        fn: Called with one item.
        sink: Hears of everything, on the threads of workers.
        lane: The name under which it does.
        host: The class of an executor that runs calls side by side within a worker; None for one
            call at a time.
        depth: Chunks at once with one worker, the one that runs included.
        admit: Asked before a chunk is sent; if False it is dropped.
    """

    def __init__(
        self,
        fn: Packed,
        sink: Sink,
        lane: Lane,
        *,
        host: type | None = None,
        depth: int = 1,
        admit: Callable[[Chunk], bool] = lambda chunk: True,
    ) -> None:
        self.id = next(_ids)
        self.sink = sink
        self.lane: Lane = lane
        self.host = host
        self.width = 1
        """Calls at once in one worker."""
        self.depth = depth
        self.admit = admit
        self.wanted = 0
        """Workers that it may use at once."""
        self.waiting: deque[Chunk] = deque()
        self.workers: list[Worker] = []
        self.loaded: list[Worker] = []
        self.over = False
        self.given_up = False
        """No worker can serve it."""
        self.tries = TRIES
        self._undelivered: dict[int, int] = {}
        self.began_at = 0.0
        self.fn = fn

    def message(self) -> tuple[Any, ...]:
        """What a worker must be told to serve it. Pickles the function, which may take a while, the
        first time.

        Raises:
            NotPicklable: It cannot be pickled.
        """
        host = pack(self.host) if self.host else None
        return "job", self.id, self.fn.wire(), host, self.width

    def module(self) -> str:
        """The module that a worker will have to import to read the function."""
        name = getattr(self.fn.fn, "__module__", None)
        # A lambda or a function within another travels by value.
        by_value = name in MAIN or "<" in getattr(self.fn.fn, "__qualname__", "<")
        return name if isinstance(name, str) and not by_value else "builtins"

    def take_back(self) -> Sequence[Chunk]:
        """Everything that waits, under the lock of the pool."""
        waiting = list(self.waiting)
        self.waiting.clear()
        return waiting

    def hand_back(self, waiting: Sequence[Chunk]) -> None:
        """Let it come back unstarted."""
        self.sink([Block.end_of(chunk) for chunk in waiting])

    def part_with(self, worker: Worker) -> bool:
        """Let go of a worker. Returns whether it had the function."""
        self.workers.remove(worker)
        had = worker in self.loaded
        if had:
            self.loaded.remove(worker)
        return had

    def undeliverable(self, index: int) -> bool:
        """A worker ended as it received the item of that index; whether that was once too often."""
        self._undelivered[index] = times = self._undelivered.get(index, 0) + 1
        return times >= DELIVERIES

    def say_ready(self, start_s: float | None) -> None:
        """Say how many workers have the function, and how long the start of the last took, if it was
        started for this."""
        self.sink(Ready(self.lane, len(self.loaded), start_s))
