"""What calls do beside others, added up: whether they wait for each other, or for cores."""

from __future__ import annotations

from collections.abc import Sequence

from ._chunk import Block
from ._classify import BLOCKED
from ._means import MIXTURE_BLOCKS, RunningMean
from ._types import Look, Running

BESIDE = 16
"""Dispatches beside others before it is said for how much of their time they have a core."""
NOT_LOOKED = 0.05
"""A dispatch that did not compute for more than this share of its time, and shows no wait for a core, was not
looked at: one that was
blocked, and is looked at, has wanted one for a moment."""
DOUBTED = 8
"""Dispatches in a row that may have waited for each other after which it is not certain any more that they did not:
of native calls that came to hold the GIL, 400 took 8 s on threads until that was noticed, in processes 2.5."""
FADES = 0.03
"""In each run that does not see it anew, the share moves this fraction of the way to 1: 0.76 is believed for
sixteen more runs, then threads are tried."""
GAP_S = 0.001
"""Without computing for so long, a call has waited for something."""
OTHER = 2.0
"""Calls under way that have computed this many times what those before them did are of another kind: beside
a hundred others calls computed 1.4 times as much."""


class Beside:
    """What calls in this process do beside others: for how much of their time they have a core, or want one, and
    how long they take.

    Args:
        share: What was learned of that in an earlier run; it counts until there is anything new.
        longer: The same of how many times as long as alone a call takes.
        blocked: The same of how often calls wait for something.
    """

    def __init__(
        self, share: float | None = None, longer: float = 0.0, blocked: float = 0.0
    ) -> None:
        self._known, self._longer, self._known_blocked = share, longer, blocked
        self._had_s = self._wall_s = self._clear_s = self._cpu_s = self._blocked = 0.0
        self._skipped = 0
        self._count = self._calls = 0.0

    def add(self, block: Block, crowd: int) -> None:
        """Account for a dispatch that had so many beside it, itself included."""
        wall_s, cpu_s, queued_s = block.wall_s, block.cpu_s, block.queued_s
        if not queued_s and wall_s - cpu_s > NOT_LOOKED * wall_s:
            return
        if self._skipped < crowd:
            self._skipped += 1  # the first of each thread, which sets up what is its own
            return
        if self._count >= 2 * BESIDE:
            self._count /= 2
            self._calls /= 2
            self._had_s /= 2
            self._wall_s /= 2
            self._clear_s /= 2
            self._cpu_s /= 2
            self._blocked /= 2
        # Sums: where half of them are short and wait, the mean of the shares is far below that of the time.
        self._count += 1
        self._calls += block.calls
        self._had_s += min(wall_s, cpu_s + queued_s)
        self._wall_s += wall_s
        self._clear_s += max(cpu_s, wall_s - queued_s)
        self._cpu_s += cpu_s
        self._blocked += block.blocked

    @property
    def share(self) -> float | None:
        """Share of their time with a core, or for want of one; None if it is not known."""
        return self._had_s / self._wall_s if self._count >= BESIDE else self._known

    def call_s(self, alone_s: float) -> float:
        """Seconds of a call, without those for want of a core; 0 if that is not known.

        Args:
            alone_s: What it takes by itself: an earlier run may have been with other items.
        """
        return self._clear_s / self._calls if self._count >= BESIDE else self._longer * alone_s

    @property
    def blocked(self) -> float:
        """How often calls wait for something in a second of computing."""
        seen = self._count >= BESIDE and self._cpu_s > 0.0
        return self._blocked / self._cpu_s if seen else self._known_blocked

    @property
    def later_blocked(self) -> float:
        """The same that the next run is told, which fades in the same way."""
        fades = 0.0 if self._count >= BESIDE else FADES
        return min(self.blocked, 2 * BLOCKED) * (1.0 - fades)

    @property
    def later(self) -> float | None:
        """The share that the next run is told. On another route than threads nothing is seen, so that it fades."""
        if self._known is None or self._count >= BESIDE:
            return self.share
        return self._known + FADES * (1.0 - self._known)


