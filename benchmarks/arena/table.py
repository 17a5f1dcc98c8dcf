"""The records as text and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import fill

from autoexec._wording import seconds

from .records import AUTOEXEC, Arena, Row

WIDTH = 100
HEADINGS = (
    "workload",
    "calls",
    "autoexec",
    "best of the others",
    "",
    "ratio",
    "where autoexec ran them",
)


def text(arena: Arena) -> str:
    """The table for a terminal: the ratios, then every contender."""
    lines = [HEADINGS, *map(_line, arena.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = "\n".join(_columns(line, widths) for line in lines)
    details = "\n".join(_wrapped(row) for row in arena.rows)
    return "\n\n".join([setting(arena), table, summary(arena), details]) + "\n"


def markdown(arena: Arena) -> str:
    """The same as two tables for a page."""
    parts = [
        f"{setting(arena)} {summary(arena)}",
        _markdown_table(
            ("workload", "calls", "autoexec", "best of the others", "ratio", "autoexec ran"),
            [(n, c, own, f"{best} {who}".strip(), ratio, ran)
             for n, c, own, best, who, ratio, ran in map(_line, arena.rows)],
            "lrrlrl",
        ),
        "Every contender, the quickest first:",
        _markdown_table(
            ("workload", "each call", "median times"),
            [(row.name, row.what, details(row)) for row in arena.rows],
            "lll",
        ),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def setting(arena: Arena) -> str:
    """What was measured where."""
    short = (
        f" Only {arena.scale:.0%} of the calls were made: this was a trial, which says nothing of speed."
        if arena.scale < 1
        else ""
    )
    return f"{arena.setting}. Medians of {arena.repeat}.{short}"


def summary(arena: Arena) -> str:
    """The ratios in a sentence."""
    mean = arena.mean_ratio
    if mean is None:
        return "There is nothing to compare."
    compared = [row for row in arena.rows if row.ratio is not None]
    worst = max(compared, key=lambda row: row.ratio or 0.0)
    return (
        f"Time of autoexec over that of the best of the others, which differs from row to row:"
        f" geometric mean {mean:.2f}, at worst {worst.ratio:.2f} ({worst.name})."
    )


def details(row: Row) -> str:
    """Every contender's time, the quickest first, and what those without one did."""
    timed = [f"{_strong(name)} {seconds(took)}" for name, took in row.ranking]
    others = [f"{name}: {its.note}" for name, its in row.times.items() if not its.seconds]
    return "; ".join(filter(None, [", ".join(timed), *others]))


def troubles(arena: Arena) -> Iterator[str]:
    """What autoexec has no time for, one sentence each."""
    for row in arena.rows:
        own = row.times.get(AUTOEXEC)
        if own is not None and not own.seconds:
            yield f"{row.name}: autoexec has no time, since {own.note}."


def _line(row: Row) -> tuple[str, ...]:
    own = row.times[AUTOEXEC].median_s if AUTOEXEC in row.times else None
    who, best = row.best or ("", None)
    return (
        row.name,
        f"{row.calls:,}",
        _time(own),
        _time(best),
        who,
        "-" if row.ratio is None else f"{row.ratio:.2f}",
        row.chose,
    )


def _time(value: float | None) -> str:
    return "-" if value is None else seconds(value)


def _strong(name: str) -> str:
    return f"**{name}**" if name == AUTOEXEC else name


def _columns(line: Sequence[str], widths: Sequence[int]) -> str:
    sides = "<>>><><"
    cells = zip(line, sides, widths, strict=True)
    return "  ".join(f"{cell:{side}{width}}" for cell, side, width in cells).rstrip()


def _wrapped(row: Row) -> str:
    words = f"{row.name} ({row.what}): {details(row).replace('**', '')}"
    return fill(words, WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def _markdown_table(headings: Sequence[str], lines: Sequence[Sequence[str]], sides: str) -> str:
    rules = ["---:" if side == "r" else "---" for side in sides]
    cells = [headings, rules, *([cell.replace("|", "\\|") for cell in line] for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
