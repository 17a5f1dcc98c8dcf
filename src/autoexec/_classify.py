"""What a task is: the class of a profile. Pure."""

from __future__ import annotations

from ._evidence import OVERLAPS
from ._types import Host, Kind, Profile

WAITS = 0.1
"""Share of CPU in the wall time below which a call is I/O-bound: such calls only fill a core ten
at a time. Downloads with urllib show 0.02 to 0.05, SQLite and parsing 0.9 and more."""
COMPUTES = 0.7
"""Share above which a call is CPU-bound; between the two it is mixed."""
HOLDS = 0.7
"""Share of the CPU time under the GIL from which a call counts as holding it. Measured shares lie
near 0 (hashlib, zlib, large arrays) or near 1 (Python code)."""
LETS_GO = 0.15
"""Share of the computing under the GIL below which calls beside each other do not wait for it: near 0 or near 1 is
what is measured."""
FULL = 0.8
"""Share of all cores that calls and their child processes keep busy from which more at once only wait
for each other."""
USED = 0.85
"""Calls wait for each other if, beside others, they have or want a core for less than this multiple of the
share of time that they compute when alone. Hashing, compression, image resizing and large arrays: 0.99 to 1.0, beside two other
programs on two cores 0.97 to 1.0; SQLite queries with a connection each, which share the locks of its allocator: 0.76
to 0.83 (250 of 2 ms: 0.42 s, in two processes 0.28)."""
BLOCKED = 1000.0
"""They do as well if, beside others, they have to wait so many times in a second of computing: each time costs them more
than the wait. Two threads in SQLite wait for the lock of its allocator 80 to 700 times in a call of 10 ms, and compute
for twice as long, so that they have or want a core for 0.94 of the time. Compression, image resizing, large arrays,
sorting: 0 to 40 times a second; products of large matrices 100; queries of a file, of which two threads do 1.76 times
as many, 850; digests in pieces of 4 kB, 1.77 times as many, 4,700: what that comes to is told by how long they take."""
INNER_OWN = 0.3
"""Share of a call's time in which its own thread computes, from which other busy threads of the process
are taken for its own: a thread that calls a BLAS takes its part of the work."""
CHILD_SHARE = 0.15
"""CPU of child processes per wall time from which a call counts as work of child processes."""
WAITING = (Kind.IO, Kind.MIXED, Kind.ASYNC)
"""The classes of which many calls can run at once."""


def classify(profile: Profile, host: Host) -> Kind:
    """What the task is, by the figures alone."""
    if profile.is_async:
        return Kind.ASYNC
    if not profile.calls and not profile.elapsed_s:
        return Kind.UNSEEN
    if profile.calls and profile.wall_s < host.costs.thread_trip_s:
        return Kind.TINY
    busy = computing(profile)
    # Children of many calls at once slow each other down, so the quickest call is the measure.
    if profile.child_s > CHILD_SHARE * profile.least_s and busy < COMPUTES:
        return Kind.CHILDREN
    if profile.child_s and profile.busy >= host.cores * FULL and busy < COMPUTES:
        return Kind.CHILDREN
    if profile.new_child and busy < COMPUTES:
        return Kind.CHILDREN  # before the first has ended, one that has appeared is a good guess
    if busy < WAITS:
        return Kind.IO
    if busy < COMPUTES:
        return Kind.MIXED
    return Kind.CPU_HELD if holds(profile, host) else Kind.CPU_FREE


def computing(profile: Profile) -> float:
    """Cores that one call keeps busy: less than 1 where it waits, more where it has threads."""
    own = profile.cpu_s / profile.wall_s if profile.wall_s else 1.0
    # Threads of others may be busy while a call waits; those that help it are not alone in it.
    return own + profile.inner if own >= INNER_OWN else own


def wait_for_each_other(profile: Profile) -> bool:
    """Whether calls that compute when alone get no more done beside others in one process, or compute for less of
    their time there: they need something of which there is one, as a lock, or let go of the GIL for moments only."""
    if computing(profile) < COMPUTES:
        return False
    if profile.takes_turns or profile.blocked >= BLOCKED:
        return True
    if profile.used is None:
        return False
    alone = min(1.0, profile.cpu_s / profile.wall_s) if profile.wall_s else 1.0
    return profile.used < USED * alone


def holds(profile: Profile, host: Host) -> bool:
    """Whether calls that compute keep others from it."""
    if not host.gil or (profile.overlap or 0.0) >= OVERLAPS:
        return False
    return profile.gil_share is None or profile.gil_share >= HOLDS


def lets_go(profile: Profile, host: Host) -> bool:
    """Whether calls that compute plainly keep nobody from it. Between that and `holds`, threads may gain, or not."""
    if not host.gil or (profile.overlap or 0.0) >= OVERLAPS:
        return True
    return profile.gil_share is not None and profile.gil_share < LETS_GO
