"""Time over the best fixed plan's, by kind of workload."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from .driver import Drive, Played
from .plans import Best, best
from .workloads import Workload, generated, named

CORES = (1, 2, 16)
"""Machines on which the named workloads are played."""


class Row(NamedTuple):
    """One workload."""

    workload: Workload
    played: Played
    best: Best
    again: Played
    """The run after it, which begins with what this one has shown."""
    best_again: Best

    @property
    def ratio(self) -> float:
        """Time over the best plan's."""
        return self.played.seconds / self.best.seconds

    @property
    def ratio_again(self) -> float:
        """The same of the next run."""
        return self.again.seconds / self.best_again.seconds


def everything(random: int) -> Iterable[Workload]:
    """The named workloads on several machines, and so many at random."""
    return chain(*map(named, CORES), generated(random))


def compare(workloads: Iterable[Workload]) -> list[Row]:
    """Play them all."""
    return list(map(_row, workloads))


def _row(workload: Workload) -> Row:
    first = Drive(workload)
    played = first.play()
    again = Drive(workload, prior=first.prior()).play()
    quickest = best(workload)
    differs = workload.warm_s > 0  # else the caller's process is as it was
    return Row(
        workload, played, quickest, again, best(workload, again=True) if differs else quickest
    )


def quantile(values: Iterable[float], share: float) -> float:
    """The least value that is at least as large as such a share of all."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def by_kind(rows: Sequence[Row]) -> list[list[str]]:
    """For each kind and for all: how many, the median, the 95th percentile, the worst; and of the next run the
    first two of these."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.workload.kind, []).append(row)
    lines = [["kind", "workloads", "median", "95 %", "worst", "next run", "95 %", "worst at first"]]
    for kind, its in [*kinds.items(), ("all", list(rows))]:
        ratios, next_ones = [row.ratio for row in its], [row.ratio_again for row in its]
        worst = max(its, key=lambda row: row.ratio).workload.name
        figures = [f"{value:.2f}" for value in
                   (quantile(ratios, 0.5), quantile(ratios, 0.95), max(ratios),
                    quantile(next_ones, 0.5), quantile(next_ones, 0.95))]  # fmt: skip
        lines.append([kind, str(len(its)), *figures, worst])
    return lines


def story(row: Row) -> str:
    """What the scheduler did with one workload, in words."""
    plans = "; ".join(
        f"at {at:.3f} s {plan.route} {dict(plan.capacities)}"
        f"{' by throughput' if plan.waiting else ''} ({plan.kind}: {plan.reason})"
        for at, plan in row.played.history
    )
    return (
        f"{row.ratio:6.2f}  {row.workload.name}: {row.played.seconds:.3f} s,"
        f" {row.best.name} {row.best.seconds:.3f} s; ran {row.played.ran},"
        f" {row.played.at_once} at once\n        {plans}"
    )


def text(lines: Sequence[Sequence[str]], *, markdown: bool = False) -> str:
    """A table."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    edge = "| " if markdown else ""
    rows = [edge + (" | " if markdown else "  ").join(
        cell.ljust(width) if i in (0, len(line) - 1) else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(line, widths, strict=True))) + edge[::-1]
        for line in lines]  # fmt: skip
    if markdown:
        rules = ["---", *["---:"] * (len(widths) - 2), "---"]
        rows.insert(1, "|" + "|".join(rules) + "|")
    return "\n".join(row.rstrip() for row in rows)
