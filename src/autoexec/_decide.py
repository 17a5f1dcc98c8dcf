"""`decide(profile, host, settings) -> Plan`: which route has the shortest predicted rest.

Pure: no clock, no environment. The predictions are those of `_alternatives`. Ties go to the simpler
route, and the one in force gives way only for a saving of a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from . import _cluster
from ._alternatives import weigh_up
from ._classify import (
    COMPUTES,
    WAITING,
    classify,
    computing,
    holds,
    lets_go,
    wait_for_each_other,
)
from ._evidence import OVERLAPS
from ._options import Settings
from ._routes import REMOTE
from ._types import Alternative, Host, Kind, Lane, Plan, Profile, Route
from ._wording import seconds

_SIMPLE_FIRST: tuple[Route, ...] = ("inline", "threads", "asyncio", "processes", "hybrid")
_UNSHARED: tuple[Route, ...] = ("inline", "processes")
"""Where no other call competes for the GIL."""
TIE = 0.9
"""A route replaces a simpler one, or the one in force, if it takes at most this share of it."""
FIRST_LOOK_S = 0.002
"""A call that runs this long is judged while it runs."""
LONG_FIRST_S = 0.04
"""A first call that takes longer is not waited for, though what it changes was not compared yet."""
FEW = 3
"""Calls of which one may have been out of luck: on a busy machine one call in some hundreds that only compute has
for 2 to 11 ms had no core, which no clock of that machine told from waiting."""
DOUBTED = 0.4
"""Share of computing from which it is doubted that such calls wait: those that were out of luck had 0.49 to 0.68."""
DOUBTED_S = 0.02
"""Seconds of waiting from which it is not, so that a call which goes on is judged within 50 ms of its start. (One
of them in a thousand tasks stood still for longer, for 26 ms.)"""
CHECKS = 2
"""Calls around which the caller's state must have been compared before items go to a process. The
first may fill caches, so one is not enough."""


def opening(
    host: Host,
    settings: Settings,
    length: int | None,
    is_async: bool,
    expected: Profile | None = None,
    last: Route | None = None,
) -> Plan:
    """The plan before any call of this run was seen.

    Args:
        host: The facts of the machine.
        settings: The options.
        length: Items, if that is known.
        is_async: The function is `async def`.
        expected: What an earlier run of the function has shown.
        last: The route on which that was.
    """
    route = settings.route
    if route == "auto" and not is_async and length is not None and length <= 1:
        lane: Lane = "threads" if settings.limited else "inline"
        return _plan("inline", lane, Kind.UNSEEN, 1, "there is nothing to run side by side")
    if expected is not None:
        if route == "auto":  # not one of the first few calls
            expected = expected._replace(calls=FEW + 1)
        return decide(expected, host, settings, last)
    if route != "auto" or is_async:
        empty = Profile(0, 0, 0, 0, 0, 0, None, 0, None, 0, length, 0, is_async)
        return decide(empty, host, settings, None)
    return _plan("inline", "threads", Kind.UNSEEN, 1, "the first call is being watched")


def decide(profile: Profile, host: Host, settings: Settings, current: Route | None) -> Plan:
    """Choose the route with the shortest predicted time for the items that remain.

    Args:
        profile: What was measured.
        host: Cores, the GIL and what dispatch costs.
        settings: The options; an explicit backend or `max_workers` is obeyed.
        current: The route in force, which is kept unless another saves a tenth.

    Returns:
        A plan with its reason and the routes it beat. Defined for every profile.
    """
    kind = classify(profile, host)
    if settings.route in REMOTE:
        return _cluster.plan(profile, settings, kind)
    options: dict[Route, Alternative] = {
        one.route: one for one in weigh_up(profile, host, settings, current)
    }
    if forced := _forced(settings):
        chosen = options[forced[0]]._replace(reason=forced[1])
        rejected: tuple[Alternative, ...] = ()
    else:
        # Workers of calls that let go of the GIL are there by mistake: a busy machine may look so.
        free = kind is Kind.CPU_FREE and not wait_for_each_other(profile)
        mistaken = current == "processes" and free and lets_go(profile, host)
        chosen = _best(options, None if mistaken else current)
        if settings.timeout is not None and kind is Kind.CPU_HELD:
            # Where a call that never ends can be ended, though here it might be a bit quicker.
            chosen = options["processes"] if _possible(options["processes"]) else chosen
        reason = _reason(chosen, kind, profile, options)
        undecided = current in _UNSHARED and chosen.route not in _UNSHARED
        if undecided and _doubtful(kind, profile, host):
            chosen = _best({route: options[route] for route in _UNSHARED}, current)
            reason = "the calls seen so far have waited for so little that it may be chance"
        chosen = chosen._replace(reason=reason + _of_timeout(chosen.route, settings))
        rejected = tuple(a for a in options.values() if a.route != chosen.route)
    # Under `auto`, inline calls run on a helper thread, since only there can they be watched.
    beside = settings.route == "auto" or settings.limited
    lane: Lane = "threads" if chosen.route == "inline" and beside else chosen.route
    plan = _plan(chosen.route, lane, kind, chosen.workers, chosen.reason)
    waiting = chosen.route in ("threads", "asyncio", "hybrid") and kind in WAITING
    if chosen.beside:
        plan = plan._replace(capacities={"threads": chosen.beside, **plan.capacities})
    if settings.route == "auto" and not _ready(chosen.route, profile):
        # Items go on here while workers start, so that start-up is hidden behind work, and until
        # enough calls have been seen to leave the caller's objects alone.
        plan = plan._replace(capacities={**_meanwhile(plan, profile, host), **plan.capacities})
    return plan._replace(predicted_s=chosen.predicted_s, waiting=waiting, rejected=rejected)


def _doubtful(kind: Kind, profile: Profile, host: Host) -> bool:
    """Whether so few calls were seen that they may only compute, though they seem to wait as well. Once many
    compete for the GIL, none can show it."""
    if kind is not Kind.MIXED or not holds(profile, host):
        return False
    if computing(profile) < DOUBTED or profile.wait_s >= DOUBTED_S:
        return False
    through = profile.cpu_s >= COMPUTES * profile.least_s  # the quickest has hardly waited
    return profile.calls <= 1 or (profile.calls <= FEW and through)


def _ready(route: Route, profile: Profile) -> bool:
    """Whether items can go where they should."""
    if route == "processes":
        return profile.processes_ready > 0 and may_leave(profile)
    return route != "hybrid" or (profile.hybrid_ready > 0 and may_leave(profile))


def _meanwhile(plan: Plan, profile: Profile, host: Host) -> Mapping[Lane, int]:
    """What runs here until the workers are there."""
    if plan.route == "processes":
        return {"threads": 1}
    # No more than can be computed by then: what has started here cannot go there.
    done_by_then = math.ceil(host.costs.process_start_s / max(1e-9, profile.cpu_s))
    return {"asyncio" if profile.is_async else "threads": min(plan.workers, max(2, done_by_then))}


def _possible(option: Alternative) -> bool:
    return option.predicted_s is not None


def _of_timeout(route: Route, settings: Settings) -> str:
    """What a timeout means on a route, in words."""
    if settings.timeout is None:
        return ""
    if route == "hybrid":
        return "; a call that exceeds the timeout is left behind in its process"
    if route == "processes":
        return "; a call that exceeds the timeout is ended with its process"
    if route == "asyncio":
        return "; a call that exceeds the timeout is cancelled"
    return (
        "; a call that exceeds the timeout is reported and left behind, as threads cannot be ended"
    )


def may_leave(profile: Profile) -> bool:
    """Whether items may go to a process: enough calls were compared; or nothing in the code says that
    it might change the caller's objects, and the first call has not done so, or is a long one."""
    if profile.effect is not None or profile.checks >= CHECKS:
        return profile.effect is None
    long = not profile.calls and profile.elapsed_s >= LONG_FIRST_S
    return not profile.may_change and (profile.untouched or long)


