"""What is taken from the input, sent to which lane, and called back. Pure: it is told the time."""

from __future__ import annotations

from collections.abc import Sequence

from . import _control
from ._actions import Open, Peek, Recall, Send, Take
from ._buffer import PATIENCE, Buffer
from ._chunk import Chunk
from ._dealer import Dealer
from ._intake import Intake
from ._lanes import Lanes
from ._launch import Launch
from ._memory import MemoryWatch
from ._options import Settings
from ._profile import Profiler
from ._rate import Rate
from ._routes import PROCESSES, REMOTE
from ._types import Host, Lane, Plan, Running
from ._window import Window

KEPT = 4
"""Items that run here at once since they cannot travel: a few, or none of the others can be sent
meanwhile."""


class Feed:
    """Feeds the lanes.

    Args:
        settings: The options.
        host: Cores, and whether there is a GIL.
        dealer: Cuts the chunks.
        intake: What came from the input and was not sent yet.
        lanes: What is in flight.
        window: The results so far, and where they end.
        profiler: What was measured.
        memory: What it bounds.
        now: The time.
        stream: Results leave one by one.
    """

    def __init__(
        self,
        settings: Settings,
        host: Host,
        dealer: Dealer,
        *,
        intake: Intake,
        lanes: Lanes,
        window: Window,
        profiler: Profiler,
        memory: MemoryWatch,
        now: float,
        stream: bool,
    ) -> None:
        self.held = 0
        """Results that have left the window, and that the driver still holds for its caller."""
        self.taking = False
        """The driver gets items meanwhile, and will say `took`."""
        self.pull_at = now
        """When more are taken from an input that was slow."""
        self.overran = False
        """A chunk was called back since it took far longer than expected."""
        self.launch = Launch(host.cores)
        self.rate = Rate(settings.max_per_second, now)
        self._buffer = Buffer(settings) if stream else None
        self._recalled: list[Chunk] = []
        self._in_step = host.gil
        self._dealer = dealer
        self._intake = intake
        self._lanes = lanes
        self._window = window
        self._profiler = profiler
        self._memory = memory

    def pulled(self, now: float, seconds: float) -> None:
        """So long it took to take the last items from an input that nobody else waits for."""
        self.pull_at = now + PATIENCE * seconds

    def peeked(self, seen: Sequence[Running], now: float, cpu_s: float) -> bool:
        """So long the calls have run, and computed, that were started last, and this process in all.

        Returns:
            Whether these are the first that compute for longer than those before.
        """
        self._profiler.spent.peek(seen)
        computing, before = self._profiler.others_compute, self.launch.computing
        calls = max(1, self._lanes.local)
        self.launch.looked(seen, now, computing=computing, cpu_s=cpu_s, calls=calls)
        return computing and not before

    def send(self, plan: Plan, now: float) -> Take | Open | Peek | Send | None:
        """What to take or to start next, if anything."""
        intake, dealer = self._intake, self._dealer
        self.launch.held_back = False
        # An item before the end may come after one behind it: those that come back are in no order.
        while intake.count and self._window.ends_before(intake.first()):
            intake.drop()
        allowed = self.rate.allowed(now)
        if allowed < 1 or (intake.ended and not intake.count):
            return None
        if intake.stays and intake.count and intake.first() in intake.stays:
            return self._keep(plan, now)
        # Processes before threads; but the first calls run here before a cluster has any.
        for name in sorted(plan.capacities, reverse=plan.route in REMOTE):
            room = dealer.room(name, plan)
            if room > 0 and self._memory.bounds:
                room = self._memory.most(name, room, self._lanes, intake.count)
            if room <= 0:
                continue
            size = dealer.size(name, plan)
            if name == "asyncio":  # where what a chunk takes is as much room as it has calls
                # The last of 5,000 began when all others had ended: there was room for eight, not for a chunk.
                size = 1 if self._memory.bounds else min(size, intake.remaining or size)
                room //= size
                if room <= 0:
                    continue
            slots = room + len(self._lanes[name].in_flight)
            if name == "threads" and plan.waiting and intake.count:
                room = self.launch.room(min(room, intake.count), self._lanes.in_line)
                if self.launch.held_back and now >= self.launch.look_from:
                    return Peek(self.launch.wave)
                if not room:
                    continue
            if self._buffer is not None:
                size = self._buffer.chunk(size, slots, self._profiler.wall_s)
            if not intake.count:
                if plan.waiting and not self.held:
                    # The caller waits: if that is for a slow call, those behind it would soon fill what the few
                    # calls at once of a search that has just begun are given, and none could be added.
                    slots = max(slots, plan.capacities[name] // size)
                if most := self.may_take(room * size, size, slots, now):
                    return Take(most)
                continue
            room = int(min(room, allowed))
            check = dealer.checking(name, plan)
            chunks: list[Chunk] = []
            while intake.count and len(chunks) < room:
                chunks.append(dealer.cut(name, size, plan, now))
            self.rate.started(len(chunks))
            if name == "threads" and plan.waiting:
                self.launch.started(chunks, now)
            return Send(name, chunks, check=check and chunks[0].count == 1)
        return None

    def may_take(self, wanted: int, size: int, slots: int, now: float) -> int:
        """How many items to take from the input, if any."""
        if self.taking or self._intake.ended or self._window.ends_before(self._intake.taken):
            return 0
        if self._buffer is None:
            return wanted
        if now < self.pull_at and self._lanes.count:
            return 0  # see what comes of the last ones first
        if self._profiler.done and size * slots > 1:
            wanted *= 2  # so that the next call can be sent when one ends, whatever the input does
        between = self._intake.taken - self._window.passed + self.held
        return max(0, min(wanted, self._buffer.bound(size, slots) - between))

    def _keep(self, plan: Plan, now: float) -> Open | Send | None:
        """Run an item here that cannot travel."""
        name: Lane = "asyncio" if self._profiler.is_async else "threads"
        lane = self._lanes[name]
        most = self._dealer.allowed(name, min(KEPT, lane.opened or KEPT))
        if len(lane.in_flight) >= most:
            return None
        if not lane.opened:
            lane.open(most)
            return Open(name, most)
        if self._memory.bounds and not self._memory.most(name, 1, self._lanes):
            return None
        self.rate.started(1)
        return Send(name, [self._dealer.cut(name, 1, plan, now)], check=False)

    def recall(self, plan: Plan, now: float) -> Recall | None:
        """What to call back, if anything."""
        if self._crowded_out(plan):
            for chunk in reversed(self._lanes.on("threads")):
                if chunk.began is not None or chunk.recalled or chunk.first in self._intake.stays:
                    continue  # none that has started, nor one that would come back
                return Recall(chunk)
        for chunk in self._lanes.longer:
            if chunk.recalled or chunk.count == 1 or chunk.expected_s is None:
                continue
            overran = now - chunk.began_s(now) > _control.overrun_s(chunk.expected_s)
            # One after another is over: these items can run side by side, or elsewhere.
            over = plan.route == "threads" or "threads" not in plan.capacities
            if overran or (over and chunk.route == "inline"):
                new = overran and not self._is_one_of_few(plan, chunk)
                self.overran = self.overran or new
                del self._lanes.longer[chunk]  # which is asked for each time
                self._recalled.append(chunk)
                return Recall(chunk)
        return None

    def _is_one_of_few(self, plan: Plan, chunk: Chunk) -> bool:
        """Account for a call that takes far longer than those before it; whether one does so now and then."""
        if not plan.waiting:
            return False
        self._profiler.mixture.mark(chunk)
        return self._profiler.mixture.most is not None

    def see_far(self, now: float) -> None:
        """See which of those that all wait take far longer than most, before one has come back."""
        mixture = self._profiler.mixture
        for chunk in self._lanes.on("threads"):  # longer ones are called back
            if chunk.count == 1 and mixture.is_far(now - chunk.began_s(now)):
                mixture.mark(chunk)

    def regain(self) -> None:
        """Have the items again of chunks that were called back, as far as they were not started: the call
        that runs may take very much longer."""
        for chunk in self._recalled:
            if self._in_step and not chunk.finished and (rest := chunk.cut()):
                self._intake.give_back(chunk.first + chunk.count, rest)
        self._recalled.clear()

    def _crowded_out(self, plan: Plan) -> bool:
        """Whether more calls are on their way to threads than these should have by now, and would be
        better off elsewhere."""
        most = plan.capacities.get("threads", 0)
        return plan.route in PROCESSES and len(self._lanes["threads"].in_flight) > most
