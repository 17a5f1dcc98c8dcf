"""What threads gain for calls that compute, and who competes with them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import magnitudes, perhaps, shares

from autoexec._chunk import Chunk
from autoexec._gain import (
    ALIKE,
    LONGER,
    TURNS,
    TURNS_CALLS,
    TURNS_S,
    Gain,
    OnThreads,
    Turns,
    rivals,
    take_turns,
)

MS = 1e-3


def chunk_of(count: int) -> Chunk:
    return Chunk(0, [None] * count, "threads", "threads")


def on_threads(**figures: Any) -> OnThreads:
    """Two that compute for 2 ms each, on a calm machine with a core for each."""
    seen = OnThreads(2 * MS, 2 * MS, 0.0, 1.02, 1.95, keep_gil=False, inner=0.0)
    return seen._replace(**figures)


seen_on_threads = st.builds(
    OnThreads,
    wall_s=magnitudes(-6, 1),
    cpu_s=magnitudes(-6, 1),
    cpu_spread=shares(most=4),
    wanted=perhaps(0.8, shares(most=4).map(lambda more: 1 + more)),
    busy=perhaps(0.8, shares(most=16)),
    keep_gil=st.booleans(),
    inner=shares(most=2),
    by_first=st.booleans(),
)


@given(st.integers(0, 100), magnitudes(-6, -2), st.floats(0.1, 4.0))
def test_the_gain_of_threads_is_calls_in_a_time_against_one_after_another(
    done: int, alone_s: float, gain: float
) -> None:
    seen, before_s = Gain(7.0, done, 3.0, alone_s), 3.0
    early_s = min(2 * TURNS_S, (TURNS_CALLS - 1) * alone_s / TURNS)
    assert seen.seen(7.0 + early_s, done + TURNS_CALLS - 1, before_s + 1.0) is None
    assert seen.seen(7.0 + TURNS_S / 2, done + 1000, before_s + 1.0) is None
    calls = max(TURNS_CALLS, math.ceil(TURNS_S * gain / alone_s) + 1)
    elapsed_s = calls * alone_s / gain
    now, done = 7.0 + elapsed_s, done + calls
    assert seen.seen(now, done, before_s + 1.51 * elapsed_s) == pytest.approx(gain)
    assert seen.seen(now, done, before_s + 1.49 * elapsed_s) is None, "too few were side by side"


@pytest.mark.parametrize("ended", [0, 3])
def test_that_threads_gain_nothing_is_seen_before_many_calls_have_ended(ended: int) -> None:
    seen, under_way = Gain(7.0, 0, 0.0, 2 * MS), [chunk_of(1), chunk_of(3), chunk_of(2)]
    for chunk in under_way:
        chunk.sent_s = 7.0
    now = 7.0 + 1.01 * TURNS_S
    assert seen.seen(now, ended, ended * MS, under_way) is None, "nobody knows that they run"
    for chunk in under_way[:2]:
        chunk.partial = []
    under_way[1].partial = [None]
    # As if the three that were begun had come to their end by now.
    gain = (ended + 3) * 2 * MS / (now - 7.0)
    assert seen.seen(now, ended, ended * MS, under_way) == pytest.approx(gain)
    assert seen.seen(now, ended, ended * MS, under_way[:1]) is None, "one alone can gain nothing"
    assert Gain(7.0, 0, 0.0, 9 * MS).seen(now, ended, ended * MS, under_way) is None


@given(magnitudes(-1, 1), seen_on_threads)
def test_calls_that_gain_something_do_not_take_turns(gain: float, seen: OnThreads) -> None:
    told = take_turns(gain, seen)
    far = seen.cpu_s > max(LONGER, 2 * (seen.busy or 0.0)) * seen.wall_s
    nothing_gained = gain < TURNS and seen.wanted is None
    assert (told is None) == ((seen.by_first and far) or nothing_gained)
    assert not (told and gain >= TURNS)


@given(st.floats(0.1, 1.05), seen_on_threads)
def test_the_more_cores_are_kept_busy_the_less_calls_seem_to_take_turns(
    gain: float, seen: OnThreads
) -> None:
    if seen.wanted is not None and take_turns(gain, seen._replace(busy=16.0)):
        assert take_turns(gain, seen._replace(busy=0.5))


@pytest.mark.parametrize(
    ("figures", "turns"),
    [
        pytest.param({}, False, id="a core for each"),
        pytest.param({"busy": 1.0}, True, id="one core for both"),
        pytest.param({"busy": 1.45, "cpu_s": 4 * MS}, True, id="each computes for twice as long"),
        pytest.param({"cpu_s": 4 * MS, "cpu_spread": 2 * ALIKE}, False, id="they are other calls"),
        pytest.param({"cpu_s": 9 * MS, "by_first": True}, None, id="the first was of another kind"),
        pytest.param({"cpu_s": 9 * MS}, True, id="they are so slow side by side"),
        pytest.param({"busy": 1.0, "wanted": 2.0}, False, id="other programs have the other core"),
        pytest.param(
            {"busy": 0.9, "wanted": 1.6, "cpu_s": 4 * MS, "keep_gil": True},
            True,
            id="one that has the GIL and no core keeps it from the other",
        ),
        pytest.param({"busy": 0.1, "cpu_s": 0.2 * MS}, False, id="they wait"),
        pytest.param({"busy": None}, True, id="how busy it was, nobody saw"),
        pytest.param({"busy": None, "wanted": 1.5}, False, id="nor that, but they want cores"),
        pytest.param({"wanted": None}, None, id="none was beside another"),
    ],
)
def test_which_calls_take_turns_on_threads(figures: dict[str, Any], turns: bool | None) -> None:
    assert take_turns(0.9, on_threads(**figures)) is turns


@given(st.integers(1, 128), seen_on_threads)
def test_rivals_are_threads_that_take_a_share_of_the_cores(cores: int, seen: OnThreads) -> None:
    others = rivals(cores, seen)
    assert others >= 0.0
    if others:
        assert seen.wanted == pytest.approx((cores + others) / cores)
        assert not seen.keep_gil


@pytest.mark.parametrize(
    ("figures", "others"),
    [
        pytest.param({"wanted": 1.5, "busy": 1.3}, 1.0, id="one beside two"),
        pytest.param({"wanted": 1.1, "busy": 1.8}, 0.0, id="a calm machine"),
        pytest.param({"wanted": 1.5, "busy": 1.9}, 0.0, id="threads of a BLAS"),
        pytest.param({"wanted": 1.5, "busy": 1.3, "inner": 0.9}, 0.0, id="the same, as they spin"),
        pytest.param({"wanted": 1.5, "busy": 0.9, "keep_gil": True}, 0.0, id="a GIL to wait for"),
        pytest.param({"wanted": None}, 0.0, id="none was beside another"),
    ],
)
def test_who_competes_for_the_cores(figures: dict[str, Any], others: float) -> None:
    assert rivals(2, on_threads(**figures)) == pytest.approx(others)


def said(turns: Turns) -> tuple[bool | None, bool]:
    return turns.told, turns.believed


@pytest.mark.parametrize("before", [False, True])
def test_what_earlier_runs_have_shown_is_believed_until_this_one_tells_or_it_is_forgotten(
    *, before: bool
) -> None:
    turns = Turns(before=before)
    assert said(turns) == (None, before)
    turns.tell(0.9, on_threads(wanted=None))
    assert said(turns) == (None, before), "none was beside another, so that it tells nothing"
    turns.tell(0.9, on_threads(busy=0.9))
    assert said(turns) == (True, True)
    turns.tell(1.9, on_threads())
    assert said(turns) == (False, False)
    turns.forget()
    assert said(turns) == (None, False)


@given(rate=magnitudes(0, 4), alone_s=magnitudes(-4, -1), seen=seen_on_threads)
def test_a_doubt_is_resolved_by_what_calls_take_alone(
    rate: float, alone_s: float, seen: OnThreads
) -> None:
    turns = Turns(before=False)
    turns.doubt(rate, seen)
    turns.resolve(alone_s)
    assert not turns.doubted
    known = seen._replace(wall_s=alone_s, by_first=False)
    assert turns.told == take_turns(rate * alone_s, known)


def test_a_doubt_tells_nothing_where_no_call_ran_alone_or_the_calls_are_others() -> None:
    turns = Turns(before=True)
    turns.doubt(100.0, on_threads(busy=0.9))
    assert turns.doubted
    turns.resolve(None)
    assert said(turns) == (None, True)
    turns.doubt(100.0, on_threads(busy=0.9))
    turns.drop_doubt()
    turns.resolve(9 * MS)
    assert turns.told is None
