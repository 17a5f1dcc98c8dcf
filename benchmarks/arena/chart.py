"""The records as one SVG: a row for each workload, a dot for each contender, on a logarithmic scale.

Times are shown as multiples of the best of the others, which therefore stands at 1 in every row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from autoexec._wording import seconds

from .contenders import CONTENDERS
from .records import AUTOEXEC, Arena, Row

LEFT, PLOT, RIGHT = 130, 580, 130
ROW, HEAD, FOOT = 26, 84, 34
WIDTH = LEFT + PLOT + RIGHT
LEAST, MOST = 0.5, 4.0
"""What the scale shows in any case."""
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
FAMILIES = {
    "serial": "serial loop",
    "threads": "threads",
    "processes": "processes",
    "asyncio": "asyncio",
    "libraries": "joblib, mpire",
    "by hand": "hybrids by hand",
    AUTOEXEC: AUTOEXEC,
}
"""Contenders that are drawn alike, with the words of the legend."""
_FAMILY_OF = {contender.name: contender.family for contender in CONTENDERS}
_STYLE = """
.page{fill:#ffffff}text{fill:#1f2328;font:13px system-ui,sans-serif}.title{font-weight:600;font-size:15px}
.quiet{fill:#656d76;font-size:11px}.end{text-anchor:end}.middle{text-anchor:middle}.own{font-weight:600}
.grid{stroke:#d0d7de}.one{stroke:#656d76;stroke-dasharray:3 3}
.dot{fill-opacity:.8}.late{fill:none;stroke-width:1.5}
.serial{fill:#8c959f;stroke:#8c959f}.threads{fill:#2e86de;stroke:#2e86de}
.processes{fill:#27ae60;stroke:#27ae60}.asyncio{fill:#16a3b8;stroke:#16a3b8}
.libraries{fill:#e08e0b;stroke:#e08e0b}.by-hand{fill:#9b59b6;stroke:#9b59b6}
.autoexec{fill:#d6244a;stroke:#ffffff;stroke-width:1.5}
.late.serial,.late.threads,.late.processes,.late.asyncio,.late.libraries,.late.by-hand{fill:none}
@media (prefers-color-scheme:dark){.page{fill:#0d1117}text{fill:#e6edf3}.quiet{fill:#9198a1}
.grid{stroke:#30363d}.one{stroke:#9198a1}.autoexec{fill:#ff5c7c;stroke:#0d1117}}
"""


def chart(arena: Arena) -> str:
    """The SVG. It brings its own background, for light and for dark pages."""
    rows = [row for row in arena.rows if row.ranking]
    height = HEAD + ROW * len(rows) + FOOT
    scale = Scale(rows)
    body = [
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
        _text(16, 26, "Time, as a multiple of the best of all others", "title"),
        *_legend(),
        *_grid(scale, height),
        *(part for i, row in enumerate(rows) for part in _row(row, HEAD + ROW * i, scale)),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}"><title>autoexec beside other ways to run calls</title>'
        f"<style>{_STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


class Scale:
    """Multiples to places.

    Args:
        rows: What must fit in.
    """

    def __init__(self, rows: list[Row]) -> None:
        found = [ratio for row in rows for _, ratio, _ in _ratios(row)]
        self.least, self.most = min([LEAST, *found]) * 0.95, max([MOST, *found]) * 1.05

    def x(self, ratio: float) -> float:
        """Where a multiple is."""
        return LEFT + PLOT * math.log(ratio / self.least) / math.log(self.most / self.least)


def _ratios(row: Row) -> Iterator[tuple[str, float, bool]]:
    """The contenders with their multiples, and whether they were given up there."""
    unit = row.best[1] if row.best else row.ranking[0][1]
    for name, its in row.times.items():
        if its.median_s is not None:
            yield name, its.median_s / unit, False
        elif its.beyond_s is not None:
            yield name, its.beyond_s / unit, True


def _legend() -> Iterator[str]:
    x = 20.0
    for family, words in FAMILIES.items():
        yield _mark(family, x, 48, words)
        yield _text(x + 10, 52, words)
        x += 27 + 7.2 * len(words)
    yield _late("serial", x, 48, "given up there")
    yield _text(x + 10, 52, "given up there")


def _grid(scale: Scale, height: int) -> Iterator[str]:
    for tick in TICKS:
        if scale.least <= tick <= scale.most:
            x = scale.x(tick)
            kind = "one" if tick == 1 else "grid"
            yield f'<path class="{kind}" d="M{x:.1f} {HEAD - 6}V{height - FOOT + 2}"/>'
            yield _text(x, height - FOOT + 18, f"{tick:g}", "quiet middle")
    yield _text(WIDTH - 14, HEAD - 10, "autoexec", "quiet end")


def _row(row: Row, top: int, scale: Scale) -> Iterator[str]:
    y = top + ROW // 2
    yield _text(LEFT - 12, y + 4, row.name, "end")
    yield f'<path class="grid" d="M{LEFT} {y}H{LEFT + PLOT}"/>'
    # The library last, so that it lies on top.
    for name, ratio, late in sorted(_ratios(row), key=lambda one: one[0] == AUTOEXEC):
        family, x = _FAMILY_OF.get(name, "serial"), scale.x(ratio)
        times = row.times[name]
        words = f"{name}: {times.note if late else seconds(times.median_s or 0.0)}"
        yield (_late if late else _mark)(family, x, y, words)
    own = row.times[AUTOEXEC].median_s if AUTOEXEC in row.times else None
    if own is not None:
        words = seconds(own) if row.ratio is None else f"{row.ratio:.2f} ({seconds(own)})"
        yield _text(WIDTH - 14, y + 4, words, "own end")


def _mark(family: str, x: float, y: float, words: str) -> str:
    title = f"<title>{escape(words)}</title>"
    if family == AUTOEXEC:
        return f'<path class="autoexec" d="M{x:.1f} {y - 8}l8 8l-8 8l-8 -8z">{title}</path>'
    return f'<circle class="dot {_css(family)}" cx="{x:.1f}" cy="{y}" r="4">{title}</circle>'


def _late(family: str, x: float, y: float, words: str) -> str:
    title = f"<title>{escape(words)}</title>"
    return f'<path class="late {_css(family)}" d="M{x - 3:.1f} {y - 4}l7 4l-7 4z">{title}</path>'


def _css(family: str) -> str:
    return family.replace(" ", "-")


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
