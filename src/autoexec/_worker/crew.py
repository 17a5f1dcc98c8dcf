"""The items of a batch side by side, and against the clock."""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue

from .._chunk import Chunk
from .._limits import Stopwatch

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._chunk import Block

LOOK_S = 0.25
"""Between looks at whether a batch is still wanted, where nothing else happens."""


class Crew:
    """Runs the items of a batch on threads, each as a chunk of its own.

    Args:
        host: The class of the executor that does.
        fn: Called with one item.
        items: All of them.
        width: Calls at once.
        wanted: Says whether somebody still waits for them.
    """

    def __init__(
        self,
        host: Any,
        fn: Callable[[Any], Any],
        items: list[Any],
        *,
        width: int,
        wanted: Callable[[], bool] | None,
    ) -> None:
        self._events: SimpleQueue[list[Block]] = SimpleQueue()
        self._chunks = [Chunk(i, [item], "threads", "threads") for i, item in enumerate(items)]
        self._wanted = wanted
        self._executor = host(fn, self._events.put)
        self._width = min(width, len(items))

    def run(self, timeout_s: float | None, error: BaseException) -> list[Block]:
        """The outcomes, in the order of the items; those so far, if nobody wants them any more.

        Args:
            timeout_s: What a call may take; None for as long as it likes.
            error: That of one that takes longer.
        """
        found: dict[int, Block] = {}
        watch = Stopwatch(timeout_s)
        self._executor.open(self._width)
        self._executor.submit(self._chunks)
        try:
            while len(found) < len(self._chunks) and (self._wanted is None or self._wanted()):
                for block in self._next(watch.look_at):
                    if block.values or block.error is not None:
                        found[block.chunk.first] = block
                        block.chunk.finished = True
                self._give_up_late_ones(watch, error)
        finally:
            self._executor.close(abandon=True)
        return [found[i] for i in sorted(found)]

    def _next(self, look_at: float) -> list[Block]:
        until = min(LOOK_S, look_at - time.perf_counter())
        try:
            return self._events.get(timeout=max(0.001, until))
        except Empty:
            return []

    def _give_up_late_ones(self, watch: Stopwatch, error: BaseException) -> None:
        now = time.perf_counter()
        if now < watch.look_at:
            return
        going = ((chunk, chunk.started()) for chunk in self._chunks if not chunk.finished)
        for chunk in watch.look(now, going):
            self._executor.stop(chunk, error)
