"""Frames into a pipe, without ever waiting for it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref
from collections import deque

from .. import _thread_cache

NONBLOCKING = sys.platform != "win32"
"""Whether a pipe can be written without waiting. If not, a thread writes everything."""


class Outlet:
    """Writes at once what fits into the pipe; a thread of its own writes the rest."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.RLock()
        self._rest: deque[memoryview] = deque()
        self._sending = self._writing = False
        self._closed = False
        if NONBLOCKING:
            os.set_blocking(fd, False)
        _make_silent(fd)
        _outlets.add(self)

    def send(self, pieces: list[bytes | memoryview]) -> None:
        """Send a frame after those before it. What nobody will read any more is dropped."""
        views = [memoryview(piece) for piece in pieces]
        with self._lock:
            if self._closed:
                return
            self._rest.extend(views)
            # A finalizer may come here in the midst of another frame, and again after this question.
            while self._rest and not (self._sending or self._writing):
                self._sending = True
                try:
                    self._send()
                except BaseException:
                    # A Ctrl-C: what comes next would be taken for the rest of this frame.
                    self.close()
                    raise
                finally:
                    self._sending = False

    def _send(self) -> None:
        if NONBLOCKING:
            self._write_what_fits()
        if self._rest:
            self._start_writing()

    def _start_writing(self) -> None:
        self._writing = True
        try:
            _thread_cache.start(self._write, "autoexec-writer")
        except RuntimeError:  # no more threads: the system's limit, or the interpreter is ending
            # Nobody could write the rest later; and to wait for that here, with the locks of whoever
            # sends, could be for ever. Without its pipe the worker ends, as with its parent, and its
            # reader gives back what it has not begun.
            self._writing = False
            self.close()

    def _write_what_fits(self) -> None:
        try:
            while self._rest:
                self._advance(_write(self._fd, self._rest[0]))
        except BlockingIOError:
            return  # the pipe is full
        except OSError:
            self._rest.clear()  # the worker is gone: its reader will find that out

    def _advance(self, count: int) -> None:
        rest = self._rest[0][count:]
        if rest:
            self._rest[0] = rest
        else:
            self._rest.popleft()

    def _write(self) -> None:
        # In one call that waits, however much it is: beside threads that compute, each return from
        # a call waits 5 ms for the GIL, and 50 MB in pieces took a second.
        if NONBLOCKING:
            os.set_blocking(self._fd, True)
        while True:
            with self._lock:
                if self._closed or not self._rest:
                    self._finish()
                    return
                piece = self._rest[0]
            try:
                count = _write(self._fd, piece)
            except OSError:
                count = -1
            del piece
            with self._lock:
                if count < 0 or self._closed:
                    self._rest.clear()
                else:
                    self._advance(count)

    def _finish(self) -> None:
        self._writing = False
        if self._closed:
            os.close(self._fd)
        elif NONBLOCKING:
            os.set_blocking(self._fd, False)

    def close(self) -> None:
        """Close the pipe; what was not written is dropped. The worker must be gone or going."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._rest.clear()
            if not self._writing:  # else the thread closes it, so that no number is used twice
                os.close(self._fd)


# --- A pipe that nobody reads any more ------------------------------------------------------------
#
# Who writes to it gets SIGPIPE, which Python ignores, but many a command-line tool has set that to its default:
# the death of a worker, with half of an item in its pipe, then ended the program.

if sys.platform == "darwin":
    import contextlib
    import fcntl

    _F_SETNOSIGPIPE = 73

    def _make_silent(fd: int) -> None:
        """There the signal goes to the process, so that no thread can hold it up; a pipe can do without."""
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, _F_SETNOSIGPIPE, 1)

    _write = os.write

elif sys.platform == "win32":

    def _make_silent(fd: int) -> None:
        """There is no such signal."""

    _write = os.write

else:

    def _make_silent(fd: int) -> None:
        """There the signal goes to the thread that writes, which can hold it up."""

    def _write(fd: int, piece: memoryview) -> int:
        if signal.getsignal(signal.SIGPIPE) is not signal.SIG_DFL:  # takes 0.7 µs, what follows 7
            return os.write(fd, piece)
        held_up = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPIPE])
            return os.write(fd, piece)
        finally:
            # Not only after an error: where a part was written before the reader went, that is what comes of it.
            if signal.SIGPIPE not in held_up:
                signal.sigtimedwait([signal.SIGPIPE], 0)
            signal.pthread_sigmask(signal.SIG_SETMASK, held_up)


_outlets: weakref.WeakSet[Outlet] = weakref.WeakSet()


def _after_fork() -> None:
    """The pipes are the parent's: as long as the child held them open too, no worker would see the
    parent's death."""
    for outlet in list(_outlets):
        outlet._lock = threading.RLock()
        outlet._writing = False
        outlet.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
