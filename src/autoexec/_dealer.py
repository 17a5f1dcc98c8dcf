"""How much goes to each lane, in chunks of which size, and which of its calls are watched. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

from . import _control
from ._chunk import Chunk
from ._classify import WAITS
from ._cluster import alone, batch_size
from ._decide import CHECKS, may_leave
from ._evidence import OVERLAPS
from ._heartbeat import FIRST_BLOCKS, SHORT_S
from ._intake import Intake
from ._lanes import Lanes
from ._obstacles import LEAST_S
from ._options import Settings
from ._pace import PROBE_S, Pace
from ._profile import Profiler
from ._report import Results
from ._routes import PROCESSES, REMOTE
from ._seed import NumberedChunk
from ._types import Host, Kind, Lane, Most, Plan, Profile, Route

WATCHED = 4
"""Calls watched at a time: to look at one costs 10 µs a beat, and more tell nothing new."""
SURE_S = 0.01
"""A first call that has waited for less is joined by a few others only: it may be about to start a
child process (which 32 at once made nine times slower), and takes 1 to 5 ms to get there."""
ROUND_TRIP_S = 0.05
"""What it takes until the next item is there, where a call has ended beside ten others that compute: who sends
the outcome, and who reads the next chunk, wait for the GIL of that process, for which five are before them."""
BESIDE_TRIP_S = 5e-4
"""What a dispatch costs where calls are made in this process as well: the driver waits for the GIL before it
sends the next chunk. Between chunks of 14 ms the worker had nothing to do for 0.4 ms and the thread here
for 0.9, and for 5 to 14 ms where two chunks happened to be short."""
CROWDED_TRIP_S = 2e-4
"""The same to threads that keep every core busy: the driver has to get one. Between NumPy calls of 2 ms, sent one
by one, it took 0.3 ms of CPU, and both threads a tenth of their time; in tens a fiftieth."""
EVEN_TRIP_S = 1e-3
"""The same of calls that hardly vary, of which none is likely to keep those behind it waiting. Beside a program that
keeps one of two cores busy, 300 digests of 4 ms took 1.04 s in chunks of 10 ms and 0.96 in those of 50 (0.88 on two
bare threads); on a calm machine 0.59 in both."""
EVEN_CALLS = 32
"""How many calls must have shown that."""
LINE = 8
"""Calls in line for the places of those that wait, or as many as an eighth of the places: a thread whose call has ended
goes on with the next by itself, and the driver takes outcomes together (see `Scheduler.pause_s`). Of 2,400 calls that
wait for 20 ms, 64 at once, each cost the process 290 µs of CPU without it, 190 so; 16 in line were no better. No more,
as they begin before anybody has seen whether those before them still wait."""
KEPT_S = 0.001
"""The longest chunk of a run with a journal: what has ended in one that is not over is lost with the
process. With 5 ms, a kill cost one to three finished calls of 1 ms. Dispatch one by one takes 0.1 ms."""


class Dealer:
    """Cuts chunks off the intake, as the plan of the moment and the figures so far have it.

    Args:
        settings: An explicit chunk size, number of workers or backend is obeyed.
        host: What dispatch costs.
        profile: The figures as of the last event.
        may_leave: Items may go to other processes, if the calls are such.
        stream: Results leave one by one.
    """

    def __init__(
        self,
        settings: Settings,
        host: Host,
        *,
        intake: Intake,
        lanes: Lanes,
        profiler: Profiler,
        pace: Pace,
        profile: Callable[[], Profile],
        may_leave: bool,
        stream: bool,
    ) -> None:
        self.may_leave = may_leave
        self._settings = settings
        self._host = host
        self._intake = intake
        self._lanes = lanes
        self._profiler = profiler
        self._pace = pace
        self._profile = profile
        self._stream = stream

    def room(self, name: Lane, plan: Plan) -> int:
        """Chunks that a lane can take now; on an event loop, calls."""
        lane = self._lanes[name]
        capacity = plan.capacities[name]
        if name in PROCESSES and not self._sure():
            return 0
        if name == "processes":
            capacity = min(capacity, lane.workers) * self._prefetch(plan)
        elif name in REMOTE:
            if not lane.workers:
                return 0
            return int(min(capacity - len(lane.in_flight), self._calls_left() / plan.width))
        elif name == "hybrid":
            processes = min(self._host.cores, capacity)
            whole = capacity % processes == 0  # else each runs one more than its share of the limit
            capacity = capacity * lane.workers // processes
            capacity += self._queued_there(capacity, lane.workers) if whole else 0
        else:
            if plan.route in REMOTE and self._calls_left() <= 0:
                return 0
            capacity = self._pace.limit(plan, capacity)
            if name == "threads" and not self._profiler.known and self._profiler.wall_s < SURE_S:
                capacity = min(capacity, 2 * self._host.cores)
            elif plan.route == "hybrid" and self._lanes["hybrid"].workers and not self._sure():
                # One by one: only around a call that is alone it is seen what it changes, and with others
                # here at all times 600 coroutines never left, though their workers were there.
                capacity = 1
            elif name == "threads" and lane.opened <= capacity:
                capacity += lane.opened if self._holds_ready(plan) else self._line(plan, capacity)
        return self.allowed(name, capacity) - lane.calls

    def allowed(self, name: Lane, wanted: int) -> int:
        """As many of the calls that are wanted on a lane at once as `max_workers` allows beside those that
        are under way on others: what has started there drains."""
        limit = self._settings.max_workers
        if limit is None or not (beside := self._lanes.running_beside(name)):
            return wanted
        return max(0, min(wanted, limit - beside))

    def _holds_ready(self, plan: Plan) -> bool:
        """Whether a chunk waits for each thread: they keep every core busy, so that the driver gets one
        late. Without, two threads that hash for 6 ms a call had nothing to do for 0.8 ms after each. Not before
        a call alone was seen again, which such a gap allows: of the first it may be wrong what it is; or they
        were seen to compute at the same time, as with what an earlier run has shown none runs alone."""
        if self._settings.max_per_second is not None:
            return False  # what is sent must start
        seen = self._profiler.confirmed or self._profiler.busy >= OVERLAPS
        sure = seen and not self._pace.probing
        return sure and plan.route == "threads" and plan.kind is Kind.CPU_FREE

    def _line(self, plan: Plan, places: int) -> int:
        """Calls that are to wait in line for one of these places, in each of which one waits."""
        settings, sure = self._settings, self._profiler.known and not self._pace.probing
        if settings.max_per_second is not None or settings.memory_limit is not None:
            return 0  # what is in line can be held back no more
        wait = plan.waiting and plan.route == "threads"
        return min(LINE, places // LINE) if wait and sure and not self._stream else 0

    def _queued_there(self, capacity: int, workers: int) -> int:
        """Items that wait within workers, which run so many calls side by side, for one of these to end. Not
        tasks, which would all be begun."""
        profiler, settings, rest = self._profiler, self._settings, self._intake.remaining
        if profiler.is_async or not profiler.known:
            return 0
        if settings.max_per_second is not None or settings.memory_limit is not None:
            return 0  # what is there can be held back no more
        enough = workers * math.ceil(ROUND_TRIP_S / max(profiler.cpu_s, 1e-3))
        # Ever fewer, so that all workers end together.
        return min(capacity, enough, capacity if rest is None else rest // 4)

    def _calls_left(self) -> float:
        """Calls that may start beside those here and those in the batches of a cluster."""
        if self._settings.max_workers is None:
            return math.inf
        there = (chunk for name in REMOTE for chunk in self._lanes.on(name))
        calls = sum(min(chunk.width, chunk.count) for chunk in there)
        return self._settings.max_workers - self._lanes.local - calls

    def _sure(self) -> bool:
        """Whether items may go to other processes."""
        return self._settings.route != "auto" or may_leave(self._profile())

    def _prefetch(self, plan: Plan) -> int:
        """Chunks at once with each worker process."""
        if not self._profiler.known or self._settings.max_per_second is not None:
            return 1  # with a limit on starts, what is sent must start
        size, rest = self.size("processes", plan), self._intake.remaining
        left = math.inf if rest is None else rest / size
        spread = self._profile().spread
        return _control.prefetch(self._profiler.wall_s * size, spread, left, plan.workers)

    def cut(self, name: Lane, size: int, plan: Plan, now: float) -> Chunk:
        """The next chunk, which is now in flight."""
        first, source, start = self._intake.take(size)
        route: Route = name
        if name == "threads" and plan.route in ("inline", "processes"):
            route = "inline"
        kind = Chunk if self._settings.seed is None else NumberedChunk
        chunk = kind(first, source, name, route, start)
        chunk.made_of = Results  # may become the caller's list as it is, see `Results.joined`
        chunk.sent_s = now
        if name in REMOTE:
            chunk.width = chunk.crowd = plan.width
            chunk.alone = alone(self._profile(), plan.kind)
        chunk.watched = name == "threads" and self._clocked(plan)
        if name != "asyncio" and self._profiler.known:  # nobody waits for a task to overrun
            most = self._most(name, plan) if chunk.count > 1 else None
            chunk.expected_s = chunk.count * (most.wall_s if most else self._profiler.wall_s)
            if name == plan.route == "threads" and self._profiler.rivals:
                # Each has a core for its share of the time.
                share = self._host.cores / (plan.workers + self._profiler.rivals)
                chunk.expected_s /= min(1.0, share)
            if name == "processes" and chunk.count > 1:
                chunk.budget_s = _control.overrun_s(chunk.expected_s)
        self._lanes.add(chunk)
        if name == "hybrid":  # those that wait there for one to end do not share its GIL
            width = self._lanes[name].width = -(-plan.capacities[name] // self._host.cores)
            chunk.crowd = min(chunk.crowd, width)
        return chunk

    # --- Sizes ------------------------------------------------------------------------------------

    def size(self, name: Lane, plan: Plan) -> int:
        """Items of the next chunk for a lane."""
        size = self._size(name, plan)
        if self._settings.resume is None or self._settings.chunksize != "auto":
            return size
        return max(1, min(size, int(KEPT_S / max(self._profiler.wall_s, 1e-9))))

    def _size(self, name: Lane, plan: Plan) -> int:
        wall_s, known, given = self._profiler.wall_s, self._profiler.known, self._settings.chunksize
        if name == "hybrid" or (not known and (given == "auto" or name == "asyncio")):
            return 1
        if self._settings.max_per_second is not None:
            return 1  # the calls of one chunk start as fast as they can
        if name == "asyncio":
            if self._settings.timeout is not None or self._settings.timeline:
                return 1  # each is given up, or shown, by itself
            return _control.tasks_size(self._pace.limit(plan, plan.capacities[name]))
        if given == "auto" and self._replaces_workers(name):
            return 1  # which it does between chunks
        if name == "threads" and plan.route in REMOTE:
            return 1  # a sample
        beside = name == "threads" and plan.route == "processes"
        if plan.route == "inline" or beside:
            if self.checking(name, plan) or not known:
                return 1
            if beside:  # in pieces like those of the workers, so that all end together
                return self._shared_size("processes", plan, wall_s)
            blocks = self._profiler.blocks + 2 * self._profiler.expects
            return _control.block_size(wall_s, blocks, self._intake.remaining)
        if name == "external" and self._settings.timeout is not None:
            return 1  # how far a longer one has come is not seen
        if given != "auto":
            return given
        # Also where calls wait: 50,000 of 1 µs on threads took 6 s instead of 25 ms where they went
        # one by one, since beside 30 others each seemed to wait for 60 µs.
        return self._shared_size(name, plan, wall_s)

    def _replaces_workers(self, name: Lane) -> bool:
        """Whether a lane has a worker end after so many calls."""
        if name == "external":  # as the standard library's executor has it, too
            return getattr(self._settings.backend, "_max_tasks_per_child", None) is not None
        return name == "processes" and bool(self._settings.max_tasks_per_child)

    def _shared_size(self, name: Lane, plan: Plan, wall_s: float) -> int:
        workers, most = sum(plan.capacities.values()), self._most(name, plan)
        if most is not None:  # those behind one that takes far longer are called back
            wall_s, workers = most.wall_s, self._host.cores
        trips_s = _control.TRIPS * self._host.costs.thread_trip_s
        one_by_one = wall_s >= trips_s or self._holds_up_results(wall_s, trips_s)
        if plan.waiting and name == "threads" and one_by_one:
            return 1  # before the figures are asked for, which would be worked out anew after each outcome
        profile = self._profile()
        rest = self._intake.remaining
        if name in REMOTE:
            return batch_size(profile, wall_s=wall_s, width=plan.width, remaining=rest)
        costs, payload = self._host.costs, profile.payload
        trip_s = costs.thread_trip_s if name == "threads" else costs.process_trip_s
        if name == "processes" and "threads" in plan.capacities:
            trip_s = max(trip_s, BESIDE_TRIP_S)
        elif name == "threads" and plan.kind is Kind.CPU_FREE:
            even = profile.spread < _control.EVEN and profile.done >= EVEN_CALLS
            trip_s = max(trip_s, EVEN_TRIP_S if even else CROWDED_TRIP_S)
        size = _control.chunk_size(
            wall_s,
            trip_s,
            profile.spread,
            profile.done if rest is None else rest,
            workers,
            payload.item_bytes + payload.result_bytes if payload and name != "threads" else 0,
        )
        if name == "threads" and self._pace.probing:
            return max(1, min(size, int(PROBE_S / max(wall_s, 1e-9))))
        return size if most is None else max(1, min(size, int(most.calls)))

    def _holds_up_results(self, wall_s: float, trips_s: float) -> bool:
        """Whether results of an iterator would wait for a call behind them that takes far longer than most, and than
        the dispatches that this saves."""
        most = self._profiler.mixture.most if self._stream else None
        return most is not None and (wall_s - most.wall_s) * most.calls >= trips_s

    def _most(self, name: Lane, plan: Plan) -> Most | None:
        """What most calls take that wait on threads, if a few take far longer: chunks are as long as suits these,
        but hold no more calls than come to one of the few. One by one, 5,000 calls of 10 µs of which one in twenty
        waits for 50 ms took 0.43 s; so 0.17, as on 128 bare threads.

        Not where results leave one by one, as those of a chunk come together, nor without a GIL, as nothing can be
        taken then from a chunk that runs.
        """
        if self._stream or not self._host.gil or self._settings.chunksize != "auto":
            return None
        return self._profiler.mixture.most if plan.waiting and name == "threads" else None

    # --- What is looked at ------------------------------------------------------------------------

    def checking(self, name: Lane, plan: Plan) -> bool:
        """Whether the caller's state is compared around the next call: around the first, and around
        as many before items leave for another process as it takes; begun alone, since what changes
        meanwhile could be the work of any call."""
        leaving = plan.route in PROCESSES or not self._profiler.known
        leaving = leaving or self._profiler.travel.effect_is_old
        by_itself = name in ("threads", "asyncio") and not self._lanes.here
        return self.may_leave and by_itself and leaving and self._profiler.travel.checks <= CHECKS

    def watching(self) -> bool:
        """Whether the heartbeat still has something to tell."""
        profiler = self._profiler
        if self._settings.route not in ("auto", "threads", *REMOTE) or profiler.is_async:
            return False
        if not profiler.known:
            return True
        if profiler.wall_s < LEAST_S:
            return False
        unclear = profiler.cpu_s >= WAITS * profiler.wall_s and not profiler.heartbeat.is_clear
        return unclear or (profiler.blocks < FIRST_BLOCKS and profiler.wall_s >= SHORT_S)

    def _clocked(self, plan: Plan) -> bool:
        """Whether the next call is among those that are looked at. It lets go of the GIL as it begins, to
        read how long it waited for a core: where the driver takes that, the thread does not get on."""
        few = self._lanes.local < max(WATCHED, 2 * self._host.cores)
        long = self._profiler.wall_s > 10 * self._host.costs.thread_trip_s
        return few and (self.watching() or (long and not self._holds_ready(plan)))
