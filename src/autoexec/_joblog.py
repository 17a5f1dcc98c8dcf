"""A line for each item that was run, as GNU parallel writes its job log: appended and flushed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from typing import IO

from ._errors import RunAborted, WorkerDied, text_of
from ._types import Settled

HEADER = ("Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive", "Exitval", "Signal", "Outcome")  # fmt: skip
"""Those of GNU parallel, whose last is the command."""
SHOWN = 200
"""Characters of an error that are written."""


class JobLog:
    """A file of tab-separated lines.

    Args:
        path: Appended to; it gets a header if it is new.

    Raises:
        RunAborted: It cannot be written.
    """

    def __init__(self, path: str) -> None:
        # The clock of calls is not that of the day.
        self._epoch_s = time.time() - time.perf_counter()
        self._path = path
        try:
            self._file: IO[str] = open(path, "a", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise RunAborted(
                f"The job log {path} cannot be written ({error.strerror}): name a file in a directory"
                " that is there, and that you may write to."
            ) from error
        if not self._is_begun():
            self._write(["\t".join(HEADER)])

    def _is_begun(self) -> bool:
        return self._file.seekable() and self._file.tell() > 0

    def add(self, settled: Settled, now: float) -> None:
        """Write the lines of outcomes that were heard of just now; none once that has failed.

        Raises:
            RunAborted: The disk is full, say.
        """
        if not self._file.closed:
            self._write(self._lines(settled, now))

    def _write(self, lines: list[str] | Iterator[str]) -> None:
        try:
            self._file.write("".join(f"{line}\n" for line in lines))
            self._file.flush()
        except OSError as error:
            self.close()
            raise RunAborted(
                f"The job log {self._path} cannot be written any more ({error.strerror}), so the run was"
                " ended: make room, or name a file elsewhere."
            ) from error

    def _lines(self, settled: Settled, now: float) -> Iterator[str]:
        seconds = settled.wall_s / settled.covers
        began = settled.began_s or now - settled.wall_s
        host = f"{settled.lane}:{settled.pid}" if settled.pid else settled.lane
        for position in range(settled.covers):
            error = settled.error if position == len(settled.values) else None
            start = self._epoch_s + began + position * seconds
            yield "\t".join(
                (
                    str(settled.first + position),
                    host,
                    f"{start:.3f}",
                    f"{seconds:.6f}",
                    "0\t0",
                    *_outcome(error),
                )
            )

    def close(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(OSError):  # lines that could not be written, which was said
            self._file.close()


def is_file(log: str, other: str) -> bool:
    """Whether the two are names of one file."""
    return os.path.realpath(log) == os.path.realpath(other)


def _outcome(error: BaseException | None) -> tuple[str, str, str]:
    """Exit value, signal, and what came of it in words."""
    if error is None:
        return "0", "0", "ok"
    text = f"{type(error).__qualname__}: {text_of(error)}"[:SHOWN]
    return "1", str(_signal_of(error)), re.sub(r"\s+", " ", text)


def _signal_of(error: BaseException) -> int:
    """The number of the signal that ended the worker process with the item; 0 if none did."""
    found = re.search(r"\bSIG[A-Z0-9]+\b", str(error)) if isinstance(error, WorkerDied) else None
    return int(getattr(signal, found[0], 0)) if found else 0
