"""Calls in a worker side by side: threads, or tasks on an event loop."""

from __future__ import annotations

import contextlib
import threading
from queue import Empty, SimpleQueue

from .._chunk import Chunk
from .._pickling import pack, unpack
from .outlet import end_group, flush_prints, message_of

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._chunk import Block
    from .._pickling import Wire
    from .notes import Notes
    from .outlet import Outlet


class Hosted:
    """Calls side by side, on an executor within this process: threads, or an event loop.

    The parent says which, by a class that is read here, since this side knows no executors.

    Outcomes are sent by a thread of its own, which takes along all that there are. Writing to the pipe
    releases the GIL, and the writer then queues behind all who want it: when each call sent its own outcome,
    holding the outlet's lock meanwhile, the parent heard of the first fifty 5 ms calls only after 0.2 s, all
    at once.
    """

    def __init__(
        self, fn: Callable[[Any], Any], out: Outlet, notes: Notes, host: Any, width: int
    ) -> None:
        self._out = out
        self._notes = notes
        self._numbers: dict[Chunk, int] = {}
        self._outcomes: SimpleQueue[Any] = SimpleQueue()
        self._opened = False
        threading.Thread(target=self._send, name="autoexec-sender", daemon=True).start()
        calls = _portable_calls(fn, notes, getattr(host, "asynchronous", False))
        self._executor = host(calls, self._sink)
        self.open(width)

    def open(self, width: int) -> None:
        """Let so many calls run at once, if that is more than before."""
        self._executor.open(width)
        self._opened = True

    def run(self, number: int, slot: int, budget_s: float, items: list[Wire]) -> None:
        """Start a chunk."""
        noted = [(slot, number, i + 1, item) for i, item in enumerate(items)]
        chunk = Chunk(0, noted, "threads", "threads")
        chunk.watched = True
        self._numbers[chunk] = number
        self._executor.submit([chunk])

    def _sink(self, event: Any) -> None:
        if not isinstance(event, list):
            if self._opened:
                end_group()  # calls are lost with what ran them, and the parent would wait for ever
            raise RuntimeError(event.reason)  # it cannot start, so the function is refused
        try:
            for block in event:
                self._pass_on(block)
            if self._notes.halted:
                end_group()  # a process that a call has forked, and that has come out of it
        except BaseException:  # the outcome would be lost, and the parent would wait for ever
            end_group()

    def _pass_on(self, block: Block) -> None:
        number = self._numbers.pop(block.chunk) if block.last else self._numbers[block.chunk]
        message = message_of(number, block)
        if all(type(value) is bytes for value in block.values):
            self._outcomes.put(message)
        else:  # the very memory of a result, which the next call on this thread may write to
            flush_prints()
            self._out.send(message)

    def _send(self) -> None:
        try:
            while messages := self._next_outcomes():
                flush_prints()  # before it is known that a call has ended
                self._out.send(*messages)
                del messages  # who waits for the next must not keep results alive
        except BaseException:  # nobody else sends them, and the parent would wait for ever
            end_group()

    def _next_outcomes(self) -> list[Any]:
        """All that there are, after a wait for the first; none at the end."""
        found = [self._outcomes.get()]
        with contextlib.suppress(Empty):
            while True:
                found.append(self._outcomes.get_nowait())
        return [message for message in found if message is not None]

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
    fn: Callable[[Any], Any], notes: Notes, asynchronous: bool
) -> Callable[[Any], Any]:
    async def call_async(noted: tuple[int, int, int, Wire]) -> Wire:
        notes.start(*noted[:3])
        result = fn(unpack(noted[3]))
        packed = pack(await result if hasattr(result, "__await__") else result)
        notes.end(*noted[:3])
        return packed

    def call(noted: tuple[int, int, int, Wire]) -> Wire:
        notes.start(*noted[:3])
        packed = pack(fn(unpack(noted[3])))
        notes.end(*noted[:3])  # it does not take any longer, however late that is heard
        return packed

    return call_async if asynchronous else call
