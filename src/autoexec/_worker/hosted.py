"""Calls in a worker side by side: threads, or tasks on an event loop."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue

from .._chunk import Chunk
from .._pickling import pack, unpack
from .outlet import flush_prints, message_of

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._pickling import Wire
    from .journal import Journal
    from .outlet import Outlet


class Hosted:
    """Calls side by side, on an executor within this process: threads, or an event loop.

    The parent says which, by a class that is read here, since this side knows no executors.

    Outcomes are sent by a thread of its own, which takes along all that there are. Who writes to the pipe lets
    go of the GIL, and is after all others that want it: where each call sent its own, and held the lock of the
    way out meanwhile, the parent heard of the first fifty calls of 5 ms after 0.2 s, all at once.
    """

    def __init__(
        self, fn: Callable[[Any], Any], out: Outlet, journal: Journal, host: Any, width: int
    ) -> None:
        self._out = out
        self._journal = journal
        self._numbers: dict[Chunk, int] = {}
        self._outcomes: SimpleQueue[Any] = SimpleQueue()
        threading.Thread(target=self._send, name="autoexec-sender", daemon=True).start()
        calls = _portable_calls(fn, journal, getattr(host, "asynchronous", False))
        self._executor = host(calls, self._sink)
        self._executor.open(width)

    def run(self, number: int, slot: int, budget_s: float, items: list[Wire]) -> None:
        """Start a chunk."""
        noted = [(slot, number, i + 1, item) for i, item in enumerate(items)]
        chunk = Chunk(0, noted, "threads", "threads")
        chunk.watched = True
        self._numbers[chunk] = number
        self._executor.submit([chunk])

    def _sink(self, event: Any) -> None:
        for block in event:
            number = self._numbers.pop(block.chunk) if block.last else self._numbers[block.chunk]
            self._outcomes.put(message_of(number, block))

    def _send(self) -> None:
        while (message := self._outcomes.get()) is not None:
            messages = [message]
            while (more := self._next()) is not None:
                messages.append(more)
            flush_prints()  # before it is known that a call has ended
            self._out.send(*messages)

    def _next(self) -> Any:
        try:
            return self._outcomes.get_nowait()
        except Empty:
            return None

    def stop(self, number: int) -> None:
        """Give up the call that a chunk is in."""
        for chunk, its in list(self._numbers.items()):
            if its == number:
                self._executor.stop(chunk, TimeoutError())

    def close(self) -> None:
        """Let go of the executor."""
        self._executor.close(abandon=True)
        self._outcomes.put(None)


def _portable_calls(
    fn: Callable[[Any], Any], journal: Journal, asynchronous: bool
) -> Callable[[Any], Any]:
    async def call_async(noted: tuple[int, int, int, Wire]) -> Wire:
        journal.start(*noted[:3])
        result = fn(unpack(noted[3]))
        return pack(await result if hasattr(result, "__await__") else result)

    def call(noted: tuple[int, int, int, Wire]) -> Wire:
        journal.start(*noted[:3])
        return pack(fn(unpack(noted[3])))

    return call_async if asynchronous else call
