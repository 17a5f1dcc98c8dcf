"""Calls on the caller's own thread, one after another: "no concurrency" is an executor too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._call import run_chunk
from .._chunk import Block, Chunk
from .._types import Sink


class InlineExecutor:
    """Runs each chunk before `submit` returns."""

    def __init__(self, fn: Callable[[Any], Any], sink: Sink) -> None:
        self._fn = fn
        self._sink = sink

    def open(self, workers: int) -> None:
        """Nothing to prepare."""

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Run the chunks now.

        Raises:
            KeyboardInterrupt: On this thread it is the user's Ctrl-C, not an item's error.
        """
        for chunk in chunks:
            run_chunk(self._fn, chunk, self._emit)

    def stop(self, chunk: Chunk, error: BaseException) -> None:
        """Nothing: the thread that could ask for it is the one that runs the call."""

    def _emit(self, block: Block) -> None:
        if not isinstance(block.error, KeyboardInterrupt):
            self._sink([block])
            return
        interrupt, block.error = block.error, None
        self._sink([block])  # what was done before it
        try:
            raise interrupt
        finally:
            del interrupt  # its traceback holds this frame, which would be a cycle

    def close(self, *, abandon: bool) -> None:
        """Nothing to let go of."""
