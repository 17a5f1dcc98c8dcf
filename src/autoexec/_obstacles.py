"""What forbids a route, or makes it pointless, in words. Pure."""

from __future__ import annotations

from ._classify import WAITING, WAITS, classify, holds, wait_for_each_other
from ._options import Settings
from ._types import Host, Kind, Profile
from ._wording import seconds

SATURATED = 0.65
"""CPU seconds per second of overlapping calls from which one process is taken to be at its limit: one
under the GIL comes to 0.9 to 1.0, downloads from a server on the same machine to 0.5 to 0.7."""
EARLY_SHARE = 0.5
"""Share of the start-up cost of processes that must have been computed here before they are
started: a first call that computes for 5 ms and then waits must not start them in vain."""
LEAST_S = 4e-6
"""Calls shorter than this go to no process: in chunks an item costs 1 to 2 µs on either side."""


def to_leaving(profile: Profile, host: Host) -> str | None:
    """Why the calls cannot leave this process, if they cannot."""
    if host.processes_barred:
        return host.processes_barred
    if profile.effect:
        return f"the function is tied to this process: {profile.effect}"
    return profile.payload.obstacle if profile.payload else None


def to_threads(profile: Profile, host: Host, settings: Settings) -> str:
    """Why one thread is all that is of use, where it is."""
    kind = classify(profile, host)
    if settings.max_workers == 1:
        return "max_workers is 1"
    if kind is Kind.CPU_HELD:
        return "the calls hold the GIL, so threads would take turns"
    if kind is Kind.CPU_FREE and profile.takes_turns:
        return "threads got no more of the calls done than one"
    if kind is Kind.TINY:
        return (
            f"handing a call to a thread costs {seconds(host.costs.thread_trip_s)},"
            f" the call itself {seconds(profile.wall_s)}"
        )
    if kind is Kind.CPU_FREE and host.cores > 1:
        return "a call keeps every core busy with threads of its own"
    return "nothing would run side by side" if kind is not Kind.UNSEEN else "nothing is known yet"


def to_processes(profile: Profile, host: Host, workers: int) -> str | None:
    """What forbids processes of one call each, or makes them pointless, or is not known yet."""
    if obstacle := to_leaving(profile, host):
        return obstacle
    if workers == 1:
        return "only one process could run"
    kind = classify(profile, host)
    if kind is Kind.UNSEEN and not profile.processes_ready:
        return "nothing is known yet"
    if profile.wall_s < LEAST_S and not profile.processes_ready:
        return "a call is too short to be worth a process"
    if not profile.processes_ready:
        keep_it = host.gil and profile.held_s >= WAITS * profile.wall_s
        if not keep_it and not wait_for_each_other(profile):
            return "the calls do not keep the GIL, so threads serve as well without start-up"
        if profile.gil_share is None and not profile.takes_turns:
            return "the GIL was not watched for long enough to tell"
        if profile.elapsed_s < EARLY_SHARE * host.costs.process_start_s:
            return "too little was computed so far to justify starting processes"
    return None


def to_hybrid(profile: Profile, host: Host, workers: int, running: bool) -> str | None:
    """What forbids processes with several calls at once in each, or makes them pointless.

    Args:
        profile: What was measured.
        host: The facts of the machine.
        workers: Calls at once in all.
        running: They run so already.
    """
    if obstacle := to_leaving(profile, host):
        return obstacle
    if host.cores == 1 or workers <= host.cores:
        return "only one process could run" if host.cores == 1 else "max_workers allows no more"
    if not profile.calls:
        return "nothing is known yet"
    if profile.is_async:
        return None
    if classify(profile, host) not in WAITING:
        return "the calls do not wait, so one at a time in each process does as well"
    if not running and (profile.overlap or 0.0) < SATURATED:
        return "a single process is not at its limit"
    return None if holds(profile, host) else "the calls do not keep the GIL, so threads do as well"
