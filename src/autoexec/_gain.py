"""What threads gain for calls that compute, and who competes with them for the cores. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ._chunk import Chunk
from ._classify import COMPUTES
from ._evidence import OVERLAPS, SPINNING

TURNS_S = 0.02
"""Seconds of calls on threads before it is said what they gain: in the first few they are only starting."""
TURNS_CALLS = 16
"""Calls before that."""
TURNS_AT_ONCE = 1.5
"""Calls that must have been in flight on the average: with fewer there is nothing to gain. Of an input with a call
of 6 ms every 8 ms, two threads did no more than one, and this was taken for the GIL.
By Little's law it is the seconds of calls that have ended over the seconds in which they did."""
TURNS = 1.1
"""Multiple of what one call after another comes to up to which threads gain nothing. Reading 10,000 files
of 20 kB, which lets go of the GIL for some microseconds at a time, took two threads twice as long as one."""
WANTED = 1.1
"""If calls beside others have or want a core for more than this multiple of what they compute, threads may gain
nothing only for lack of cores. Used where it was not seen how much they overlapped. Two threads of NumPy on short
arrays, which wait for the GIL: 1.01 to 1.03; 1.3 while workers start beside them; of compression and checksums
beside another program on two cores: 1.4 to 1.8, and 1.5 to 2.1 with what they overlapped."""
RIVALS = 1.25
"""The same from which other programs compete for the cores, seen over `Gain`: 1.02 to 1.15 on a calm machine, 1.5
beside one program on two cores."""
SURPLUS = 1.15
"""Times that for which the process keeps cores busy beside other programs: 0.88 to 1.05. With threads of a BLAS, which
compete with calls for the cores: 1.45."""
CALM = 1.2
"""The same below which the machine has a core for each: 1.08 to 1.15 for two threads in SQLite on a calm one."""
LONGER = 4.0
"""Times as long as by itself that a call may compute as others are in its way, or twice the cores that are busy: 3.1 was
measured, for two threads that fill tables in SQLite. More, and the first call, if no other ran alone, was of another
kind: 300 calls of 8 ms, the first of which took 0.4, went to processes though two threads did twice as many."""
ALIKE = 0.5
"""Coefficient of variation of what dispatches compute for a call, below which the same calls are seen to compute for
longer beside each other. Of calls of which one in ten takes eleven times as long, those before threads were tried may
have been short ones: in simulation it was 0.8 then, and four threads that kept four cores busy were given up."""


class OnThreads(NamedTuple):
    """What is seen of calls on several threads."""

    wall_s: float
    """Seconds of a call by itself."""
    cpu_s: float
    """CPU seconds of a call, wherever it ran."""
    cpu_spread: float
    """Coefficient of variation of these."""
    wanted: float | None
    """What those beside others had or wanted of the cores, as a multiple of what they computed; None: none was beside
    another."""
    busy: float | None
    """CPU seconds per second while they overlapped; None: that was not seen."""
    keep_gil: bool
    """They are known to have the GIL for a part of the time that they compute, or all of it."""
    inner: float
    """CPU seconds per second of threads of their own."""
    by_first: bool = False
    """What one takes by itself is that of the first."""


class Gain:
    """What comes of calls on several threads, as a multiple of one after another.

    Args:
        now: When they began.
        done: Calls that had ended here by then.
        local_s: Seconds that these took.
        alone_s: Seconds of a call by itself.
    """

    def __init__(self, now: float, done: int, local_s: float, alone_s: float) -> None:
        self._since, self._done, self._local_s = now, done, local_s
        self.alone_s = alone_s

    def seen(
        self, now: float, done: int, local_s: float, under_way: Sequence[Chunk] = ()
    ) -> float | None:
        """The multiple, with so many calls that have ended so far, and took so long; None where there is
        not much to see.

        Of fewer than `TURNS_CALLS` it is told, once they gain nothing even if those `under_way` were at their
        end: calls of 2 ms that insert into SQLite, of which each took 15 beside another, ran so for 80 ms. Only of
        calls that have the GIL for a part of the time: digests beside a busy core seemed so, too, for 25 ms.
        """
        calls, elapsed_s = done - self._done, now - self._since
        took_s = local_s - self._local_s
        if elapsed_s < TURNS_S:
            return None
        if few := calls < TURNS_CALLS:
            if not under_way:
                return None
            begun = [chunk for chunk in under_way if chunk.started()]
            calls += sum(chunk.started() - chunk.arrived for chunk in begun)
            took_s += sum(now - max(self._since, chunk.sent_s) for chunk in begun)
        if took_s < TURNS_AT_ONCE * elapsed_s:
            return None
        gain = calls * self.alone_s / elapsed_s
        return None if few and gain >= TURNS else gain


