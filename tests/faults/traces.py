"""What a run leaves behind: processes, threads, descriptors, files, errors that nobody saw."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

PROC = Path("/proc")
SHARED_MEMORY = Path("/dev/shm")
GRACE_S = 2.0
MARK = "FAULTS_MARK"
"""Environment variable that all processes of a row inherit."""


class Traces(NamedTuple):
    """What there is at one moment, each thing by a number or path and what it is."""

    processes: dict[int, str]
    threads: dict[int, str]
    descriptors: dict[int, str]
    files: dict[str, str]


def look() -> Traces:
    """What there is now. The thread that watches the deadline is no part of it."""
    faulthandler.cancel_dump_traceback_later()
    time.sleep(0.01)  # from 3.14 on that thread ends a moment after it was told to
    try:
        return Traces(processes_of_row() | _children(), _threads(), _descriptors(), _files())
    finally:
        watch(20.0)


def left_since(before: Traces) -> list[str]:
    """What is there now and was not then, in words, once it has had its time to go."""
    for _ in range(round(GRACE_S / 0.02)):  # a pause of the machine takes one look off, not all
        if not _new(before, look()):
            return []
        time.sleep(0.02)
    return _new(before, look())


def _new(before: Traces, now: Traces) -> list[str]:
    new_files = dict.fromkeys(now.files.keys() - before.files.keys(), "left")
    now = now._replace(files={path: "left" for path in new_files if not _of_others(path)})
    found = []
    for what in Traces._fields:
        then: Mapping[Any, str] = getattr(before, what)
        there: Mapping[Any, str] = getattr(now, what)
        singular = {"processes": "process"}.get(what, what.removesuffix("s"))
        found += [f"{singular} {key}: {there[key]}" for key in there.keys() - then.keys()]
    return found


# --- Processes ------------------------------------------------------------------------------------


def processes_of_row() -> dict[int, str]:
    """The other processes that this row has started, however they are related to this one."""
    return processes_marked(os.environ.get(MARK, ""))


def processes_marked(mark: str) -> dict[int, str]:
    """The processes that have inherited that mark."""
    entry = f"{MARK}={mark}".encode()
    found = {}
    for pid in _pids():
        with contextlib.suppress(OSError):
            if entry in (PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                found[pid] = _command(pid)
    return found


def _children() -> dict[int, str]:
    found = {}
    for pid in _pids():
        with contextlib.suppress(OSError):
            if parent_of(pid) == os.getpid():
                found[pid] = _command(pid)
    return found


def _pids() -> list[int]:
    if not PROC.is_dir():
        return []
    return [int(name) for name in os.listdir(PROC) if name.isdecimal() and int(name) != os.getpid()]


def _command(pid: int) -> str:
    command = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return command.strip()[:80] or f"ended, not waited for ({state_of(pid)})"


def _stat(pid: int) -> list[str]:
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def parent_of(pid: int) -> int:
    """The process that started it or has adopted it."""
    return int(_stat(pid)[1])


def state_of(pid: int) -> str:
    """A letter such as R, S, T, Z; X for one that is gone."""
    try:
        return _stat(pid)[0]
    except OSError:
        return "X"


# --- Threads, descriptors, files ------------------------------------------------------------------


def _threads() -> dict[int, str]:
    names = {thread.native_id or 0: thread.name for thread in threading.enumerate()}
    if not PROC.is_dir():
        return names
    return {int(name): names.get(int(name), "native") for name in os.listdir(PROC / "self/task")}


def _descriptors() -> dict[int, str]:
    if not PROC.is_dir():
        return {}
    found = {}
    for name in os.listdir(PROC / "self/fd"):
        with contextlib.suppress(OSError):  # the one that read the folder
            found[int(name)] = os.readlink(PROC / "self/fd" / name)
    # A thread keeps the clock of its own run queue open as long as it lives.
    own = f"/task/{threading.main_thread().native_id}/schedstat"
    return {fd: target for fd, target in found.items() if not target.endswith(own)}


def _files() -> dict[str, str]:
    folders = [SHARED_MEMORY, Path(os.environ["TMPDIR"])] if "TMPDIR" in os.environ else []
    return {str(path): "left" for folder in folders if folder.is_dir() for path in folder.iterdir()}


def _of_others(path: str) -> bool:
    """Whether a file of shared memory belongs to somebody else on this machine."""
    users = set()
    for pid in [os.getpid(), *_pids()]:
        with contextlib.suppress(OSError):
            if path in (PROC / str(pid) / "maps").read_text():
                users.add(pid)
    if users:
        return not users & {os.getpid(), *processes_of_row()}
    # Semaphores of `multiprocessing`, which neither the package nor any row makes use of.
    return Path(path).name.startswith(("sem.mp-", "psm_"))


# --- Errors and the watchdog ----------------------------------------------------------------------

unseen: list[str] = []
"""Errors that ended a thread, or were raised where nobody can catch them."""


def record_unseen() -> None:
    """Take note of errors that would only be printed."""

    def in_thread(arguments: threading.ExceptHookArgs) -> None:
        name = arguments.thread.name if arguments.thread else "a thread"
        unseen.append(f"{name} was ended by {arguments.exc_value!r}")
        sys.__excepthook__(
            arguments.exc_type, arguments.exc_value or Exception(), arguments.exc_traceback
        )

    def unraisable(arguments: Any) -> None:
        unseen.append(f"{arguments.exc_value!r} was ignored in {arguments.object!r}")
        sys.__unraisablehook__(arguments)

    threading.excepthook = in_thread
    sys.unraisablehook = unraisable


def watch(seconds: float) -> None:
    """End this process after so many seconds, with the traceback of every thread."""
    with contextlib.suppress(RuntimeError):  # the row leaves no thread for that
        faulthandler.dump_traceback_later(seconds, exit=True)
