"""What a worker is doing, in memory that outlives it.

A worker that dies can say nothing any more. So before each call it notes here which item it starts,
and after it what came of it, until that has been sent. Its parent reads the notes of the dead: the
item that was running is known exactly, and no result that was there is lost. A note takes 0.2 µs,
where a message of its own for each item would take 20.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    import mmap

SLOTS = 1024
"""Chunks that a worker may have at the same time."""
_SLOT = struct.Struct("<QQQ")  # number of the chunk, items of it that were started, and ended
_KEPT = struct.Struct("<QQ")  # number of the message that these outcomes will go with, bytes
_NOTE = struct.Struct("<II")  # position in the chunk, bytes of the result that follow
_HALT_AT = _SLOT.size * SLOTS
_KEPT_AT = _HALT_AT + 8
_NOTES_AT = _KEPT_AT + _KEPT.size
SIZE = 1 << 16


class Journal:
    """The notes; the memory is shared between a worker and its parent."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._message = 0
        self._used = 0

    # --- The worker writes ------------------------------------------------------------------------

    def start(self, slot: int, number: int, started: int) -> None:
        """So many items of a chunk have been started."""
        _SLOT.pack_into(self._memory, _SLOT.size * slot, number, started, started - 1)

    def end(self, slot: int, number: int, ended: int) -> None:
        """So many have ended, and no other is running."""
        _SLOT.pack_into(self._memory, _SLOT.size * slot, number, ended, ended)

    @property
    def halted(self) -> bool:
        """Whether no further call may begin."""
        return self._memory[_HALT_AT] != 0

    def keep(self, position: int, result: bytes) -> bool:
        """Note the result of an item; False if there is no room left."""
        at = _NOTES_AT + self._used
        begin = at + _NOTE.size
        end = begin + len(result)
        if end > SIZE:
            return False
        _NOTE.pack_into(self._memory, at, position, len(result))
        self._memory[begin:end] = result
        self._used = end - _NOTES_AT
        _KEPT.pack_into(self._memory, _KEPT_AT, self._message, self._used)
        return True

    def sent(self) -> None:
        """What was kept has been sent."""
        self._message += 1
        self._used = 0
        _KEPT.pack_into(self._memory, _KEPT_AT, self._message, 0)

    # --- The parent reads -------------------------------------------------------------------------

    def halt(self) -> None:
        """Let no further call begin."""
        self._memory[_HALT_AT] = 1

    def running(self, slot: int, number: int) -> int:
        """How many items of a chunk were started, if the last of them is running; else 0."""
        try:
            noted, started, ended = _SLOT.unpack_from(self._memory, _SLOT.size * slot)
        except ValueError:
            return 0
        return started if noted == number and ended < started else 0

    def started(self, slot: int, number: int) -> int:
        """How many items of a chunk were started."""
        try:
            noted, started, _ = _SLOT.unpack_from(self._memory, _SLOT.size * slot)
        except ValueError:  # it was closed: the worker is gone, and all of it reported
            return 0
        return started if noted == number else 0

    def kept(self, message: int) -> list[tuple[int, bytes]]:
        """Positions and results that would have gone with that message, which never came."""
        noted, used = _KEPT.unpack_from(self._memory, _KEPT_AT)
        found: list[tuple[int, bytes]] = []
        at = _NOTES_AT
        while noted == message and at < _NOTES_AT + used:
            position, length = _NOTE.unpack_from(self._memory, at)
            at += _NOTE.size + length
            found.append((position, self._memory[at - length : at]))
        return found

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()
