"""From outcomes and looks to a Profile: what the calls of a function are like.

Reads no clock: every figure arrives in a `Block` or a `Look`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ._chunk import Block
from ._classify import COMPUTES
from ._evidence import BEAT_S, OVERLAPS, Overlap
from ._gain import ALIKE, OnThreads, Turns, rivals
from ._heartbeat import Heartbeat
from ._means import memory_of
from ._mixture import Mixture
from ._own_time import IDLE, OwnTime
from ._side_by_side import Beside, OwnWaits, Spent
from ._start_cost import StartCost
from ._travel import Travel
from ._types import Look, Profile

THROUGH_S = 0.0025
"""Who computes for less has done so before another gets the GIL, for which that waits 5 ms."""
STILL = 0.5
"""Share of the wall time believed from which the quickest of many such calls has waited as ever."""


class Profiler:
    """Collects what is seen; `profile` gives the figures so far as a frozen record."""

    def __init__(self, is_async: bool, prior: Profile | None = None) -> None:
        self.is_async = is_async
        self.travel = Travel(prior)
        """Whether they may run in other processes."""
        self.blocks = 0
        self.done = 0
        self.succeeded = 0
        """Those of them that did not fail."""
        self.done_here = 0
        """Those that ran in this process."""
        self.local_s = 0.0
        """Seconds that these took, added up."""
        self.unclear = 0
        """Calls since the last whose wall time could be believed."""
        self._quickest_s = math.inf
        """The quickest of these."""
        self._measured = 0
        self._last_block_s = 0.0
        self._own = OwnTime(prior)
        self._times = self._own.times
        self._watched = self._own.watched
        self.mixture = Mixture(prior.most if prior else None)
        """Whether a few calls take far longer than most."""
        self.heartbeat = Heartbeat(prior)
        self._own_waits = OwnWaits()
        self._cores = self._own.cores
        self.spent = Spent()
        """What calls under way have computed so far."""
        self.beside = Beside()
        self._start = StartCost(prior.worker_s if prior else None)
        self.turns = Turns(before=prior is not None and prior.takes_turns)
        self._was_seen_alone = prior is not None and prior.seen_alone
        self.rivals = 0.0
        """Threads of other programs that compete with calls for the cores, as it was last seen."""
        self.expects = prior is not None
        """An earlier run has shown what calls are like."""
        if prior is not None:
            self._expect(prior)

    def _expect(self, prior: Profile) -> None:
        """Begin with what an earlier run has shown; the first calls of this one replace it."""
        self._measured = 1
        longer = prior.beside_s / prior.wall_s if prior.wall_s else 0.0
        self.beside = Beside(prior.used, longer, prior.blocked)
        self.local_s = prior.elapsed_s
        mixed = prior.most is not None and prior.cpu_s < COMPUTES * prior.wall_s
        self._times.expect(prior.wall_s, prior.cpu_s, prior.least_s, mixed=mixed)

    @property
    def known(self) -> bool:
        """Whether there is anything to go by: calls that have returned, or an earlier run."""
        return self.expects or self.done > 0

    def are_others(self) -> None:
        """Calls that waited compute now, or those that computed wait: what they did beside others tells nothing."""
        self.beside = Beside()
        self._cores.restart()
        self.turns.drop_doubt()

    def gil_is_on(self) -> None:
        """There was no GIL before, so that what calls did side by side was another matter."""
        self.heartbeat.gil_is_on()
        self._own.overlap = Overlap(None)
        self._own_waits = OwnWaits()
        self.turns.forget()
        self.are_others()

    def restart(self) -> None:
        """The work has changed: the next calls replace what was known of how long they take. What
        they did to the GIL is kept until it is seen anew."""
        self._times.provisional = True
        self._was_seen_alone = False
        self.turns.drop_doubt()
        self.blocks = 0

    def overran(self, *, beside: bool = False) -> None:
        """A block took much longer than expected, which may be as the work has changed; or, for calls that take
        turns, as it ran `beside` others of its kind."""
        if self._times.overran():
            if not (beside and self.turns.told):
                self.turns.forget()
            # For how long they want cores is kept: beside a busy core many overrun, and the first dispatch after that
            # would say by itself that they take turns.
            self.restart()

    def add(self, block: Block, *, local: bool, crowd: int) -> None:
        """Account for calls that have returned.

        Args:
            block: Their outcome.
            local: They ran in this process.
            crowd: Dispatches, this one included, that may have shared its interpreter.
        """
        if self._count(block, local=local):
            self._learn(block, local=local, crowd=crowd)

    def add_tasks(self, block: Block, *, before: int, beside: int) -> None:
        """Account for coroutines that have ended on an event loop, here or elsewhere.

        Args:
            block: Their outcome.
            before: How many were begun there before them and had not ended, themselves included.
            beside: The same with those that were begun after them.
        """
        if self._count(block, local=False):
            self._own.learn_task(block, before, beside)

    def _count(self, block: Block, *, local: bool) -> bool:
        """Count the calls of a block. Returns whether it tells how long they took."""
        calls = block.calls
        if block.last:
            self.heartbeat.ended(block)
        self.done += calls
        self.succeeded += len(block.values)
        self.done_here += calls if local else 0
        if not calls or not block.wall_s:
            return False  # nobody saw how long it took: a worker died, or could not be sent it
        if self.expects and not self.blocks:
            self._measured, self._times.least_s = 0, math.inf
        self.blocks += 1
        self._measured += calls
        if local:
            self.local_s += block.wall_s
            self._last_block_s = block.wall_s
        return True

    def _learn(self, block: Block, *, local: bool, crowd: int) -> None:
        """See in calls that have returned how long such calls take, and what they do beside each other."""
        calls = block.calls
        cold = not local and self._start.add(block, calls, crowd)
        if cold and self._times.wall.n:  # else they are better than nothing
            return
        if crowd <= 1 and block.last:
            # Not in a crowd: the others had no core either, so it would count many times.
            gap_s = max(0.0, block.wall_s - block.cpu_s)
            block.queued_s = min(gap_s, block.queued_s + block.chunk.away_s)
        # One that was begun inline was alone for a part of its time.
        beside = local and crowd > 1 and block.chunk.route != "inline"
        own = beside and self._seen_beside(block, crowd)  # before what nobody saw is made up for
        self._cores.add(block, calls, beside=beside)
        watched = self._watched.is_in(block)
        clear = own or crowd <= 1 or not self._own.crowded(block, crowd)
        if clear and self._times.provisional and self._times.wall.n:
            self._own.forget(mixture=self.some_wait)
            self._times.provisional = False
            self.heartbeat.weaken()
        self._own.learn(block, crowd, local=local, clear=clear, mixture=self.some_wait)
        if watched or crowd <= 1:
            self._watched.reset()
        self.unclear = 0 if clear else self.unclear + calls
        self._times.lasted(block.wall_s / calls, block.cpu_s / calls, self._memory)
        self._quickest_s = math.inf if clear else min(self._quickest_s, block.wall_s / calls)

    def _seen_beside(self, block: Block, crowd: int) -> bool:
        """Account for a dispatch that others ran beside.

        Returns:
            Whether its time is its own, whatever these did.
        """
        waited = believed = False
        if self.heartbeat.let_go:
            overlap = self._own.overlap.busy >= OVERLAPS
            waited, believed = self._own_waits.add(
                block, crowd, self._times.cpu.mean, overlap=overlap
            )
        # Not beside others who may take the core away from one that has the GIL, or another lock.
        if not waited and not self.rivals:
            self.beside.add(block, crowd)
        return believed

    @property
    def _memory(self) -> int:
        """Blocks over which the means reach back."""
        return memory_of(mixture=self.some_wait)

    @property
    def keep_gil_partly(self) -> bool:
        """Whether they are known to have it for a part of that time, or all of it."""
        return self.heartbeat.let_go is False

    @property
    def some_wait(self) -> bool:
        """Whether some calls wait, and the others compute without the GIL."""
        return self._own_waits.certain and bool(self.heartbeat.let_go)

    @property
    def is_mixture(self) -> bool:
        """Whether a few calls are far from the others, again and again."""
        return self.some_wait or self.mixture.most is not None

    def started(self, seconds: float) -> None:
        """A worker process, which was started for this run, has the function."""
        self._start.started(seconds)

    @property
    def _worker_s(self) -> float | None:
        # The first call of all paid as well for what it imports or warms up: by it alone nothing is told.
        return self._start.worker_s(None if self._times.provisional else self._times.wall.mean)

    @property
    def confirmed(self) -> bool:
        """Whether more than one call of this run was seen that nobody was in the way of."""
        return self.blocks > 0 and not self._times.provisional

    @property
    def seen_alone(self) -> bool:
        """Whether more than one call was seen that nobody was in the way of, in this run or those before."""
        return self._was_seen_alone or not self._times.provisional

    @property
    def by_first_only(self) -> bool:
        """Whether the first call is all that is known of what one takes alone."""
        return self._times.wall.n > 0 and not self.seen_alone

    @property
    def is_even(self) -> bool:
        """Whether calls compute for about as long as each other."""
        return self._times.cpu_spread < ALIKE

    @property
    def waits_plainly(self) -> bool:
        """Whether calls side by side show that they wait as long as was believed: who computes for so
        little runs through, so the quickest of those that only take turns would be far quicker."""
        return (
            self.cpu_s < THROUGH_S and STILL * self._times.wall.mean <= self._quickest_s < math.inf
        )

    @property
    def idle(self) -> float:
        """Share of the time in which nobody computed, nor wanted to, while calls overlapped."""
        return self._own.idle

    def look(self, look: Look, local_chunks: int) -> None:
        """Account for calls that are still running, and for the heartbeat."""
        self._own.look(look, local_chunks)
        self.heartbeat.look(look, local_chunks, self.done)
        self.spent.look(look, local_chunks)

    @property
    def beat_s(self) -> float:
        """Seconds of the next beat."""
        if not self.known:
            return BEAT_S
        return self.heartbeat.next_s(self.wall_s, blocks=self.blocks, block_s=self._last_block_s)

    @property
    def busy(self) -> float:
        """CPU seconds per second while several calls ran here, child processes included."""
        return self._own.overlap.busy

    @property
    def wall_s(self) -> float:
        """Mean seconds of a call, counting in one that runs longer than those before it."""
        return self._times.wall_s(self._watched.running_s)

    @property
    def least_s(self) -> float:
        """Seconds of the quickest call; infinite before there is one."""
        return self._times.least_s

    @property
    def cpu_s(self) -> float:
        """Mean CPU seconds of a call, counting in one that has computed for longer than those before it."""
        cpu_s = self._times.cpu_s(self._watched.cpu_s)
        if not self._times.cpu.n:
            return cpu_s
        # A hundred that compute for 8 ms after others that waited end one second later, all at once.
        return max(cpu_s, self.spent.mean_s) if self.spent.are_others(cpu_s) else cpu_s

    @property
    def others_compute(self) -> bool:
        """Whether one of the calls that were begun last computes for longer than those before them."""
        return self.spent.one_is_other(self._times.cpu.mean)

    def gained(self, gain: float) -> None:
        """Calls on several threads are done this many times as fast as one after another. It is said while they run
        there: afterwards, the figures are of calls that run elsewhere."""
        self.turns.tell(gain, self._on_threads)

    def doubt(self, rate: float) -> None:
        """So many are done in a second on several threads, but of what one takes alone only the first call is known.
        The next ones are run alone."""
        seen = self._on_threads
        self.restart()
        self._times.least_s = math.inf
        self.turns.doubt(rate, seen)

    def resolve(self) -> bool:
        """No calls are run alone any more. Returns whether any were, so that what was in doubt is told by these."""
        if not self.turns.doubted:
            return False
        alone_s = None if self._times.provisional else self._times.wall.mean
        self.turns.resolve(alone_s)
        return alone_s is not None

    def see_rivals(self, cores: int) -> None:
        """See whether other programs compete for the cores, while as many calls as there are of these compute."""
        if not self.turns.told:
            self.rivals = rivals(cores, self._on_threads) or self.rivals

    @property
    def _on_threads(self) -> OnThreads:
        times, overlap = self._times, self._own.overlap
        return OnThreads(
            wall_s=times.wall.mean,
            cpu_s=times.cpu.mean,
            cpu_spread=times.cpu_spread,
            wanted=self._cores.beside,
            busy=overlap.busy if overlap.was_seen else None,
            keep_gil=self.keep_gil_partly,
            inner=self.heartbeat.inner,
            by_first=self.by_first_only,
        )

    def overdue_s(self, elapsed: Iterable[float]) -> float:
        """What calls in flight, of which each has taken so many seconds so far, add to the mean: the
        quick ones of a mixture have returned long before. 0 where the process is busy, since then they
        may be waiting for each other."""
        idle = self.idle
        if idle < IDLE:
            return 0.0
        mean, n = self._times.wall.mean, min(self._times.wall.n, self._memory)
        return sum(max(0.0, idle * one - mean) for one in elapsed) / (n + 1)

    def far_s(self, elapsed: Iterable[float]) -> float:
        """The same of those that were seen to take far longer than most: one in so many takes as long as the
        longest of them so far, at the least."""
        most = self.mixture.most
        if most is None:
            return 0.0
        least_s = most.wall_s + max(elapsed, default=0.0) / most.calls
        return max(0.0, least_s - self._times.wall.mean)

    def profile(
        self,
        *,
        remaining: int | None,
        processes_ready: int = 0,
        hybrid_ready: int = 0,
        cluster_threads: int = 0,
    ) -> Profile:
        """The figures so far."""
        wall_s, travel = self.wall_s, self.travel
        return Profile(
            calls=self._measured,
            elapsed_s=self.local_s + self._watched.running_s,
            wall_s=wall_s,
            least_s=min(self.least_s, wall_s),
            cpu_s=min(self.cpu_s, wall_s),
            child_s=self._own.children.call_s,
            gil_share=self.heartbeat.gil_share,
            late_ms=self.heartbeat.late_s * 1e3,
            overlap=self._own.overlap.share,
            busy=self._own.overlap.busy,
            inner=self.heartbeat.inner,
            takes_turns=self.turns.believed,
            spread=self._times.spread,
            most=self.mixture.most,
            remaining=remaining,
            done=self.done,
            is_async=self.is_async,
            new_child=self._own.children.is_new,
            checks=travel.checks,
            untouched=travel.untouched,
            effect=travel.tie or travel.effect,
            may_change=travel.may_change,
            payload=travel.payload,
            processes_ready=processes_ready,
            hybrid_ready=hybrid_ready,
            cluster_threads=cluster_threads,
            running_s=self._watched.running_s,
            used=self.beside.share,
            beside_s=self.beside.call_s(wall_s),
            blocked=self.beside.blocked,
            alone_s=self._own.task_s,
            rivals=self.rivals,
            worker_s=self._worker_s,
            seen_alone=self.seen_alone,
        )
