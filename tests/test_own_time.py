"""How much of the time of calls is their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import profile

from autoexec._chunk import Block, Chunk
from autoexec._own_time import OwnTime
from autoexec._types import Look

MS = 1e-3
SECONDS = st.floats(1e-6, 10.0)


def block(wall_s: float, cpu_s: float = 0.0, *, calls: int = 1, queued_s: float = 0.0) -> Block:
    chunk = Chunk(0, [None] * calls, "threads", "threads")
    return Block(chunk, [None] * calls, None, wall_s, cpu_s, queued_s, last=True)


def learn(own: OwnTime, *blocks: Block, crowd: int, clear: bool, mixture: bool = False) -> None:
    for one in blocks:
        own.learn(one, crowd, local=True, clear=clear, mixture=mixture)
        own.times.lasted(one.wall_s / one.calls, one.cpu_s / one.calls)


def overlapped(own: OwnTime, seconds: float, *, busy: float) -> None:
    """Two looks with calls beside each other, between which the process computed for so much of the time."""
    for now_s, cpu_s in ((0.0, 0.0), (seconds, busy * seconds)):
        own.look(Look(now_s, None, [], cpu_s, 0.0, False, 0), 2)


@given(wall_s=SECONDS, share=st.floats(0, 1), calls=st.integers(1, 1000))
def test_the_time_of_calls_alone_is_theirs_but_for_what_they_wanted_a_core(
    wall_s: float, share: float, calls: int
) -> None:
    own = OwnTime(None)
    alone = block(wall_s, 0.5 * wall_s, calls=calls, queued_s=0.5 * share * wall_s)
    learn(own, alone, crowd=1, clear=True)
    assert own.times.wall.mean == pytest.approx((1 - 0.5 * share) * wall_s / calls)


@given(crowd=st.integers(2, 500), wall_s=SECONDS, cpu=st.floats(0.001, 1))
def test_calls_are_crowded_where_they_compute_for_as_long_as_one_takes(
    crowd: int, wall_s: float, cpu: float
) -> None:
    own = OwnTime(None)
    learn(own, block(wall_s), crowd=1, clear=True)
    one = block(crowd * wall_s, cpu * wall_s)
    assert own.crowded(one, crowd) == (crowd * cpu * wall_s > 0.8 * wall_s)


def test_they_are_as_well_where_the_process_is_busy() -> None:
    own = OwnTime(None)
    learn(own, block(20 * MS), crowd=1, clear=True)
    assert not own.crowded(block(20 * MS, 0.1 * MS), 2)
    overlapped(own, 0.1, busy=0.9)
    assert own.crowded(block(20 * MS, 0.1 * MS), 2)


def test_in_a_crowd_what_was_known_is_kept() -> None:
    own = OwnTime(None)
    learn(own, block(5 * MS, 5 * MS), crowd=1, clear=True)
    learn(own, *[block(100 * MS, 5 * MS)] * 20, crowd=20, clear=False)
    assert own.times.wall.mean == pytest.approx(5 * MS)


@pytest.mark.parametrize(("busy", "at_least_s"), [(0.0, 100 * MS), (0.3, 71.5 * MS), (0.6, 5 * MS)])
def test_there_they_take_no_less_than_while_nobody_computed(busy: float, at_least_s: float) -> None:
    own = OwnTime(None)
    learn(own, block(5 * MS, 5 * MS), crowd=1, clear=True)
    overlapped(own, 0.1, busy=busy)
    learn(own, *[block(100 * MS, 5 * MS)] * 300, crowd=20, clear=False)
    assert own.times.wall.mean == pytest.approx(at_least_s, rel=0.01)


def test_the_others_may_have_had_the_gil_and_no_core() -> None:
    own = OwnTime(None)
    learn(own, block(5 * MS, 5 * MS), crowd=1, clear=True)
    overlapped(own, 0.1, busy=0.1)
    for _ in range(300):
        one = block(100 * MS, 5 * MS, queued_s=20 * MS)
        own.cores.add(one, 1, beside=True)
        learn(own, one, crowd=20, clear=False)
    assert own.times.wall.mean == pytest.approx(5 * MS)


def after_many_far_shorter(*, mixture: bool) -> float:
    """What is believed of calls of 100 ms after enough of 1 ms in a crowd to be believed at last."""
    own = OwnTime(None)
    learn(own, *[block(100 * MS)] * 9, crowd=1, clear=True)
    before = own.times.wall.mean
    for _ in range(400):
        learn(own, block(1 * MS, 1 * MS), crowd=20, clear=False, mixture=mixture)
        if own.times.wall.mean < before:
            return own.times.wall.mean
    raise AssertionError("they are never believed")


def test_calls_far_shorter_than_what_was_believed_replace_it_unless_they_come_mixed() -> None:
    assert after_many_far_shorter(mixture=False) == pytest.approx(1 * MS)
    assert 50 * MS < after_many_far_shorter(mixture=True) < 99 * MS


@given(
    wall_s=SECONDS,
    cpu=st.floats(0, 1),
    before=st.integers(1, 1000),
    after=st.integers(0, 1000),
)
def test_a_coroutine_takes_no_less_than_it_computes_and_no_more_than_it_lasts(
    wall_s: float, cpu: float, before: int, after: int
) -> None:
    own = OwnTime(None)
    own.learn_task(block(wall_s, cpu * wall_s), before, before + after)
    assert cpu * wall_s <= own.task_s <= wall_s
    assert own.times.wall.mean == pytest.approx(wall_s)  # the quickest so far


def test_coroutines_do_not_wait_for_more_than_once_for_each_other() -> None:
    own = OwnTime(None)
    for number in range(1, 13):
        own.learn_task(block(0.9 + number * 0.9, 0.9), number, 12)
    assert 0.9 <= own.task_s <= 1.8, "of 11.7 that the last one took"
    assert own.times.wall.mean == pytest.approx(1.8)


def test_what_an_earlier_run_has_shown_is_where_it_begins() -> None:
    known = OwnTime(profile(20 * MS, 1 * MS, overlap=0.4, alone_s=7 * MS, child_s=3 * MS))
    assert (known.task_s, known.children.call_s, known.overlap.share) == (7 * MS, 3 * MS, 0.4)
    assert OwnTime(None).task_s == 0.0
