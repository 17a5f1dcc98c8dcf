"""What the looks of a run show, added up: the GIL heartbeat, threads within a call, and how busy calls
that overlap keep the process."""

from __future__ import annotations

from collections import deque

from ._types import Look

LATE_S = 0.0003
"""A heartbeat later than this found the GIL taken. Measured: 0.07 to 0.11 ms beside work that
releases the GIL, 5.2 ms beside Python code, one whole call beside a C function that keeps it."""
GIL_EVIDENCE_S = 0.003
"""CPU time that must have passed under the heartbeat before it says anything: three beats that
were on time, or one that was late. Six times that where the beats disagree."""
OVERLAPS = 1.4
"""CPU seconds per second of overlapping calls that are proof of computing without the GIL, whatever
the heartbeat says: under the GIL it is 1.0, and 1.05 with the rest of the process."""
TURNS_S = 0.02
"""Seconds of calls on threads before it is said what they gain: in the first few they are only starting."""
TURNS_CALLS = 16
"""Calls before that."""
BESIDE = 16
"""Dispatches beside others before it is said for how much of their time they have a core."""
NOT_LOOKED = 0.05
"""Share of its time without computing from which a dispatch that never wanted a core was not looked at: one that was
blocked, and is looked at, has wanted one for a moment."""
FADES = 0.03
"""Share by which what was not seen anew in a run nears 1: 0.76 is believed for sixteen more, then threads are tried."""
BEFORE_HALVING_S = 0.1
"""Overlap, and threads within calls, are remembered for about twice as long as this."""
SPINNING = 0.15
"""Cores kept busy by other threads from which there may be room for one thread of ours less."""
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
            self._held_s, self._free_s = share, 1 - share
            self.weaken()
        self._clear_share = share  # the last that the beats agreed on
        self._late: deque[float] = deque(maxlen=15)

    def add(self, late_s: float, computing_s: float) -> None:
        """A wait ended so late while calls computed for so long."""
        self.count += 1
        if self._held_s + self._free_s > 20 * GIL_EVIDENCE_S:  # let what is new weigh more
            self._held_s /= 2
            self._free_s /= 2
        if late_s > LATE_S:
            self._held_s += computing_s
        else:
            self._free_s += computing_s
        self._late.append(late_s)

    def weaken(self) -> None:
        """Keep what is known, but let the next beats outvote it soon."""
        seen = self._held_s + self._free_s
        if seen > GIL_EVIDENCE_S:
            enough = 1.01 * GIL_EVIDENCE_S
            self._held_s *= enough / seen
            self._free_s *= enough / seen

    @property
    def late_s(self) -> float:
        """Median lateness in seconds."""
        ordered = sorted(self._late)  # `import statistics` takes 9 ms
        return ordered[len(ordered) // 2] if ordered else 0.0

    @property
    def agree(self) -> bool:
        """Whether the beats say clearly what they say, or there were enough of them."""
        seen = self._held_s + self._free_s
        if seen < GIL_EVIDENCE_S:
            return False
        return not 0.15 <= self._held_s / seen <= 0.85 or seen >= 6 * GIL_EVIDENCE_S

    @property
    def share(self) -> float | None:
        """Share of the computing that held the GIL, or None before there is evidence."""
        seen = self._held_s + self._free_s
        if seen < GIL_EVIDENCE_S:
            return None
        if self.agree:
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


class Gain:
    """What comes of calls on several threads, as a multiple of one after another.

    Args:
        now: When they began.
        done: Calls that had ended here by then.
        alone_s: Seconds of a call by itself.
    """

    def __init__(self, now: float, done: int, alone_s: float) -> None:
        self._since, self._done, self._alone_s = now, done, alone_s

    def seen(self, now: float, done: int) -> float | None:
        """The multiple, with so many calls that have ended so far; None before there is much to see."""
        calls, elapsed_s = done - self._done, now - self._since
        if elapsed_s < TURNS_S or calls < TURNS_CALLS:
            return None
        return calls * self._alone_s / elapsed_s


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


class Beside:
    """What calls in this process do beside others: for how much of their time they have a core, or want one, and
    how long they take.

    Args:
        share: What was learned of that in an earlier run; it counts until there is anything new.
        call_s: The same of a call.
    """

    def __init__(self, share: float | None = None, call_s: float = 0.0) -> None:
        self._known, self._known_s = share, call_s
        self._had_s = self._wall_s = self._clear_s = 0.0
        self._skipped = 0
        self._count = self._calls = 0.0

    def add(self, wall_s: float, cpu_s: float, queued_s: float, *, calls: int, crowd: int) -> None:
        """Account for a dispatch of so many calls that had so many beside it, itself included."""
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
        # Sums: where half of them are short and wait, the mean of the shares is far below that of the time.
        self._count += 1
        self._calls += calls
        self._had_s += min(wall_s, cpu_s + queued_s)
        self._wall_s += wall_s
        self._clear_s += max(cpu_s, wall_s - queued_s)

    @property
    def share(self) -> float | None:
        """Share of their time with a core, or for want of one; None if it is not known."""
        return self._had_s / self._wall_s if self._count >= BESIDE else self._known

    @property
    def call_s(self) -> float:
        """Seconds of a call, without those for want of a core; 0 if that is not known."""
        return self._clear_s / self._calls if self._count >= BESIDE else self._known_s

    @property
    def later(self) -> float | None:
        """The share that the next run is told. On another route than threads nothing is seen, so that it fades."""
        if self._known is None or self._count >= BESIDE:
            return self.share
        return self._known + FADES * (1.0 - self._known)
