"""How long calls take, and compute."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import durations

from autoexec._call_times import BELOW, UNEVEN_BLOCKS, CallTimes


def test_before_the_first_call_the_one_that_runs_is_all_that_is_known() -> None:
    times = CallTimes()
    assert (times.wall_s(0.3), times.cpu_s(0.1)) == (0.3, 0.1)
    assert times.least_s == math.inf
    assert times.spread == 0.0


@given(st.lists(durations(), min_size=1, max_size=12), durations())
def test_one_that_runs_counts_for_what_it_exceeds_the_mean_by(
    walls: list[float], running_s: float
) -> None:
    times = CallTimes()
    for wall_s in walls:
        times.believe(wall_s, wall_s)
    mean = sum(walls) / len(walls)
    more_s = max(0.0, running_s - mean) / (len(walls) + 1)
    assert times.wall_s(running_s) == pytest.approx(mean + more_s)


def test_what_calls_compute_in_a_crowd_counts_only_where_they_are_others() -> None:
    times = CallTimes()
    times.believe(0.010, 0.004)
    times.lasted(0.030, 0.006)
    assert times.cpu_s(0.0) == pytest.approx(0.004)
    times.forget()
    times.believe(0.010, 0.002)
    times.lasted(0.030, 0.006)
    assert times.cpu_s(0.0) == pytest.approx(0.006)


def test_the_quickest_call_is_that_of_the_run() -> None:
    times = CallTimes()
    times.lasted(0.002, 0.001)
    times.lasted(0.004, 0.001)
    times.forget()
    assert times.least_s == 0.002


def test_only_many_far_below_in_a_row_say_that_what_was_known_came_of_an_accident() -> None:
    times = CallTimes()
    times.believe(1.0, 1.0)
    below = [times.far_below(0.1) for _ in range(BELOW - 1)]
    assert not times.far_below(0.5)
    below += [times.far_below(0.1) for _ in range(BELOW - 1)]
    assert not any(below)
    assert times.far_below(0.1)


def test_where_a_few_take_far_longer_again_and_again_that_was_no_accident() -> None:
    times = CallTimes()
    times.believe(1.0, 0.1)
    for i in range(200):
        wall_s = 10.0 if i % 20 == 19 else 0.1
        times.seen(wall_s)
        assert not times.far_below(wall_s) or i < 19
    late = CallTimes()  # its first call
    late.believe(1.0, 0.1)
    late.seen(1.0)
    forgotten = []
    for _ in range(BELOW):
        late.seen(0.1)
        forgotten.append(late.far_below(0.1))
    assert forgotten == [False] * (BELOW - 1) + [True]


def test_the_first_calls_of_a_mixture_stand_for_none_of_the_others() -> None:
    times = CallTimes()
    times.expect(0.005, 0.0001, 0.0001, mixed=True)
    assert not times.provisional
    for _ in range(4):
        times.seen(0.0001)
        times.believe(0.0001, 0.0001)
    assert times.wall_s(0.0) > 0.001
    plain = CallTimes()
    plain.expect(0.005, 0.0001, 0.0001, mixed=False)
    assert plain.provisional


def test_that_the_work_has_changed_is_said_once_then_what_was_known_weighs_less() -> None:
    times = CallTimes()
    for _ in range(10):
        times.believe(1.0, 1.0)
    assert times.overran()
    assert times.wall.n == 10
    assert not times.overran()
    assert times.wall.n == UNEVEN_BLOCKS


@given(durations(), durations(), durations(), st.booleans())
def test_an_earlier_run_is_where_it_begins(
    wall_s: float, cpu_s: float, least_s: float, mixed: bool
) -> None:
    times = CallTimes()
    times.expect(wall_s, cpu_s, least_s, mixed=mixed)
    assert times.wall_s(0.0) == pytest.approx(wall_s)
    assert times.cpu_s(0.0) == pytest.approx(cpu_s)
    assert times.least_s == least_s
