"""What a run writes down: its slowest calls, deaths, who ran what when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples, magnitudes

from autoexec._chunk import Block, Chunk
from autoexec._errors import ItemTimeout, NotSent, WorkerDied
from autoexec._ledger import SLOWEST, SPANS, Ledger, Recording, glimpse

START = 100.0


def block(
    wall_s: float,
    items: list[Any] | None = None,
    *,
    values: int = 1,
    error: BaseException | None = None,
    first: int = 0,
    began_s: float = START,
    pid: int = 0,
) -> Block:
    """Outcomes of the first items of a chunk that was sent when the run began."""
    count = values + (error is not None)
    chunk = Chunk(first, [None] * count if items is None else items, "threads", "threads")
    chunk.sent_s = START
    made = Block(chunk, [None] * values, error, wall_s, 0.0, 0.0, True, began_s)
    made.pid = pid
    return made


def ledger(*blocks: Block, timeout_s: float | None = None, record: bool = True) -> Ledger:
    """A ledger of these, all heard of a second after the start."""
    made = Ledger(START, timeout_s, record=record)
    for one in blocks:
        made.add(one, START + 1)
    return made


# --- The slowest -------------------------------------------------------------------------------------


@given(st.lists(magnitudes(-6, 2), max_size=40))
@examples(100)
def test_the_slowest_are_the_slowest(walls: list[float]) -> None:
    kept = ledger(*(block(wall_s, first=i) for i, wall_s in enumerate(walls))).slowest()
    assert [slow.seconds for slow in kept] == sorted(walls, reverse=True)[:SLOWEST]
    assert all(walls[slow.first] == slow.seconds for slow in kept)


def test_calls_timed_together_count_with_their_mean() -> None:
    many = block(1.0, ["a"] * 10, values=10, first=5)
    one = block(0.2, ["b"])
    first, second = ledger(many, one).slowest()
    assert (first.seconds, first.calls, first.item) == (0.2, 1, "'b'")
    assert (second.seconds, second.calls, second.first) == (0.1, 10, 5)


def test_a_block_of_short_calls_does_not_displace_longer_ones() -> None:
    long = [block(0.01 + i / 1000, first=i) for i in range(SLOWEST)]
    kept = ledger(*long, block(1.0, values=1000, first=10)).slowest()
    assert {slow.first for slow in kept} == set(range(SLOWEST))


def test_the_item_is_the_one_that_the_chunk_has_come_to() -> None:
    later = block(0.1, ["a", "b", "c"], values=2, first=10)
    later.chunk.done = 1
    (slow,) = ledger(later).slowest()
    assert (slow.first, slow.calls, slow.item) == (11, 2, "'b'")


def test_a_call_that_was_given_up_took_its_timeout() -> None:
    given_up = block(0.0, ["a", "b", "c"], values=2, error=ItemTimeout("too long"))
    (slow,) = ledger(given_up, timeout_s=0.5).slowest()
    assert (slow.first, slow.calls, slow.seconds, slow.failed) == (2, 1, 0.5, True)


def test_an_item_that_could_not_be_sent_has_not_run() -> None:
    made = ledger(block(0.0, values=0, error=NotSent("a lock")))
    assert made.slowest() == ()
    assert made.recording is not None
    assert not made.recording.spans


def test_a_process_that_takes_several_calls_along_dies_once() -> None:
    died = [block(0.0, values=0, error=WorkerDied("it"), pid=pid) for pid in (7, 7, 8)]
    assert ledger(*died).dead == {7, 8}


# --- Items in short ----------------------------------------------------------------------------------


class Rude:
    """Its repr is not for us to call."""

    def __repr__(self) -> str:
        raise AssertionError("asked for its repr")


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ("a", "'a'"),
        ("a" * 61, repr("a" * 60) + "..."),
        (b"\0", r"b'\x00'"),
        (None, "None"),
        (1.5, "1.5"),
        pytest.param(10**5000, "<int of 16,610 bits>", id="too many digits"),
        ((1, "a"), "(1, 'a')"),
        ([1, 2, 3, 4], "[1, 2, 3, ...]"),
        ([], "<list>"),
        ([Rude()], "<list>"),
        (Rude(), "<Rude>"),
        ({"a": 1}, "<dict>"),
        (Path("a") / "b", repr(str(Path("a/b")))),
    ],
)
def test_plain_items_are_shown_and_others_named(item: Any, text: str) -> None:
    assert glimpse(item) == text


@given(st.recursive(st.text() | st.binary() | st.integers() | st.floats(), st.lists))
@examples(40)
def test_what_is_shown_is_short(item: Any) -> None:
    assert len(glimpse(item)) < 1200  # three texts of characters that are written as \U0010ffff


# --- Spans -------------------------------------------------------------------------------------------


def test_nothing_is_recorded_unless_asked_for() -> None:
    assert ledger(block(0.1), record=False).recording is None


def test_a_span_says_where_and_when() -> None:
    made = ledger(block(0.25, values=3, first=7, began_s=START + 0.5, pid=9))
    assert made.recording is not None
    (span,) = made.recording.spans
    assert span == ("threads", 9, 0.5, 0.25, 7, 3, False, False)


def test_a_failed_call_is_marked() -> None:
    made = ledger(block(0.25, values=3, error=ValueError()))
    assert made.recording is not None
    (span,) = made.recording.spans
    assert (span.calls, span.failed) == (4, True)


@pytest.mark.parametrize("began_s", [0.0, START - 5, START + 5])
def test_a_start_that_nobody_saw_is_estimated(began_s: float) -> None:
    made = ledger(block(0.25, began_s=began_s))
    assert made.recording is not None
    (span,) = made.recording.spans
    assert (span.began_s, span.seconds, span.estimated) == (0.75, 0.25, True)


def test_a_call_of_unknown_length_ran_from_when_it_was_sent_at_most() -> None:
    made = ledger(block(0.0, values=0, error=WorkerDied("it"), began_s=0.0))
    assert made.recording is not None
    (span,) = made.recording.spans
    assert (span.began_s, span.seconds, span.estimated) == (0.0, 1.0, True)


def test_the_last_spans_are_kept_and_all_are_counted() -> None:
    recording = Recording(START)
    for i in range(SPANS + 3):
        recording.add(block(0.1, first=i), START + 1, 1, 0.1)
    assert (len(recording.spans), recording.heard) == (SPANS, SPANS + 3)
    assert recording.spans[0].first == 3
    assert repr(recording) == "<recording of 100,003 spans>"


def test_a_recording_that_was_reported_stays_as_it_was() -> None:
    made = ledger(block(0.1))
    before = made.recorded()
    made.add(block(0.2, first=1), START + 2)
    after = made.recorded()
    assert before is not None
    assert after is not None
    assert (len(before.spans), before.heard) == (1, 1)
    assert (len(after.spans), after.heard) == (2, 2)
    assert after.spans.maxlen == SPANS
