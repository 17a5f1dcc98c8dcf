"""What a run says about itself, and the list that carries it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import COSTS, HOST, PAYLOAD, examples, hosts, magnitudes, profile, profiles

from autoexec._decide import decide
from autoexec._ledger import Recording, Slow
from autoexec._memory import MemoryUse
from autoexec._options import Settings
from autoexec._report import Report, Results
from autoexec._types import Host, Kind, Most, Profile
from autoexec._wording import seconds

MS = 1e-3
SLOWEST = (
    Slow(7, 1, 80 * MS, "'seven'", "threads", False),
    Slow(100, 20, 21 * MS, "'hundred'", "threads", False),
)


def report(
    figures: Profile | None = None,
    host: Host = HOST,
    settings: Settings | None = None,
    **others: Any,
) -> Report:
    """The report of a run that ended with these figures."""
    figures = figures or profile(20 * MS)
    plan = decide(figures, host, settings or Settings(), None)
    values: dict[str, Any] = {
        "function": "fetch",
        "items": 1000,
        "seconds": 2.0,
        "calls_s": 20.0,
        "ran": {"inline": 1, "threads": 999},
        "at_once": 32,
        "failures": 0,
        "skipped": 0,
        "kind": plan.kind,
        "profile": figures,
        "plan": plan,
        "history": ((0.0, plan),),
        "host": host,
    }
    return Report(**(values | others))


def rows(text: str) -> dict[str, str]:
    """The labelled lines of a report."""
    labelled = (line[2:] for line in text.splitlines()[1:] if line[2] != " ")
    return {line[:9].strip(): line[10:] for line in labelled}


# --- The text ----------------------------------------------------------------------------------------


def test_a_report_reads_as_one_page() -> None:
    made = report(decided_s=0.5, slowest=SLOWEST)
    made = made._replace(plan=made.plan._replace(predicted_s=1.0))
    assert str(made).splitlines() == [
        "fetch: 1,000 items in 2 s (calls of 20 s in all, 10.0 at a time)",
        "  class     I/O-bound: 20 ms a call, 0% of it computing",
        "  chosen    threads, at most 256 at once: the calls wait, so many can wait at once",
        "  rejected  inline: 20 s predicted for what was left",
        "            processes: the calls do not keep the GIL, so threads serve as well without"
        " start-up",
        "            hybrid: a single process is not at its limit",
        "  predicted 1 s for what was left 500 ms after the start; it took 1.5 s",
        "  ran       1 inline, 999 threads",
        "  gained    10.0 times as fast as one call after another",
        "  busy      31% of the time of 32 places was taken by calls; they wait in it, so cores were"
        " not as busy",
        "  slowest   item 7, 'seven': 80 ms on threads",
        "            items 100 to 119: 21 ms each on threads, timed together",
    ]


@pytest.mark.parametrize(("items", "words"), [(0, "0 items"), (1, "1 item "), (2, "2 items")])
def test_items_are_counted_in_english(items: int, words: str) -> None:
    assert f"fetch: {words}".rstrip() in str(report(items=items))


def test_calls_one_after_another_are_not_said_to_overlap() -> None:
    assert "at a time" not in str(report(calls_s=2.0))


def test_a_run_that_took_no_time_can_be_reported() -> None:
    assert "at a time" not in str(report(seconds=0.0))


def test_nothing_ran_is_nothing_to_list() -> None:
    empty = report(profile(0, calls=0, elapsed_s=0, done=0), items=0, ran={})
    assert "ran" not in rows(str(empty))
    assert "no call was measured" in rows(str(empty))["class"]


def test_failures_are_counted_with_those_left_out() -> None:
    assert "failed" not in rows(str(report()))
    text = str(report(failures=1200, skipped=1000))
    assert rows(text)["failed"] == "1,200 items, 1,000 left out"


def test_plans_are_listed_if_there_was_more_than_one() -> None:
    assert "plans" not in rows(str(report()))
    once = report()
    inline = once.plan._replace(route="inline")
    text = str(once._replace(history=((0.0, inline), (0.025, once.plan))))
    assert rows(text)["plans"] == "inline from 0 ns; threads from 25 ms"


def test_memory_is_told_of_where_it_mattered() -> None:
    use = MemoryUse(2 * 10**9, 10**9, 0, False, False)
    assert "memory" not in rows(str(report(memory=use)))
    asked = {"memory_limit": (2 * 10**9, "argument")}
    text = rows(str(report(memory=use, options=asked)))["memory"]
    assert text == "at most 1 GB of 2 GB by this process and its workers"
    held = use._replace(call_bytes=3 * 10**8, held_back=True)
    assert rows(str(report(memory=held)))["memory"].endswith(
        "; a call took up to 300 MB; calls were held back"
    )
    over = held._replace(exceeded=True)
    assert "one call at a time was too much already" in rows(str(report(memory=over)))["memory"]
    assert report(memory=held).to_dict()["memory"]["call_bytes"] == 3 * 10**8


def test_a_limit_that_cannot_be_kept_to_is_told_of() -> None:
    asked = {"memory_limit": (0.5, "argument")}
    assert rows(str(report(options=asked)))["memory"].startswith("not limited: this system")
    assert "memory" not in rows(str(report(options=asked, items=0)))


def test_a_single_worker_is_not_counted() -> None:
    text = str(report(profile(1e-6, 1e-6)))
    assert rows(text)["chosen"].startswith("inline: ")


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (profile(20 * MS, 20 * MS, gil_share=1.0, late_ms=5.2), "GIL held for 100% of the"),
        (profile(20 * MS, 20 * MS, gil_share=1.0, late_ms=5.2), "heartbeat 5.2 ms late"),
        (profile(20 * MS, 20 * MS), "the GIL was not watched for long enough"),
        (profile(20 * MS, 10 * MS), "50% of it computing"),
        (profile(50 * MS, child_s=45 * MS), "45 ms of CPU in child processes"),
        (
            profile(20 * MS, 20 * MS, gil_share=0.0, takes_turns=True),
            "but threads got no more done than one",
        ),
        (
            profile(5 * MS, most=Most(0.05 * MS, 19.6)),
            "5 ms a call (most take 50 µs, one in 20 far longer), 0% of it computing",
        ),
    ],
)
def test_the_figures_behind_the_class_are_named(figures: Profile, words: str) -> None:
    assert words in rows(str(report(figures)))["class"]


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (profile(1e-6, 1e-6), "computing"),
        (profile(20 * MS, is_async=True, gil_share=0.0), "GIL"),
        (profile(50 * MS), "child"),
        (profile(50 * MS, most=Most(50 * MS, 19.6)), "far longer"),
    ],
)
def test_figures_that_say_nothing_are_left_out(figures: Profile, words: str) -> None:
    assert words not in rows(str(report(figures)))["class"].split(":", 1)[1]


@given(profiles(), hosts(), st.booleans())
@examples(50)
def test_every_report_can_be_printed_and_saved(figures: Profile, host: Host, asked: bool) -> None:
    made = report(figures, host, Settings(backend="threads") if asked else Settings())
    assert made.plan.reason in str(made)
    assert json.loads(json.dumps(made.to_dict()))["route"] == made.plan.route


def test_what_was_predicted_before_any_call_is_not_shown() -> None:
    assert "predicted" not in rows(str(report(decided_s=0.0)))
    assert report(decided_s=0.0).predicted_s is None


def test_the_actual_time_counts_from_the_prediction() -> None:
    made = report(seconds=3.0, decided_s=1.25)
    assert made.predicted_s == made.plan.predicted_s
    assert made.actual_s == 1.75


def test_calls_that_compute_side_by_side_gain_no_more_than_it_seems() -> None:
    free = report(profile(20 * MS, 20 * MS, gil_share=0.0, overlap=2.0), calls_s=4.0)
    assert free.route == "threads"
    assert rows(str(free))["gained"].startswith("at most 2.0 times")
    assert "cores were not" not in rows(str(free))["busy"]


def test_a_run_one_after_another_has_gained_nothing() -> None:
    text = rows(str(report(calls_s=2.9)))
    assert not {"gained", "busy"} & set(text)


def test_places_are_no_more_than_allowed_or_used() -> None:
    assert report(at_once=32).places == 32
    assert report(at_once=1000).places == 256
    assert report(at_once=0).places == 1


def test_a_call_that_goes_on_here_until_all_workers_are_up_has_no_place_of_its_own() -> None:
    computes = profile(20 * MS, 20 * MS, gil_share=1.0, checks=2, processes_ready=1)
    here = HOST._replace(main_waits=True)
    for worker_s, workers in ((None, here.cores - 1), (0.0, here.cores)):
        one = report(computes._replace(worker_s=worker_s, remaining=1000), here, at_once=32)
        assert one.plan.capacities == {"threads": 1, "processes": workers}
        assert one.places == here.cores


@given(magnitudes(-6, 3), magnitudes(-6, 3), st.integers(0, 1000))
@examples(50)
def test_utilisation_is_a_share(took_s: float, calls_s: float, at_once: int) -> None:
    assert 0 <= report(seconds=took_s, calls_s=calls_s, at_once=at_once).utilisation <= 1


def test_deaths_are_told() -> None:
    assert "died" not in rows(str(report()))
    assert rows(str(report(deaths=1)))["died"] == "1 worker process, with the item that it ran"
    assert rows(str(report(deaths=2)))["died"].startswith("2 worker processes, each")


def test_the_slowest_of_a_single_item_is_not_told() -> None:
    assert "slowest" not in rows(str(report(items=1, slowest=SLOWEST[:1])))


def test_failed_calls_among_the_slowest_are_marked() -> None:
    one, many = (slow._replace(failed=True) for slow in SLOWEST)
    text = str(report(slowest=(one, many)))
    assert "item 7, 'seven': 80 ms on threads, and failed" in text
    assert text.endswith("timed together, and the last failed")


# --- For notebooks -----------------------------------------------------------------------------------


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects the text outside of styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


EVIL = "<script>alert('x')</script>&amp;\"'><img src=x onerror=y>"


def test_a_notebook_sees_what_the_text_says() -> None:
    made = report(decided_s=0.5, slowest=SLOWEST)
    page = Page(made._repr_html_())
    for label, text in rows(str(made)).items():
        assert label in page.text
        assert text in page.text
    assert page.tags <= {"div", "style", "h4", "table", "tbody", "tr", "th", "td", "span"}


def test_text_of_the_user_is_escaped_on_the_card() -> None:
    plan = report().plan._replace(reason=EVIL)
    bad = Slow(1, 1, 1.0, EVIL, "threads", True)
    made = report(function=EVIL, plan=plan, history=((0.0, plan),), slowest=(bad,))
    made = made._replace(recording=Recording(0.0), decided_s=0.1)
    page = Page(made._repr_html_())
    assert not page.tags & {"script", "img"}
    assert not {name for name in page.attributes if name.startswith("on")}
    assert page.text.count(EVIL) >= 4  # headline, reason, item, picture


def test_the_card_needs_nothing_from_elsewhere() -> None:
    html = report(recording=Recording(0.0), decided_s=0.5)._repr_html_()
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "prefers-color-scheme" in html


@given(profiles(), hosts())
@examples(20)
def test_every_report_can_be_shown(figures: Profile, host: Host) -> None:
    made = report(figures, host, decided_s=0.1)
    assert made.plan.reason in Page(made._repr_html_()).text


# --- The data ----------------------------------------------------------------------------------------


def test_the_dict_holds_what_the_records_hold() -> None:
    data = report(profile(20 * MS, payload=PAYLOAD)).to_dict()
    assert (data["function"], data["items"], data["ran"]) == (
        "fetch",
        1000,
        {"inline": 1, "threads": 999},
    )
    assert data["profile"]["wall_s"] == 20 * MS
    assert data["profile"]["payload"]["item_bytes"] == PAYLOAD.item_bytes
    assert data["plan"]["capacities"] == {"threads": 256}
    assert data["plan"]["rejected"][0]["route"] == "inline"
    assert data["host"]["costs"]["process_start_s"] == COSTS.process_start_s
    assert data["history"][0][0] == 0.0


def test_the_dict_has_what_follows_from_the_records() -> None:
    data = report(decided_s=0.5, slowest=SLOWEST).to_dict()
    assert (data["places"], data["speedup"], data["utilisation"]) == (32, 10.0, 0.3125)
    assert (data["decided_s"], data["actual_s"]) == (0.5, 1.5)
    assert data["slowest"][0]["item"] == "'seven'"


def test_the_timeline_is_no_part_of_the_dict() -> None:
    recorded = report(recording=Recording(0.0))
    assert "recording" not in recorded.to_dict()
    assert recorded.to_dict() == report().to_dict()


def test_the_json_is_the_dict() -> None:
    made = report(function="übermut", slowest=SLOWEST)
    assert json.loads(made.to_json()) == made.to_dict()
    assert "übermut" in made.to_json()
    assert made.to_json(indent=2).startswith('{\n  "')


def test_the_dict_is_plain() -> None:
    kind = report().to_dict()["kind"]
    assert type(kind) is str
    assert kind == Kind.IO.value


# --- Times -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 ns"),
        (25e-9, "25 ns"),
        (1e-6, "1 µs"),
        (1.234e-3, "1.23 ms"),
        (0.0999, "99.9 ms"),
        (1.0, "1 s"),
        (59.94, "59.9 s"),
    ],
)
def test_times_in_the_unit_that_suits_them(value: float, text: str) -> None:
    assert seconds(value) == text


@given(magnitudes(-9, 6) | st.sampled_from([0.9999, 0.9999e-3, 0.9999e-6]))
@examples(100)
def test_times_read_as_what_they_are(value: float) -> None:
    figure, unit = seconds(value).replace(",", "").split()
    assert "e" not in figure
    size = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]
    assert float(figure) * size == pytest.approx(value, rel=0.006)


# --- Results -----------------------------------------------------------------------------------------


def test_results_are_a_list() -> None:
    results = Results([1, 2])
    assert results == [1, 2]
    assert isinstance(results, list)


@given(st.lists(st.integers()), st.lists(st.integers()), st.booleans())
@examples(100)
def test_joined_results_are_in_order(first: list[int], second: list[int], plain: bool) -> None:
    more = list(second) if plain else Results(second)
    joined = Results(first).joined(more)
    assert joined == [*first, *second]
    assert type(joined) is Results


def test_a_long_list_is_not_copied_behind_a_short_one() -> None:
    few, many = Results([1]), Results(range(2, 100))
    assert few.joined(many) is many


def test_a_short_list_is_added_to_a_long_one() -> None:
    many, few = Results(range(98)), Results([98, 99])
    assert many.joined(few) is many


def test_a_callers_own_list_is_never_grown() -> None:
    values = [2, 3, 4]
    assert Results([1]).joined(values) == [1, 2, 3, 4]
    assert values == [2, 3, 4]


def test_ipython_shows_the_text() -> None:
    shown: list[str] = []

    class Printer:
        text = shown.append

    report()._repr_pretty_(Printer(), cycle=False)
    assert shown == [str(report())]
