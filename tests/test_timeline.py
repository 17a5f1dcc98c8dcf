"""Who ran what when: rows, the Chrome trace format, and the picture."""

from __future__ import annotations

import json
import os
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec import Kind, Plan, Report, run_parallel
from autoexec._ledger import Recording, Span
from autoexec._timeline import HERE, pack, phases, svg, trace

PLAN = Plan("threads", Kind.IO, 8, {"threads": 8}, 1.0, "the calls wait")
HISTORY = ((0.0, PLAN._replace(route="inline", reason="the first")), (0.5, PLAN))
EVIL = "<script>&\"'\0\ud800"


def spans() -> st.SearchStrategy[list[Span]]:
    """Any calls, on a grid of times so that many touch each other."""
    return st.lists(
        st.builds(
            Span,
            lane=st.sampled_from(["threads", "processes", "asyncio"]),
            pid=st.sampled_from([0, 0, 11, 12]),
            began_s=st.integers(0, 30).map(lambda n: n / 10),
            seconds=st.integers(0, 20).map(lambda n: n / 10),
            first=st.integers(0, 10**6),
            calls=st.integers(1, 100),
            failed=st.booleans(),
            estimated=st.booleans(),
        ),
        max_size=40,
    )


def recording(spans: Sequence[Span]) -> Recording:
    made = Recording(0.0)
    made.spans.extend(spans)
    made.heard = len(spans)
    return made


# --- Rows --------------------------------------------------------------------------------------------


def crowd(spans: Sequence[Span]) -> int:
    """The most of them at one time."""
    return max(
        sum(o.began_s <= s.began_s < o.began_s + o.seconds or o is s for o in spans) for s in spans
    )


@given(spans())
@examples(200)
def test_rows_hold_every_span_once_and_none_covers_another(spans: list[Span]) -> None:
    rows = pack(spans)
    assert sorted(span for row in rows for span in row.spans) == sorted(spans)
    for row in rows:
        assert {(span.lane, span.pid) for span in row.spans} == {(row.lane, row.pid)}
        for one, other in zip(row.spans, row.spans[1:], strict=False):
            assert one.began_s + one.seconds <= other.began_s


@given(spans().filter(bool))
@examples(100)
def test_there_are_no_more_rows_than_calls_at_once(spans: list[Span]) -> None:
    for lane, pid in {(span.lane, span.pid) for span in spans}:
        mine = [span for span in spans if (span.lane, span.pid) == (lane, pid)]
        found = [row.number for row in pack(spans) if (row.lane, row.pid) == (lane, pid)]
        assert found == list(range(1, len(found) + 1))
        assert len(found) <= crowd([s._replace(seconds=max(s.seconds, 1e-3)) for s in mine])


def test_phases_end_where_the_next_begins_and_with_the_run() -> None:
    assert [(began, ended) for began, ended, _ in phases(HISTORY, 2.0)] == [(0, 0.5), (0.5, 2.0)]


# --- The trace ---------------------------------------------------------------------------------------


def check(whole: dict[str, Any]) -> None:
    """What the Chrome trace format asks of complete and metadata events."""
    threads: dict[int, int] = {}
    for event in whole["traceEvents"]:
        assert {"ph", "name", "pid", "tid", "ts"} <= set(event)
        assert isinstance(event["name"], str)
        assert type(event["pid"]) is int
        assert type(event["tid"]) is int
        assert event["ph"] in ("X", "M")
        if event["ph"] == "X":
            assert event["dur"] >= 0
            assert event["ts"] >= 0
            assert threads.setdefault(event["tid"], event["pid"]) == event["pid"]
        else:
            assert event["name"] in ("process_name", "thread_name")
            assert isinstance(event["args"]["name"], str)


@given(spans())
@examples(100)
def test_a_trace_has_every_span_in_microseconds(spans: list[Span]) -> None:
    whole = json.loads(json.dumps(trace("f", recording(spans), HISTORY, 3.0)))
    check(whole)
    calls = [e for e in whole["traceEvents"] if e["ph"] == "X" and e["cat"] != "plan"]
    assert sorted((e["ts"], e["dur"], e["args"]["first"]) for e in calls) == sorted(
        (s.began_s * 1e6, s.seconds * 1e6, s.first) for s in spans
    )


def test_processes_and_plans_are_named_in_a_trace() -> None:
    here = Span("threads", 0, 0.0, 0.1, 4, 1, False, False)
    there = Span("processes", 4711, 0.0, 0.1, 1000, 2, True, False)
    events = trace("f", recording([here, there]), HISTORY, 1.0)["traceEvents"]
    named = {e["args"]["name"]: e["pid"] for e in events if e["name"] == "process_name"}
    assert named == {"f: this process": HERE, "f: worker process 4711": HERE + 1}
    plans = [e for e in events if e.get("cat") == "plan"]
    assert [(e["name"], e["ts"], e["dur"]) for e in plans] == [
        ("inline", 0.0, 500_000.0),
        ("threads", 500_000.0, 500_000.0),
    ]
    assert [e["name"] for e in events if e["ph"] == "X"][2:] == ["item 4", "items 1,000 to 1,001"]


# --- The picture -------------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"


def bars(root: ET.Element) -> list[ET.Element]:
    """What is drawn, without the background."""
    return [e for e in root.iter(SVG + "rect") if e.attrib["class"] != "ax-back"]


