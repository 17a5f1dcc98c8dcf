"""The search for the number of waiting calls at once: what it finds, whatever the other side is like."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples, magnitudes, shares

from autoexec._ramp import (
    EVEN,
    FIRST_PROBE,
    GAIN,
    LEAP,
    Ramp,
    Round,
    patience_s,
    ramp,
    stall_s,
    stalled,
)

Served = Callable[[int], Round]
"""What a round shows, by the number of calls at once."""


def search(first: int, ceiling: int, served: Served, rounds: int) -> list[Ramp]:
    """The states of a search, round by round."""
    states = [Ramp(first)]
    for _ in range(rounds):
        states.append(ramp(states[-1], served(states[-1].limit), ceiling))
    return states


def server(slots: int, call_s: float = 0.05, spread: float = 0.1) -> Served:
    """One that serves so many calls at the same time, and lets the others wait."""

    def served(at_once: int) -> Round:
        rate = min(at_once, slots) / call_s
        return Round(rate, at_once / rate, call_s, spread)

    return served


@st.composite
def rounds(draw: st.DrawFn) -> Round:
    """Anything that a round could show."""
    wall_s = draw(magnitudes(-4, 1))
    return Round(draw(magnitudes(-2, 6)), wall_s, wall_s * draw(shares()), draw(shares(most=5)))


@given(st.integers(1, 256), st.lists(st.tuples(rounds(), st.integers(1, 5000)), max_size=60))
@examples(200)
def test_the_search_never_climbs_above_the_ceiling_nor_falls_below_one(
    first: int, seen: list[tuple[Round, int]]
) -> None:
    state = Ramp(first)
    for one, ceiling in seen:
        before, state = state, ramp(state, one, ceiling)
        assert 1 <= state.limit <= max(ceiling, before.limit, before.best)


@given(st.integers(1, 300), st.sampled_from([8, 32, 64]))
@examples(100)
def test_it_settles_near_what_a_server_serves(slots: int, first: int) -> None:
    settled = search(first, 256, server(slots), 8)[-1]
    assert settled.phase in ("settled", "capped")
    assert server(slots)(settled.limit).rate >= 0.75 * server(slots)(256).rate
    assert settled.limit <= max(2 * slots, 2)


@pytest.mark.parametrize(
    ("slots", "found"), [(16, range(16, 21)), (10, range(10, 14)), (1, range(1, 3))]
)
def test_a_server_a_pool_and_a_lock_get_about_what_they_can_use(slots: int, found: range) -> None:
    assert search(32, 256, server(slots), 8)[-1].limit in found


def test_calls_of_very_uneven_length_are_not_tried_with_fewer() -> None:
    states = search(32, 256, server(1, spread=2 * EVEN), 8)
    assert {state.phase for state in states} == {"up", "settled"}


def test_plain_latency_goes_to_the_ceiling_in_leaps() -> None:
    limits = [state.limit for state in search(32, 5000, server(10**6), 5)]
    assert limits == [32, 32 * LEAP, 32 * LEAP**2, 5000, 5000, 5000]


def test_calls_that_take_longer_in_a_crowd_are_doubled_only() -> None:
    def served(at_once: int) -> Round:
        return Round(float(at_once**0.7), at_once**0.3, 1.0, 0.0)

    assert [state.limit for state in search(32, 5000, served, 3)] == [32, 128, 256, 512]


def test_a_gain_of_just_a_quarter_is_worth_going_on() -> None:
    state = ramp(Ramp(32), Round(1000.0, 0.05, 0.05, 1.0), 2048)
    assert ramp(state, Round(1000.0 * GAIN, 0.2, 0.05, 1.0), 2048).limit == 512
    back = ramp(state, Round(999.0 * GAIN, 0.2, 0.05, 1.0), 512)
    assert (back.limit, back.phase) == (32, "settled")


def test_a_trial_of_fewer_that_costs_throughput_is_taken_back() -> None:
    state = Ramp(8, "down", best=32, rate=1000.0)
    assert ramp(state, Round(500.0, 0.05, 0.01, 0.0), 256).limit == 32
    assert ramp(state, Round(950.0, 0.05, 0.01, 0.0), 256).limit == 8


def test_such_a_trial_is_broken_off_as_soon_as_that_is_plain() -> None:
    state = Ramp(8, "down", best=32, rate=1000.0)
    assert patience_s(state, calls=82) == pytest.approx(0.1)
    assert patience_s(state, calls=10) == pytest.approx(0.02)
    assert patience_s(state._replace(phase="up"), calls=10) == math.inf


def test_once_settled_twice_as_many_are_tried_ever_more_rarely() -> None:
    states = search(32, 256, server(16), 80)
    tried = [i for i, state in enumerate(states) if state.phase == "up" and i > 4]
    gaps = [after - before for before, after in pairwise(tried)]
    assert len(gaps) >= 2
    assert gaps[0] > FIRST_PROBE
    assert gaps == sorted(gaps)
    assert states[-1].limit <= 2 * 20


def test_a_server_that_grows_is_found_to_have_grown() -> None:
    state = search(32, 256, server(16), 8)[-1]
    for _ in range(40):
        state = ramp(state, server(64)(state.limit), 256)
    assert state.limit >= 32


@pytest.mark.parametrize("slots", [1, 4])
def test_a_server_that_falters_is_given_less(slots: int) -> None:
    state = search(32, 256, server(64), 12)[-1]
    assert state.limit >= 64
    for _ in range(12):
        state = ramp(state, server(slots)(state.limit), 256)
    assert state.limit <= 2 * slots


def test_a_ceiling_that_rises_is_used() -> None:
    states = search(4, 5, server(10**6), 3)
    assert (states[-1].limit, states[-1].phase) == (5, "capped")
    assert ramp(states[-1], server(10**6)(5), 256).limit == 10


def test_where_none_comes_back_more_are_let_in_and_stay() -> None:
    found = search(32, 256, server(16), 8)[-1]
    more = stalled(found, 256)
    assert more.limit == 2 * found.limit
    few = Round(found.rate / 10, 0.1, 1e-4, 0.1)  # no measure: it depends on which calls they were
    assert ramp(more, few, 256).limit == more.limit
    assert stalled(more, 256).limit == 4 * found.limit
    assert stalled(Ramp(200), 256).limit == 256


def test_fewer_are_not_let_in_where_the_plan_has_just_come_to_allow_that() -> None:
    assert stalled(Ramp(40, "settled", 40, 100.0), 10).limit == 40


def test_a_search_that_was_stalled_goes_on_from_there() -> None:
    more = stalled(Ramp(32), 256)
    assert (more.phase, more.limit) == ("up", 64)
    flat = search(more.limit, 256, server(1000), 1)[-1]
    assert flat.limit > more.limit
    kept = ramp(more._replace(best=32, rate=100.0), Round(90.0, 0.1, 1e-4, 0.1), 256)
    assert kept.limit == more.limit, "no fewer than waited at once while none came back"


@given(rounds(), st.integers(1, 256), st.sampled_from(["up", "down", "settled", "capped"]))
@examples(200)
def test_a_stall_is_longer_than_a_server_needs_for_those_it_serves_at_once(
    seen: Round, limit: int, phase: Any
) -> None:
    state = Ramp(limit, phase, best=limit, rate=seen.rate)
    assert stall_s(state, seen) > max(seen.least_s, 1 / seen.rate)
    assert stall_s(Ramp(limit), seen._replace(rate=0.0)) == math.inf
