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
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from .. import _thread_cache
from .._call import run_chunk
from .._chunk import Block, Chunk
from .._errors import short_repr
from .._thread_cache import Thread
from .._types import Broken, Sink

START_S = 0.002
"""Seconds for which the driver starts threads for what it sends; each thread then starts the next. A start
lasts until the new thread has had the GIL: 224 of them beside calls that compute took 1.8 s, in which the
driver heard of nothing and could not change its mind."""


class ThreadsExecutor:
    """Has chunks run on threads that it keeps to the end, as many as they need, up to the number it was last opened for.

    A chunk is handed to a thread that waits for it. One that has ended one takes the next that waits by itself,
    and nobody has to wake it up to have it leave: of 8 calls of 2 ms, a hundred times in a row, the latter took a
    third of what a run computes.
    """

    def __init__(self, fn: Callable[[Any], Any], sink: Sink) -> None:
        self._fn = fn
        self._sink = sink
        self._limit = 0
        # For what follows, and what is announced of a chunk. Garbage that is collected meanwhile may close it.
        self._lock = threading.RLock()
        self._todo: deque[Chunk] = deque()
        self._idle: list[tuple[Thread, contextvars.Context]] = []
        self._kept = 0  # threads, the idle ones included
        self._given_up: set[Chunk] = set()
        self._running: set[Chunk] = set()
        self._abandoned = self._closed = False
        self._context = contextvars.copy_context()

    def open(self, workers: int) -> None:
        """Have so many chunks run at once; if these are more than before, what waits gets its own thread at once."""
        with self._lock:
            self._limit = workers
        self._hand_out()

    @property
    def _busy(self) -> int:
        return self._kept - len(self._idle)

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Queue the chunks, and have each run for which there is a thread, or may be."""
        with self._lock:
            self._todo.extend(chunks)
        until = time.perf_counter() + START_S
        while self._hand_out() and time.perf_counter() < until:
            pass

    def _hand_out(self) -> bool:
        """Hand the first chunk that waits to a thread, if there may be one; whether it was."""
        with self._lock:
            if not self._todo or self._closed or self._busy >= self._limit:
                return False
            another = not self._idle
            thread, context = (None, self._context.copy()) if another else self._idle.pop()
            self._kept += another
            first = [self._todo.popleft()]

        def job(served_by: Thread) -> None:
            context.run(self._serve, first, context, served_by)

        if thread is not None:
            thread.jobs.put(job)
            return True
        try:
            _thread_cache.begin(job, "autoexec-thread")
        except RuntimeError:  # no more threads: the system's limit, or the interpreter is ending
            return self._without_another(first)
        return True

    def _without_another(self, first: list[Chunk]) -> bool:
        """Go on with the threads that there are; whether one of them has the chunk that was to have another."""
        with self._lock:
            if not (chunks := _taken(first)):
                return True  # there is one all the same
            self._todo.extendleft(chunks)
            self._kept -= 1
            self._limit = max(1, min(self._limit, self._kept))
        if self._kept:
            return self._hand_out()  # one may have become idle meanwhile
        while self._todo and not self._closed:  # there is none but the caller's
            run_chunk(self._fn, self._todo.popleft(), self._emit)
        return False

    def _serve(self, first: list[Chunk], context: contextvars.Context, thread: Thread) -> None:
        """Run chunks on a thread, the first and those that wait, in a context of its own."""
        stays = False
        try:
            if self._todo:
                self._hand_out()
            if taken := _taken(first):
                stays = self._run(
                    taken.pop(), context, thread
                )  # it must not be kept alive from here
        except BaseException as error:  # no call raised it: that would be its outcome
            self._sink(Broken("threads", f"a thread has failed ({short_repr(error)})", error))
        if not stays:
            thread.leave()

    def _run(self, chunk: Chunk | None, context: contextvars.Context, thread: Thread) -> bool:
        """Run a chunk and those that wait then; whether the thread stays for more."""
        while chunk is not None:
            # Before the question: `close` recalls those that it finds here.
            self._running.add(chunk)
            if self._abandoned:
                return False
            run_chunk(self._fn, chunk, self._emit)
            self._running.discard(chunk)
            with self._lock:
                if chunk in self._given_up:
                    self._given_up.discard(chunk)  # another thread has taken the place of this one
                    return False
            chunk = None  # not under the lock, and before there is another: an item may take its time to go
            with self._lock:
                if self._closed:
                    return False
                if self._todo and self._busy <= self._limit:  # this one is one of them
                    chunk = self._todo.popleft()
                else:
                    thread.keep(self)
                    self._idle.append((thread, context))
        return True

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
            self._kept -= 1
            self._sink(blocks)
        self._hand_out()  # they may all wait for this very thread

    def close(self, *, abandon: bool) -> None:
        """Let the threads go; with `abandon` those that still run a call go after it. None begins another chunk."""
        if abandon:
            self._abandoned = True  # a thread may have taken a chunk that it has not begun
        with self._lock:
            self._closed = True  # none is started from here on
            idle, self._idle = self._idle, []
            if abandon:
                self._todo.clear()
        if abandon:
            for chunk in list(self._running):
                chunk.recall()
        for thread, _ in idle:
            thread.let_go()


def _taken(first: list[Chunk]) -> list[Chunk]:
    """The chunk that a thread is started for, if nobody has taken it: it may run though its start has failed."""
    try:
        return [first.pop()]
    except IndexError:
        return []
