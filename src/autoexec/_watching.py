"""What is seen of calls while a run waits.

The wait for outcomes is the heartbeat of the GIL: a wait of 1 ms that ends 5 ms late found somebody holding it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from . import _children, _clocks
from ._chunk import Chunk
from ._evidence import LATE_S
from ._scheduler import Scheduler
from ._source import Pulled
from ._types import Broken, Event, Ready

LOOK_S = 0.005
"""Between looks at the process as a whole while calls run here, once single calls are no longer
watched: a look takes 10 µs."""


class Watcher:
    """Looks at the calls of this process, and tells the scheduler.

    Args:
        scheduler: Of the run, none of whose calls has begun.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._looked = 0.0
        self._returned = 0  # calls since the last look
        self._here: Sequence[Chunk] = ()  # under way in this process as the last wait began
        self._boot_s = _children.boot_clock()
        # Where start times of processes are not known, a child that was there before tells nothing.
        self._had_children = not self._boot_s and _children.has_children()

    def heard(self, event: Event | Pulled) -> None:
        """So many calls have returned, though it is not told yet."""
        if not isinstance(event, (Ready, Broken, Pulled)):
            self._returned += sum(block.calls for block in event)

    def waited(
        self,
        beat: _clocks.Beat | None,
        watched: Sequence[Chunk],
        here: Sequence[Chunk],
        *,
        cut_short: bool,
    ) -> None:
        """Look at the calls after a wait.

        Args:
            beat: What it was; None if no call is under watch.
            watched: Those that are.
            here: All that are under way in this process.
            cut_short: Something has happened.
        """
        self._here = here
        if beat is None:
            self.look_now_and_then()
            return
        late_s = _ended(beat, watched)
        if cut_short:
            self._look(watched, None, here)
            return
        looking = _clocks.Beat(_clocks.LOOKING_S)
        self._look(watched, late_s, here, gil_taken=beat.gil_taken)
        _ended(looking, watched)

    def look_now_and_then(self) -> None:
        """See how busy the process is while calls run here."""
        if self._here and time.perf_counter() > self._looked + LOOK_S:
            self._look((), None, self._here)

    def look(self) -> None:
        """See what the clocks show before the first call."""
        self._look((), None)

    def _look(
        self,
        chunks: Sequence[Chunk],
        late_s: float | None,
        here: Sequence[Chunk] = (),
        *,
        gil_taken: bool | None = None,
    ) -> None:
        on_time = late_s is not None and late_s <= LATE_S and not gil_taken
        watched = [chunk for chunk in chunks if not chunk.finished]
        running = _clocks.running(watched, on_time=on_time)
        # While the first call waits: for a child process, perhaps, which is not like waiting.
        first = bool(running) and not self._scheduler.profiler.done and not self._had_children
        new_child = first and _children.has_child_since(self._boot_s)
        look = _clocks.look(running, late_s, self._returned, new_child, here, gil_taken)
        self._scheduler.looked(look)
        self._returned = 0
        self._looked = time.perf_counter()


def _ended(beat: _clocks.Beat, watched: Sequence[Chunk]) -> float:
    """How late it ended. Calls under watch note for how long nobody could go on."""
    late_s, away_s = beat.ended()
    for chunk in watched:
        if chunk.began is not None:
            chunk.away_s += away_s
    return late_s