def _forced(settings: Settings) -> tuple[Route, str] | None:
    """The route that measurements have no say in, and why; None if they decide."""
    if settings.route != "auto":
        if settings.backend == "auto":
            reason = "the initializer is for worker processes (with backend='hybrid' each runs many calls at once)"
            return settings.route, reason + _of_timeout(settings.route, settings)
        if isinstance(settings.backend, str):
            reason = f"backend={settings.route!r} was asked for"
            return settings.route, reason + _of_timeout(settings.route, settings)
        return "external", f"the {type(settings.backend).__name__} that was passed is used"
    return None


def _plan(route: Route, lane: Lane, kind: Kind, workers: int, reason: str) -> Plan:
    return Plan(route, kind, workers, {lane: workers}, None, reason)


def _best(options: dict[Route, Alternative], current: Route | None) -> Alternative:
    """The quickest, unless a simpler one or the one in force is within a tenth of it."""
    chosen, *others = (options[route] for route in _SIMPLE_FIRST if route in options)
    for other in others:
        if other.predicted_s is None or chosen.predicted_s is None:
            continue
        if other.predicted_s < TIE * chosen.predicted_s:
            chosen = other
    if current in options and current != chosen.route:
        kept = options[current]
        if kept.predicted_s is not None and chosen.predicted_s is not None:
            if chosen.predicted_s > TIE * kept.predicted_s:
                return kept
    return chosen


