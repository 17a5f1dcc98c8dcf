"""A report as HTML that a notebook shows: no script, no other file, light and dark. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ._wording import seconds

STYLE = """
.autoexec-card{font:13px/1.45 system-ui,sans-serif;color:inherit;max-width:60em;
 border:1px solid rgba(128,128,128,.35);border-radius:8px;padding:.7em 1em;margin:.3em 0}
.autoexec-card h4{margin:0 0 .5em;font-size:1.05em;font-weight:600}
.autoexec-card table{border-collapse:collapse;background:none;margin:0;width:100%}
.autoexec-card tr{background:none!important}
.autoexec-card th,.autoexec-card td{text-align:left;vertical-align:top;padding:.12em .8em .12em 0;
 border:0;white-space:normal;overflow-wrap:anywhere;color:inherit}
.autoexec-card th{font-weight:400;opacity:.65;width:6.5em;white-space:nowrap}
.autoexec-card .bars{margin:.7em 0 .2em}
.autoexec-card .bar{display:flex;align-items:center;gap:.6em;margin:.15em 0}
.autoexec-card .bar .name{flex:0 0 11em;opacity:.8}
.autoexec-card .bar .track{flex:1;min-width:4em}
.autoexec-card .bar .fill{display:block;height:.8em;border-radius:2px;min-width:1px;
 background:currentColor;opacity:.3}
.autoexec-card .bar .chosen{background:#2f81c7;opacity:.6}
.autoexec-card .bar .took{background:#2f81c7;opacity:1}
.autoexec-card .bar .value{flex:0 0 5em;text-align:right}
.autoexec-card svg{margin-top:.6em}
.autoexec-card svg.autoexec{color:inherit}
.autoexec-card svg .ax-back{fill:none}
@media (prefers-color-scheme:dark){
 .autoexec-card .bar .chosen,.autoexec-card .bar .took{background:#5aa9e6}}
"""


def card(
    headline: str,
    rows: Sequence[tuple[str, str]],
    bars: Sequence[tuple[str, float, str]],
    drawn: str = "",
) -> str:
    """The report as one `<div>`.

    Args:
        headline: Its first line.
        rows: A label and a text each.
        bars: A label, seconds, and a CSS class of the style above.
        drawn: SVG to go below, which is not escaped.
    """
    lines = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows)
    return (
        f'<div class="autoexec-card"><style>{STYLE}</style><h4>{escape(headline)}</h4>'
        f"<table><tbody>{lines}</tbody></table>{chart(bars)}{drawn}</div>"
    )


def chart(bars: Sequence[tuple[str, float, str]]) -> str:
    """Bars in proportion to their seconds; nothing if there are none."""
    most = max((value for _, value, _ in bars), default=0.0)
    if not most:
        return ""
    lines = "".join(
        f'<div class="bar"><span class="name">{escape(label)}</span><span class="track">'
        f'<span class="fill {escape(kind)}" style="width:{100 * value / most:.1f}%"></span></span>'
        f'<span class="value">{escape(seconds(value))}</span></div>'
        for label, value, kind in bars
    )
    return f'<div class="bars">{lines}</div>'
