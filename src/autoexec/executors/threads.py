"""Calls on threads of this process.

These are daemon threads of our own rather than `concurrent.futures.ThreadPoolExecutor`, for three
reasons that were measured: the interpreter waits at exit for the standard pool's threads, so that
one call that sleeps for ten minutes would hold up Ctrl-C for ten minutes; a chunk here costs 10 µs
from queue to queue where `submit` and `result` cost 58; and a call's CPU clock must be known to
the driver while the call runs.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from .. import _thread_cache
from .._call import run_chunk
from .._chunk import Block, Chunk
from .._types import Sink


class ThreadsExecutor:
    """Starts threads as chunks need them, up to the number that was opened."""

    def __init__(self, fn: Callable[[Any], Any], sink: Sink) -> None:
        self._fn = fn
        self._sink = sink
        self._todo: SimpleQueue[Chunk | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._limit = 0
        self._started = 0
        self._context = contextvars.copy_context()

    def open(self, workers: int) -> None:
        """Allow this many threads."""
        self._limit = max(self._limit, workers)

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Queue the chunks, and start a thread for each that no idle thread will take."""
        for chunk in chunks:
            # A thread that has just sent its last block may not have said yet that it is idle;
            # then one more is started than needed, but never more than the limit.
            if not self._idle.acquire(blocking=False) and self._started < self._limit:
                self._start()
            self._todo.put(chunk)

    def _start(self) -> None:
        self._started += 1
        context = self._context.copy()
        _thread_cache.start(lambda: context.run(self._serve), "autoexec-thread")

    def _serve(self) -> None:
        while (chunk := self._todo.get()) is not None:
            run_chunk(self._fn, chunk, self._emit)
            del chunk  # an idle thread must not keep items alive
            self._idle.release()

    def _emit(self, block: Block) -> None:
        self._sink([block])

    def close(self, *, abandon: bool) -> None:
        """Let the threads go; with `abandon` those that still run a call go after it."""
        if abandon:
            while not self._todo.empty():
                self._todo.get_nowait()
        for _ in range(self._started):
            self._todo.put(None)
