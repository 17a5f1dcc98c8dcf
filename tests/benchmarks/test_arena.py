"""The arena: every workload gives what the plain loop gives, and records become tables and a chart."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.arena import calls, contenders, measure, stage
from benchmarks.arena.chart import chart
from benchmarks.arena.command import main
from benchmarks.arena.contenders import CONTENDERS, Contender
from benchmarks.arena.measure import DIFFERS, Lane, Terms
from benchmarks.arena.page import BEGIN, END, filled
from benchmarks.arena.records import AUTOEXEC, SERIAL, Arena, Row, Times, from_json, to_json
from benchmarks.arena.scene import Scene, scene
from benchmarks.arena.stage import Failed, Ran, Slow, Stage, fingerprint, once
from benchmarks.arena.table import details, markdown, summary, text, troubles
from benchmarks.arena.workloads import WORKLOADS, Workload, batches_of

TINY = 0.004
"""Share of the calls: two of most workloads, and some thousand of the tiny one."""


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with scene() as place:
        yield place


def contender(name: str, workload: Workload) -> Contender:
    return next(one for one in CONTENDERS if one.name == name and one.takes(workload))


def workload(name: str) -> Workload:
    return next(one for one in WORKLOADS if one.name == name)


def results(name: str, work: Workload, here: Scene) -> object:
    """A fingerprint if it went well, else what went wrong."""
    count, batches = work.scaled(TINY)
    fn, items = work.make(count, here)
    ended = once(contender(name, work), fn, batches_of(items, batches))
    return ended.fingerprint if isinstance(ended, Ran) else ended


# --- Workloads and contenders -------------------------------------------------------------------------


@pytest.mark.parametrize("work", WORKLOADS, ids=lambda work: work.name)
def test_every_workload_gives_what_the_loop_gives(work: Workload, here: Scene) -> None:
    if work.lacking:
        pytest.skip(f"{work.lacking} is not installed")
    expected = results(SERIAL, work, here)
    assert isinstance(expected, str)
    assert results(AUTOEXEC, work, here) == expected


@pytest.mark.parametrize(
    "work", [one for one in WORKLOADS if one.name != "large object"], ids=lambda work: work.name
)
def test_a_workload_is_the_same_whenever_it_is_made(work: Workload, here: Scene) -> None:
    one, other = work.make(4, here), work.make(4, here)
    assert one.items == other.items
    assert len(one.items) == 4
    assert not any(isinstance(item, (tuple, list, dict)) for item in one.items)


def test_work_is_scaled_in_calls_and_in_runs() -> None:
    work = replace(workload("latency"), calls=300)
    assert work.scaled(1.0) == (300, 1)
    assert work.scaled(0.1) == (30, 1)
    assert work.scaled(0.0001) == (2, 1)
    assert replace(work, batches=100).scaled(0.1) == (30, 10)
    assert batches_of([0, 1, 2, 3, 4, 5], 3) == [[0, 1], [2, 3], [4, 5]]


def test_a_package_that_is_not_there_is_named() -> None:
    assert replace(workload("latency"), needs="no_such_package").lacking == "no_such_package"
    assert workload("latency").lacking == ""


def test_names_tell_contenders_and_workloads_apart() -> None:
    assert len({work.name for work in WORKLOADS}) == len(WORKLOADS)
    for work in WORKLOADS:
        names = [one.name for one in CONTENDERS if one.takes(work)]
        assert len(set(names)) == len(names)
        assert names[0] == SERIAL  # it says what is right
        assert names[-1] == AUTOEXEC


@pytest.mark.parametrize("limit", [1, 3])
def test_a_task_group_keeps_order_and_batches(limit: int) -> None:
    batches = [[3, 1, 2], [5, 4]]
    assert contenders.task_group(stage.trivial_async, batches, limit=limit) == batches
    assert contenders.gather(stage.trivial_async, batches) == batches


def test_hybrids_by_hand_put_their_parts_together() -> None:
    items = list(range(21))
    assert contenders.threads_in_processes(stage.trivial, [items], workers=2) == [items]
    assert contenders.gather_in_processes(stage.trivial_async, [items]) == [items]


def test_what_cannot_be_run_says_why() -> None:
    work = workload("latency")
    one = contender("16 threads", work)
    assert one.unfit(work) == ""
    assert one.unfit(replace(work, calls=500_000)).endswith("500,000 calls by itself")
    assert replace(one, needs="no_such_package").unfit(work) == "no_such_package is not installed"
    assert replace(one, method="teleport").unfit(work) == "this system has no teleport"


# --- Measuring ----------------------------------------------------------------------------------------


def test_a_stage_runs_a_contender_in_a_process_of_its_own(here: Scene) -> None:
    work = workload("Python, fine")
    fn, items = work.make(work.scaled(TINY)[0], here)
    stages = [Stage(contender(name, work), work, TINY, here) for name in (SERIAL, AUTOEXEC)]
    try:
        assert [one.ready() for one in stages] == [None, None]
        ended = [one.run(60.0) for one in stages]
    finally:
        for one in stages:
            one.close()
    expected = fingerprint([[fn(item) for item in items]])
    assert [isinstance(run, Ran) and run.fingerprint for run in ended] == [expected] * 2
    assert [isinstance(run, Ran) and run.chose for run in ended] == ["", f"{len(items)} inline"]


def test_a_stage_that_takes_too_long_is_ended(here: Scene) -> None:
    work = workload("latency")
    one = Stage(contender(SERIAL, work), work, 1.0, here)
    assert one.ready() is None
    assert one.run(0.05) == Slow(0.05)
    one.close(at_once=True)


def test_what_a_contender_raises_is_told(here: Scene) -> None:
    def fails(item: int) -> int:
        raise LookupError(f"no {item}")

    assert once(contender(SERIAL, WORKLOADS[0]), fails, [[7]]) == Failed("LookupError: no 7")


class Played:
    """A stage that plays back what it is given."""

    def __init__(self, *ends: Ran | Failed | Slow) -> None:
        self.ends = list(ends)
        self.closed = False

    def ready(self) -> None:
        pass

    def run(self, limit_s: float) -> Ran | Failed | Slow:
        return self.ends.pop(0)

    def close(self, *, at_once: bool = False) -> None:
        self.closed = True


def played(name: str, *ends: Ran | Failed | Slow) -> Lane:
    lane = Lane(contender(name, workload("latency")))
    lane.stage = Played(*ends)
    return lane


def test_contenders_take_turns_and_are_held_to_the_results_of_the_loop() -> None:
    lanes = [
        played(SERIAL, Ran(1.0, "right", ""), Ran(3.0, "right", "")),
        played("16 threads", Ran(0.5, "right", ""), Ran(0.4, "wrong", "")),
        played("128 threads", Slow(4.0)),
        played("fork, singly", Failed("PicklingError: no")),
        played(AUTOEXEC, Ran(0.4, "right", "8 threads"), Ran(0.6, "right", "9 threads")),
    ]
    said: list[str] = []
    measure.take_turns(lanes, Terms(repeat=2), said.append)
    assert [lane.times() for lane in lanes] == [
        Times((1.0, 3.0)),
        Times(note=DIFFERS),
        Times(note="given up after 4 s", beyond_s=4.0),
        Times(note="PicklingError: no"),
        Times((0.4, 0.6)),
    ]
    assert lanes[-1].chose == "9 threads"
    assert [line.split(":")[0].strip() for line in said[:2]] == [
        f"1  {SERIAL}",
        "1  16 threads",
    ]


def test_a_loop_that_takes_long_is_run_once() -> None:
    lane = played(SERIAL, Ran(9.0, "right", ""))
    measure.take_turns([lane], Terms(repeat=3), lambda _: None)
    assert lane.times().seconds == (9.0,)
    assert lane.stage is None


# --- Records, tables, chart -----------------------------------------------------------------------------


def sample() -> Arena:
    """Three rows: one won, one without a rival, one that autoexec did not end."""
    return Arena(
        "A machine",
        3,
        1.0,
        (
            Row(
                "mixed <1>",
                "waits & computes",
                200,
                {
                    SERIAL: Times((4.0,), "run once, since it takes so long"),
                    "16 threads": Times((1.0, 0.5, 0.8)),
                    "joblib": Times(note="given up after 4 s", beyond_s=4.0),
                    AUTOEXEC: Times((0.5, 0.4, 0.3)),
                },
                "200 hybrid",
            ),
            Row("alone", "nobody else can", 5, {AUTOEXEC: Times((0.1,))}, "5 inline"),
            Row(
                "lost",
                "a | b",
                7,
                {SERIAL: Times((0.2,)), AUTOEXEC: Times(note="given up after 120 s")},
            ),
        ),
    )


def test_medians_rank_the_contenders() -> None:
    first, alone, lost = sample().rows
    assert first.ranking == [(AUTOEXEC, 0.4), ("16 threads", 0.8), (SERIAL, 4.0)]
    assert first.best == ("16 threads", 0.8)
    assert first.ratio == pytest.approx(0.5)
    assert (alone.best, alone.ratio) == (None, None)
    assert (lost.best, lost.ratio) == ((SERIAL, 0.2), None)
    assert sample().mean_ratio == pytest.approx(0.5)


def test_records_come_back_from_json() -> None:
    again = from_json(to_json(sample()))
    assert to_json(again) == to_json(sample())
    assert again.rows[0].ratio == sample().rows[0].ratio


@pytest.mark.parametrize("broken", ["[]", "{}", '{"rows": [1]}', "nothing"])
def test_what_is_no_record_is_refused(broken: str) -> None:
    with pytest.raises(ValueError):
        from_json(broken)


def test_the_table_has_a_line_for_each_workload_and_names_the_best() -> None:
    printed = text(sample())
    assert re.search(r"mixed <1> +200 +400 ms +800 ms +16 threads +0\.50 +200 hybrid", printed)
    assert "geometric mean 0.50, at worst 0.50 (mixed <1>)" in printed
    assert re.search(r"lost +7 +- +200 ms", printed)
    assert list(troubles(sample())) == ["lost: autoexec has no time, since given up after 120 s."]


def test_every_contender_is_told_of_with_its_time_or_its_reason() -> None:
    assert details(sample().rows[0]) == (
        "**autoexec** 400 ms, 16 threads 800 ms, serial loop 4 s; joblib: given up after 4 s"
    )


def test_rows_of_markdown_tables_have_the_cells_of_their_heads() -> None:
    for table in markdown(sample()).split("\n\n"):
        counts = {re.sub(r"\\\|", "", line).count("|") for line in table.splitlines()}
        assert len(counts) == 1
    assert "a \\| b" in markdown(sample())


def test_a_trial_says_that_it_is_one() -> None:
    assert "a trial" not in markdown(sample())
    assert "Only 5% of the calls were made" in markdown(replace(sample(), scale=0.05))
    assert summary(Arena("", 1, 1.0)) == "There is nothing to compare."


def test_figures_go_into_the_page_between_its_own_words() -> None:
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe end.\n"
    once_filled = filled(page, sample())
    assert once_filled.startswith("# Title\n") and once_filled.endswith("\n\nThe end.\n")
    assert "old" not in once_filled and "| mixed <1> |" in once_filled
    assert filled(once_filled, sample()) == once_filled
    with pytest.raises(ValueError, match="no place"):
        filled("# Title", sample())


def test_the_chart_is_svg_with_a_row_for_each_workload() -> None:
    root = ET.fromstring(chart(sample()))
    spoken = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {"mixed <1>", "alone", "lost", "0.50 (400 ms)", "100 ms"} <= set(spoken)
    titles = [element.text for element in root.iter() if element.tag.endswith("title")]
    assert {"16 threads: 800 ms", "autoexec: 400 ms", "joblib: given up after 4 s"} <= set(titles)
    width = float(root.attrib["width"])
    places = [float(e.attrib["cx"]) for e in root.iter() if e.tag.endswith("circle")]
    assert all(0 < x < width for x in places)


def test_the_chart_stands_on_light_and_on_dark_pages() -> None:
    drawn = chart(sample())
    assert 'class="page"' in drawn and "prefers-color-scheme:dark" in drawn


def test_the_command_makes_page_and_chart_of_kept_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, page, svg = tmp_path / "arena.json", tmp_path / "arena.md", tmp_path / "arena.svg"
    kept.write_text(to_json(replace(sample(), rows=sample().rows[:1])), encoding="utf-8")
    page.write_text(f"{BEGIN}{END}", encoding="utf-8")
    asked = ["--from", str(kept), "--markdown", str(page), "--svg", str(svg)]
    assert main(asked) == 0
    assert "mixed <1>" in capsys.readouterr().out
    assert "mixed <1>" in page.read_text(encoding="utf-8")
    assert svg.read_text(encoding="utf-8").startswith("<svg")


def test_the_command_fails_where_autoexec_has_no_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "arena.json"
    kept.write_text(to_json(sample()), encoding="utf-8")
    assert main(["--from", str(kept)]) == 1
    assert "lost: autoexec has no time" in capsys.readouterr().err


def test_every_contender_and_call_can_be_pickled() -> None:
    import pickle

    for name in ("collatz", "slug", "pause", "ask", "wait_and_compute_async"):
        assert pickle.loads(pickle.dumps(getattr(calls, name))) is getattr(calls, name)
