"""Limits that the cgroup of this process sets (v2, else v1).

A process is in a cgroup and in all those above it, any of which may have the tightest limit. Where
the files are not there, or say no number, there is no limit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ._proc import number_in, read_text


def read_quota(root: str) -> float | None:
    """The CPU quota of this process's cgroup (v2, else v1) in cores, or None if there is none.

    Args:
        root: Where `proc` and `sys` are found, so that a test can bring its own.
    """
    found = [
        _quota_v1(folder) if old else _quota_v2(folder)
        for folder, old in _folders(root, "cpu", ("cpu", "cpu,cpuacct"))
    ]
    return min((quota for quota in found if quota), default=None)


def _folders(root: str, controller: str, mounts: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """The folders of this process's cgroup and of those above it, each with whether it is of v1."""
    top = os.path.join(root, "sys/fs/cgroup")
    for line in read_text(os.path.join(root, "proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        old = bool(controllers)
        if old and controller not in controllers.split(","):
            continue
        parts = [part for part in path.split("/") if part]
        for mount in mounts if old else ("",):
            for depth in range(len(parts) + 1):
                yield os.path.join(top, mount, *parts[:depth]), old


def _quota_v2(folder: str) -> float | None:
    return _share(*(read_text(os.path.join(folder, "cpu.max")).split() or [""]))


def _quota_v1(folder: str) -> float | None:
    files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    return _share(*(read_text(os.path.join(folder, name)).strip() for name in files))


def _share(quota: str, period: str = "", *_: str) -> float | None:
    """Cores by quota and period; None for "max", -1, and whatever else is no limit."""
    if not (quota.isdecimal() and period.isdecimal()):
        return None
    return int(quota) / int(period) if int(quota) and int(period) else None


class Allowance(NamedTuple):
    """Memory that a cgroup may have, in bytes."""

    limit_bytes: int
    free_bytes: int
    """What is left of it; a page of a file that nobody has used for a while is given up for more."""


def memory_folders(root: str, below_bytes: int) -> Sequence[tuple[str, bool]]:
    """The folders, as `memory_room` takes them, that limit memory to less than this.

    Args:
        root: Where `proc` and `sys` are found, so that a test can bring its own.
        below_bytes: What the machine has: a larger limit is none.
    """
    rooms = ((at, memory_room(*at)) for at in _folders(root, "memory", ("memory",)))
    return [at for at, room in rooms if room and room.limit_bytes < below_bytes]


def memory_room(folder: str, old: bool) -> Allowance | None:
    """What a cgroup may have, and has left; None if it has no limit."""
    names = ("memory.limit_in_bytes",) if old else ("memory.max", "memory.high")
    texts = [read_text(os.path.join(folder, name)).strip() for name in names]
    limits = [int(text) for text in texts if text.isdecimal()]
    used = "memory.usage_in_bytes" if old else "memory.current"
    used_bytes = read_text(os.path.join(folder, used)).strip()
    if not limits or not used_bytes.isdecimal():
        return None
    stat = read_text(os.path.join(folder, "memory.stat"))
    cached_bytes = number_in(stat, "total_inactive_file " if old else "inactive_file ") or 0
    return Allowance(min(limits), max(0, min(limits) - int(used_bytes) + cached_bytes))
