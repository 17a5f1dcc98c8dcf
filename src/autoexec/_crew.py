"""The executors of a run, each made when its lane is first used."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import executors
from ._callee import Callee
from ._chunk import Chunk
from ._options import Settings
from ._routes import REMOTE
from ._types import Broken, Executor, Lane, Sink

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class Crew:
    """What runs the calls.

    Args:
        callee: The function.
        sink: Hears of outcomes.
        settings: The options.
    """

    def __init__(self, callee: Callee, sink: Sink, settings: Settings) -> None:
        self.loop: AbstractEventLoop | None = None
        """That of the caller, if coroutines run on it; else on one of their own."""
        self._callee, self._sink, self._settings = callee, sink, settings
        self._made: dict[Lane, Executor] = {}

    def open(self, lane: Lane, workers: int) -> Broken | None:
        """Have so many calls of a lane run at once. Returns why it cannot be used, if so."""
        try:
            self._of(lane).open(workers)
        except (OSError, ImportError) as error:
            if lane in REMOTE:
                raise  # what was meant for a cluster does not run here instead
            # No descriptors left, not even to import what is needed; or this is a signal handler
            # that has interrupted that very import.
            return Broken(lane, f"{lane} cannot be started ({error})", error, harmless=True)
        return None

    def submit(self, lane: Lane, chunks: Sequence[Chunk]) -> None:
        """Have calls run."""
        self._of(lane).submit(chunks)

    def stop(self, chunk: Chunk, error: BaseException) -> None:
        """Give up the call that a chunk is in."""
        self._of(chunk.lane).stop(chunk, error)

    def let_go(self, *, abandon: bool) -> None:
        """Close them all."""
        with contextlib.ExitStack() as closing:  # one that fails keeps none of the others
            for executor in list(self._made.values()):
                closing.callback(executor.close, abandon=abandon)

    def _of(self, lane: Lane) -> Executor:
        if lane not in self._made:
            self._made[lane] = executors.make(
                lane, self._callee.packed, self._sink, self._settings, self.loop
            )
        return self._made[lane]
