"""The routes, each with the seconds that it is predicted to take for the rest. Pure.

With w seconds of wall time per call, c of CPU, h of CPU under the GIL, d for a dispatch, R items left
and C cores, the rest takes

    inline       R w + max(w / 2, e)
    threads      R / min(n / (w + d), C / (c + d), 1 / (h + d))
    processes    start + R / min(P / (w + d), C / (c + d))
    hybrid       start + R / min(P T / (w + d), C / (c + d), P / (h + P d))

with P processes and, for the last, T calls at once in each; its w is, of coroutines, what one takes without
the others of its loop. `start` is zero once workers are up, and is shortened by the items that run here
meanwhile. A call that is watched by itself and has run for e seconds goes on for as long again; the other
routes do the rest meanwhile.
"""

from __future__ import annotations

import math

from . import _obstacles
from ._classify import classify, computing, wait_for_each_other
from ._options import Settings
from ._types import Alternative, Costs, Host, Kind, Profile, Route
from ._wording import seconds

HYBRID_WIDTH = 32
"""The most calls at once in each process of the hybrid route, and what `backend="hybrid"` has unless
`max_workers` says otherwise."""
HYBRID_TASKS = 512
"""The same for coroutines."""
SPARE_CALLS = 2
"""Times what would keep a core busy that calls run side by side in each process of the hybrid route, where
more wait there for one of them to end."""
SPARE_TASKS = 5
"""The same of tasks, of which none waits there: until one that has ended is replaced, as many more go on. With
twice as many, 600 that wait for 20 ms and compute for 3 took 1.44 s on two processes, with four times 1.22,
with eight 1.10."""
SHARED_CALLS = 0.5
"""Share of the cost of a dispatch for an item of the hybrid route: they go one by one, but many are sent, and
heard of, at the same time. 400 threads in two processes: 53 to 130 µs of the parent, and as much again there."""
SHARED_TASKS = 0.3
"""The same of tasks: 27 to 67 µs of the parent; 10,000 that sleep took 36 µs each on both cores. With all of it
counted, twice, 2,000 coroutines of 30 ms + 0.3 ms stayed on one loop for 0.8 s, where two processes took 0.5."""
TURN_S = 0.02
"""What it takes until a task that has ended is replaced, where the loop is busy: outcomes are announced after
5 ms, who hears of them waits 5 ms for the GIL, and what is sent for a turn of the loop. 2,000 coroutines that
wait for 30 ms and compute for 0.3 left the loop idle for a quarter of the time with twice as many at once as
that alone asks for."""
THREAD_CEILING = 256
"""Default limit of waiting calls at once: it protects the other side, and threads beyond it gain
little (a 20 ms wait is then 12,800 calls a second, more than one GIL can make)."""
SHARE_OF_CORES = 0.875
"""Share of the cores that threads which compute without the GIL are meant to have beside other programs. Beside one
that keeps one of two cores busy, 300 images take two threads 1.33 s, four 1.06, eight 0.97, 128 0.93; digests 0.90,
0.78, 0.71, 0.67."""
AT_MOST = 4
"""Times the cores of such threads."""
TASK_CEILING = 5_000
"""The same for tasks on an event loop, which cost 5 µs and 3 kB each."""
HAND_SHARE = 0.1
"""Share by which calls take longer in this process than in a worker: 2.3 ms for 2.0 to 2.1, on two cores, because
the thread that hears of outcomes, 150 times a second, evicts the call's data from the caches and from the
branch predictor. (One call in ten of 40 ms: 1.08 s for 1.03; even calls of 2 ms: 1.13 for 1.09.)"""
HAND_CORES = 4
"""Cores up to which calls go on in this process beside its workers: a quarter of the work is worth
that it hears of outcomes up to 5 ms late, the time for which another thread may keep the GIL."""


def weigh_up(
    profile: Profile, host: Host, settings: Settings, current: Route | None
) -> list[Alternative]:
    """Every route that there is for such calls, the one that was asked for among them."""
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
        # No more than keep the loop busy: what has started on it cannot go elsewhere. What a task costs the loop
        # itself is no reason: of 5,000 that only sleep 4,800 began at once, and the others 20 ms later.
        own_s = max(1e-9, profile.cpu_s - host.costs.task_trip_s)
        workers = min(workers, _enough(profile.wall_s + TURN_S, 1 / own_s))
    rest_s = _rest(profile) / _rate(profile, host, workers, host.costs.task_trip_s, profile.cpu_s)
    return Alternative("asyncio", workers, rest_s, f"up to {workers} tasks: {seconds(rest_s)}")


