"""The only reader of facts about this machine and process: cores, quotas, the GIL, clocks.

Everything that only one system offers has a plain fallback here, and reports itself as absent
(`None` or 0) rather than guessing.
"""

from __future__ import annotations

import functools
import math
import os
import sys
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from . import _children, _place
from ._cgroup import memory_folders, memory_room, read_quota
from ._proc import number_in, read_text
from ._types import Costs, Held, Host, Memory

COSTS = Costs(
    thread_start_s=80e-6,  # start and join, 66 to 100 µs
    thread_trip_s=25e-6,  # chunk to a warm thread and block back, driver included
    task_trip_s=15e-6,  # the same for a task on the loop
    process_start_s=0.08,  # first answer after 30 to 60 ms, two at once beside a busy caller 80
    process_spawn_s=0.002,  # 1 to 3 ms each
    process_trip_s=250e-6,  # 120 to 270 µs to and fro, and 0.2 ms of the parent's time
    byte_s=2e-9,  # pipes move 1 GB/s; once out, once copied
)
"""Measured with CPython 3.11 on two cores of Linux. How long a start takes here replaces the figure once there was
one; the others only weigh where calls take no longer than they do."""
WARM_START_S = 0.003
"""The same as `process_start_s` where workers wait already: they must read the function."""

_process_starts_s: deque[float] = deque(maxlen=8)
"""The last starts of a worker process. The quickest of them counts: the others met a busy moment."""


def remember_process_start(seconds: float) -> None:
    """Let how long a worker process took to start here count for the next decisions."""
    _process_starts_s.append(seconds)


def read_host(warm: int = 0, *, waits: bool = True) -> Host:
    """The facts as they are now; costs a few microseconds after the first time.

    Args:
        warm: Worker processes that wait for work.
        waits: The thread that asks will do nothing else until the run is over.
    """
    usable = cores()
    costs = COSTS
    ready = warm >= usable
    if ready:
        costs = COSTS._replace(process_start_s=WARM_START_S)
    elif _process_starts_s:
        costs = COSTS._replace(process_start_s=min(_process_starts_s))
    return Host(
        cores=usable,
        gil=has_gil(),
        main_waits=waits and threading.current_thread() is threading.main_thread(),
        warm=ready,
        processes_barred=why_no_processes(),
        costs=costs,
        free_bytes=_free_bytes(),
    )


def has_gil() -> bool:
    """Whether there is a GIL: in a free-threaded build an extension that is imported may switch it on."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def _free_bytes() -> int:
    """See `Host`. Takes 2 µs, and keeps the GIL."""
    total, folders = memory_limits("/")
    if sys.platform != "linux" or total is None or folders:
        return 0
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def reimporting_main() -> bool:
    """Whether this is a spawned process that is only just importing the caller's main module."""
    return bool(getattr(_multiprocessing(), "_inheriting", False))


def _multiprocessing() -> object:
    """The current process of `multiprocessing`, if anything has imported that (10 ms) at all."""
    module: Any = sys.modules.get("multiprocessing.process")
    try:
        return module.current_process()
    except (AttributeError, NameError):  # no, or another thread is importing it just now
        return None


def why_no_processes() -> str | None:
    """Why worker processes cannot be started from here, if so."""
    if _place.is_worker:
        return "this is a worker process already"
    if getattr(_multiprocessing(), "daemon", False):
        return "daemonic processes cannot start processes"
    if sys.platform in ("emscripten", "wasi"):
        return "this system has no processes"
    if not sys.executable:
        return "this Python does not know where its own executable is"
    return why_no_workers()


def why_no_workers() -> str | None:
    """Why no worker process may be started, not even where that was asked for, if so."""
    if getattr(sys, "frozen", False):
        # Each worker would be that program again, with workers of its own.
        return "this program is frozen, so its executable is no Python that could be a worker"
    return None


def cores() -> int:
    """Cores this process may use: affinity mask and cgroup quota count; at least 1."""
    limit = quota()
    most = min(affinity(), math.ceil(limit) if limit else sys.maxsize)
    return max(1, most if _place.cores is None else min(most, _place.cores))


def affinity() -> int:
    """Cores that this process is bound to."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def quota() -> float | None:
    """Cores' worth of time that a cgroup lets this process have; None for no limit."""
    return read_quota("/")


def read_memory(root: str = "/") -> Memory | None:
    """What this process and its workers hold, and what is left; None where the system does not tell,
    which only Linux does. Takes 0.1 ms.

    Args:
        root: Where `proc` and `sys` are found, so that a test can bring its own.
    """
    here = _held(os.path.join(root, "proc/self/status"))
    free = number_in(read_text(os.path.join(root, "proc/meminfo")), "MemAvailable:")
    total, folders = memory_limits(root)
    if here is None or total is None or free is None:
        return None
    free <<= 10
    rooms = [room for at in folders if (room := memory_room(*at))]
    held = {pid: _held(os.path.join(root, f"proc/{pid}/status")) for pid in tuple(_children.ours)}
    return Memory(
        total_bytes=min([total, *(room.limit_bytes for room in rooms)]),
        free_bytes=min([free, *(room.free_bytes for room in rooms)]),
        here=here,
        workers={pid: worker for pid, worker in held.items() if worker},
    )


def memory_limits(root: str) -> tuple[int | None, Sequence[tuple[str, bool]]]:
    """Bytes that the machine has, if it tells, and the cgroups that allow less. Takes 0.1 to 1 ms the first
    time, as most machines have many cgroups, few with limits; beside calls that keep the GIL it took 0.15 to
    0.4 s."""
    try:
        return _known_limits(root)
    except OSError:  # no descriptor left, perhaps: another time there may be one
        return None, ()


@functools.cache
def _known_limits(root: str) -> tuple[int, Sequence[tuple[str, bool]]]:
    total = number_in(read_text(os.path.join(root, "proc/meminfo")), "MemTotal:")
    if total is None:
        raise OSError("the system does not tell how much memory there is")
    return total << 10, memory_folders(root, total << 10)


def _held(path: str) -> Held | None:
    """What a process holds, by its file of the kernel's; None if it has ended."""
    text = read_text(path)
    now, peak = number_in(text, "VmRSS:"), number_in(text, "VmHWM:")
    return None if now is None or peak is None else Held(now << 10, peak << 10)


def _stolen_s() -> float:
    ticks = read_text("/proc/stat").split(maxsplit=9)[8:9]  # user, nice, ..., the eighth is steal
    return int(ticks[0]) / os.sysconf("SC_CLK_TCK") if ticks and ticks[0].isdecimal() else 0.0


_stolen_before_s = _stolen_s()


def newly_stolen_s() -> float:
    """Seconds that the host of a virtual machine has taken from its cores, all together, since this was asked
    last (Linux, in ticks of 10 ms; elsewhere 0)."""
    global _stolen_before_s
    before_s, _stolen_before_s = _stolen_before_s, _stolen_s()
    return max(0.0, _stolen_before_s - before_s)
