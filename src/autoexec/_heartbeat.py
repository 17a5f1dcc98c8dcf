"""The GIL heartbeat: how long the driver waits between two looks, and what these tell of calls under way."""

from __future__ import annotations

from ._chunk import Block, Chunk
from ._classify import LETS_GO
from ._evidence import BEAT_S, Beats, Inner
from ._types import Look, Profile, Running

SLOW_BEAT_S = 0.005
"""The beat instead of `BEAT_S` beside calls of which many go in one, after the first few: 3,000 small files,
each read in 12 µs with the GIL released, took 56 ms beside a beat of 1 ms, which each time has them wait for
0.3 to 0.4 ms, and 41 ms without any."""
FIRST_BEATS = 3
"""Beats of `BEAT_S` that come before slower ones."""
FIRST_BLOCKS = 4
"""Dispatches that are watched, however clear the beats are: of these it is seen whether they wait."""
SHORT_S = 2.5e-5
"""Calls of which forty go in a beat: it tells of the GIL only, not of any of them. They are shorter than what it
takes to hand one to a thread. (With calls twice as long among these, those that compute without the GIL, a tenth
of them for 2 ms, were told too late in simulation.)"""


class Heartbeat:
    """What the looks of a run show of the GIL, and of threads that calls have of their own.

    Args:
        prior: What an earlier run has shown.
    """

    def __init__(self, prior: Profile | None) -> None:
        self._beats = Beats(prior.gil_share if prior else None)
        self._inner = Inner(prior.inner if prior else 0.0)
        self._seen: dict[Chunk, Running] = {}

    def gil_is_on(self) -> None:
        """There was no GIL before."""
        self._beats = Beats(None)

    def weaken(self) -> None:
        """The next beats outvote soon what is known."""
        self._beats.weaken()

    def ended(self, block: Block) -> None:
        """A dispatch has: it is not under way any more."""
        self._seen.pop(block.chunk, None)

    def look(self, look: Look, crowd: int, done: int) -> None:
        """Account for a look at the calls under way.

        Args:
            look: What the clocks show.
            crowd: Calls in flight in this process.
            done: Calls that have ended.
        """
        computing_s = 0.0
        for running in look.running:
            last = self._seen.get(running.chunk)
            computing_s += max(0.0, running.cpu_s - (last.cpu_s if last else 0.0))
            self._seen[running.chunk] = running
        if look.late_s is not None and computing_s > 0:
            seen_s = min(computing_s, BEAT_S + look.late_s)
            self._beats.add(look.late_s, seen_s, taken=look.gil_taken)
        self._inner.look(look, crowd, done)

    def next_s(self, call_s: float, *, blocks: int, block_s: float) -> float:
        """Seconds of the next beat, where there is something to go by.

        Args:
            call_s: Seconds of a call.
            blocks: Dispatches that were seen so far.
            block_s: Seconds that the last of them took, of those in this process.
        """
        rest = self._beats.agree and self._inner.may_pass and blocks >= FIRST_BLOCKS
        rest = rest and block_s > 2 * SLOW_BEAT_S  # else nothing is seen twice
        slow = (call_s < SHORT_S or rest) and self._beats.count >= FIRST_BEATS
        return SLOW_BEAT_S if slow else BEAT_S

    @property
    def is_clear(self) -> bool:
        """Whether it has nothing more to tell."""
        return self._beats.agree and not self._inner.may_pass

    @property
    def gil_share(self) -> float | None:
        """Share of the computing that held the GIL; None before there is evidence."""
        return self._beats.share

    @property
    def let_go(self) -> bool | None:
        """Whether calls compute without the GIL; None before that is told."""
        share = self._beats.share
        return None if share is None else share < LETS_GO

    @property
    def late_s(self) -> float:
        """Median lateness in seconds."""
        return self._beats.late_s

    @property
    def inner(self) -> float:
        """CPU seconds per second of threads that calls have of their own."""
        return self._inner.share
