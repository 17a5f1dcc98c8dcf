"""What the looks of a run show, added up: the GIL heartbeat, threads within a call, child processes, and how busy
calls that overlap keep the process."""

from __future__ import annotations

from collections import deque

from ._means import median
from ._types import Look

BEAT_S = 0.001
"""The wait that is the GIL heartbeat."""
LATE_S = 0.0003
"""A heartbeat later than this found the GIL taken. Measured: 0.07 to 0.11 ms beside work that
releases the GIL, 5.2 ms beside Python code, one whole call beside a C function that keeps it."""
GIL_EVIDENCE_S = 0.003
"""CPU time that must have passed under the heartbeat before it says anything: three beats that
were on time, or one that was late. Six times that where the beats disagree."""
WEAK = 0.34
"""Share of that for which older beats stand in once others are to outvote them: with as much as that itself, calls
that let go of the GIL, after a first one that imported NumPy, counted as holding it for 200 ms."""
OVERLAPS = 1.4
"""CPU seconds per second of overlapping calls that are proof of computing without the GIL, whatever
the heartbeat says: under the GIL it is 1.0, and 1.05 with the rest of the process."""
BEFORE_HALVING_S = 0.1
"""Overlap, and threads within calls, are remembered for about twice as long as this."""
SPINNING = 0.15
"""If other threads keep at least this many cores busy, there may be room for one thread fewer of ours."""
LONGEST_BEAT_S = 0.01
"""Looks that are further apart are no watching."""
SPINNING_S = 0.3
"""Seconds of watching after which that is believed: a BLAS that is loaded has its threads spin for 0.1 s (OpenBLAS with
`import numpy`), and calls that came right after that were run one after another to the end."""


class Beats:
    """The GIL heartbeat: CPU time of calls during waits that ended late, and on time.

    Args:
        share: What was learned in an earlier run; a little of new evidence outweighs it.
    """

    def __init__(self, share: float | None) -> None:
        self.count = 0
        self._held_s = self._free_s = 0.0
        if share is not None:
            known_s = 1.01 * GIL_EVIDENCE_S
            self._held_s, self._free_s = share * known_s, (1 - share) * known_s
        self._clear_share = share  # the last that the beats agreed on
        self._late: deque[float] = deque(maxlen=15)

    def add(self, late_s: float, computing_s: float, *, taken: bool | None = None) -> None:
        """A wait ended so late while calls computed for so long.

        Args:
            late_s: How late.
            computing_s: For how long they did, at most as long as the wait took.
            taken: Whether somebody had the GIL when it ended; None if that is told by how late it was.
        """
        self.count += 1
        if taken is None:
            taken = late_s > LATE_S
            # No more than three beats' worth: one that is late by accident must not outvote many.
            computing_s = min(computing_s, 3 * BEAT_S)
        if self._held_s + self._free_s > 20 * GIL_EVIDENCE_S:  # let what is new weigh more
            self._held_s /= 2
            self._free_s /= 2
        if taken:
            self._held_s += computing_s
        else:
            self._free_s += computing_s
        self._late.append(late_s)

    def weaken(self) -> None:
        """Keep what is known, but let the next beats outvote it soon."""
        self._clear_share = self.share
        seen = self._held_s + self._free_s
        if seen > WEAK * GIL_EVIDENCE_S:
            self._held_s *= WEAK * GIL_EVIDENCE_S / seen
            self._free_s *= WEAK * GIL_EVIDENCE_S / seen

    @property
    def late_s(self) -> float:
        """Median lateness in seconds."""
        return median(self._late)

    @property
    def agree(self) -> bool:
        """Whether the beats say clearly what they say, or there were enough of them."""
        seen = self._held_s + self._free_s
        share = self._clear_share if seen < GIL_EVIDENCE_S else self._held_s / seen
        if share is None:
            return False
        return not 0.15 <= share <= 0.85 or seen >= 6 * GIL_EVIDENCE_S

    @property
    def share(self) -> float | None:
        """Share of the computing that held the GIL, as the beats have it that agreed last; None before there is
        evidence."""
        seen = self._held_s + self._free_s
        if seen >= GIL_EVIDENCE_S and self.agree:
            self._clear_share = self._held_s / seen
        return self._clear_share


