"""Who ran what when: in the Chrome trace format, which Perfetto opens, and as SVG. Pure.

Calls of one lane and one process share rows so that none covers another: each goes to the first row
that is free when it begins. Which of several threads ran it is not told. A worker process that runs
one call at a time is one row.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ._ledger import Recording, Span
from ._types import Lane, Plan
from ._wording import count, seconds

WIDTH = 960
"""Of the SVG, in its own units; it scales with the page."""
LEFT = 130
ROW, LEAST_ROW, ROOM = 14.0, 1.0, 700.0
"""Height of a row; the least, where many share the room that there is."""
HERE = 1
"""The number that this process has in a trace; worker processes follow."""

Phase = tuple[float, Plan]


class Row(NamedTuple):
    """Calls that do not overlap."""

    lane: Lane
    pid: int
    number: int
    """From 1, among the rows of this lane and process."""
    spans: Sequence[Span]


def pack(spans: Iterable[Span]) -> list[Row]:
    """Share spans out to as few rows as they need: in each, none begins before another ends."""
    groups: dict[tuple[Lane, int], list[Span]] = {}
    for span in spans:
        groups.setdefault((span.lane, span.pid), []).append(span)
    rows: list[Row] = []
    for (lane, pid), members in sorted(groups.items(), key=_place):
        packed = _pack(sorted(members, key=_beginning))
        rows += [Row(lane, pid, i + 1, one) for i, one in enumerate(packed)]
    return rows


def _place(group: tuple[tuple[Lane, int], list[Span]]) -> tuple[int, Lane]:
    """This process comes first."""
    (lane, pid), _ = group
    return pid, lane


def _pack(spans: Iterable[Span]) -> list[list[Span]]:
    rows: list[list[Span]] = []
    free: list[int] = []  # rows without a call now, the first of them first
    busy: list[tuple[float, int]] = []  # (when its call ends, row)
    for span in spans:
        while busy and busy[0][0] <= span.began_s:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            row = heapq.heappop(free)
        else:
            row = len(rows)
            rows.append([])
        rows[row].append(span)
        heapq.heappush(busy, (span.began_s + span.seconds, row))
    return rows


def _beginning(span: Span) -> float:
    return span.began_s


# --- Chrome trace format -----------------------------------------------------------------------------


def trace(
    name: str, recording: Recording, history: Sequence[Phase], total_s: float
) -> dict[str, Any]:
    """The run as an object in the Chrome trace format.

    Args:
        name: Of the function.
        recording: What was recorded.
        history: Each plan, with the second from which it held.
        total_s: Seconds of the whole run.

    Returns:
        A dictionary for `json.dump`. All times in it are microseconds from the start of the run.
    """
    rows = pack(recording.spans)
    processes = {0: HERE} | {
        pid: HERE + 1 + i for i, pid in enumerate(sorted({row.pid for row in rows} - {0}))
    }
    events = [_meta("process_name", HERE, 0, f"{name}: this process")]
    events += [
        _meta("process_name", number, 0, f"{name}: worker process {pid}")
        for pid, number in processes.items()
        if pid
    ]
    events += _phases(history, total_s)
    for i, row in enumerate(rows):
        thread = i + 2
        events.append(_meta("thread_name", processes[row.pid], thread, f"{row.lane} {row.number}"))
        events += [_event(span, processes[row.pid], thread) for span in row.spans]
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"function": name, "spans": recording.heard, "kept": len(recording.spans)},
    }


def as_json(name: str, recording: Recording, history: Sequence[Phase], total_s: float) -> str:
    """The same as text: an event a line."""
    import json  # 5 ms that only those who write it should pay

    whole = trace(name, recording, history, total_s)
    events = ",\n".join(json.dumps(event) for event in whole.pop("traceEvents"))
    rest = json.dumps(whole).removeprefix("{")
    return f'{{"traceEvents": [\n{events}\n], {rest}\n'


def _meta(kind: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "ts": 0, "args": {"name": name}}


def _phases(history: Sequence[Phase], total_s: float) -> Iterator[dict[str, Any]]:
    yield _meta("thread_name", HERE, 1, "plan")
    for began_s, ended_s, plan in phases(history, total_s):
        yield {
            "ph": "X",
            "name": plan.route,
            "cat": "plan",
            "pid": HERE,
            "tid": 1,
            "ts": began_s * 1e6,
            "dur": (ended_s - began_s) * 1e6,
            "args": {"kind": str(plan.kind), "workers": plan.workers, "reason": plan.reason},
        }


def phases(history: Sequence[Phase], total_s: float) -> Iterator[tuple[float, float, Plan]]:
    """Each plan with the seconds from and to which it held."""
    ends = [at for at, _ in history[1:]] + [total_s]
    for (began_s, plan), ended_s in zip(history, ends, strict=True):
        yield began_s, max(began_s, ended_s), plan


def _event(span: Span, pid: int, tid: int) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": _named(span),
        "cat": f"{span.lane},failed" if span.failed else span.lane,
        "pid": pid,
        "tid": tid,
        "ts": span.began_s * 1e6,
        "dur": span.seconds * 1e6,
        "args": {
            "first": span.first,
            "calls": span.calls,
            "failed": span.failed,
            "estimated": span.estimated,
        },
    }


def _named(span: Span) -> str:
    if span.calls == 1:
        return f"item {span.first:,}"
    return f"items {span.first:,} to {span.first + span.calls - 1:,}"


# --- SVG ------------------------------------------------------------------------------------------------

COLOURS: Mapping[str, str] = {
    "inline": "#7a869a",
    "threads": "#2f81c7",
    "processes": "#c77a1e",
    "asyncio": "#2a9d6e",
    "hybrid": "#9a5fc0",
    "external": "#b0507a",
    "dask": "#d08a2e",
    "ray": "#4a7fb5",
}
"""Each is read on white and on black."""
FAILED = "#d03b3b"
_STYLE = (
    "svg.autoexec{color:#222;font:11px system-ui,sans-serif}"
    "svg.autoexec text{fill:currentColor}"
    ".ax-back{fill:#fff}"
    "@media (prefers-color-scheme:dark){svg.autoexec{color:#ddd}.ax-back{fill:#16191d}}"
    + "".join(f".ax-{lane}{{fill:{colour}}}" for lane, colour in COLOURS.items())
    + f".ax-failed{{fill:{FAILED}}}"
    ".ax-line{stroke:currentColor;stroke-opacity:.3}"
)


def svg(name: str, recording: Recording, history: Sequence[Phase], total_s: float) -> str:
    """The same as a picture that stands alone: no script, no other file.

    Calls that are too short or too close to be told apart are drawn as one.

    Args:
        name: Of the function.
        recording: What was recorded.
        history: Each plan, with the second from which it held.
        total_s: Seconds of the whole run.
    """
    rows = pack(recording.spans)
    total_s = max([total_s, *(span.began_s + span.seconds for span in recording.spans)]) or 1e-9
    scale = (WIDTH - LEFT) / total_s
    height = max(LEAST_ROW, min(ROW, ROOM / max(1, len(rows))))
    parts = [_text(0, 14, f"{name}: {count(recording.heard, 'span')} in {seconds(total_s)}")]
    if recording.heard > len(recording.spans):
        parts.append(_text(WIDTH, 14, f"the last {len(recording.spans):,} of them", "end"))
    parts += _drawn_phases(history, total_s, scale)
    top = 56.0
    labelled = -ROW
    for row in rows:
        if top - labelled >= ROW:
            labelled = top
            whose = f" in {row.pid}" if row.pid else ""
            parts.append(_text(0, top + min(height, ROW) - 2, f"{row.lane} {row.number}{whose}"))
        parts += [_bar(run, top, height, scale) for run in _merged(row.spans, 0.5 / scale)]
        top += height
    parts += _axis(total_s, scale, top)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="autoexec" role="img"'
        f' viewBox="0 0 {WIDTH} {top + 24:.0f}" width="100%"><style>{_STYLE}</style>'
        '<rect class="ax-back" x="0" y="0" width="100%" height="100%"/>' + "".join(parts) + "</svg>"
    )


def _merged(spans: Sequence[Span], least_s: float) -> Iterator[Span]:
    """Spans of a row in order; what is closer or shorter than this becomes one."""
    run: Span | None = None
    for span in spans:
        if run is not None and span.failed == run.failed:
            gap_s = span.began_s - run.began_s - run.seconds
            if gap_s < least_s and min(run.seconds, span.seconds) < 4 * least_s:
                run = run._replace(
                    seconds=max(run.seconds, span.began_s + span.seconds - run.began_s),
                    calls=run.calls + span.calls,
                    estimated=run.estimated or span.estimated,
                )
                continue
        if run is not None:
            yield run
        run = span
    if run is not None:
        yield run


def _bar(span: Span, top: float, height: float, scale: float) -> str:
    kind = "failed" if span.failed else span.lane
    title = f"{count(span.calls, 'item')} from {span.first:,}: {seconds(span.seconds)}"
    title += " (estimated)" if span.estimated else ""
    gap = 1.0 if height > 4 else 0.0
    return (
        f'<rect class="ax-{kind}" x="{LEFT + span.began_s * scale:.2f}" y="{top:.2f}"'
        f' width="{max(0.5, span.seconds * scale - 0.2):.2f}" height="{height - gap:.2f}">'
        f"<title>{_escaped(title)}</title></rect>"
    )


def _drawn_phases(history: Sequence[Phase], total_s: float, scale: float) -> Iterator[str]:
    yield _text(0, 40, "plan")
    for began_s, ended_s, plan in phases(history, total_s):
        x, width = LEFT + began_s * scale, (ended_s - began_s) * scale
        yield (
            f'<rect class="ax-{plan.route}" fill-opacity=".45" x="{x:.2f}" y="28"'
            f' width="{max(1.0, width - 0.5):.2f}" height="18">'
            f"<title>{_escaped(f'{plan.route} from {seconds(began_s)}: {plan.reason}')}</title></rect>"
        )
        if width > 8 * len(plan.route):
            yield _text(x + 4, 41, plan.route)


def _axis(total_s: float, scale: float, top: float) -> Iterator[str]:
    for i in range(6):
        x = LEFT + i / 5 * total_s * scale
        yield f'<line class="ax-line" x1="{x:.1f}" y1="50" x2="{x:.1f}" y2="{top + 4:.0f}"/>'
        anchor = "end" if i == 5 else "middle"
        yield _text(x, top + 18, seconds(i / 5 * total_s) if i else "0", anchor)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    from html import escape  # 3 ms that only those who draw should pay

    return escape(_printable(text))


def _printable(text: str) -> str:
    """Without characters that XML forbids."""
    return "".join(
        c if c >= " " and not _is_forbidden(c) else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def _is_forbidden(c: str) -> bool:
    return "\ud800" <= c <= "\udfff" or c in "\ufffe\uffff"
