"""A contender in a process of its own, which runs a workload whenever it is told to.

So contenders do not share threads, warm workers or memory, a fork copies nobody else's, and one that is
stuck can be ended with all that it has started. Its processes stay warm from one run to the next, as they
do in an application. All stages of a workload are up at once, so that its runs can take turns.
"""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from .contenders import CONTENDERS, Contender
from .scene import Scene
from .workloads import WORKLOADS, Workload, batches_of

START_S = 60.0
"""For a stage to be up. The largest takes a fraction of a second."""
END_S = 10.0
"""For a stage to end by itself, with its pools."""
GRACE_S = 1.0
"""From SIGTERM to SIGKILL. Clearing away takes some milliseconds."""


class Ran(NamedTuple):
    """A run that has ended."""

    seconds: float
    fingerprint: str
    """Of all results: equal results have equal ones."""
    chose: str
    """Where autoexec ran the calls; empty for all others."""


class Failed(NamedTuple):
    """A run that has raised."""

    why: str


class Slow(NamedTuple):
    """A run that was given up."""

    after_s: float


class Stage:
    """One contender, set up for one workload. A context manager: when it is left, the process is gone."""

    def __init__(self, contender: Contender, workload: Workload, scale: float, here: Scene) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        places = CONTENDERS.index(contender), WORKLOADS.index(workload)
        self._process = context.Process(target=perform, args=(theirs, *places, scale, here))
        self._process.start()
        theirs.close()

    def run(self, limit_s: float) -> Ran | Failed | Slow:
        """Run the workload once. After `Slow` the stage is of no more use."""
        self._ours.send("run")
        answer = self._answer(limit_s)
        return Slow(limit_s) if answer is None else answer

    def ready(self) -> Failed | None:
        """Wait until it is set up."""
        answer = self._answer(START_S)
        return answer if isinstance(answer, Failed) else None

    def close(self, *, at_once: bool = False) -> None:
        """Let it end, or end it, with all that it has started."""
        self._ours.close()
        if not at_once:
            self._process.join(END_S)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()  # before its group is ended, in which it would stay as a zombie
        _end_group(self._process.pid)

    def _answer(self, limit_s: float) -> Any:
        """What it sends; None if it sends nothing for so long."""
        if not wait([self._ours, self._process.sentinel], limit_s):
            return None
        if self._ours.poll():
            with suppress(EOFError):
                return self._ours.recv()
        self._process.join()
        return Failed(f"its process ended with code {self._process.exitcode}")


def _end_group(pid: int | None) -> None:
    """End what the process has started. First by SIGTERM: what some libraries leave in shared memory is
    cleared away by a process of theirs, which ignores that and ends after all others. The workers of
    others ignore it too, and would stay."""
    if sys.platform == "win32" or pid is None:
        return
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until:
            os.killpg(pid, 0)  # raises once nobody is left
            time.sleep(0.01)
        os.killpg(pid, signal.SIGKILL)


# --- Being it -----------------------------------------------------------------------------------------


def perform(link: Connection, contender: int, workload: int, scale: float, here: Scene) -> None:
    """What the process of a stage does until nobody is at the other end.

    Args:
        link: Gets a word for each run, and is told how it went.
        contender: Its place in `CONTENDERS`.
        workload: Its place in `WORKLOADS`.
        scale: Share of the calls.
        here: Where the files and the server are.
    """
    if sys.platform != "win32":
        os.setpgid(0, 0)
    # Output of libraries is no part of the table, and would be in the way of it.
    sys.stdout = sys.stderr
    work = WORKLOADS[workload]
    count, batches = work.scaled(scale)
    fn, items = work.make(count, here)
    one = CONTENDERS[contender]
    # What it imports and measures when it is first used, an application pays once.
    one.way(trivial_async if work.coroutine else trivial, [[1, 2]])
    link.send("ready")
    with suppress(EOFError):
        while link.recv():
            link.send(once(one, fn, batches_of(items, batches)))
    if one.leave is not None:
        one.leave()


def trivial(item: int) -> int:
    """Nothing to do."""
    return item


async def trivial_async(item: int) -> int:
    """Nothing to wait for."""
    return item


def once(contender: Contender, fn: Any, batches: Sequence[list[Any]]) -> Ran | Failed:
    """Run the calls, and time it."""
    gc.collect()
    began = time.perf_counter()
    try:
        results = contender.way(fn, batches)
    except Exception as error:
        line = traceback.format_exception_only(error)[0].strip()
        return Failed(line if len(line) <= 100 else f"{line[:99]}…")
    took_s = time.perf_counter() - began
    return Ran(took_s, fingerprint(results), _chose(results))


def fingerprint(results: Sequence[Sequence[Any]]) -> str:
    """A short text that is equal for equal results."""
    return hashlib.sha256(repr([list(batch) for batch in results]).encode()).hexdigest()


def _chose(results: Sequence[Any]) -> str:
    report = getattr(results[-1], "report", None)
    if report is None:
        return ""
    return ", ".join(f"{calls:,} {route}" for route, calls in report.ran.items())
