"""Calls of which most take about as long, and a few far longer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import durations, examples

from autoexec._mixture import FAR, LEAST_BLOCKS, MEMORY_CALLS, RECENT_BLOCKS, Mixture
from autoexec._types import Most


def misses(mixture: Mixture, calls: int, every: int, hit_s: float, miss_s: float) -> None:
    for number in range(1, calls + 1):
        mixture.add(hit_s if number % every else miss_s, 1, known=False)


@given(st.integers(8, 60), st.floats(1e-6, 1.0), st.floats(FAR + 1, 1e4))
@examples(100)
def test_one_in_so_many_that_takes_far_longer_is_told_from_the_others(
    every: int, hit_s: float, times: float
) -> None:
    mixture = Mixture()
    misses(mixture, 20 * every, every, hit_s, times * hit_s)
    most = mixture.most
    assert most is not None
    assert most.wall_s == hit_s
    assert most.calls == pytest.approx(every, rel=0.15)


@given(st.lists(st.floats(1.0, FAR), max_size=200), durations())
@examples(100)
def test_calls_that_differ_by_less_are_no_mixture(factors: list[float], least_s: float) -> None:
    mixture = Mixture()
    for factor in factors:
        mixture.add(factor * least_s, 1, known=False)
    assert mixture.most is None


def test_one_that_took_far_longer_may_have_been_an_accident() -> None:
    mixture = Mixture()
    misses(mixture, 30, 20, 1.0, 100.0)
    assert mixture.most is None


def test_where_none_does_any_more_it_is_no_mixture() -> None:
    mixture = Mixture()
    misses(mixture, 60, 20, 1.0, 100.0)
    assert mixture.most is not None
    mixture.add(1.0, 2 * MEMORY_CALLS, known=False)
    assert mixture.most is None


def test_where_all_take_as_long_as_the_few_it_is_no_mixture() -> None:
    mixture = Mixture()
    misses(mixture, 100, 20, 1.0, 100.0)
    told = []
    for _ in range(MEMORY_CALLS):
        mixture.add(100.0, 1, known=False)
        told.append(mixture.most)
    assert told[0] is not None
    assert told[MEMORY_CALLS // 4 :] == [None] * (MEMORY_CALLS - MEMORY_CALLS // 4)
    misses(mixture, 100, 20, 100.0, 10_000.0)
    assert mixture.most is not None
    assert mixture.most.wall_s == 100.0


def test_a_wave_of_those_that_were_begun_together_is_not_what_most_take() -> None:
    mixture = Mixture()
    for _ in range(5):
        for wall_s in (1.0, 100.0):
            for _ in range(2 if wall_s == 100.0 else 1):
                mixture.add(wall_s, 1 if wall_s == 100.0 else 40, known=False)
            for _ in range(10):
                mixture.add(1.0, 4, known=False)
    for _ in range(2 * RECENT_BLOCKS):
        mixture.add(100.0, 1, known=False)
        assert mixture.most is not None
        assert mixture.most.wall_s == 1.0


def test_what_was_far_longer_counts_no_more_once_it_is_what_most_take() -> None:
    mixture = Mixture()
    for _ in range(40):
        for wall_s in (1.0,) * 9 + (9.0,):
            mixture.add(wall_s, 1, known=False)
    assert mixture.most is not None
    for step in range(2 * RECENT_BLOCKS):  # none is far longer than those before it
        mixture.add(1.0 + 9.0 * step / RECENT_BLOCKS, 1, known=False)
    assert mixture.most is None


def test_one_that_was_called_back_counts_once_and_before_it_ends() -> None:
    mixture = Mixture()
    for _ in range(LEAST_BLOCKS):
        mixture.add(1.0, 2, known=False)
    mixture.takes_far_longer()
    mixture.takes_far_longer()
    before = mixture.most
    assert before is not None
    mixture.add(50.0, 2, known=True)
    after = mixture.most
    assert after is not None
    assert (before.wall_s, after.wall_s) == (1.0, 1.0)
    assert before.calls == pytest.approx(LEAST_BLOCKS, rel=0.1)
    assert after.calls == pytest.approx(LEAST_BLOCKS + 1, rel=0.1)


def test_what_an_earlier_run_has_shown_is_known_from_the_start() -> None:
    known = Most(1.0, 20.0)
    assert Mixture(known).most == known
    assert Mixture(None).most is None
