"""`decide(profile, host, settings) -> Plan`: which route has the shortest predicted rest.

Pure: no clock, no environment. With w seconds of wall time per call, c of CPU, h of CPU under the
GIL, d for a dispatch, R items left and C cores, the rest takes

    inline       R w
    threads      R / min(n / (w + d), C / (c + d), 1 / (h + d))
    processes    start + R / min(P / (w + d), C / (c + d))
    hybrid       start + R / min(P T / (w + d), C / (c + d), P / h)

with P processes and, for the last, T calls at once in each. `start` is zero once workers are up, and is shortened by the items that run here meanwhile.
Ties go to the simpler route, and the one in force gives way only for a saving of a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ._evidence import OVERLAPS
from ._options import Settings
from ._report import seconds
from ._types import Alternative, Costs, Host, Kind, Lane, Plan, Profile, Route

WAITS = 0.1
"""Share of CPU in the wall time below which a call is I/O-bound: such calls only fill a core ten
at a time. Downloads with urllib show 0.02 to 0.05, SQLite and parsing 0.9 and more."""
COMPUTES = 0.7
"""Share above which a call is CPU-bound; between the two it is mixed."""
HOLDS = 0.7
"""Share of the CPU time under the GIL from which a call counts as holding it. Measured shares lie
near 0 (hashlib, zlib, large arrays) or near 1 (Python code)."""
SATURATED = 0.65
"""CPU seconds per second of overlapping calls from which one process is taken to be at its limit: one
under the GIL comes to 0.9 to 1.0, downloads from a server on the same machine to 0.5 to 0.7."""
FULL = 0.8
"""Share of all cores that calls and their child processes keep busy from which more at once only wait
for each other."""
INNER_OWN = 0.3
"""Share of a call's time in which its own thread computes, from which other busy threads of the process
are taken for its own: a thread that calls a BLAS takes its part of the work."""
CHILD_SHARE = 0.15
"""CPU of child processes per wall time from which a call counts as work of child processes."""
HYBRID_WIDTH = 32
"""The most calls at once in each process of the hybrid route, and what `backend="hybrid"` has unless
`max_workers` says otherwise."""
HYBRID_TASKS = 512
"""The same for coroutines."""
_WAITING = (Kind.IO, Kind.MIXED, Kind.ASYNC)
_SIMPLE_FIRST: tuple[Route, ...] = ("inline", "threads", "asyncio", "processes", "hybrid")
THREAD_CEILING = 256
"""Default limit of waiting calls at once: it protects the other side, and threads beyond it gain
little (a 20 ms wait is then 12,800 calls a second, more than one GIL can make)."""
TASK_CEILING = 5_000
"""The same for tasks on an event loop, which cost 5 µs and 3 kB each."""
TIE = 0.9
"""A route replaces a simpler one, or the one in force, if it takes at most this share of it."""
EARLY_SHARE = 0.5
"""Share of the start-up cost of processes that must have been computed here before they are
started: a first call that computes for 5 ms and then waits must not start them in vain."""
FIRST_LOOK_S = 0.002
"""A call that runs this long is judged while it runs."""
LEAST_S = 4e-6
"""Calls shorter than this go to no process: in chunks an item costs 1 to 2 µs on either side."""
LONG_FIRST_S = 0.04
"""A first call that takes longer is not waited for, though what it changes was not compared yet."""
CHECKS = 2
"""Calls around which the caller's state must have been compared before items go to a process. The
first may fill caches, so one is not enough."""


def classify(profile: Profile, host: Host) -> Kind:
    """What the task is, by the figures alone."""
    if profile.is_async:
        return Kind.ASYNC
    if not profile.calls and not profile.elapsed_s:
        return Kind.UNSEEN
    if profile.calls and profile.wall_s < host.costs.thread_trip_s:
        return Kind.TINY
    computing = _computing(profile)
    # Children of many calls at once slow each other down, so the quickest call is the measure.
    if profile.child_s > CHILD_SHARE * profile.least_s and computing < COMPUTES:
        return Kind.CHILDREN
    if profile.child_s and profile.busy >= host.cores * FULL and computing < COMPUTES:
        return Kind.CHILDREN
    if profile.new_child and computing < COMPUTES:
        return Kind.CHILDREN  # before the first has ended, one that has appeared is a good guess
    if computing < WAITS:
        return Kind.IO
    if computing < COMPUTES:
        return Kind.MIXED
    return Kind.CPU_HELD if _holds(profile, host) else Kind.CPU_FREE


def _computing(profile: Profile) -> float:
    """Cores that one call keeps busy: less than 1 where it waits, more where it has threads."""
    own = profile.cpu_s / profile.wall_s if profile.wall_s else 1.0
    # Threads of others may be busy while a call waits; those that help it are not alone in it.
    return own + profile.inner if own >= INNER_OWN else own


def _holds(profile: Profile, host: Host) -> bool:
    if not host.gil or (profile.overlap or 0.0) >= OVERLAPS:
        return False
    return profile.gil_share is None or profile.gil_share >= HOLDS


def opening(
    host: Host,
    settings: Settings,
    length: int | None,
    is_async: bool,
    expected: Profile | None = None,
) -> Plan:
    """The plan before any call of this run was seen.

    Args:
        host: The facts of the machine.
        settings: The options.
        length: Items, if that is known.
        is_async: The function is `async def`.
        expected: What an earlier run of the function has shown.
    """
    route = settings.route
    if route == "auto" and not is_async and length is not None and length <= 1:
        lane: Lane = "threads" if settings.limited else "inline"
        return _plan("inline", lane, Kind.UNSEEN, 1, "there is nothing to run side by side")
    if expected is not None:
        return decide(expected, host, settings, None)
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
    options: dict[Route, Alternative] = {
        one.route: one for one in _weigh_up(profile, host, settings, current)
    }
    if forced := _forced(settings):
        chosen = options[forced[0]]._replace(reason=forced[1])
        rejected: tuple[Alternative, ...] = ()
    else:
        chosen = _best(options, current)
        if settings.timeout is not None and kind is Kind.CPU_HELD:
            # Where a call that never ends can be ended, though here it might be a bit quicker.
            chosen = options["processes"] if _possible(options["processes"]) else chosen
        reason = _reason(chosen, kind, profile, options)
        chosen = chosen._replace(reason=reason + _of_timeout(chosen.route, settings))
        rejected = tuple(a for a in options.values() if a.route != chosen.route)
    # Under `auto`, inline calls run on a helper thread, since only there can they be watched.
    beside = settings.route == "auto" or settings.limited
    lane: Lane = "threads" if chosen.route == "inline" and beside else chosen.route
    plan = _plan(chosen.route, lane, kind, chosen.workers, chosen.reason)
    waiting = chosen.route in ("threads", "asyncio", "hybrid") and kind in _WAITING
    if settings.route == "auto" and not _ready(chosen.route, profile):
        # Items go on here while workers start, so that start-up is hidden behind work, and until
        # enough calls have been seen to leave the caller's objects alone.
        plan = plan._replace(capacities={**_meanwhile(plan, profile, host), **plan.capacities})
    return plan._replace(predicted_s=chosen.predicted_s, waiting=waiting, rejected=rejected)


def _ready(route: Route, profile: Profile) -> bool:
    """Whether items can go where they should."""
    if route == "processes":
        return profile.processes_ready and may_leave(profile)
    return route != "hybrid" or (profile.hybrid_ready and may_leave(profile))


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


# --- The routes, each with its prediction ---------------------------------------------------------


def _weigh_up(
    profile: Profile, host: Host, settings: Settings, current: Route | None
) -> list[Alternative]:
    if profile.is_async and settings.route in ("auto", "asyncio", "hybrid"):
        here = _tasks(profile, host, settings)
        return [here, _hybrid(profile, host, settings, here, current)]
    here = _threads(profile, host, settings, running=current in ("threads", "hybrid"))
    routes = [
        _inline(profile),
        here,
        _processes(profile, host, settings),
        _hybrid(profile, host, settings, here, current),
    ]
    if settings.route == "asyncio":
        routes.append(_tasks(profile, host, settings))
    if settings.route == "external":
        held = getattr(settings.backend, "_max_workers", None)
        known = held if isinstance(held, int) else host.cores
        routes.append(Alternative("external", settings.max_workers or known, None, ""))
    return routes


def _tasks(profile: Profile, host: Host, settings: Settings) -> Alternative:
    workers = settings.max_workers or TASK_CEILING
    if settings.route == "auto" and profile.calls:
        # No more than keep the loop busy: what has started on it cannot go elsewhere.
        workers = min(workers, _enough(profile, 1 / max(1e-9, profile.cpu_s)))
    rest_s = _rest(profile) / _rate(profile, host, workers, host.costs.task_trip_s, profile.cpu_s)
    return Alternative("asyncio", workers, rest_s, f"up to {workers} tasks: {seconds(rest_s)}")


def _rest(profile: Profile) -> int:
    """Items left; as many again as were done if nobody knows (the ski-rental rule: never risk
    more on a guess than has been spent already)."""
    return max(2, profile.done) if profile.remaining is None else profile.remaining


def _inline(profile: Profile) -> Alternative:
    # The one that is running has half of its time to go, where there are so few that it matters.
    rest_s = (_rest(profile) + 0.5) * profile.wall_s
    return Alternative("inline", 1, rest_s, f"one after another: {seconds(rest_s)}")


def _threads(profile: Profile, host: Host, settings: Settings, running: bool) -> Alternative:
    kind, explicit = classify(profile, host), settings.route == "threads"
    workers = _thread_count(profile, host, settings, kind)
    if workers == 1 and not explicit:
        return Alternative("threads", 1, None, _why_one_thread(profile, host, settings))
    rest, trip_s = _rest(profile), host.costs.thread_trip_s
    rest_s = rest / _rate(profile, host, workers, trip_s, profile.held_s)
    rest_s = max(rest_s, profile.wall_s)  # the last call takes as long as any
    if not running:
        rest_s += min(workers, rest) * host.costs.thread_start_s
    return Alternative("threads", workers, rest_s, f"{workers} threads: {seconds(rest_s)}")


def _rate(profile: Profile, host: Host, workers: int, trip_s: float, held_s: float) -> float:
    """Calls a second of `workers` at once: bounded by their number, the cores and the GIL."""
    return min(
        workers / max(1e-9, profile.wall_s + trip_s),
        host.cores / max(1e-9, profile.cpu_s + profile.child_s + trip_s),
        1 / max(1e-9, (held_s if host.gil else 0.0) + trip_s),
    )


def _thread_count(profile: Profile, host: Host, settings: Settings, kind: Kind) -> int:
    """The fewest threads that reach what the cores and the GIL allow."""
    ceiling = settings.max_workers or THREAD_CEILING
    if kind is Kind.CPU_FREE:
        return max(1, min(ceiling, math.floor(host.cores / max(1.0, _computing(profile)) + 0.3)))
    if kind is Kind.CHILDREN:
        return min(host.cores, ceiling)
    if kind in (Kind.CPU_HELD, Kind.TINY, Kind.UNSEEN):
        explicit = settings.route == "threads"
        return min(settings.max_workers or host.cores, ceiling) if explicit else 1
    held_s = profile.held_s if host.gil else 0.0
    reached = min(host.cores / max(1e-9, profile.cpu_s), 1 / max(1e-9, held_s))
    return min(ceiling, _enough(profile, reached))


def _enough(profile: Profile, rate: float) -> int:
    """Calls at once that reach so many a second: twice the least, as they do not arrive evenly."""
    return max(1, math.ceil(2 * profile.wall_s * rate))


def _why_one_thread(profile: Profile, host: Host, settings: Settings) -> str:
    kind = classify(profile, host)
    if settings.max_workers == 1:
        return "max_workers is 1"
    if kind is Kind.CPU_HELD:
        return "the calls hold the GIL, so threads would take turns"
    if kind is Kind.TINY:
        return (
            f"handing a call to a thread costs {seconds(host.costs.thread_trip_s)},"
            f" the call itself {seconds(profile.wall_s)}"
        )
    if kind is Kind.CPU_FREE and host.cores > 1:
        return "a call keeps every core busy with threads of its own"
    return "nothing would run side by side" if kind is not Kind.UNSEEN else "nothing is known yet"


def _processes(profile: Profile, host: Host, settings: Settings) -> Alternative:
    workers = settings.max_workers or host.cores
    if settings.route == "auto":
        workers = min(workers, _worthwhile(profile, host))
    if obstacle := _why_no_processes(profile, host, workers):
        if settings.route != "processes":
            return Alternative("processes", workers, None, obstacle)
    rate = _rate(profile, host, workers, process_trip_s(profile, host.costs), 0.0)
    start_s = 0.0 if profile.processes_ready else _start_s(profile, host, workers)
    rest_s = _after_start(profile, start_s, rate, meanwhile=1 / max(1e-9, profile.wall_s))
    return Alternative("processes", workers, rest_s, f"{workers} processes: {seconds(rest_s)}")


def _worthwhile(profile: Profile, host: Host) -> int:
    """Processes that pay for themselves: P of them take P s to start, one after the other, and W / P
    for the work W that is left, which is least for P = sqrt(W / s)."""
    if profile.processes_ready:
        return host.cores
    work_s = _rest(profile) * profile.wall_s
    return max(2, min(host.cores, math.ceil(math.sqrt(work_s / host.costs.process_spawn_s))))


def _start_s(profile: Profile, host: Host, processes: int) -> float:
    """Seconds until workers have the function."""
    fn_bytes = profile.payload.fn_bytes if profile.payload else 0
    costs = host.costs
    later_s = max(0, processes - 2) * costs.process_spawn_s  # `process_start_s` is that of two
    return costs.process_start_s + later_s + 2 * processes * fn_bytes * costs.byte_s


def _after_start(profile: Profile, start_s: float, rate: float, meanwhile: float) -> float:
    """Seconds for the rest, of which some runs here before the workers are there."""
    rest = float(_rest(profile))
    if rate > meanwhile:  # else there is no use in waiting
        rest = max(0.0, rest - start_s * meanwhile)
    return start_s + max(rest / rate, profile.wall_s)


def _hybrid(
    profile: Profile, host: Host, settings: Settings, here: Alternative, current: Route | None
) -> Alternative:
    """Processes with several calls at once in each.

    Args:
        profile: What was measured.
        host: Cores and costs.
        settings: The options.
        here: The same calls at once in this process, which goes on until workers are there.
        current: The route in force.
    """
    widest = HYBRID_TASKS if profile.is_async else HYBRID_WIDTH
    if settings.route == "hybrid":
        workers = settings.max_workers or host.cores * widest
        return Alternative("hybrid", workers, None, "")
    workers = host.cores * min(widest, _hybrid_width(profile, host))
    workers = min(workers, settings.max_workers or workers)
    obstacle = _why_no_hybrid(profile, host, workers, running=current == "hybrid")
    if obstacle or here.predicted_s is None:
        return Alternative("hybrid", workers, None, obstacle or here.reason)
    # Items go one by one, and each costs this process its share of a dispatch.
    trip_s = process_trip_s(profile, host.costs) + host.costs.process_trip_s
    rate = _rate(profile, host, workers, trip_s, profile.held_s / host.cores)
    start_s = 0.0 if profile.hybrid_ready else _start_s(profile, host, host.cores)
    meanwhile = _rest(profile) / max(1e-9, here.predicted_s)
    rest_s = _after_start(profile, start_s, rate, meanwhile)
    width = workers // host.cores
    words = f"{host.cores} processes with {width} at once in each: {seconds(rest_s)}"
    return Alternative("hybrid", workers, rest_s, words)


def _hybrid_width(profile: Profile, host: Host) -> int:
    """Calls at once in each process: twice what keeps a core busy, since calls do not arrive
    evenly."""
    return max(2, math.ceil(2 * profile.wall_s / max(1e-6, profile.cpu_s)))


def _why_no_hybrid(profile: Profile, host: Host, workers: int, running: bool) -> str | None:
    if obstacle := _why_confined(profile, host):
        return obstacle
    if host.cores == 1 or workers <= host.cores:
        return "only one process could run" if host.cores == 1 else "max_workers allows no more"
    if not profile.calls:
        return "nothing is known yet"
    if profile.is_async:
        return None
    if classify(profile, host) not in _WAITING:
        return "the calls do not wait, so one at a time in each process does as well"
    if not running and (profile.overlap or 0.0) < SATURATED:
        return "a single process is not at its limit"
    return None if _holds(profile, host) else "the calls do not keep the GIL, so threads do as well"


def process_trip_s(profile: Profile, costs: Costs) -> float:
    """Seconds that one item costs on its way to a process and back, in chunks as they are sent.

    Chunks keep the dispatch itself under a fiftieth of the work, but never below what one item's
    pickling and bytes cost.
    """
    payload = profile.payload
    travel_s = 0.0
    if payload is not None:
        travel_s = payload.pickle_s + (payload.item_bytes + payload.result_bytes) * costs.byte_s
    return travel_s + min(costs.process_trip_s, max(profile.wall_s / 50, 2e-6))


def _why_confined(profile: Profile, host: Host) -> str | None:
    """Why the calls cannot leave this process, if they cannot."""
    if host.processes_barred:
        return host.processes_barred
    if profile.effect:
        return f"the function changes the caller's state: {profile.effect}"
    return profile.payload.obstacle if profile.payload else None


def _why_no_processes(profile: Profile, host: Host, workers: int) -> str | None:
    """What forbids processes, or makes them pointless, or is not known yet."""
    if obstacle := _why_confined(profile, host):
        return obstacle
    if workers == 1:
        return "only one process could run"
    kind = classify(profile, host)
    if kind is Kind.UNSEEN and not profile.processes_ready:
        return "nothing is known yet"
    if profile.wall_s < LEAST_S and not profile.processes_ready:
        return "a call is too short to be worth a process"
    if not profile.processes_ready:
        if not host.gil or profile.held_s < WAITS * profile.wall_s:
            return "the calls do not keep the GIL, so threads serve as well without start-up"
        if profile.gil_share is None:
            return "the GIL was not watched for long enough to tell"
        if profile.elapsed_s < EARLY_SHARE * host.costs.process_start_s:
            return "too little was computed so far to justify starting processes"
    return None


# --- Words ------------------------------------------------------------------------------------------


def _reason(
    chosen: Alternative, kind: Kind, profile: Profile, options: dict[Route, Alternative]
) -> str:
    """One reason, in words, for a choice made by measurement."""
    if chosen.route == "processes":
        return "the calls compute and hold the GIL, so only processes use more than one core"
    if chosen.route == "hybrid":
        return (
            "the calls wait, and compute under the GIL more than one process can, so several"
            " processes run many at once each"
        )
    if chosen.route == "asyncio":
        return "the function is async def, so its calls run as tasks on an event loop"
    if chosen.route == "threads":
        return {
            Kind.IO: "the calls wait, so many can wait at once",
            Kind.CHILDREN: "the work is done by child processes, as many as there are cores",
            Kind.CPU_FREE: "the calls compute without the GIL, so threads use every core",
        }.get(kind, "the calls wait for part of their time, so others can run meanwhile")
    if profile.effect and kind in (Kind.CPU_HELD, Kind.MIXED):
        return (
            f"the function changes the caller's state ({profile.effect}), which a process cannot do"
        )
    if kind is Kind.UNSEEN:
        return "the first call is being watched"
    if kind is Kind.TINY:
        return f"a call takes {seconds(profile.wall_s)}, less than handing it to a thread"
    if kind is Kind.CPU_FREE and _computing(profile) > OVERLAPS:
        return "a call keeps the cores busy with threads of its own"
    if options["processes"].predicted_s is None and kind in (Kind.CPU_HELD, Kind.MIXED):
        return f"the calls hold the GIL, and processes are out: {options['processes'].reason}"
    return "what is left is too little to be worth a pool"
