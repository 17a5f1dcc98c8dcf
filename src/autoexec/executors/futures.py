"""Chunks that run as futures of some `concurrent.futures.Executor`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

from .._errors import RemoteTraceback
from .._types import Block, Chunk, Sink
from .._worker.calls import Outcome, Outcomes


class FutureChunks:
    """Turns futures of outcomes into blocks for the sink."""

    def __init__(self, sink: Sink, read: Callable[[Any], Any] | None = None) -> None:
        """With `read`, each value is passed through it; what it raises is that item's error."""
        self._sink = sink
        self._read = read
        self._futures: set[Future[Outcomes]] = set()

    def follow(self, chunk: Chunk, future: Future[Outcomes]) -> None:
        """Announce the outcomes of the chunk once the future is done."""
        started = time.perf_counter()
        self._futures.add(future)

        def announce(done: Future[Outcomes]) -> None:
            self._futures.discard(done)
            try:
                outcomes = done.result()
            except CancelledError:
                return  # by `cancel`: nobody waits for the outcome
            except BaseException as error:
                self.fail(chunk, error, time.perf_counter() - started)
            else:
                self._sink(self._blocks(chunk, outcomes))

        future.add_done_callback(announce)

    def _blocks(self, chunk: Chunk, outcomes: Outcomes) -> list[Block]:
        parts = [part for outcome in outcomes for part in self._readable(outcome)]
        blocks = []
        for i, part in enumerate(parts):
            if part.error is not None and part.traceback is not None:
                part.error.__cause__ = RemoteTraceback(part.traceback)
            last = i == len(parts) - 1
            blocks.append(
                Block(chunk, part.values, part.error, part.wall_s, part.cpu_s, 0.0, last)
            )
        return blocks

    def _readable(self, outcome: Outcome) -> Iterator[Outcome]:
        """The outcome with its values read, split where one of them cannot be."""
        if self._read is None:
            yield outcome
            return
        values: list[Any] = []
        for data in outcome.values:
            try:
                values.append(self._read(data))
            except BaseException as error:
                yield Outcome(values, error, None, 0.0, 0.0)
                values = []
        yield outcome._replace(values=values)

    def fail(self, chunk: Chunk, error: BaseException, wall_s: float) -> None:
        """Every item of the chunk has this error: which of them were called is not known."""
        count = chunk.count
        self._sink(
            [
                Block(chunk, [], error, wall_s / count, 0.0, 0.0, last=i == count - 1)
                for i in range(count)
            ]
        )

    def cancel(self) -> None:
        """Cancel what has not started."""
        for future in list(self._futures):
            future.cancel()
