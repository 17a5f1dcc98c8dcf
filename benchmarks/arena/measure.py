"""One workload under every contender: in turns, each against the results of the serial loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from .contenders import CONTENDERS, Contender
from .records import AUTOEXEC, SERIAL, Row, Times
from .scene import Scene
from .stage import Failed, Ran, Slow, Stage
from .workloads import Workload

STUCK_S = 120.0
"""After this the serial loop and autoexec are given up too. The longest loop takes 12 s."""
DIFFERS = "its results differ from those of the serial loop"
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Terms:
    """How everything is measured.

    Attributes:
        repeat: Runs of each contender, of which the median counts.
        scale: Share of the calls.
        limit_s: A contender is given up when a run takes longer. The serial loop, whose results are
            those that count, and autoexec are not; but what has taken longer once is not run again.
    """

    repeat: int = 3
    scale: float = 1.0
    limit_s: float = 4.0


class Runs(Protocol):
    """What is asked of a stage."""

    def ready(self) -> Failed | None:
        """Wait until it is set up."""

    def run(self, limit_s: float) -> Ran | Failed | Slow:
        """Run the workload once."""
        ...

    def close(self, *, at_once: bool = False) -> None:
        """It is not needed any more."""


@dataclass(slots=True)
class Lane:
    """A contender during the measurement."""

    contender: Contender
    stage: Runs | None = None
    seconds: list[float] = field(default_factory=list[float])
    note: str = ""
    beyond_s: float | None = None
    chose: str = ""

    def times(self) -> Times:
        """What came of it."""
        return Times(tuple(self.seconds), self.note, self.beyond_s)

    def retire(self, note: str, *, keep: bool = False, at_once: bool = False) -> None:
        """It is not run again, and without `keep` has no time."""
        self.note = note
        if not keep:
            self.seconds.clear()
        if self.stage is not None:
            self.stage.close(at_once=at_once)
            self.stage = None


def measure(workload: Workload, terms: Terms, here: Scene, log: Log) -> Row:
    """Run a workload under every contender that it is for.

    Args:
        workload: The work.
        terms: How often, how much, how long.
        here: Where the files and the server are.
        log: Gets a line about each run.
    """
    lanes = _lanes(workload)
    with ExitStack() as stack:
        for lane in lanes:
            if not lane.note:
                lane.stage = Stage(lane.contender, workload, terms.scale, here)
                stack.callback(_close, lane)
        for lane in lanes:
            failed = lane.stage.ready() if lane.stage else None
            if failed is not None:
                lane.retire(failed.why)
        take_turns(lanes, terms, log)
    chose = next((lane.chose for lane in lanes if lane.contender.name == AUTOEXEC), "")
    times = {lane.contender.name: lane.times() for lane in lanes}
    return Row(workload.name, workload.what, workload.scaled(terms.scale)[0], times, chose)


def _lanes(workload: Workload) -> list[Lane]:
    """Of the contenders that are for functions of this kind; with a note if one cannot do it."""
    return [Lane(one, note=one.unfit(workload)) for one in CONTENDERS if one.takes(workload)]


def _close(lane: Lane) -> None:
    if lane.stage is not None:
        lane.stage.close()


def take_turns(lanes: Sequence[Lane], terms: Terms, log: Log) -> None:
    """The serial loop is the first of all: what it returns is what all must return."""
    expected = ""
    for turn in range(terms.repeat):
        for lane in lanes:
            if lane.stage is not None:
                expected = _run(lane, terms, expected) or expected
                shown = f"{lane.seconds[-1]:.3f} s" if lane.seconds else lane.note
                log(f"  {turn + 1}  {lane.contender.name}: {shown}")


def _run(lane: Lane, terms: Terms, expected: str) -> str:
    """Run a contender once. Returns what marks its results."""
    assert lane.stage is not None
    patient = lane.contender.name in (SERIAL, AUTOEXEC)
    match lane.stage.run(STUCK_S if patient else terms.limit_s):
        case Slow(after_s):
            lane.beyond_s = after_s
            lane.retire(f"given up after {after_s:g} s", at_once=True)
        case Failed(why):
            lane.retire(why)
        case Ran(_, fingerprint) if expected not in ("", fingerprint):
            lane.retire(DIFFERS)
        case Ran(took_s, fingerprint, chose):
            lane.seconds.append(took_s)
            lane.chose = chose
            if took_s > terms.limit_s:
                lane.retire("run once, since it takes so long", keep=True)
            return fingerprint
    return ""
