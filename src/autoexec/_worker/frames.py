"""Frames on a pipe, from either side: lengths, then a pickle of plain data, then its buffers."""

from __future__ import annotations

import pickle
import struct

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from typing import IO, Any

_LENGTHS = struct.Struct("<QI")  # of the pickle; how many buffers


def frame(message: Any) -> list[bytes | memoryview]:
    """The pieces of a frame, to be written one after another.

    Args:
        message: Plain data (texts, numbers, bytes, tuples, lists). A `pickle.PickleBuffer` in it
            is not copied, and arrives as `bytes` if it is read-only, else as a `bytearray`.
    """
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(message, 5, buffer_callback=buffers.append)
    if not buffers:
        return [_LENGTHS.pack(len(data), 0) + data]  # one system call
    raw = [buffer.raw() for buffer in buffers]
    lengths = struct.pack(f"<{len(raw)}Q", *(one.nbytes << 1 | one.readonly for one in raw))
    return [_LENGTHS.pack(len(data), len(raw)) + lengths + data, *raw]


def read_frame(pipe: IO[bytes]) -> Any:
    """The next message.

    Raises:
        EOFError: The other side is gone, perhaps in the middle of a message.
    """
    length, count = _LENGTHS.unpack(_read(pipe, _LENGTHS.size))
    lengths = struct.unpack(f"<{count}Q", _read(pipe, 8 * count)) if count else ()
    data = _read(pipe, length)
    return pickle.loads(data, buffers=[_buffer(pipe, n >> 1, bool(n & 1)) for n in lengths])


def _read(pipe: IO[bytes], length: int) -> bytes:
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _buffer(pipe: IO[bytes], length: int, readonly: bool) -> bytes | bytearray:
    """Read into the very memory that will be the object's."""
    if readonly:
        return _read(pipe, length)
    buffer = bytearray(length)
    rest = memoryview(buffer)
    while rest:
        count = pipe.readinto(rest)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        rest = rest[count:]
    return buffer
