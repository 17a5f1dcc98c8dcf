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
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from .. import _thread_cache
from .._call import run_chunk
from .._chunk import Block, Chunk
from .._errors import short_repr
from .._types import Broken, Sink

START_S = 0.002
"""Seconds for which the driver starts threads for what it sends; each thread then starts the next. A start
lasts until the new thread has had the GIL: 224 of them beside calls that compute took 1.8 s, in which the
driver heard of nothing and could not change its mind."""


class ThreadsExecutor:
    """Starts threads as chunks need them, up to the number that was opened."""

    def __init__(self, fn: Callable[[Any], Any], sink: Sink) -> None:
        self._fn = fn
        self._sink = sink
        self._todo: SimpleQueue[Chunk | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._limit = 0
        self._started = 0
        self._wanted = 0  # threads that are yet to be started
        self._lock = threading.Lock()  # for these, what is announced of a chunk, and giving it up
        self._given_up: set[Chunk] = set()
        self._running: set[Chunk] = set()
        self._abandoned = self._closed = False
        self._context = contextvars.copy_context()

    def open(self, workers: int) -> None:
        """Allow this many threads; if that is more than before, what waits gets its own at once."""
        self._limit = max(self._limit, workers)
        with self._lock:
            self._wanted = max(self._wanted, self._todo.qsize())
        self._start()

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Queue the chunks, and start a thread for each that no idle thread will take."""
        wanted = 0
        for chunk in chunks:
            self._todo.put(chunk)
            # A thread that has just sent its last block may not have said yet that it is idle;
            # then one more is started than needed, but never more than the limit.
            wanted += not self._idle.acquire(blocking=False)
        if wanted:
            with self._lock:
                self._wanted += wanted
            until = time.perf_counter() + START_S
            while self._start() and time.perf_counter() < until:
                pass

    def _start(self) -> bool:
        """Start one of the threads that are wanted; whether there was one to start."""
        with self._lock:
            self._wanted = min(self._wanted, self._limit - self._started)
            if self._wanted <= 0 or self._closed:
                return False
            self._wanted -= 1
            self._started += 1
        context = self._context.copy()
        try:
            _thread_cache.start(lambda: context.run(self._serve), "autoexec-thread")
        except RuntimeError:  # no more threads: the system's limit, or the interpreter is ending
            with self._lock:
                self._started -= 1
                self._wanted, self._limit = 0, max(1, self._started)
            if not self._started:
                self._serve_here()
            return False
        return True

    def _serve_here(self) -> None:
        """Run what waits on the caller's thread: there is no other."""
        while not self._todo.empty():
            chunk = self._todo.get()
            assert chunk is not None
            run_chunk(self._fn, chunk, self._emit)

    def _serve(self) -> None:
        self._start()
        while (chunk := self._todo.get()) is not None:
            # Before the question: `close` recalls those that it finds here.
            self._running.add(chunk)
            if self._abandoned:
                return
            try:
                run_chunk(self._fn, chunk, self._emit)
            except BaseException as error:  # no call raised it: that would be its outcome
                self._sink(Broken("threads", f"a thread has failed ({short_repr(error)})", error))
                return
            self._running.discard(chunk)
            if chunk in self._given_up:
                self._given_up.discard(chunk)
                return  # another thread has taken the place of this one
            del chunk  # an idle thread must not keep items alive
            self._idle.release()

    def _emit(self, block: Block) -> None:
        with self._lock:
            chunk = block.chunk
            if chunk not in self._given_up:
                self._sink([block])
                chunk.arrived += block.calls
                chunk.partial = None

    def stop(self, chunk: Chunk, error: BaseException) -> None:
        """Leave the thread behind that runs the chunk, since a thread cannot be ended: what its
        call comes to is dropped."""
        with self._lock:
            if chunk.partial is None or chunk in self._given_up or chunk.arrived >= chunk.count:
                return
            # First, so that no other begins meanwhile, which would be called here and where it goes.
            chunk.recall()
            values = list(chunk.partial)
            if chunk.arrived + len(values) >= chunk.overdue:
                return  # that call has just ended, and the chunk ends by itself
            blocks = [Block.untimed(chunk, values, error), Block.end_of(chunk)]
            self._given_up.add(chunk)
            self._started -= 1
            self._wanted += not self._todo.empty()  # they may all wait for this very thread
            # A thread that has taken a chunk which waited for it says that it is idle all the same: what
            # is sent next must not wait for such a one, now that there are fewer than there may be.
            while self._idle.acquire(blocking=False):
                pass
            self._sink(blocks)
        self._start()

    def close(self, *, abandon: bool) -> None:
        """Let the threads go; with `abandon` those that still run a call go after it."""
        if abandon:
            self._abandoned = True  # a thread may have taken a chunk that it has not begun
            while not self._todo.empty():
                self._todo.get_nowait()
            for chunk in list(self._running):
                chunk.recall()
        with self._lock:
            self._closed = True  # none is started from here on
        for _ in range(self._started):
            self._todo.put(None)