@given(spans(), st.sampled_from([0.0, 1.0, 100.0]))
@examples(50)
def test_the_picture_is_xml_without_scripts_and_stays_within_its_bounds(
    spans: list[Span], total_s: float
) -> None:
    root = ET.fromstring(svg(EVIL, recording(spans), HISTORY[:1], total_s))
    assert {element.tag for element in root.iter()} <= {
        SVG + name for name in ("svg", "style", "text", "rect", "title", "line")
    }
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for bar in bars(root):
        box = {name: float(bar.attrib[name]) for name in ("x", "y", "width", "height")}
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width + 1
        assert box["y"] + box["height"] <= height


def test_what_the_user_named_is_escaped_in_the_picture() -> None:
    plan = PLAN._replace(reason=EVIL)
    root = ET.fromstring(svg(EVIL, recording([]), ((0.0, plan),), 1.0))
    texts = "".join(element.text or "" for element in root.iter())
    assert texts.count("<script>&\"'\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}") == 2


def test_many_short_calls_are_drawn_as_few() -> None:
    short = [Span("threads", 0, i * 1e-4, 0.9e-4, i, 1, False, False) for i in range(10_000)]
    root = ET.fromstring(svg("f", recording(short), HISTORY[:1], 1.0))
    drawn = [bar for bar in bars(root) if bar.attrib["y"] != "28"]
    assert 0 < len(drawn) < 10
    titles = [bar[0].text or "" for bar in drawn]
    assert sum(int(title.split()[0].replace(",", "")) for title in titles) == 10_000


def test_a_failure_is_not_drawn_over() -> None:
    bad = 5000
    short = [Span("threads", 0, i * 1e-4, 0.9e-4, i, 1, i == bad, False) for i in range(10_000)]
    root = ET.fromstring(svg("f", recording(short), HISTORY[:1], 1.0))
    assert sum(e.attrib.get("class") == "ax-failed" for e in root.iter(SVG + "rect")) == 1


# --- Of real runs ------------------------------------------------------------------------------------


def meet(item: int) -> tuple[int, float, float]:
    began = time.perf_counter()
    time.sleep(0.002)
    return os.getpid(), began, time.perf_counter()


async def meet_async(item: int) -> tuple[int, float, float]:
    return meet(item)


def recorded(report: Report) -> Recording:
    assert report.recording is not None
    return report.recording


@pytest.mark.parametrize("backend", ["inline", "threads", "processes", "hybrid", "asyncio"])
def test_spans_cover_the_calls_as_they_were_where_they_ran(backend: Any) -> None:
    fn: Any = meet_async if backend == "asyncio" else meet
    results = run_parallel(fn, range(20), backend=backend, timeline=True)
    found = recorded(results.report)
    assert sum(span.calls for span in found.spans) == 20
    for span in found.spans:
        assert not span.estimated
        for pid, began, ended in results[span.first : span.first + span.calls]:
            assert span.pid == (0 if pid == os.getpid() else pid)
            assert found.started + span.began_s <= began + 1e-6
            assert ended <= found.started + span.began_s + span.seconds + 1e-6


def test_spans_of_an_executor_of_the_callers() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = run_parallel(meet, range(6), backend=pool, timeline=True)
    assert sum(span.calls for span in recorded(results.report).spans) == 6


def test_a_call_that_was_given_up_is_in_the_timeline() -> None:
    over = threading.Event()
    results = run_parallel(
        lambda _: over.wait(60),
        [0],
        timeout=0.05,
        on_error="return",
        timeline=True,
        backend="threads",
    )
    over.set()
    (span,) = [span for span in recorded(results.report).spans if span.failed]
    assert (span.first, span.calls, span.estimated) == (0, 1, True)
    assert span.seconds == pytest.approx(0.05)


@pytest.mark.parametrize("name", ["run.json", "run.JSON"])
def test_a_run_is_written_as_a_trace(tmp_path: Path, name: str) -> None:
    report = run_parallel(abs, range(100), timeline=True).report
    report.timeline(tmp_path / name)
    whole = json.loads((tmp_path / name).read_text(encoding="utf-8"))
    check(whole)
    calls = [e for e in whole["traceEvents"] if e["ph"] == "X" and e["cat"] != "plan"]
    assert sum(e["args"]["calls"] for e in calls) == 100


def test_a_run_is_drawn(tmp_path: Path) -> None:
    report = run_parallel(abs, range(100), timeline=True).report
    report.timeline(str(tmp_path / "run.svg"))
    root = ET.parse(tmp_path / "run.svg").getroot()
    assert root.tag == SVG + "svg"
    assert "<svg" in report._repr_html_()


def test_an_empty_run_has_a_timeline(tmp_path: Path) -> None:
    report = run_parallel(abs, [], timeline=True).report
    report.timeline(tmp_path / "run.svg")
    report.timeline(tmp_path / "run.json")
    check(json.loads((tmp_path / "run.json").read_text(encoding="utf-8")))


def test_what_was_not_recorded_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pass timeline=True to the run"):
        run_parallel(abs, [1]).report.timeline(tmp_path / "run.json")
    assert not list(tmp_path.iterdir())


def test_a_timeline_is_written_as_json_or_svg_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\*\.json or \*\.svg, not to"):
        run_parallel(abs, [1], timeline=True).report.timeline(tmp_path / "run.png")
    assert not list(tmp_path.iterdir())
