"""How long calls take, and compute, of which some are believed and the others only last."""

from __future__ import annotations

import math

from ._means import MEMORY_BLOCKS, MIXTURE_BLOCKS, RunningMean
from ._side_by_side import OTHER

BELOW = 8
"""Calls in a row: of very uneven ones (log-normal, sigma 1.4) four in ten are below a quarter of the
mean, so that many in a row happen once in two thousand."""
UNEVEN_BLOCKS = 3
"""What was known weighs as so many blocks beside one that took much longer."""


class CallTimes:
    """Means per call, of what was seen since the work last changed."""

    def __init__(self) -> None:
        self.least_s = math.inf
        """Seconds of the quickest call of the run; infinite before there is one."""
        self.provisional = True
        """The first call alone is known, which pays for imports and empty caches; the next replaces it."""
        self._uneven = False
        self._all = RunningMean()
        self.forget()

    def forget(self) -> None:
        """The next calls replace what is known."""
        self._below = 0
        self.wall = RunningMean()
        """Of those that are believed."""
        self.cpu = RunningMean()
        """Of all."""
        self._believed_cpu = RunningMean()

    def expect(self, wall_s: float, cpu_s: float, least_s: float, *, mixed: bool) -> None:
        """An earlier run has shown this, and whether a few calls take far longer than most."""
        self.least_s = least_s
        self.believe(wall_s, cpu_s)
        self.cpu.add(cpu_s)
        if mixed:  # the first calls, which may be of one kind, stand for none of the others
            self.provisional = False
            for mean in (self.wall, self.cpu, self._believed_cpu):
                mean.n = UNEVEN_BLOCKS
            self._all.mean, self._all.n = wall_s, MIXTURE_BLOCKS

    def believe(self, wall_s: float, cpu_s: float, memory: int = MEMORY_BLOCKS) -> None:
        """A call takes so long by itself, and computes for so long of that."""
        self.wall.add(wall_s, memory)
        self._believed_cpu.add(cpu_s, memory)

    def lasted(self, wall_s: float, cpu_s: float, memory: int = MEMORY_BLOCKS) -> None:
        """A call took so long, with or without others in its way, and computed."""
        self.least_s = min(self.least_s, wall_s)
        self.cpu.add(cpu_s, memory)

    def overran(self) -> bool:
        """A block took much longer than expected. Returns whether the work has changed: so it is the first time;
        calls that do so again are of two kinds that come mixed, so that what was known counts as well."""
        if not self._uneven:
            self._uneven = True
            return True
        for mean in (self.wall, self.cpu, self._believed_cpu):
            mean.n = min(mean.n, UNEVEN_BLOCKS)
        return False

    def seen(self, wall_s: float) -> None:
        """A call took so long, without the time for want of a core, whether that is believed or not."""
        self._all.add(wall_s, MIXTURE_BLOCKS)

    def far_below(self, wall_s: float) -> bool:
        """Whether calls under contention, which can only be longer for it, keep being far shorter
        than what was believed: then that came of an accident, such as a late first call. Not where a few take far
        longer again and again, of which none need be among those in a row: one in twenty that missed a cache was
        forgotten every other moment, and what computes 0.5 ms and waits for 100 took 1.7 times as long."""
        far_s = self.wall.mean / 4
        self._below = self._below + 1 if wall_s < far_s else 0
        return self._below >= BELOW and self._all.mean < far_s

    def wall_s(self, running_s: float) -> float:
        """Mean seconds of a call, counting in one that has run for so long."""
        wall = self.wall
        return wall.mean + _longer(running_s, wall) if wall.n else running_s

    def cpu_s(self, running_s: float) -> float:
        """Mean CPU seconds of a call, counting in one that has computed for so long."""
        if self.cpu.n == 0:
            return running_s
        # In a crowd a call computes for longer, up to twice: beside a wall time that leaves the others out,
        # a download with a bit of counting would seem to do nothing but compute.
        alone, mean = self._believed_cpu, self.cpu
        if alone.n and alone.mean / OTHER <= mean.mean <= OTHER * alone.mean:
            mean = alone
        return mean.mean + _longer(running_s, mean)

    @property
    def spread(self) -> float:
        """Standard deviation over mean, of the seconds that are believed."""
        return _spread(self.wall)  # a report may be asked for while another thread forgets it

    @property
    def cpu_spread(self) -> float:
        """The same of the CPU seconds of all calls."""
        return _spread(self.cpu)


def _spread(values: RunningMean) -> float:
    return math.sqrt(values.variance) / values.mean if values.mean else 0.0


def _longer(running_s: float, mean: RunningMean) -> float:
    return max(0.0, running_s - mean.mean) / (mean.n + 1)
