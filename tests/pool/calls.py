"""What workers call in these tests. It imports little, since each worker imports it."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoexec._control import DEAR_S


def process_of(item: object) -> int:
    """The process in which it runs."""
    return os.getpid()


class Dear:
    """A function that takes a worker half a second of computing to read, as one whose module imports much."""

    def __call__(self, item: object) -> int:
        return os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        return dear, ()


def dear() -> Dear:
    """Read it."""
    until = time.thread_time() + 2 * DEAR_S
    while time.thread_time() < until:
        pass
    return Dear()


def note(log: Path, text: object) -> None:
    """Add a line to a file."""
    with open(log, "a") as file:
        file.write(f"{text}\n")


def lines(log: Path) -> list[str]:
    """What was noted so far."""
    return log.read_text().split() if log.exists() else []


def writer(log: Path, gate: Path | None = None) -> Callable[[Any], Any]:
    """Notes each call; "wait" then waits until the gate is open, and "fail" fails."""

    def write(item: Any) -> Any:
        note(log, item)
        if item == "fail":
            raise ValueError(item)
        while item == "wait" and gate is not None and not gate.exists():
            time.sleep(0.002)
        return item, os.getpid()

    return write


def killer(log: Path, deadly: int) -> Callable[[int], int]:
    """Notes each call, and kills its process in one of them."""

    def call(item: int) -> int:
        note(log, item)
        if item == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return item * 2

    return call


def giver(log: Path) -> Callable[[int], bytes]:
    """Gives so many bytes, and kills its process where that is less than none."""

    def call(size: int) -> bytes:
        note(log, size)
        if size < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return b"r" * size

    return call


def failing(log: Path) -> Callable[[int], int]:
    """Notes each call, takes a moment, and fails every other time."""

    def call(item: int) -> int:
        note(log, item)
        time.sleep(0.0005)
        if item % 2:
            raise ValueError(item)
        return item

    return call


def stubborn(log: Path, gate: Path) -> Callable[[Any], Any]:
    """Does not end when it is asked to by a signal: the call does, by an exception."""

    def exit_call(*_: object) -> None:
        raise SystemExit("asked to end")

    wait = writer(log, gate)

    def call(item: Any) -> Any:
        signal.signal(signal.SIGTERM, exit_call)
        return wait(item)

    return call


class Unloadable:
    """Can be pickled, and not be read."""

    def __call__(self, item: Any) -> Any:
        raise AssertionError

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("not a number",)


class Deadly(Unloadable):
    """Ends who reads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (9,)


class Unpicklable:
    """Cannot travel."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise ValueError("not for sale")


def dying(item: Any) -> None:
    """Takes a moment, then ends its process."""
    time.sleep(0.4)
    os._exit(9)


def forking(item: Any) -> None:
    """Forks a process that lives for a while, and ends its own."""
    warnings.simplefilter("ignore")
    if os.fork() == 0:
        time.sleep(100)
        os._exit(0)
    os._exit(9)


def little_memory() -> None:
    """Lets its process hold 100 MB more than it does."""
    import resource

    with open("/proc/self/statm") as file:
        held = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 100_000_000, resource.RLIM_INFINITY))


class Unspeakable(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise IndexError


class Unprintable:
    """Cannot travel, for a reason that cannot be told."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise Unspeakable
