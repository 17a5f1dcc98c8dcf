"""The way out of a worker process: messages to the parent, and the end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque

from .errors import pack_error
from .frames import frame

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .._chunk import Block


class Outlet:
    """The way out, for one message at a time.

    A finalizer or a signal handler may run anywhere, also on the thread that is about to write, and log
    something. What it sends waits until the frame is whole that it has come in the midst of.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock: Any = threading.RLock()
        self._waiting: deque[list[bytes | memoryview]] = deque()

    def send(self, *messages: Any) -> None:
        """Write messages; waits until the pipe has room.

        What calls log and warn of is left to another thread, if that is writing. The caller has a lock
        of `logging`, which a finalizer on the other thread may need before that goes on.
        """
        if self._fd < 0:
            return
        pieces = [piece for message in messages for piece in frame(message)]
        if len(messages) > 1:
            pieces = joined(pieces)
        wait = all(name != "said" for name, *_ in messages)
        self._waiting.append(pieces)
        while not self._lock._is_owned() and self._lock.acquire(blocking=wait):
            try:
                while self._waiting:
                    self._write(self._waiting.popleft())
            finally:
                self._lock.release()
            # Only now: who comes before the release leaves it to this thread, who comes after it does not.
            if not self._waiting:
                return

    def cut_off(self) -> bool:
        """Nothing goes out any more. Returns whether anything did."""
        if self._fd < 0:
            return False
        os.close(self._fd)
        self._fd = -1
        self._waiting.clear()
        # Another thread may have held it, which this process does not have.
        self._lock = threading.RLock()
        return True

    def _write(self, pieces: list[bytes | memoryview]) -> None:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except BrokenPipeError:
                    end_group()  # the parent is gone


def joined(pieces: list[bytes | memoryview]) -> list[bytes | memoryview]:
    """The same with small pieces that follow each other in one: each would be a system call, which lets go of
    the GIL."""
    found: list[bytes | memoryview] = []
    small: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            small.append(piece)
            continue
        found += [b"".join(small), piece]
        small = []
    return [*found, b"".join(small)]


def end_group() -> NoReturn:
    """End this process and what it started: nobody is left who could."""
    if sys.platform != "win32" and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def message_of(number: int, block: Block) -> tuple[Any, ...]:
    """What came of a chunk, or of a part of it, as a message."""
    error, traceback = (None, None) if block.error is None else pack_error(block.error)
    values = list(block.values)
    times = block.wall_s, block.cpu_s, block.queued_s
    return "outcomes", number, values, error, traceback, *times, block.last, block.began_s


def flush_prints() -> None:
    """What a call printed must not be lost when this process ends without ceremony."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed, or replaced by the call
            continue
