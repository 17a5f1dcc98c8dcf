"""The search for the number of waiting calls at once: what it finds, whatever the other side is like."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples, magnitudes

from autoexec._ramp import FIRST_PROBE, GAIN, LEAP, Ramp, ramp

Served = Callable[[int], tuple[float, float]]
"""Successful calls a second and seconds of a call, by the number of calls at once."""


def search(first: int, ceiling: int, served: Served, rounds: int) -> list[Ramp]:
    """The states of a search, round by round."""
    states = [Ramp(first)]
    for _ in range(rounds):
        states.append(ramp(states[-1], *served(states[-1].limit), ceiling))
    return states


def server(slots: int, call_s: float = 0.05) -> Served:
    """One that serves so many calls at the same time, and lets the others wait."""

    def served(at_once: int) -> tuple[float, float]:
        rate = min(at_once, slots) / call_s
        return rate, at_once / rate

    return served


rounds = st.lists(st.tuples(magnitudes(-2, 6), magnitudes(-4, 1)), min_size=60, max_size=60)


@given(st.integers(1, 256), st.integers(1, 5000), rounds)
@examples(200)
def test_the_search_stays_between_one_and_the_ceiling(
    first: int, ceiling: int, seen: list[tuple[float, float]]
) -> None:
    state = Ramp(min(first, ceiling))
    for rate, wall_s in seen:
        state = ramp(state, rate, wall_s, ceiling)
        assert 1 <= state.limit <= ceiling


@given(st.integers(1, 300), st.sampled_from([1, 8, 32, 64]))
@examples(100)
def test_it_settles_within_a_doubling_of_what_a_server_serves(slots: int, first: int) -> None:
    states = search(first, 256, server(slots), 20)
    settled = next(state for state in states if state.phase == "settled")
    rate, _ = server(slots)(settled.limit)
    best, _ = server(slots)(256)
    assert rate >= 0.8 * best
    assert settled.limit <= max(2 * slots, 2)


def test_a_server_of_sixteen_gets_sixteen() -> None:
    states = search(32, 256, server(16), 8)
    assert states[-1].limit == 16


def test_a_lock_that_is_held_while_waiting_gets_one() -> None:
    assert search(32, 256, server(1), 9)[-1].limit == 1


def test_plain_latency_goes_to_the_ceiling_in_leaps() -> None:
    states = search(32, 5000, server(10**6), 5)
    assert [state.limit for state in states] == [
        32,
        32 * LEAP,
        32 * LEAP**2,
        32 * LEAP**3,
        5000,
        5000,
    ]


def test_calls_that_take_longer_in_a_crowd_are_doubled_only() -> None:
    def served(at_once: int) -> tuple[float, float]:
        return float(at_once**0.7), at_once**0.3

    assert [state.limit for state in search(32, 5000, served, 3)] == [32, 128, 256, 512]


def test_a_gain_of_just_a_quarter_is_worth_going_on() -> None:
    state = ramp(Ramp(32), 1000.0, 0.05, 256)
    assert ramp(state, 1000.0 * GAIN, 0.2, 256).limit == 256
    assert ramp(state, 999.0 * GAIN, 0.2, 256).phase == "down"


def test_once_settled_twice_as_many_are_tried_ever_more_rarely() -> None:
    states = search(32, 256, server(16), 60)
    tried = [i for i, state in enumerate(states) if state.phase == "up"][1:]
    tried = [i for i in tried if i > 8]
    gaps = [after - before for before, after in pairwise(tried)]
    assert gaps[0] > FIRST_PROBE
    assert gaps == sorted(gaps)
    assert states[-1].limit == 16


def test_a_server_that_grows_is_found_to_have_grown() -> None:
    state = search(32, 256, server(16), 8)[-1]
    for _ in range(40):
        state = ramp(state, *server(64)(state.limit), 256)
    assert state.limit >= 32


@pytest.mark.parametrize("slots", [1, 4])
def test_a_server_that_falters_is_given_less(slots: int) -> None:
    state = search(32, 256, server(64), 12)[-1]
    assert state.limit == 64
    for _ in range(12):
        state = ramp(state, *server(slots)(state.limit), 256)
    assert state.limit <= 2 * slots
