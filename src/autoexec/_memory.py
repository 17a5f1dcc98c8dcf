"""When memory is looked at, and what that holds back. Pure: it is told the time, and what the system says.

Only dispatch is held back: nothing is ended, and one call is in flight whatever it takes. How many there is room for
is told by `_room`.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

from ._chunk import Chunk
from ._lanes import Lanes
from ._room import SPARE, Calls, Learned, Room, budget, learn, room
from ._routes import PROCESSES
from ._types import Host, Lane, Memory

LITTLE = SPARE / 2
"""Share of all memory that calls may take in any case if no limit was asked for: where memory is full for
other reasons, to hold back calls that take next to nothing would be of no use."""
LOOK_S = 0.1
CLOSE_LOOK_S = 0.05
"""Between looks, and between those where a limit was asked for: one takes 0.1 ms, and 0.03 ms more
for each worker."""
FAR_LOOK_S = 1.0
"""The longest between looks beside calls that keep the GIL, if no limit was asked for; less where half of what is
left could be filled sooner. Such a look takes 30 ms of the driver's time and 15 more for each worker, as each file
that it reads costs three times 5 ms."""
FILL_BYTES_S = 4e9
"""New memory that a core can take in a second, at most: that is how fast pages come."""
ALONE_LOOK_S = 0.005
"""Between looks while a call runs alone to show what it takes, where nothing but looks can tell: the
kernel's own record of the most is no help if more was held earlier. Pages come at some 4 GB/s, so what
falls between two looks is 20 MB."""
FIRST_LOOK_S = 0.03
"""So that a run of quick calls pays for no look at all, and the first is not long after the start: amid
200,000 tiny calls, which keep the GIL, a look took 2.5 of their 17 ms."""
ALONE = 2
"""Calls here that run alone where a limit was asked for, so that what one takes is known before there
are many: the first may import, and its result may stay, which only the second tells."""


class MemoryUse(NamedTuple):
    """What a run did to memory."""

    limit_bytes: int
    """The least that this process and its workers were allowed to hold together."""
    peak_bytes: int
    """The most that they were seen to hold."""
    call_bytes: int
    """The most that one call was seen to take."""
    held_back: bool
    """Calls waited for others to end, or the plan would have had more at once."""
    exceeded: bool
    """The limit was exceeded with no more than one call in flight, which went on nevertheless."""


class MemoryWatch:
    """The looks at memory of one run, and what follows from them.

    Args:
        limit: What was asked for: bytes, a share of all memory, or None.
        now: The time.
        host: The facts of the machine.
    """

    def __init__(self, limit: int | float | None, now: float, host: Host) -> None:
        asked = limit is not None
        self.look_at = now if asked else now + FIRST_LOOK_S
        """When it may be time to look again."""
        self._limit = limit
        self._cores = host.cores
        self._safe_until = 0.0 if asked else now + self._safe_s(host.free_bytes)
        # Calls that are yet to end before others of their kind may run beside them.
        self._alone = {False: ALONE, True: 1} if asked else {False: 0, True: 0}  # in workers?
        self._ended = 0
        self._first = self._none_ended = True  # no call here had ended by the last look, by now
        self._room = Room(math.inf, math.inf)
        self._last: Memory | None = None
        # Since the last look: the most in flight, and calls in workers that have ended.
        self._here, self._returned = 0, 0
        self._workers: dict[int, int] = {}
        self._learned = Learned(0)
        self.bounds = asked
        """There may be no room for all calls."""
        self._use: MemoryUse | None = None
        self._held_back = self._exceeded = False

    def most(self, name: Lane, wanted: int, lanes: Lanes, waiting: int = 1) -> int:
        """How many more chunks a lane may have.

        Args:
            name: The lane.
            wanted: Those that the plan would send.
            lanes: What is in flight.
            waiting: Items that could be sent.
        """
        remote = name in PROCESSES
        most = self._room.workers if remote else self._room.here
        alone = self._alone[remote] > 0
        if alone:
            most = min(most, 1) if self._ended or not lanes.count else 0
        more = max(most - lanes[name].calls, 0 if lanes.count else 1)
        self._held_back |= more < min(wanted, waiting) and not alone
        return int(min(wanted, more))

    def opened(self) -> None:
        """Workers are up: what they hold without a call is best seen now."""
        if self.bounds:
            self.look_at = 0.0

    def ended(self, chunk: Chunk, calls: int, here: int = 0) -> None:
        """So many calls of a chunk have ended.

        Args:
            chunk: The chunk.
            calls: How many.
            here: What was in flight in this process until now. Others may have been sent after it, and
                before the next look.
        """
        remote = chunk.lane in PROCESSES
        if not remote:
            self._here = max(self._here, chunk.crowd, here)
            self._none_ended = self._none_ended and not calls
        else:
            self._workers[chunk.pid] = max(self._workers.get(chunk.pid, 0), chunk.crowd)
            self._returned += calls
        if not calls or not self.bounds:
            return
        self._ended += calls
        left = self._alone[remote]
        self._alone[remote] = max(0, left - calls)
        if left:  # before the next begins
            self.look_at = 0.0
        self._see()

    def _see(self) -> None:
        self.bounds = self._room.tight or any(self._alone.values())

    def gauged(self, memory: Memory | None, lanes: Lanes, now: float) -> None:
        """What the system says; None if it says nothing, so that nothing is held back."""
        if memory is None:
            self.look_at, self._alone = math.inf, {False: 0, True: 0}
            self._see()
            return
        calls = in_flight(lanes)
        last = self._last or memory
        learned = self._learned if self._last else Learned(memory.here.now_bytes)
        workers = Counter(self._workers) | calls.workers
        most = Calls(max(self._here, calls.here), workers, ended=self._returned)
        self._learned = learn(learned, last, memory, most, calls, first=self._first)
        allowed = budget(memory, self._limit)
        free = int(LITTLE * memory.total_bytes) if self._limit is None else 0
        self._room = room(self._learned, memory, calls, allowed, free=free)
        self._last, self._returned, self._first = memory, 0, self._none_ended
        self._here, self._workers = calls.here, dict(calls.workers)
        self._see()
        matters = self._limit is not None or self._held_back
        self._exceeded |= matters and memory.used_bytes > allowed and calls.total <= 1
        self.look_at = now + self._interval(calls)
        left_bytes = 0 if self.bounds or self._limit is not None else allowed - memory.used_bytes
        self._safe_until = now + self._safe_s(left_bytes)
        self._note(memory, allowed)

    def due(self, now: float, lanes: Lanes, *, costly: bool) -> bool:
        """Whether to look now.

        Args:
            now: The time.
            lanes: What is in flight.
            costly: Calls here keep the GIL. Then memory that is far from being full is not looked at, as long as
                no more of them are in flight than there are cores.
        """
        if now < self.look_at:
            return False
        if costly and now < self._safe_until and in_flight(lanes).total <= self._cores:
            self.look_at = min(now + LOOK_S, self._safe_until)
            return False
        return True

    def _safe_s(self, left_bytes: int) -> float:
        """Seconds in which not half of what is left can be filled."""
        return max(0.0, min(FAR_LOOK_S, left_bytes / 2 / (FILL_BYTES_S * self._cores)))

    def _interval(self, calls: Calls) -> float:
        if (self._alone[False] and calls.here) or (self._alone[True] and calls.workers):
            return ALONE_LOOK_S
        return LOOK_S if self._limit is None else CLOSE_LOOK_S

    def _note(self, memory: Memory, allowed: int) -> None:
        used = self._use
        self._use = MemoryUse(
            limit_bytes=min(allowed, used.limit_bytes if used else allowed),
            peak_bytes=max(memory.used_bytes, used.peak_bytes if used else 0),
            call_bytes=max(self._learned.call, self._learned.worker_call),
            held_back=False,
            exceeded=False,
        )

    def use(self) -> MemoryUse | None:
        """What is to be told of it; None if there was no look."""
        used = self._use
        return used and used._replace(held_back=self._held_back, exceeded=self._exceeded)


def in_flight(lanes: Lanes) -> Calls:
    """The calls that are in flight, and where. Of the chunks that are with a worker which runs one
    call at a time, one runs."""
    workers = Counter(chunk.pid for chunk in lanes.on("hybrid"))
    workers.update({chunk.pid for chunk in lanes.on("processes")})
    del workers[0]  # not with any yet
    remote = sum(len(lanes.on(name)) for name in PROCESSES)
    return Calls(lanes.at_once - remote, workers, side_by_side=bool(lanes["hybrid"].workers))
