"""Files of the kernel's, such as those under /proc, read in three calls of the system.

Each call releases the GIL, and beside calls that hold it the reader waits 5 ms to get it back. A file object
makes seven: reading some twenty files kept a driver from starting workers for 0.15 to 0.4 s.
"""

from __future__ import annotations

import os

MOST_BYTES = 1 << 16
"""More than any of these files has, the longest of which has 4 kB."""
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)


def read(path: str, most_bytes: int) -> bytes:
    """What is in the file, or as much as that of it; nothing if it cannot be read."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return b""
    try:
        return os.read(descriptor, most_bytes)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def read_text(path: str) -> str:
    """The text of a file of the kernel's; empty if it cannot be read."""
    return read(path, MOST_BYTES).decode(errors="replace")


def number_in(text: str, name: str) -> int | None:
    """The number after a name in a file of the kernel's; None if there is none."""
    words = text.partition(name)[2].split(maxsplit=1)
    return int(words[0]) if words and words[0].isdecimal() else None
