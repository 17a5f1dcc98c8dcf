"""What was measured, as text that is read at 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import get_args

from .._report import Report
from .._wording import seconds
from .measure import Row
from .tasks import Way

WIDTH = 100
WAYS: tuple[Way, ...] = get_args(Way)
NAME_WIDTH = len("fetch+compile ")
CALLS_WIDTH = len("200,000")
TIME_WIDTH = len("  63.2 ms")
SPEEDUP_WIDTH = len(" 0.003x")
NEAR = 1.05
"""Times this close together are the same as far as one run of each can tell."""
HOW_TO_READ = (
    "Times are wall time from call to results, with starting and stopping of threads, processes"
    " and loops. Beside them: how many times as fast as the serial loop. Stars mark the fastest"
    f" way of each task and those within {NEAR - 1:.0%} of it, dashes what does not apply."
)


def render(rows: Sequence[Row]) -> str:
    """The table, what `auto` chose and why, and whether all results are the same."""
    parts = [
        _table(rows),
        textwrap.fill(HOW_TO_READ, WIDTH),
        "What auto found, what it chose, and why:",
        "\n".join(_choice(row) for row in rows),
        "\n".join(verdict(rows)),
    ]
    return "\n\n".join(parts) + "\n"


# --- The table --------------------------------------------------------------------------------------


def _table(rows: Sequence[Row]) -> str:
    lines = [_line("task", "calls", [(way, "", "") for way in WAYS])]
    lines += [
        _line(row.task.name, f"{len(row.task.items):,}", [_cell(row, way) for way in WAYS])
        for row in rows
    ]
    return "\n".join(lines)


def _line(name: str, calls: str, cells: Sequence[tuple[str, str, str]]) -> str:
    """A line of the table; each cell is a time, a speed-up and a mark."""
    text = f"{name:<{NAME_WIDTH}}{calls:>{CALLS_WIDTH}}"
    for way, (time, speedup, mark) in zip(WAYS, cells, strict=True):
        width = 0 if way == "serial" else SPEEDUP_WIDTH  # it has no speed-up against itself
        text += f"{time:>{TIME_WIDTH}}{speedup:>{width}}{mark:1}"
    return text.rstrip()


def _cell(row: Row, way: Way) -> tuple[str, str, str]:
    if way in row.failures:
        return "failed", "", ""
    if way not in row.timings:
        return "-", "", ""
    took = row.timings[way].seconds
    fastest = min(timing.seconds for timing in row.timings.values())
    compared = "" if way == "serial" else _ratio(row.timings["serial"].seconds / took)
    return seconds(took), compared, "*" if took <= NEAR * fastest else ""


def _ratio(value: float) -> str:
    """A speed-up to two figures, no longer than its column."""
    if value < 0.001:
        return "<.001x"
    if value < 0.95:
        return f"{value:.1g}x"
    return f"{value:.1f}x" if value < 9.95 else f"{value:.0f}x"


# --- Below the table --------------------------------------------------------------------------------


def _choice(row: Row) -> str:
    timing = row.timings.get("auto")
    lines = [f"Each call {row.task.what}."]
    if timing is not None and timing.report is not None:
        lines += _explained(timing.report)
    return "\n".join(_beside(row.task.name if i == 0 else "", line) for i, line in enumerate(lines))


def _explained(report: Report) -> Iterator[str]:
    ran = ", ".join(f"{calls:,} {route}" for route, calls in report.ran.items())
    yield f"{report.kind} -> {report.route}; calls run: {ran}."
    yield f"Why: {report.plan.reason}."


def _beside(label: str, text: str) -> str:
    first = f"  {label:<{NAME_WIDTH}}"
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))


def verdict(rows: Sequence[Row]) -> Iterator[str]:
    """Whether all results are the same, and what could not run."""
    wrong = [
        f"DIFFERENT RESULTS: {row.task.name} under {way} gave other results than the serial loop."
        for row in rows
        for way in row.differing
    ]
    yield from wrong or ["All ways gave the same results as the serial loop, call for call."]
    for row in rows:
        for way, why in row.failures.items():
            yield textwrap.fill(f"FAILED: {row.task.name} under {way}: {why}", WIDTH)
