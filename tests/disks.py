"""Disks that are full."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def full_after(size: int) -> Iterator[None]:
    """No file of this process, nor of those that it starts, may grow beyond so many bytes."""
    if sys.platform == "win32":
        pytest.skip("the limit of a file is POSIX's")
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
