"""Calls in a worker one after another."""

from __future__ import annotations

import time

from .._call import run_chunk
from .._chunk import Block, Chunk
from .._pickling import loads, pack, unpack
from .outlet import end_group, flush_prints, message_of

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._pickling import Wire
    from .notes import Notes
    from .outlet import Outlet

ANNOUNCE_S = 0.01
"""Outcomes are sent after about this much work, errors at once: a message costs the parent 0.2 ms on
a core that others could use, and nothing is lost by waiting, since the notes have it."""
_NONE = Chunk(0, [], "processes", "processes")


def _as_it_is(item: Any) -> Any:
    return item


class Alone:
    """Calls one after another, on the main thread."""

    def __init__(self, fn: Callable[[Any], Any], out: Outlet, notes: Notes) -> None:
        self._fn = fn
        self._out = out
        self._notes = notes

    def run(self, number: int, slot: int, budget_s: float, items: list[Wire] | bytes) -> None:
        """Run a chunk, and send what came of it every few milliseconds.

        The items of each such part are a chunk of their own, which is recalled when it is time.
        """
        # In one piece: see `pack_plain`.
        given, read = (loads(items), _as_it_is) if isinstance(items, bytes) else (items, unpack)
        until = time.perf_counter() + budget_s if budget_s else None
        done = 0
        while done < len(given):
            done = self._run_part(number, slot, given, read, done, until)
            if done < len(given) and until is not None and time.perf_counter() > until:
                # Too long for what was expected: others may have nothing to do meanwhile.
                self._send(number, Block.end_of(_NONE))
                return

    def _run_part(
        self,
        number: int,
        slot: int,
        items: list[Any],
        read: Callable[[Any], Any],
        done: int,
        until: float | None,
    ) -> int:
        notes, clock, fn = self._notes, time.perf_counter, self._fn
        part = Chunk(0, items, "processes", "processes", done)
        announce_at = clock() + ANNOUNCE_S
        position = done

        def call(item: Any) -> Wire:
            # Reading an item and pickling its result happen within the call, so that what goes
            # wrong with either, a crash included, is that item's error.
            nonlocal position
            notes.start(slot, number, position + 1)
            result = pack(fn(read(item)))
            kept = type(result) is bytes and notes.keep(position, result)
            position += 1
            if not kept or clock() > announce_at or notes.halted:
                part.recall()
            return result

        def emit(block: Block) -> None:
            nonlocal done, position
            done += len(block.values) + (block.error is not None)
            position = done
            # Not noted after each call: should the worker be ended between two, the result of the
            # first is in the notes, and no other was started.
            notes.end(slot, number, done)
            block.last = done == len(items)
            if block.values or block.error is not None or block.last:
                flush_prints()
                self._send(number, block)
            if notes.halted:
                end_group()  # by a call that handled the request to end: no other may begin

        run_chunk(call, part, emit)
        return done

    def _send(self, number: int, block: Block) -> None:
        self._out.send(message_of(number, block))
        self._notes.sent()

    def open(self, width: int) -> None:
        """Nothing: never more than one."""

    def stop(self, number: int) -> None:
        """Nothing: who could read the message is the one that runs the call."""

    def close(self) -> None:
        """Nothing is open."""