class CoreWait:
    """How long calls wait for a core, here and in workers, wherever these are."""

    def __init__(self) -> None:
        self._of_gap = RunningMean()
        self._wanted = RunningMean()
        self.restart()

    def restart(self) -> None:
        """What calls do beside others is no longer as it was."""
        # In seconds, and without calls alone: with what these had before, a few long dispatches of threads that had
        # half a core each came to a multiple of 1.5, not 2.
        self._computed = RunningMean()
        self._queued = RunningMean()

    def add(self, block: Block, calls: int, *, beside: bool) -> None:
        """Account for calls that have returned, and make up for what nobody saw.

        A thread that was blocked has waited for a core for a moment, however calm the machine: where none was
        seen, nobody looked, and the `queued_s` of the block becomes like that of others.

        Args:
            block: Their outcome.
            calls: How many these are.
            beside: They ran on threads of this process, and others beside them.
        """
        if (gap_s := block.wall_s - block.cpu_s) > GAP_S * calls:
            if block.queued_s:
                self._of_gap.add(min(1.0, block.queued_s / gap_s))
            else:
                block.queued_s = self._of_gap.mean * gap_s
        self._wanted.add((block.cpu_s + block.queued_s) / calls)
        if beside:
            self._computed.add(block.cpu_s)
            self._queued.add(block.queued_s)

    @property
    def of_gap(self) -> float:
        """Share of the time without computing that was for want of a core."""
        return self._of_gap.mean

    @property
    def wanted_s(self) -> float:
        """Seconds that a call had a core or waited for one."""
        return self._wanted.mean

    @property
    def beside(self) -> float | None:
        """The same of those beside others, as a multiple of what they computed; None before there were any."""
        computed_s = self._computed.mean
        return 1 + self._queued.mean / computed_s if computed_s else None


class OwnWaits:
    """Whether some of the calls that let go of the GIL wait for something of their own, and the others compute.

    One that waits for longer than all of its neighbours compute does not wait for them to let go of a lock.
    """

    def __init__(self) -> None:
        self._seen = 0
        self._since = 0  # dispatches since the last
        self._doubted = 0  # since the last that was believed

    @property
    def certain(self) -> bool:
        """One alone may have been the host of a virtual machine that took the core away."""
        return self._seen > 1

    def add(self, block: Block, crowd: int, cpu_s: float, *, overlap: bool) -> tuple[bool, bool]:
        """Account for a dispatch among others.

        Args:
            block: Its outcome.
            crowd: How many there were, itself included.
            cpu_s: What such a call computes.
            overlap: They are seen to compute at the same time.

        Returns:
            Whether it has waited for something of its own; and whether all of its time is its own.
        """
        gap_s = block.wall_s - block.cpu_s - block.queued_s
        waited = gap_s > GAP_S + crowd * max(block.cpu_s, block.calls * cpu_s)
        looked = block.queued_s > 0.0
        self._since += 1
        if waited and looked:
            self._seen, self._since = self._seen + 1, 0
        computed = gap_s <= NOT_LOOKED * block.wall_s
        believed = self.certain and (computed or (looked and (waited or overlap)))
        self._doubted = self._doubted + 1 if self.certain and not believed else 0
        if self._since > MIXTURE_BLOCKS or self._doubted > DOUBTED:
            self._seen = 0
        return waited, believed


class Spent:
    """What calls that run side by side have computed so far."""

    def __init__(self) -> None:
        self.mean_s = 0.0
        """CPU seconds of one of them."""
        self._most_s = 0.0  # of one of those that were begun last

    def look(self, look: Look, crowd: int) -> None:
        """Account for the calls in flight here, which are so many."""
        self.mean_s = look.spent_s if crowd > 1 else 0.0

    def peek(self, seen: Sequence[Running]) -> None:
        """Account for those that were begun last."""
        spent_s = [one.cpu_s for one in seen]
        self._most_s = max(spent_s, default=0.0)
        if spent_s:
            self.mean_s = max(self.mean_s, sum(spent_s) / len(spent_s))

    def none_beside(self) -> None:
        """No calls run side by side here any more, so that nobody will look at what they have computed: 400
        that wait, after 20 that computed, were taken for like these to the end of the run."""
        self.mean_s = 0.0

    def are_others(self, cpu_s: float) -> bool:
        """Whether they compute for longer than those before them, which did so for so many seconds."""
        return _is_other(self.mean_s, cpu_s)

    def one_is_other(self, cpu_s: float) -> bool:
        """Whether one of those that were begun last does."""
        return _is_other(self._most_s, cpu_s)


def _is_other(spent_s: float, cpu_s: float) -> bool:
    return spent_s > max(OTHER * cpu_s, GAP_S)