class Turns:
    """Whether calls that compute take turns on threads, as far as that was told.

    Args:
        before: An earlier run has shown that they do.
    """

    def __init__(self, *, before: bool) -> None:
        self.told: bool | None = None
        """Whether they get no more done than one alone; None if this run has not tried."""
        self._before = before
        self._doubted: tuple[float, OnThreads] | None = None

    @property
    def believed(self) -> bool:
        """The same, by the runs before until this one has tried."""
        return self._before if self.told is None else self.told

    def tell(self, gain: float, seen: OnThreads) -> None:
        """They are done so many times as fast as one after another."""
        turns = take_turns(gain, seen)
        self.told = self.told if turns is None else turns

    def forget(self) -> None:
        """It tells nothing any more, of the runs before neither."""
        self.told, self._before = None, False

    def doubt(self, rate: float, seen: OnThreads) -> None:
        """So many are done in a second, and it is to be seen what one takes by itself."""
        self._doubted = rate, seen

    @property
    def doubted(self) -> bool:
        """Whether that is still to be seen."""
        return self._doubted is not None

    def drop_doubt(self) -> None:
        """The calls to come are others than those whose rate was seen."""
        self._doubted = None

    def resolve(self, alone_s: float | None) -> None:
        """One takes so long by itself; None: that was not seen after all."""
        if self._doubted is not None and alone_s is not None:
            rate, seen = self._doubted
            self.tell(rate * alone_s, seen._replace(wall_s=alone_s, by_first=False))
        self._doubted = None


def take_turns(gain: float, seen: OnThreads) -> bool | None:
    """Whether calls that compute get no more done on threads than one alone; None if that is not told.

    A machine that is busy with others looks as if they took turns, but for the time without a core.

    Args:
        gain: So many times as fast as one after another they are done.
        seen: What they do meanwhile.
    """
    if gain < TURNS and seen.wanted is None:
        return None  # none was beside another, so that nothing could be gained
    if seen.by_first and seen.cpu_s > max(LONGER, 2 * (seen.busy or 0.0)) * seen.wall_s:
        return None
    wanted = seen.wanted or 1.0
    computing = seen.cpu_s >= COMPUTES * seen.wall_s > 0.0
    free = wanted > WANTED
    if seen.busy is not None:
        # With the cores that they wanted they would have overlapped so much, without what they only compute as
        # they are in each other's way: two threads in SQLite, which has locks of its own, keep 1.45 cores busy,
        # compute for twice as long a call, and get less done than one.
        # Not on a busy machine, whose other programs slow them down, too; but of calls that have the GIL for a
        # part of the time also there, since one that has it, and no core, keeps it from all others.
        alike = wanted < CALM and seen.cpu_spread < ALIKE
        calm = computing and (seen.keep_gil or alike)
        more = max(1.0, seen.cpu_s / seen.wall_s) if calm else 1.0
        free = seen.busy * wanted >= OVERLAPS * more
    return gain < TURNS and computing and not free


def rivals(cores: int, seen: OnThreads) -> float:
    """Threads of other programs that compete for the cores, while as many calls as there are of these compute; 0 if
    none are seen.

    Each of so many calls and m threads of others has a core for `cores / (cores + m)` of the time, and all of the
    calls keep so many cores busy less. If the process keeps more of them busy, threads of its own compete.
    """
    wanted, busy = seen.wanted, seen.busy or 0.0
    if wanted is None or wanted <= RIVALS or busy * wanted > SURPLUS * cores:
        return 0.0
    return 0.0 if seen.keep_gil or seen.inner >= SPINNING else cores * (wanted - 1)