class Inner:
    """CPU seconds per second of the process's other threads while one call ran alone: threads that the
    call itself has started, such as those of a BLAS."""

    def __init__(self, known: float) -> None:
        self._known = known
        self._cpu_s = self._seconds = self._looked_s = 0.0
        self._looked_at = 0.0
        self._last: Look | None = None
        self._done = 0

    def look(self, look: Look, crowd: int, done: int) -> None:
        """Account for the time since the last look, if one call ran alone then and now, and none has
        ended in between: on a busy machine that may be a long time.

        Args:
            look: What the clocks show.
            crowd: Calls in flight in this process.
            done: Calls that have ended.
        """
        self._looked_s += min(look.now_s - self._looked_at, LONGEST_BEAT_S)
        self._looked_at = look.now_s
        last, self._last = self._last, look if crowd == 1 and len(look.running) == 1 else None
        before_done, self._done = self._done, done
        if last is None or self._last is None or done != before_done:
            return
        before, now = last.running[0], look.running[0]
        if before.chunk is now.chunk:
            if self._seconds > BEFORE_HALVING_S:
                self._seconds /= 2
                self._cpu_s /= 2
            self._seconds += look.now_s - last.now_s
            spent_s = look.process_cpu_s - last.process_cpu_s
            # Also where it is less: the clocks are read one after the other, and what is read too early at one
            # look is too late at the next. Of NumPy on short arrays, between whose operations the driver reads
            # them, only what was more came to 0.38, and no thread was tried for 1,000 of 1.1 ms.
            self._cpu_s += spent_s - (now.cpu_s - before.cpu_s)

    @property
    def share(self) -> float:
        """The CPU seconds per second; 0 before there is anything to go by."""
        return max(0.0, self._cpu_s / self._seconds) if self._seconds > 0.005 else self._known

    @property
    def may_pass(self) -> bool:
        """Whether there are such threads, but so far not for long."""
        return self.share >= SPINNING and self._looked_s < SPINNING_S


class Overlap:
    """CPU seconds per second while two or more calls ran in this process.

    Args:
        known: What was learned in an earlier run; it counts until there is anything new.
    """

    def __init__(self, known: float | None) -> None:
        self._known = known
        self._cpu_s = self._child_s = self._seconds = 0.0
        self._last: Look | None = None

    def look(self, look: Look, crowd: int) -> None:
        """Account for the time since the last look, if calls overlapped then and now."""
        last, self._last = self._last, look if crowd >= 2 else None
        if last is None or crowd < 2:
            return
        if self._seconds > BEFORE_HALVING_S:
            self._seconds /= 2
            self._cpu_s /= 2
            self._child_s /= 2
        self._seconds += look.now_s - last.now_s
        self._cpu_s += look.process_cpu_s - last.process_cpu_s
        self._child_s += look.child_cpu_s - last.child_cpu_s

    @property
    def was_seen(self) -> bool:
        """Whether calls overlapped for long enough in this run."""
        return self._seconds > 0.005

    @property
    def share(self) -> float | None:
        """The CPU seconds of this process per second; None if no calls overlapped."""
        return self._cpu_s / self._seconds if self.was_seen else self._known

    @property
    def busy(self) -> float:
        """The same with what child processes used; 0 where no calls overlapped."""
        if not self.was_seen:
            return 0.0
        return (self._cpu_s + self._child_s) / self._seconds


class Children:
    """What child processes of the calls compute."""

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._calls_s: deque[float] = deque(maxlen=9)
        self._is_new = False

    def expect(self, call_s: float) -> None:
        """An earlier run has shown so many seconds of a call."""
        self._calls_s.append(call_s)

    def look(self, look: Look) -> None:
        """Account for the calls that have returned since the last look."""
        if self._last_s is not None and look.returned:
            # Per look that followed calls, and the median of those: somebody else's child that
            # ends meanwhile (the workers of a pool that was closed) is one outlier.
            self._calls_s.append((look.child_cpu_s - self._last_s) / look.returned)
        if self._last_s is None or look.returned:
            self._last_s = look.child_cpu_s
        self._is_new = self._is_new or look.new_child

    @property
    def call_s(self) -> float:
        """CPU seconds of a call's child processes."""
        return median(self._calls_s)

    @property
    def is_new(self) -> bool:
        """Whether one has appeared, of which it is not known yet what it computes."""
        return self._is_new and not self._calls_s