def _rest(profile: Profile) -> int:
    """Items left; as many again as were done if nobody knows (the ski-rental rule: never risk
    more on a guess than has been spent already)."""
    return max(2, profile.done) if profile.remaining is None else profile.remaining


def _inline(profile: Profile) -> Alternative:
    # The one that is running has half of its time to go, or as long as it has run already: nobody knows
    # more of a first call, or of one that takes far longer than those before it.
    rest_s = _rest(profile) * profile.wall_s + max(profile.wall_s / 2, profile.running_s)
    return Alternative("inline", 1, rest_s, f"one after another: {seconds(rest_s)}")


def _threads(profile: Profile, host: Host, settings: Settings, running: bool) -> Alternative:
    kind, explicit = classify(profile, host), settings.route == "threads"
    workers = _thread_count(profile, host, settings, kind)
    if workers == 1 and not explicit:
        return Alternative("threads", 1, None, _obstacles.to_threads(profile, host, settings))
    rest, trip_s = _rest(profile), host.costs.thread_trip_s
    rate = _rate(profile, host, workers, trip_s, profile.held_s)
    if kind is Kind.CPU_FREE and wait_for_each_other(profile):
        rate = min(rate, workers / max(1e-9, profile.beside_s + trip_s))
    rest_s = max(rest / rate, profile.wall_s)  # the last call takes as long as any
    rest_s = max(rest_s, profile.running_s)
    if not running:
        rest_s += min(workers, rest) * host.costs.thread_start_s
    return Alternative("threads", workers, rest_s, f"{workers} threads: {seconds(rest_s)}")


def _rate(profile: Profile, host: Host, workers: int, trip_s: float, held_s: float) -> float:
    """Calls a second of `workers` at once: bounded by their number, the cores and the GIL."""
    # With what threads of a call's own compute: such calls keep the cores busy one by one, and are no quicker in
    # processes.
    cores_s = computing(profile) * profile.wall_s + profile.child_s
    return min(
        workers / max(1e-9, profile.wall_s + trip_s),
        host.cores / max(1e-9, cores_s + trip_s),
        1 / max(1e-9, (held_s if host.gil else 0.0) + trip_s),
    )


def _thread_count(profile: Profile, host: Host, settings: Settings, kind: Kind) -> int:
    """The fewest threads that reach what the cores and the GIL allow."""
    ceiling = settings.max_workers or THREAD_CEILING
    if kind is Kind.CPU_FREE and profile.takes_turns and settings.route != "threads":
        return 1
    if kind is Kind.CPU_FREE:
        return max(1, min(ceiling, _for_every_core(profile, host)))
    if kind is Kind.CHILDREN:
        return min(host.cores, ceiling)
    if kind in (Kind.CPU_HELD, Kind.TINY, Kind.UNSEEN):
        explicit = settings.route == "threads"
        return min(settings.max_workers or host.cores, ceiling) if explicit else 1
    held_s = profile.held_s if host.gil else 0.0
    reached = min(host.cores / max(1e-9, profile.cpu_s), 1 / max(1e-9, held_s))
    return min(ceiling, _enough(profile.wall_s, reached))


def _for_every_core(profile: Profile, host: Host) -> int:
    """Threads that compute without the GIL: as many as there are cores for, each call with its own threads.

    The system shares cores out by threads: n of ours have n / (n + m) of them beside m of other programs. So there
    are more of ours then, for `SHARE_OF_CORES`; not many more, since each holds an item and its result.
    """
    alone = math.floor(host.cores / max(1.0, computing(profile)) + 0.3)
    if alone < host.cores or not profile.rivals:
        return alone
    enough = SHARE_OF_CORES / (1 - SHARE_OF_CORES) * profile.rivals
    return max(alone, min(math.ceil(enough), AT_MOST * host.cores))


def _enough(wall_s: float, rate: float) -> int:
    """Calls at once that reach so many a second: twice the least, as they do not arrive evenly."""
    return max(1, math.ceil(2 * wall_s * rate))


def _processes(profile: Profile, host: Host, settings: Settings) -> Alternative:
    most = at_once = settings.max_workers or host.cores
    if settings.route == "auto":
        most = min(most, host.cores)
        at_once = min(at_once, _worthwhile(profile, host))
    if obstacle := _obstacles.to_processes(profile, host, at_once):
        if settings.route != "processes":
            return Alternative("processes", at_once, None, obstacle)
    lends = _may_lend_a_hand(host, settings) and profile.processes_ready < most
    # With `max_workers` not: for a moment the call here would be one too many.
    more = lends and settings.max_workers is None and _another_pays(profile, host, at_once)
    beside = 1 if lends else 0
    workers = at_once if more else max(at_once - beside, profile.processes_ready)
    rate = _rate(profile, host, at_once, process_trip_s(profile, host.costs), 0.0)
    start_s = 0.0 if profile.processes_ready else _start_s(profile, host, workers)
    rest_s = _after_start(profile, start_s, rate, meanwhile=1 / max(1e-9, profile.wall_s))
    words = f"{workers} processes{' and this one' if workers < at_once else ''}: {seconds(rest_s)}"
    return Alternative("processes", workers, rest_s, words, beside)


