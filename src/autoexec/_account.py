"""What a run has done so far, and why."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ._classify import classify
from ._report import Report

if TYPE_CHECKING:
    from ._run import Run


def report_of(run: Run) -> Report:
    """Its report; of one that goes on, as of now."""
    scheduler = run.scheduler
    profile, plan = scheduler.planner.figures(), scheduler.planner.history[-1][1]
    return Report(
        function=run.callee.name,
        items=scheduler.done,
        seconds=time.perf_counter() - run.started,
        calls_s=scheduler.calls_s,
        ran=dict(scheduler.ran),
        at_once=scheduler.at_once,
        failures=scheduler.window.failures,
        skipped=scheduler.window.skipped,
        kind=classify(profile, scheduler.planner.host),
        profile=profile,
        plan=plan,
        history=tuple(scheduler.planner.history),
        host=scheduler.planner.host,
        decided_s=scheduler.planner.decided_s,
        slowest=scheduler.ledger.slowest(),
        deaths=len(scheduler.ledger.dead),
        recording=scheduler.ledger.recorded(),
        retries=scheduler.retries.count,
        resumed=scheduler.resumed,
        journal=run.recorder.told(),
        options=run.scheduler.planner.settings.given,
        memory=scheduler.memory.use(),
    )
