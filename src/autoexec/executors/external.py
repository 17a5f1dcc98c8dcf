"""Calls through an executor that the caller passed: measured, and never shut down by us."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Sequence
from typing import Any

from .._pickling import Portable
from .._types import Chunk, Sink
from .._worker.calls import Outcomes, run_portable
from .futures import FutureChunks


class ExternalExecutor:
    """Submits chunks to a `concurrent.futures.Executor` of any kind."""

    def __init__(
        self, fn: Callable[[Any], Any], sink: Sink, executor: concurrent.futures.Executor
    ) -> None:
        self._fn = Portable(fn)
        self._executor = executor
        self._chunks = FutureChunks(sink)

    def open(self, workers: int) -> None:
        """The caller has done that."""

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Submit each chunk as one call."""
        for chunk in chunks:
            self._chunks.follow(chunk, self._submit_one(chunk))

    def _submit_one(self, chunk: Chunk) -> concurrent.futures.Future[Outcomes]:
        return self._executor.submit(run_portable, self._fn, Portable(chunk.items))

    def close(self, *, abandon: bool) -> None:
        """Cancel what has not started; the executor itself stays as it is."""
        self._chunks.cancel()
