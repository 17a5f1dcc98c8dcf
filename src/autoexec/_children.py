"""Child processes: workers of ours, and those that calls start."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from ._proc import read_text

if TYPE_CHECKING:
    import subprocess

if sys.platform != "win32":
    import resource

NO_EXIT_CODE = -256
"""Stands for an exit code that is not known. No process has it: there are fewer signals."""

ours: set[int] = set()
"""Worker processes of ours: no sign of what calls do."""
_own_child_cpu_s = 0.0  # of those that have ended


def _after_fork() -> None:
    """The workers are the parent's, and so is what they have used: a server that forks would count its memory in
    each of its processes."""
    global _own_child_cpu_s
    ours.clear()
    _own_child_cpu_s = 0.0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def child_cpu_s() -> float:
    """CPU seconds of child processes that have ended and were waited for, worker processes of ours
    left out; 0.0 on Windows."""
    if sys.platform == "win32":
        return 0.0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime - _own_child_cpu_s


def reap(process: subprocess.Popen[bytes], timeout: float | None) -> bool:
    """Wait for the end of a worker process, and take note of the CPU time that was its own.

    Returns:
        Whether it has ended within so many seconds (None: however many).
    """
    global _own_child_cpu_s
    if sys.platform == "win32":
        import subprocess

        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            pid, status, usage = os.wait4(process.pid, 0 if until is None else os.WNOHANG)
        except ChildProcessError:  # somebody else has waited for it
            process.returncode = NO_EXIT_CODE
            return True
        if pid:
            _own_child_cpu_s += usage.ru_utime + usage.ru_stime
            process.returncode = os.waitstatus_to_exitcode(status)
            return True
        if until is not None and time.monotonic() > until:
            return False
        time.sleep(0.001)


def has_children() -> bool:
    """Whether this process has child processes now; False on Windows."""
    if sys.platform == "win32":
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # looks, takes nothing away
    except (OSError, AttributeError):  # none; or macOS before Python 3.13
        return False
    return True


def has_child_since(boot_s: float) -> bool:
    """Whether a child process exists that was started after that time of `boot_clock`.

    Only the 64 processes that the system started last are looked at (Linux, 1 ms at most): it is
    asked about the last few milliseconds. Elsewhere any child counts.
    """
    if not has_children():
        return False
    newest = read_text("/proc/loadavg").split()
    if not newest:
        return True
    last, own, tick_s = int(newest[-1]), os.getpid(), 1 / os.sysconf("SC_CLK_TCK")
    for pid in range(last, max(1, last - 64), -1):
        fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if pid in ours or not fields:
            continue
        if int(fields[1]) == own and int(fields[19]) * tick_s >= boot_s - tick_s:
            return True
    return False


def boot_clock() -> float:
    """Seconds since the system started, as processes' start times are given on Linux; else 0."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return 0.0 if clock is None else time.clock_gettime(clock)
