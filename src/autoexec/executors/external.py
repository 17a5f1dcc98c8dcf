"""Calls through an executor that the caller passed: measured, and never shut down by us."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any

from .._blocks import blocks_of, failed
from .._chunk import Chunk
from .._pickling import Portable
from .._types import Broken, Sink
from .._worker.calls import Outcomes, run_portable


class ExternalExecutor:
    """Submits each chunk as one call to a `concurrent.futures.Executor` of any kind."""

    def __init__(
        self, fn: Callable[[Any], Any], sink: Sink, executor: concurrent.futures.Executor
    ) -> None:
        self._fn = Portable(fn)
        self._sink = sink
        self._executor = executor
        self._futures: dict[Future[Outcomes], Chunk] = {}
        self._closed = False

    def open(self, workers: int) -> None:
        """The caller has done that."""

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Submit the chunks."""
        for chunk in chunks:
            try:
                future = self._executor.submit(run_portable, self._fn, Portable(chunk.items))
            except Exception as error:  # it was shut down, is broken or full: so it says itself
                why = (
                    f"the {type(self._executor).__name__} that was passed takes no calls ({error})"
                )
                self._sink(Broken("external", why, error))
                return
            self._futures[future] = chunk
            chunk.noted = partial(_started, chunk, future)
            self._follow(chunk, future)

    def _follow(self, chunk: Chunk, future: Future[Outcomes]) -> None:
        started = time.perf_counter()

        def announce(done: Future[Outcomes]) -> None:
            if self._futures.pop(done, None) is None:
                return  # it was given up
            try:
                self._sink(blocks_of(chunk, done.result()))
            except CancelledError as error:
                if not self._closed:  # else nobody waits for the outcome
                    name = type(self._executor).__name__
                    why = f"the {name} that was passed has cancelled what it was given"
                    self._sink(Broken("external", why, error))
            except BaseException as error:
                took_s = time.perf_counter() - started
                self._sink(failed(chunk, [error] * chunk.count, took_s))

        future.add_done_callback(announce)

    def stop(self, chunk: Chunk, error: BaseException) -> None:
        """Report the chunk as failed and drop what comes of it later: whether and how a call can
        be ended only the executor's owner knows."""
        for future in [future for future, its in list(self._futures.items()) if its is chunk]:
            if self._futures.pop(future, None):  # else it has just ended
                self._sink(failed(chunk, [error] * chunk.count, 0.0))

    def close(self, *, abandon: bool) -> None:
        """Cancel what has not started; the executor itself stays as it is."""
        self._closed = True
        for future in list(self._futures):
            future.cancel()


def _started(chunk: Chunk, future: Future[Outcomes]) -> int:
    return chunk.count if future.running() else 0
