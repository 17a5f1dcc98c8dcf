"""The call that is watched by itself. Reads no clock."""

from __future__ import annotations

from ._chunk import Block, Chunk
from ._evidence import BEAT_S, LATE_S, Overlap
from ._launch import had_its_turn
from ._types import Running

SEEN_WHOLE = 0.6
"""Share of a call's wall time under beats from which it counts as watched throughout; between
beats the watcher itself takes its time."""
STOLEN_S = 0.02
"""So long the host of a virtual machine was seen to take its cores away, the watcher's too: a call of
9 ms took 13, of which nobody saw the last 5."""
UNSEEN = 0.15
"""So far from the least that a call may have taken to the most, at least, in powers: of 20 that waited for
20 ms and computed for 15, in a crowd for 29, the watcher saw the first wait for 11 of 500 ms."""


class Progress:
    """How far the chunk has come that is watched, by which it is told for how long the call runs that it is in."""

    def __init__(self) -> None:
        self._chunk: Chunk | None = None
        self._at = 0, 0.0, 0.0
        """At the last look: calls begun, seconds, CPU seconds."""
        self._from_s = self._from_cpu_s = 0.0
        """When the call that was under way then had begun, at the earliest."""

    def last_call(self, now: Running, wall_s: float, cpu_s: float) -> Running:
        """The call that a chunk is in.

        It has run for what those before it leave of the time. But of the time between the look that found it first and
        the one before that, it has had no more than its share, if several were begun meanwhile: 10,000 calls of 12 to
        2 µs were expected to take 5, which they did not at first, and as if the one under way had taken all the rest
        of the time, worker processes were started for them.

        Args:
            now: What the clocks show of the chunk.
            wall_s: Seconds that a call takes, as far as it is known.
            cpu_s: CPU seconds of it.
        """
        chunk = now.chunk
        if chunk is not self._chunk:
            self._chunk, self._at, self._from_s, self._from_cpu_s = chunk, (0, 0.0, 0.0), 0.0, 0.0
        # For a moment, while outcomes are announced, it says that none has.
        begun, (known, at_s, at_cpu_s) = max(chunk.started(), chunk.arrived + 1), self._at
        if begun > known:
            share = 1 / (begun - known)
            self._from_s = now.elapsed_s - share * (now.elapsed_s - at_s)
            self._from_cpu_s = now.cpu_s - share * (now.cpu_s - at_cpu_s)
        self._at = begun, now.elapsed_s, now.cpu_s
        before = begun - 1
        elapsed_s = max(0.0, now.elapsed_s - max(before * wall_s, self._from_s))
        own_cpu_s = max(0.0, now.cpu_s - max(before * cpu_s, self._from_cpu_s))
        return now._replace(elapsed_s=elapsed_s, cpu_s=min(elapsed_s, own_cpu_s))


