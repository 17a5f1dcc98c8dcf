"""What was measured: inert records, and the way to JSON and back."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

AUTOEXEC = "autoexec"
SERIAL = "serial loop"


@dataclass(frozen=True, slots=True)
class Times:
    """One contender on one workload."""

    seconds: Sequence[float] = ()
    """Wall seconds of each run. Empty: there is no time for it, and `note` says why."""
    note: str = ""
    """Why it has no time, or fewer than the others."""
    beyond_s: float | None = None
    """It was given up after so many seconds."""

    @property
    def median_s(self) -> float | None:
        """The middle of its runs."""
        return statistics.median(self.seconds) if self.seconds else None


@dataclass(frozen=True, slots=True)
class Row:
    """One workload under every contender."""

    name: str
    what: str
    """What one call does, in words."""
    calls: int
    times: Mapping[str, Times]
    chose: str = ""
    """Where autoexec ran the calls in its last run."""

    @property
    def ranking(self) -> list[tuple[str, float]]:
        """The contenders that have a time, with their medians, the quickest first."""
        medians = [(name, its.median_s) for name, its in self.times.items()]
        return sorted(((n, s) for n, s in medians if s is not None), key=lambda pair: pair[1])

    @property
    def best(self) -> tuple[str, float] | None:
        """The quickest of the others, and its median. None: no other has a time."""
        return next((pair for pair in self.ranking if pair[0] != AUTOEXEC), None)

    @property
    def ratio(self) -> float | None:
        """Time of autoexec over that of the best of the others."""
        own = self.times.get(AUTOEXEC, Times()).median_s
        return own / self.best[1] if own is not None and self.best is not None else None


@dataclass(frozen=True, slots=True)
class Arena:
    """A run of the whole."""

    setting: str
    """The machine and the versions, in words."""
    repeat: int
    scale: float
    """Share of the calls that the workloads have when they are measured in earnest."""
    rows: Sequence[Row] = field(default_factory=tuple[Row, ...])

    @property
    def ratios(self) -> list[float]:
        """Of all workloads that have one."""
        return [row.ratio for row in self.rows if row.ratio is not None]

    @property
    def mean_ratio(self) -> float | None:
        """Geometric mean of the ratios."""
        logs = [math.log(ratio) for ratio in self.ratios]
        return math.exp(statistics.fmean(logs)) if logs else None


def to_json(arena: Arena) -> str:
    """The records as JSON."""
    return json.dumps(asdict(arena), indent=1) + "\n"


def from_json(text: str) -> Arena:
    """The records that `to_json` wrote.

    Raises:
        ValueError: The text is not JSON, or not of this form.
    """
    try:
        plain: dict[str, Any] = json.loads(text)
        plain["rows"] = tuple(map(_row, plain["rows"]))
        return Arena(**plain)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"These are no records of the arena ({error}): give a file that --json wrote."
        ) from error


def _row(plain: dict[str, Any]) -> Row:
    plain["times"] = {name: Times(**its) for name, its in plain["times"].items()}
    return Row(**plain)
