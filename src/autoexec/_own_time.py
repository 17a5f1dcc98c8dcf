"""How much of the time of calls is their own, and not waited for the others beside them. Reads no clock."""

from __future__ import annotations

from ._call_times import CallTimes
from ._chunk import Block
from ._evidence import Children, Overlap
from ._means import RunningMean, memory_of
from ._side_by_side import CoreWait
from ._types import Look, Profile
from ._watched import Progress, Watched

IDLE = 0.5
"""Share of the time without computing from which calls that overlap are believed to wait: less may be a
neighbour on the machine."""
BUSY_MACHINE = 0.1
"""Share of the time of calls without computing that was for want of a core, from which the machine is
busy with others. On a calm one it is next to 0, even where 32 calls share the GIL."""
CONTENDED = 0.8
"""CPU seconds per second from which calls that overlap are taken to slow each other down."""


class OwnTime:
    """What is believed of how long calls take, with all that tells whether others were in their way.

    Args:
        prior: What an earlier run has shown.
    """

    def __init__(self, prior: Profile | None) -> None:
        self.times = CallTimes()
        self.watched = Watched()
        """The call that is watched by itself."""
        self.overlap = Overlap(prior.overlap if prior else None)
        self.cores = CoreWait()
        self.children = Children()
        self._progress = Progress()
        self._task_alone = RunningMean()
        if prior is None:
            return
        if prior.alone_s:
            self._task_alone.add(prior.alone_s)
        self.children.expect(prior.child_s)

    @property
    def task_s(self) -> float:
        """Seconds of a coroutine without the others of its loop."""
        return self._task_alone.mean

    @property
    def idle(self) -> float:
        """Share of the time in which nobody computed, nor wanted to, while calls overlapped."""
        # Whose calls wait for cores has them wait for the GIL of one that does, too: for that there is
        # no clock.
        idle = 1 - self.overlap.busy if self.overlap.was_seen else 0.0
        return idle * (1 - self.cores.of_gap)

    def look(self, look: Look, crowd: int) -> None:
        """Account for so many calls that are still running here."""
        if len(look.running) == 1:
            last_call = self._progress.last_call(
                look.running[0], self.times.wall.mean, self.times.cpu.mean
            )
            taken = bool(look.gil_taken)
            self.watched.look(last_call, look.late_s, crowd=crowd, gil_taken=taken)
        self.overlap.look(look, crowd)
        self.children.look(look)

    def crowded(self, block: Block, crowd: int) -> bool:
        """Whether so many calls at once must wait for each other, for the GIL or for cores.

        Under contention a call's wall time says nothing of its waiting: k threads of pure Python
        each look as if they waited (k-1)/k of the time. The last clear view is kept then.
        """
        own_s = (
            self.times.wall.mean
            if self.times.wall.n
            else self.watched.own_s(block, self.overlap) / block.calls
        )
        busy_s = block.cpu_s / block.calls + self.children.call_s
        return crowd * busy_s > CONTENDED * own_s or self.overlap.busy >= CONTENDED

    def forget(self, *, mixture: bool) -> None:
        """The next calls replace what is known, unless these are a mixture: of that none stands for those after it."""
        if not mixture:
            self.times.forget()

    def learn(self, block: Block, crowd: int, *, local: bool, clear: bool, mixture: bool) -> None:
        """Believe as much of the time of a block's calls as others were not in the way of.

        Args:
            block: Their outcome.
            crowd: How many shared its interpreter, itself included.
            local: They ran in this process.
            clear: Nobody was in their way.
            mixture: Some of these calls wait, and the others compute.
        """
        cpu_s, clear_s = block.cpu_s / block.calls, self.watched.clear_s(block) / block.calls
        times, memory = self.times, memory_of(mixture=mixture)
        times.seen(clear_s)
        if clear:
            times.believe(clear_s, cpu_s, memory)
        elif (least_s := self._takes_at_least(block, crowd, local)) > times.wall.mean > 0.0:
            times.believe(least_s, cpu_s, memory)
        elif times.far_below(clear_s):
            self.forget(mixture=mixture)
            times.believe(clear_s, cpu_s, memory)
        elif not times.wall.n and (self.watched.is_in(block) or not self.watched.began):
            own_s = self.watched.own_s(block, self.overlap) / block.calls
            times.believe(own_s, cpu_s, memory)

    def learn_task(self, block: Block, before: int, beside: int) -> None:
        """The same of coroutines. One waits for the others of its loop as well: for each of them once, at most.

        Args:
            block: Their outcome.
            before: How many were begun before them and had not ended, themselves included.
            beside: The same with those that were begun after them.
        """
        wall_s, cpu_s, times = block.wall_s / block.calls, block.cpu_s / block.calls, self.times
        times.lasted(wall_s, cpu_s)
        times.wall.add(max(times.least_s, wall_s - before * times.cpu.mean))
        self._task_alone.add(max(cpu_s, wall_s - (beside - 1) * times.cpu.mean))

    def _takes_at_least(self, block: Block, crowd: int, local: bool) -> float:
        """Seconds of a call in a crowd that its neighbours are no excuse for: while nobody computed,
        it would have, unless it waited for something of its own. 0 where the process was busy, since
        then a machine that has no time for it looks the same."""
        idle = self.idle if local else 1.0  # how busy a worker was, nobody has seen
        if idle < IDLE:
            return 0.0
        gap_s = self.watched.clear_s(block) - block.cpu_s
        waited_s = idle * gap_s
        if not local or self.cores.of_gap > BUSY_MACHINE:
            # One who has the GIL may have no core, and the others wait for both: nobody computes.
            neighbours_s = (crowd - 1) * self.cores.wanted_s * block.calls
            waited_s = min(waited_s, max(0.0, gap_s - neighbours_s))
        return (block.cpu_s + waited_s) / block.calls
