"""How many calls memory has room for, by what they were seen to take. Pure.

What a call takes is learned from what processes grow by while calls run in them. From that follows
what would be held if every call in flight took as much as any did so far, and so how many more may
start.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from ._types import Held, Memory

SAFE = 0.9
"""Share of all memory that this process and its workers may hold if nothing else is asked for."""
SPARE = 0.05
"""Share of all memory that is left free whatever was asked for, as other programs grow too. Neither was
measured: what matters is to stop before the kernel kills."""
PLENTY = 100_000
"""More calls at once than there ever are: room for so many is no bound."""


class Learned(NamedTuple):
    """What calls take, in bytes."""

    base: int
    """What this process holds apart from the calls in it."""
    call: int = 0
    """The most that a call here was seen to take; 0: none took anything."""
    floors: Mapping[int, int] = MappingProxyType({})
    """What each worker holds without a call, by its number."""
    worker_call: int = 0
    """The most that a call in a worker was seen to take."""
    top: int = 0
    """The most that this process held while the first call here ran."""
    payload: int = 0
    """The most that this process was seen to take for one of those: its item and its result, pickled and
    not."""


class Calls(NamedTuple):
    """What is in flight."""

    here: int
    """In this process."""
    workers: Counter[int]
    """In each worker process that has any, by its number."""
    side_by_side: bool = False
    """Workers run several at once each."""
    ended: int = 0
    """Calls in workers that have ended since the last look."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.here + self.workers.total()


class Room(NamedTuple):
    """The most calls that may be in flight."""

    here: float
    workers: float

    @property
    def tight(self) -> bool:
        """Whether that is a bound at all."""
        return min(self) < PLENTY


def budget(memory: Memory, limit: int | float | None) -> int:
    """Bytes that this process and its workers may hold together.

    Args:
        memory: What the system says.
        limit: Bytes, a share of all memory, or None for a safe share.
    """
    share = SAFE if limit is None else limit
    asked = int(share * memory.total_bytes) if isinstance(share, float) else share
    left = memory.free_bytes - int(SPARE * memory.total_bytes)
    return min(asked, memory.used_bytes + left)


def learn(
    learned: Learned, last: Memory, memory: Memory, most: Calls, now: Calls, *, first: bool = False
) -> Learned:
    """What calls take, after another look.

    It never forgets what the largest took: there may be others like it.

    Args:
        learned: What was known.
        last: The look before.
        memory: This look.
        most: The most that was in flight since then: growth is shared out among them.
        now: What is in flight.
        first: No call in this process had ended by the last look.
    """
    learned = _learn_here(learned, _peak(last.here, memory.here), memory, most, now, first)
    floors: dict[int, int] = {}
    worker_call, payload = learned.worker_call, learned.payload
    for pid, held in memory.workers.items():
        floors[pid] = _floor(learned, pid, held.now_bytes, busy=pid in now.workers)
        if pid in most.workers:
            grown = _peak(last.workers.get(pid, _NEW), held) - floors[pid]
            worker_call = max(worker_call, -(-grown // most.workers[pid]))
    if most.workers and not most.here:
        grown = _peak(last.here, memory.here) - last.here.now_bytes
        payload = max(payload, -(-grown // max(most.ended, most.workers.total())))
    return learned._replace(floors=floors, worker_call=worker_call, payload=payload)


def _learn_here(
    learned: Learned, peak: int, memory: Memory, most: Calls, now: Calls, first: bool
) -> Learned:
    """The same of calls in this process.

    What stays after the first (an import) is no part of the next, so what it takes is known when it
    has ended. What stays after others may be results, which are.
    """
    held, base = memory.here.now_bytes, learned.base
    top = max(peak, learned.top)
    if first and most.here == 1:
        call = learned.call if now.here else max(learned.call, top - held)
        return learned._replace(base=base if now.here else held, call=call, top=top)
    base = min(base, held)
    call = max(learned.call, -(-(peak - base) // most.here)) if most.here else learned.call
    return learned._replace(base=base if now.here else held, call=call)


_NEW = Held(0, 0)


def _floor(learned: Learned, pid: int, now_bytes: int, *, busy: bool) -> int:
    """What a worker holds without a call, at most. One that had its first call before it was looked
    at for the first time held no more than the others did."""
    if pid in learned.floors:
        return min(learned.floors[pid], now_bytes)
    return min(now_bytes, *learned.floors.values()) if busy and learned.floors else now_bytes


def _peak(last: Held, held: Held) -> int:
    """The most that a process held since the last look, as far as it can be known: what it held
    earlier hides what it held since, unless that was more."""
    return held.peak_bytes if held.peak_bytes > last.peak_bytes else held.now_bytes


def room(learned: Learned, memory: Memory, calls: Calls, allowed: int, *, free: int = 0) -> Room:
    """How many calls may be in flight, here and in workers.

    Args:
        learned: What calls take.
        memory: This look.
        calls: What is in flight.
        allowed: Bytes that may be held.
        free: Bytes that calls may take in any case.
    """
    running, payload = calls.workers.total(), learned.payload
    worker_call = learned.worker_call or learned.call
    spare = allowed - max(memory.here.now_bytes, learned.base + calls.here * learned.call)
    spare -= running * payload
    for pid, held in memory.workers.items():
        busy = calls.workers.get(pid, 0)
        spare -= max(held.now_bytes, learned.floors.get(pid, 0) + busy * worker_call)
    # A worker that holds much already, though it has no call, needs less for the next one.
    needs = [
        max(0, learned.floors.get(pid, held.now_bytes) + worker_call - held.now_bytes) + payload
        for pid, held in memory.workers.items()
        if pid not in calls.workers
    ]
    each = worker_call + payload
    if free:
        spare = max(spare, free - calls.here * learned.call - running * each)
    return Room(
        here=_bound(calls.here, spare, learned.call),
        workers=_bound(running, spare, each, None if calls.side_by_side else needs),
    )


def _bound(running: int, spare: int, call: int, needs: Iterable[int] | None = None) -> float:
    """So many calls may be in flight, if each takes so much more.

    Args:
        running: Calls that are.
        spare: Bytes that are left; negative if there are fewer than none.
        call: Bytes that each takes.
        needs: Bytes that each of those takes that can come next, where that is known; if there is
            room for all of them, there is no bound.
    """
    if spare < 0:
        return max(0, running + spare // call) if call else 0
    if needs is None:
        return running + spare // call if call else math.inf
    for need in sorted(needs, reverse=True):
        if need > spare:
            return running
        spare -= need
        running += 1
    return math.inf
