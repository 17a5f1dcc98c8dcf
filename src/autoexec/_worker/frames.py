"""Frames on a pipe: a length of eight bytes, then that many bytes of pickle. Both sides use this."""

from __future__ import annotations

import pickle
import struct
from typing import IO, Any

_LENGTH = struct.Struct("<Q")


def write_frame(pipe: IO[bytes], message: Any) -> None:
    """Send a message of plain data (texts, numbers, bytes, tuples, lists)."""
    data = pickle.dumps(message, 5)
    if len(data) < 1 << 16:
        pipe.write(_LENGTH.pack(len(data)) + data)  # one system call
    else:
        pipe.write(_LENGTH.pack(len(data)))
        pipe.write(data)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> Any:
    """The next message.

    Raises:
        EOFError: The other side is gone, perhaps in the middle of a message.
    """
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)