def _another_pays(profile: Profile, host: Host, at_once: int) -> bool:
    """Whether so much is left that one more worker costs less than that calls take longer in this process. What
    it costs is known once there is one: a warm-up, or what the function imports, may take ten times the start."""
    if profile.worker_s is None:
        return False
    rest_s = _rest(profile) * profile.wall_s / at_once
    return max(profile.worker_s, host.costs.process_start_s) < HAND_SHARE * rest_s


def _may_lend_a_hand(host: Host, settings: Settings) -> bool:
    """Whether this process goes on with calls beside its workers until as many are up as there can be at once:
    a start costs 30 ms of a core, and what the function's module imports, which may be ten times
    as much."""
    if settings.route != "auto" or host.warm or not host.main_waits:
        return False
    # What may have to be ended, and what needs workers made for it, belongs in a worker.
    if settings.timeout is not None or settings.own_workers:
        return False
    return 1 < host.cores <= HAND_CORES


def _worthwhile(profile: Profile, host: Host) -> int:
    """Processes that pay for themselves: P of them take P s to start, one after the other, and W / P
    for the work W that is left, which is least for P = sqrt(W / s). Those that are up cost nothing."""
    if host.warm:
        return host.cores
    work_s = _rest(profile) * profile.wall_s
    paying = math.ceil(math.sqrt(work_s / host.costs.process_spawn_s))
    return min(host.cores, max(2, profile.processes_ready, paying))


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
    # The one that is running goes on meanwhile.
    return max(profile.running_s, start_s + max(rest / rate, profile.wall_s))


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
    if profile.remaining is not None:
        # Each gets its share of a few: of 600 coroutines the process that was up first got 512.
        widest = min(widest, max(2, math.ceil((profile.done + profile.remaining) / host.cores)))
    if settings.route == "hybrid":
        workers = settings.max_workers or host.cores * widest
        return Alternative("hybrid", workers, None, "")
    workers = host.cores * min(widest, _hybrid_width(profile, host))
    workers = min(workers, settings.max_workers or workers)
    obstacle = _obstacles.to_hybrid(profile, host, workers, running=current == "hybrid")
    if obstacle or here.predicted_s is None:
        return Alternative("hybrid", workers, None, obstacle or here.reason)
    shared = SHARED_TASKS if profile.is_async else SHARED_CALLS
    if profile.alone_s:
        # What they wait for each other on one loop is not what they would on several: 12 tasks that wait for 0.9 s
        # and compute for as long took 11 s each, and so it seemed to make no difference where they did.
        profile = profile._replace(wall_s=min(profile.wall_s, profile.alone_s))
    trip_s = _travel_s(profile, host.costs) + shared * host.costs.process_trip_s
    rate = _rate(profile, host, workers, trip_s, profile.held_s / host.cores)
    start_s = 0.0 if profile.hybrid_ready else _start_s(profile, host, host.cores)
    meanwhile = _rest(profile) / max(1e-9, here.predicted_s)
    rest_s = _after_start(profile, start_s, rate, meanwhile)
    width = workers // host.cores
    words = f"{host.cores} processes with {width} at once in each: {seconds(rest_s)}"
    return Alternative("hybrid", workers, rest_s, words)


def _hybrid_width(profile: Profile, host: Host) -> int:
    """Calls at once in each process: some times what keeps a core busy, since calls do not arrive
    evenly."""
    spare = SPARE_TASKS if profile.is_async else SPARE_CALLS
    return max(2, math.ceil(spare * profile.wall_s / max(1e-6, profile.cpu_s)))


def process_trip_s(profile: Profile, costs: Costs) -> float:
    """Seconds that one item costs on its way to a process and back, in chunks as they are sent.

    Chunks keep the dispatch itself under a fiftieth of the work, but never below what one item's
    pickling and bytes cost.
    """
    return _travel_s(profile, costs) + min(costs.process_trip_s, max(profile.wall_s / 50, 2e-6))


def _travel_s(profile: Profile, costs: Costs) -> float:
    """What one item's pickling and bytes cost."""
    payload = profile.payload
    if payload is None:
        return 0.0
    return payload.pickle_s + (payload.item_bytes + payload.result_bytes) * costs.byte_s