# --- Words ------------------------------------------------------------------------------------------


def _reason(
    chosen: Alternative, kind: Kind, profile: Profile, options: dict[Route, Alternative]
) -> str:
    """One reason, in words, for a choice made by measurement."""
    if chosen.route == "processes" and profile.takes_turns:
        return (
            "the calls compute, and threads get no more of them done than one, so processes do them"
        )
    if chosen.route == "processes" and kind is Kind.CPU_FREE and wait_for_each_other(profile):
        return "the calls compute without the GIL, but wait for each other in one process"
    if chosen.route == "processes" and kind is Kind.CPU_FREE:
        return "the calls compute, and workers are there that take them"
    if chosen.route == "processes":
        return "the calls compute and hold the GIL, so only processes use more than one core"
    if chosen.route == "hybrid":
        return (
            "the calls wait, and compute under the GIL more than one process can, so several"
            " processes run many at once each"
        )
    if chosen.route == "asyncio":
        return "the function is async def, so its calls run as tasks on an event loop"
    if chosen.route == "threads" and kind is Kind.CPU_FREE and profile.rivals:
        return (
            "the calls compute without the GIL, so threads use every core, and more of them since other programs"
            " want these, too"
        )
    if chosen.route == "threads":
        return {
            Kind.IO: "the calls wait, so many can wait at once",
            Kind.CHILDREN: "the work is done by child processes, as many as there are cores",
            Kind.CPU_FREE: "the calls compute without the GIL, so threads use every core",
        }.get(kind, "the calls wait for part of their time, so others can run meanwhile")
    alone = wait_for_each_other(profile)
    if profile.effect and (alone or kind in (Kind.CPU_HELD, Kind.MIXED)):
        return f"the function is tied to this process ({profile.effect}), so no other can run it"
    if kind is Kind.UNSEEN:
        return "the first call is being watched"
    if kind is Kind.TINY:
        return f"a call takes {seconds(profile.wall_s)}, less than handing it to a thread"
    if kind is Kind.CPU_FREE and computing(profile) > OVERLAPS:
        return "a call keeps the cores busy with threads of its own"
    if options["processes"].predicted_s is None and (alone or kind in (Kind.CPU_HELD, Kind.MIXED)):
        why = "wait for each other" if alone else "hold the GIL"
        return f"the calls {why}, and processes are out: {options['processes'].reason}"
    return "what is left is too little to be worth a pool"
