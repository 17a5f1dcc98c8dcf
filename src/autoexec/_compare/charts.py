"""What was measured, as a page with charts that stands alone: no script, no other file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .._wording import seconds
from .measure import Row
from .table import HOW_TO_READ, WAYS, verdict
from .tasks import Way

BAR, GAP, LEFT, WIDTH, RIGHT = 20, 6, 90, 720, 150
_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;
 background:#fff;color:#222}
h1{font-size:1.5em}h2{font-size:1.1em;margin:1.8em 0 .2em}p{margin:.2em 0 .6em}
.quiet{opacity:.75}.wrong{color:#c0392b;font-weight:600}
svg{width:100%;height:auto;font:13px system-ui,sans-serif}svg text{fill:currentColor}
.bar{fill:#9aa5b1}.auto{fill:#2f81c7}.best{font-weight:700}
@media (prefers-color-scheme:dark){body{background:#16191d;color:#e4e6e8}.bar{fill:#5d6873}
 .auto{fill:#5aa9e6}.wrong{color:#ff8a7a}}
"""


def charts(setting: str, rows: Sequence[Row]) -> str:
    """The page: a chart for each task, what `auto` chose, and whether all results are the same.

    Args:
        setting: The machine and the input, in words.
        rows: What was measured.
    """
    tasks = "".join(_section(row) for row in rows)
    found = "".join(f"<p>{escape(line)}</p>" for line in verdict(rows))
    wrong = any(row.differing or row.failures for row in rows)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>autoexec compare</title><style>{_STYLE}</style></head><body>"
        f'<h1>Six tasks, every way</h1><p>{escape(setting)}</p><p class="quiet">'
        f"{escape(HOW_TO_READ.split(' Stars mark')[0])} The fastest is set in bold.</p>"
        f'{tasks}<div class="{"wrong" if wrong else "quiet"}">{found}</div></body></html>\n'
    )


def _section(row: Row) -> str:
    title = f"{row.task.name}: {len(row.task.items):,} calls, each of which {row.task.what}"
    return f"<section><h2>{escape(title)}</h2>{_chart(row)}{_choice(row)}</section>"


def _choice(row: Row) -> str:
    timing = row.timings.get("auto")
    if timing is None or timing.report is None:
        return ""
    report = timing.report
    text = f"{report.kind}: auto chose {report.route}, since {report.plan.reason}."
    return f"<p>{escape(text)}</p>"


def _chart(row: Row) -> str:
    ways: list[Way] = [way for way in WAYS if way in row.timings or way in row.failures]
    slowest = max((timing.seconds for timing in row.timings.values()), default=0.0) or 1.0
    bars = "".join(_bar(row, way, i, slowest) for i, way in enumerate(ways))
    height = len(ways) * (BAR + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img"'
        f' viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}">{bars}</svg>'
    )


def _bar(row: Row, way: Way, position: int, slowest_s: float) -> str:
    top = position * (BAR + GAP)
    base = top + BAR - 5
    label = f'<text x="0" y="{base}">{escape(way)}</text>'
    if way not in row.timings:
        return f'{label}<text x="{LEFT}" y="{base}">failed</text>'
    took_s = row.timings[way].seconds
    width = max(1.0, WIDTH * took_s / slowest_s)
    kind = "bar auto" if way == "auto" else "bar"
    best = ' class="best"' if took_s == min(t.seconds for t in row.timings.values()) else ""
    return (
        f'{label}<rect class="{kind}" x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR}"/>'
        f'<text{best} x="{LEFT + width + 8:.1f}" y="{base}">{escape(_words(row, way))}</text>'
    )


def _words(row: Row, way: Way) -> str:
    took_s = row.timings[way].seconds
    text = seconds(took_s)
    if way != "serial" and "serial" in row.timings and took_s:
        text += f", {row.timings['serial'].seconds / took_s:.2g}x"
    return text
