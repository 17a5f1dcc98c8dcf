"""Calls through an executor that the caller passed: measured, and never shut down by us."""

from __future__ import annotations

import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any

from .._chunk import Block, Chunk
from .._errors import RemoteTraceback
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
                self._sink(_blocks(chunk, done.result()))
            except CancelledError:
                return  # by `close`: nobody waits for the outcome
            except BaseException as error:
                self._sink(_failed(chunk, error, time.perf_counter() - started))

        future.add_done_callback(announce)

    def stop(self, chunk: Chunk, error: BaseException) -> None:
        """Report the chunk as failed and drop what comes of it later: whether and how a call can
        be ended only the executor's owner knows."""
        for future in [future for future, its in list(self._futures.items()) if its is chunk]:
            del self._futures[future]
            self._sink(_failed(chunk, error, 0.0))

    def close(self, *, abandon: bool) -> None:
        """Cancel what has not started; the executor itself stays as it is."""
        for future in list(self._futures):
            future.cancel()


def _started(chunk: Chunk, future: Future[Outcomes]) -> int:
    return chunk.count if future.running() else 0


def _blocks(chunk: Chunk, outcomes: Outcomes) -> list[Block]:
    blocks: list[Block] = []
    for i, outcome in enumerate(outcomes):
        if outcome.error is not None and outcome.error.__traceback__ is None:
            with contextlib.suppress(BaseException):  # it may forbid attributes
                outcome.error.__cause__ = RemoteTraceback(outcome.traceback or "")
        last = i == len(outcomes) - 1
        times = outcome.wall_s, outcome.cpu_s, 0.0
        blocks.append(Block(chunk, outcome.values, outcome.error, *times, last, outcome.began_s))
    return blocks


def _failed(chunk: Chunk, error: BaseException, wall_s: float) -> list[Block]:
    """Every item of the chunk has this error: which of them were called is not known."""
    last = chunk.count - 1
    return [
        Block(chunk, [], error, wall_s / chunk.count, 0.0, 0.0, i == last)
        for i in range(chunk.count)
    ]