class Watched:
    """What looks at a call show while it runs: how long it has computed, and has been seen to wait.

    What they show then says how many seconds of a block are its calls' own.
    """

    def __init__(self) -> None:
        self.cpu_s = self._wait_s = 0.0
        self._seen_s = 0.0
        self._last: Running | None = None

    @property
    def began(self) -> bool:
        """Whether there was one."""
        return self._last is not None

    @property
    def running_s(self) -> float:
        """Seconds that it runs for so far, without what it waited for others."""
        return self.cpu_s + self._wait_s

    def is_in(self, block: Block) -> bool:
        """Whether these are the outcomes of its chunk."""
        return self._last is not None and self._last.chunk is block.chunk

    def reset(self) -> None:
        """It has ended, and counts no more as one that runs. Which it was is kept until there is another."""
        self.cpu_s = self._wait_s = self._seen_s = 0.0

    def look(self, now: Running, late_s: float | None, *, crowd: int, gil_taken: bool) -> None:
        """See how much of its time it has been waiting.

        A beat that is on time found the GIL free, so a thread that is blocked then waits for
        something of its own. A thread that wants a core does not show it until it gets one, so the
        time since the beat before counts as waiting only if the thread is seen to be blocked. All
        of it counts if it was blocked at both; else no more than the beat, since between beats the
        driver may have been the one that held the GIL. What made a beat late, and was not the call itself
        nor the want of a core, were others that had the GIL.

        Args:
            now: What the clocks show of it.
            late_s: How late the beat ended; None if an outcome has cut it short.
            crowd: So many run here, itself included.
            gil_taken: Somebody was seen to have the GIL then.
        """
        self.cpu_s = now.cpu_s
        if late_s is None:
            return
        last = self._last if self._last and self._last.chunk is now.chunk else None
        if last is None and not now.chunk.watched:
            self._last = now  # of the time before nobody knows whether it had a core
            return
        before = last or Running(now.chunk, 0.0, 0.0, 0.0, False)
        own_s = (now.cpu_s - before.cpu_s) + (now.queued_s - before.queued_s)
        gap_s = (now.elapsed_s - before.elapsed_s) - own_s
        on_time = late_s <= LATE_S and not gil_taken
        if not now.runnable and (on_time or crowd <= 1 or had_its_turn(now, late_s, crowd)):
            if before.runnable or not on_time:
                gap_s = min(gap_s, BEAT_S + max(0.0, late_s - own_s))
            self._wait_s += max(0.0, gap_s)
        self._seen_s += now.elapsed_s - before.elapsed_s
        # What was late says nothing of the time before: as if the thread had wanted a core.
        self._last = now if on_time else now._replace(runnable=True)

    def _with_a_core_s(self, block: Block) -> float:
        """Seconds of calls without the time for which their thread was ready but had no core. That is read
        a little before them and after them, and in a crowd it may queue right then, for longer than they
        leave: they have waited for as long as they were seen to."""
        seen_s = self._wait_s if self.is_in(block) else 0.0
        gap_s = max(0.0, block.wall_s - block.cpu_s)
        return block.cpu_s + max(min(seen_s, gap_s), gap_s - block.queued_s)

    def clear_s(self, block: Block) -> float:
        """Seconds of calls that had no others in their way."""
        wall_s, seen_s = self._with_a_core_s(block), self._seen_s
        unseen_s = block.wall_s - seen_s
        nearly_all = unseen_s < STOLEN_S or seen_s > SEEN_WHOLE * block.wall_s
        if self.is_in(block) and seen_s > 0 and nearly_all:
            # It was watched from begin to end, or nearly: what was seen of its waiting leaves out the
            # time that the host took, and the GIL's way to the watcher and back.
            waited_s = self._wait_s * max(1.0, block.wall_s / seen_s)
            wall_s = min(wall_s, block.cpu_s + waited_s + BEAT_S)
        return wall_s

    def own_s(self, block: Block, overlap: Overlap) -> float:
        """Seconds of the first call without what it waited for those that were sent after it.

        At least what it computed and was seen to wait, or nobody computed meanwhile; at most its wall
        time. Once many threads run, the watcher is starved like everybody, so the two may be far apart:
        between them, the nearer to the least the less time there was in which nobody computed, nor wanted
        a core for it. (24 that wait for 30 ms and compute for 15 took 0.4 s, of which the process was busy
        for 0.37; beside two other programs on two cores 0.6 s, of which it was so for 0.34, and wanted to
        be for all.)
        """
        # Nobody has looked: the geometric mean, which is wrong by the same factor whichever is true.
        idle = 0.5
        if overlap.was_seen:
            wanted = 1 + block.queued_s / block.cpu_s if block.cpu_s else 1.0
            idle = max(0.0, 1 - overlap.busy * wanted)
        most = self._with_a_core_s(block)
        waited_s = self._wait_s
        if overlap.was_seen:
            waited_s = max(waited_s, idle * (most - block.cpu_s))
        least = min(most, block.cpu_s + waited_s)
        return float(least * (most / least) ** max(UNSEEN, idle)) if least else most
