"""Files of the kernel's, such as those under /proc, read in three calls of the system.

Each of them lets go of the GIL, for which who reads waits 5 ms beside calls that keep it. A file object
makes seven: to read some twenty files took a driver 0.15 to 0.4 s, in which it started no worker.
"""

from __future__ import annotations

import os

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
