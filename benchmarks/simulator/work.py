"""What dispatch costs on the virtual machine, and how calls are made there: the same for the scheduler
and for the plans that it is compared with."""

from __future__ import annotations

from .machine import Phase, Process, Steps, What
from .workloads import Workload

THREAD_START_S = 80e-6
THREAD_TRIP_S = 25e-6
"""To a warm thread and back: under the GIL of the process."""
TASK_TRIP_S = 15e-6
SPAWN_S = 0.001
"""What starting a worker process costs the parent."""
BOOT_S = 0.04
"""CPU seconds that a worker process computes before it takes work; 30 to 60 ms were measured."""
PROCESS_TRIP_S = 80e-6
"""What a chunk costs the parent, under its GIL."""
TRAVEL_S = 50e-6
"""To a worker process, or back from it."""
BYTE_S = 1e-9
"""Pipes move 1 GB/s."""


def makes_call(
    workload: Workload, process: Process, item: int, *, away: bool = False, looped: bool = False
) -> Steps:
    """One call in a process; `away` from its caller, `looped` on an event loop."""
    extra_s = workload.pickle_s / 2 if away else 0.0
    if not process.warm:
        process.warm = True
        extra_s += workload.warm_s
    if extra_s:
        yield Phase(What.HELD, extra_s)
    for phase in workload.calls[item]:
        # What computes without the GIL keeps the loop all the same.
        keeps = looped and phase.what is What.FREE
        yield Phase(What.HELD, phase.seconds) if keeps else phase


def makes_calls(
    workload: Workload, process: Process, items: range, *, away: bool, looped: bool
) -> Steps:
    """Calls one after another: as one phase where they all only compute."""
    if workload.pure is None or len(items) == 1:
        for item in items:
            yield from makes_call(workload, process, item, away=away, looped=looped)
        return
    extra_s = len(items) * workload.pickle_s / 2 if away else 0.0
    if not process.warm:
        process.warm = True
        extra_s += workload.warm_s
    if extra_s:
        yield Phase(What.HELD, extra_s)
    yield Phase(workload.pure, workload.sums[items.stop] - workload.sums[items.start])


def boots(workload: Workload) -> Steps:
    """A worker process starts and reads the function."""
    yield Phase(What.HELD, BOOT_S)
    yield Phase(What.WAIT, workload.fn_bytes * BYTE_S)
    yield Phase(What.HELD, workload.fn_bytes * 2e-9)


def sending_s(workload: Workload, count: int) -> float:
    """What the parent pays for sending so many items."""
    return PROCESS_TRIP_S / 2 + count * (workload.pickle_s / 4 + workload.item_bytes * BYTE_S)


def receiving_s(workload: Workload, count: int) -> float:
    """What it pays for their results."""
    return PROCESS_TRIP_S / 2 + count * workload.pickle_s / 4
