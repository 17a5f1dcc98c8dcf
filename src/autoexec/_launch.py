"""How many waiting calls are started at once in this process. Pure: it is told the time.

What has started here cannot go elsewhere, and calls that were taken to wait may compute: the input goes on
with another kind of item. So calls are started in waves, with a look between two at what those of the last
have computed so far. (256 at once, of which the last 130 computed for 8 ms each, kept one core busy for 1.1 s
while the other had nothing to do, and the driver from the GIL for 0.4 s.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ._chunk import Chunk
from ._types import Running

WAVE = 8
"""Calls that are on their way to waiting at a time: if they compute for 8 ms instead, one core has 64 ms to
do, and eight threads that want the GIL let the driver have it after 40 ms."""
WAVE_S = 3e-4
"""Between a wave and the look at it. A call that waits has begun to in 0.1 ms."""
LONGEST_S = 0.005
"""The same where no thread gets to the calls, or they do not wait, look after look."""
BUSY = 0.5
"""Share of its time that a call has computed so far, from which it has not begun to wait."""
FULL = 0.8
"""Share of the time that this process has computed from which it may be at the limit of its GIL. Requests to a
server on the same machine that compute for 0.7 ms each come to 0.6 or 0.7."""
TAKEN_S = 0.0045
"""A look this late, while the process computes, found the GIL taken, and so the next look counts as well: a
call that computes keeps it for 5 ms, those requests for 1 to 4. A call that queues for the GIL has computed
next to nothing by then, and yet is not waiting. What the process has computed tells the same where the last look is
so long ago, though this one is on time."""
TURN_S = 0.1
"""Whoever wants the GIL has had it by then, for 5 ms at a time, where fewer than twenty want it."""
TURN = 0.05
"""The share of the time for which one of twenty has it."""
SHARE = 0.5
"""Of that which one has where all that are under way want it, if these are more: of 400 calls that hold it for 20 ms,
behind others that wait for 400, 235 were begun here in simulation as each of 40 had so little of it."""
LEAST_TURN = 0.01
"""However many these are: requests that compute for 0.7 ms have had less after `TURN_S`."""
ONE_TURN_S = 0.01
"""A look that is late, but by less, waited for one thread to let go of the GIL, not for several in turn, nor for
one that had no core."""


def had_its_turn(call: Running, late_s: float, calls: int) -> bool:
    """Whether one of so many calls does not want the GIL, though a look was so late: a thread of the program that
    computes in Python made all looks so, and of 60 calls that wait for a second, four were begun in the first."""
    turn = max(LEAST_TURN, min(TURN, SHARE / calls))
    spent_s = call.cpu_s + call.queued_s
    return late_s < ONE_TURN_S and call.elapsed_s > TURN_S and spent_s < turn * call.elapsed_s


class Launch:
    """Holds back what would be started before the last wave was looked at.

    Args:
        cores: Calls in a wave while those before it compute.
    """

    def __init__(self, cores: int) -> None:
        self.held_back = False
        """Calls are to be started as soon as there was a look at `wave`."""
        self.look_from = -math.inf
        """When that makes sense."""
        self.wave: Sequence[Chunk] = []
        """What was started since the last look, or had not begun by then."""
        self.computing = False
        """One of the last wave was seen to compute for longer than was believed."""
        self._cores = cores
        self._looked_at = -math.inf
        self._cpu_s = 0.0  # at that time
        self._late = False  # so was that look
        self._pause_s = WAVE_S

    def room(self, wanted: int, in_line: int = 0) -> int:
        """How many of so many calls may be started now.

        Args:
            wanted: So many would be.
            in_line: Calls of the last wave that wait for a place, and so are not on their way.
        """
        self.wave = [chunk for chunk in self.wave if not chunk.finished]
        most = self._cores if self.computing else WAVE
        left = max(0, most + in_line - len(self.wave))
        self.held_back = left < wanted
        return min(wanted, left)

    def started(self, chunks: Sequence[Chunk], now: float) -> None:
        """These were."""
        self.wave = [*self.wave, *chunks]
        self._pause_s = WAVE_S
        self.look_from = now + WAVE_S

    def looked(
        self,
        seen: Sequence[Running],
        now: float,
        *,
        computing: bool,
        cpu_s: float = 0.0,
        calls: int = 1,
    ) -> None:
        """The wave was looked at. Those of it that no thread has got to, or that have not begun to wait,
        count towards the next.

        Args:
            seen: Its calls, as far as they run.
            now: The time.
            computing: One was seen to compute for longer than was believed.
            cpu_s: What this process has computed so far, the thread of the driver left out.
            calls: How many are under way in it.
        """
        self.held_back = False
        self.computing = computing
        spent_s, elapsed_s = cpu_s - self._cpu_s, now - self._looked_at
        self._cpu_s, self._looked_at = cpu_s, now
        late_s = now - self.look_from
        late, self._late = self._late, late_s > TAKEN_S
        taken = (late or elapsed_s > TAKEN_S) and spent_s > FULL * elapsed_s
        busy = {
            one.chunk
            for one in seen
            if one.cpu_s > BUSY * one.elapsed_s or (taken and not had_its_turn(one, late_s, calls))
        }
        self.wave = [chunk for chunk in self.wave if chunk.began is None or chunk in busy]
        self._pause_s = min(2 * self._pause_s, LONGEST_S)
        self.look_from = now + self._pause_s
