"""Runs rows, each in a process of its own, a few at a time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

import traces
from rows import ROWS

SCRIPT = str(Path(__file__).with_name("run_row.py"))
SKIPPED = 77
SPARE_S = 20.0
"""What the process of a row has beyond the row's own limit before it is killed."""
AT_ONCE = 2 * (os.cpu_count() or 1)


class Outcome(NamedTuple):
    """What came of a row on a backend."""

    name: str
    backend: str
    code: int
    seconds: float
    text: str
    """The last line that it wrote, which says what is wrong or missing."""
    details: str

    @property
    def survived(self) -> bool:
        """Whether all five conditions hold."""
        return self.code == 0

    @property
    def skipped(self) -> bool:
        """Whether the fault cannot be provoked here."""
        return self.code == SKIPPED

    def __str__(self) -> str:
        state = "survived" if self.survived else "skipped" if self.skipped else "NOT SURVIVED"
        reason = "" if self.survived else f": {self.text}"
        return f"{self.name:<4} {self.backend:<10} {state} ({self.seconds:.1f} s){reason}"


def cases() -> list[tuple[str, str]]:
    """Each row with each of its backends."""
    return [(row.name, backend) for row in ROWS.values() for backend in row.backends]


def run(name: str, backend: str) -> Outcome:
    """Run a row in a process of its own and wait for its end."""
    began = time.monotonic()
    mark = uuid.uuid4().hex
    # Files, not pipes: whatever the row leaves behind would keep a pipe open.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, SCRIPT, name, backend],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            env={**os.environ, traces.MARK: mark},
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=ROWS[name].limit_s + SPARE_S)
        except subprocess.TimeoutExpired:
            code = -1
        _kill([process.pid] * (code == -1) + [*traces.processes_marked(mark)])
        process.wait()
        _remove_groups(process.pid)
        lines, details = _read(out).strip().splitlines(), _read(errors)
    text = lines[-1] if lines and code in (0, 1, SKIPPED) else _how_it_ended(code, details)
    return Outcome(name, backend, code, time.monotonic() - began, text, details[-4000:])


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _remove_groups(pid: int) -> None:
    """Remove the groups of processes that a row made and, since it was killed, did not remove."""
    for folder in Path("/sys/fs/cgroup").glob(f"*/faults-{pid}"):
        with contextlib.suppress(OSError):  # the last of them has not quite ended
            folder.rmdir()


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _how_it_ended(code: int, errors: str) -> str:
    if "Timeout (" in errors:
        return "it did not return by its deadline"
    return f"its process ended with code {code}"


def begin(
    chosen: Iterable[tuple[str, str]], at_once: int = AT_ONCE
) -> dict[tuple[str, str], Future[Outcome]]:
    """Run rows a few at a time, in that order, and do not wait for them."""
    pool = ThreadPoolExecutor(at_once)
    futures = {case: pool.submit(run, *case) for case in chosen}
    pool.shutdown(wait=False)
    return futures


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many faults were survived."""
    tried = [outcome for outcome in outcomes if not outcome.skipped]
    text = f"{sum(one.survived for one in tried)} of {len(tried)} faults survived"
    skipped = len(outcomes) - len(tried)
    return text + (f", {skipped} not tried here" if skipped else "")
