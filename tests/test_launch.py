"""How many waiting calls are started at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._chunk import Chunk, Clocks
from autoexec._launch import LONGEST_S, ONE_TURN_S, TAKEN_S, WAVE, WAVE_S, Launch
from autoexec._types import Running

CORES = 2


def begun(count: int) -> list[Chunk]:
    """Calls that threads have got to."""
    chunks = [unbegun() for _ in range(count)]
    for chunk in chunks:
        chunk.began = Clocks(0, 0, 0)
    return chunks


def unbegun() -> Chunk:
    return Chunk(0, [0], "threads", "threads")


def test_after_a_wave_there_is_a_look_before_the_next() -> None:
    launch = Launch(CORES)
    assert launch.room(100) == WAVE
    assert launch.held_back
    launch.started(begun(WAVE), 1.0)
    assert launch.room(100) == 0
    assert launch.look_from == 1.0 + WAVE_S
    launch.looked([], launch.look_from, computing=False)
    assert launch.room(100) == WAVE


def test_few_calls_are_not_held_back() -> None:
    launch = Launch(CORES)
    assert launch.room(WAVE) == WAVE
    assert not launch.held_back


def test_while_those_before_them_compute_no_more_are_started_than_there_are_cores() -> None:
    launch = Launch(CORES)
    launch.started(begun(WAVE), 0.0)
    launch.looked([], 1.0, computing=True)
    assert launch.room(100) == CORES
    launch.started(begun(CORES), 1.0)
    launch.looked([], 2.0, computing=False)
    assert launch.room(100) == WAVE


def test_calls_that_have_ended_make_room() -> None:
    launch = Launch(CORES)
    wave = begun(WAVE)
    launch.started(wave, 0.0)
    for chunk in wave[:3]:
        chunk.finished = True
    assert launch.room(100) == 3


def test_calls_in_line_for_a_place_are_not_on_their_way() -> None:
    launch = Launch(CORES)
    launch.started([unbegun() for _ in range(3)], 0.0)
    assert launch.room(100, in_line=3) == WAVE
    launch.started(begun(WAVE), 0.0)
    assert launch.room(100, in_line=3) == 0
    launch.looked([], 1.0, computing=True)
    assert launch.room(100, in_line=3) == CORES


def test_calls_that_have_not_begun_to_wait_leave_no_room() -> None:
    launch = Launch(CORES)
    wave = begun(WAVE)
    launch.started(wave, 0.0)
    computing = [Running(chunk, 0.0003, 0.0002, 0.0, False) for chunk in wave[:5]]
    waiting = [Running(chunk, 0.0003, 0.0001, 0.0, False) for chunk in wave[5:]]
    launch.looked(computing + waiting, 1.0, computing=False)
    assert launch.room(100) == 3


def look(launch: Launch, late_s: float, cpu_s: float) -> float:
    """A look that late at calls that have computed next to nothing; returns the time."""
    now = launch.look_from + late_s
    seen = [Running(chunk, 0.01, 0.0001, 0.0, False) for chunk in launch.wave]
    launch.looked(seen, now, computing=False, cpu_s=cpu_s)
    return now


def test_no_more_are_started_while_those_before_them_take_turns_with_the_gil() -> None:
    launch = Launch(CORES)
    launch.started(begun(WAVE), 0.0)
    then = look(launch, 0.0, cpu_s=0.0)
    launch.started(begun(WAVE), then)
    look(launch, 2 * TAKEN_S, cpu_s=0.9 * (launch.look_from + 2 * TAKEN_S - then))
    assert launch.room(100) == 0
    look(launch, 0.0, cpu_s=0.9 * (launch.look_from - then))
    assert launch.room(100) == 0, "one look that was on time does not tell that they are through"
    look(launch, 0.0, cpu_s=0.9 * (launch.look_from - then))
    assert launch.room(100) == WAVE


@pytest.mark.parametrize(
    ("since_s", "computed", "left"),
    [
        (2 * TAKEN_S, 0.9, 0),
        (2 * TAKEN_S, 0.7, WAVE),  # requests to this machine come to that
        (TAKEN_S / 2, 0.9, WAVE),  # for so short a time one call may have had it
    ],
)
def test_the_gil_was_taken_for_long_though_no_look_was_late(
    since_s: float, computed: float, left: int
) -> None:
    launch = Launch(CORES)
    launch.started([], -WAVE_S)
    launch.looked([], 0.0, computing=False)
    launch.started(begun(WAVE), since_s - WAVE_S)
    look(launch, 0.0, cpu_s=computed * since_s)
    assert launch.room(100) == left


def test_late_looks_on_a_machine_that_is_busy_with_others_hold_nothing_back() -> None:
    launch = Launch(CORES)
    launch.started(begun(WAVE), 0.0)
    now = look(launch, 0.0, cpu_s=0.0)
    for _ in range(3):
        launch.started(begun(WAVE), now)
        now = look(launch, 4 * TAKEN_S, cpu_s=0.0)
        assert launch.room(100) == WAVE


@pytest.mark.parametrize(
    ("elapsed_s", "queued_s", "late_s", "left"),
    [
        (0.15, 0.0, TAKEN_S, WAVE),
        (0.05, 0.0, TAKEN_S, 0),  # its turn may come
        (0.15, 0.1, TAKEN_S, 0),  # it had no core
        (0.15, 0.0, ONE_TURN_S, 0),  # several want the GIL
    ],
)
def test_who_has_computed_next_to_nothing_in_a_tenth_of_a_second_waits_for_something_else(
    elapsed_s: float, queued_s: float, late_s: float, left: int
) -> None:
    launch = Launch(CORES)
    launch.looked([], 0.0, computing=False)
    launch.started(begun(WAVE), 0.0)
    seen = [Running(chunk, elapsed_s, 0.001, queued_s, False) for chunk in launch.wave]
    now = launch.look_from + 1.01 * late_s
    launch.looked(seen, now, computing=False, cpu_s=now)
    assert launch.room(100) == left


@pytest.mark.parametrize(
    ("calls", "cpu_s", "left"),
    [
        (8, 0.2 / 40, WAVE),
        (40, 0.2 / 40, 0),
        (250, 0.0007, WAVE),  # requests, of which others are under way
    ],
)
def test_where_many_want_the_gil_each_has_computed_next_to_nothing(
    calls: int, cpu_s: float, left: int
) -> None:
    launch = Launch(CORES)
    launch.looked([], 0.0, computing=False)
    launch.started(begun(WAVE), 0.0)
    seen = [Running(chunk, 0.2, cpu_s, 0.0, False) for chunk in launch.wave]
    now = launch.look_from + 1.01 * TAKEN_S
    launch.looked(seen, now, computing=False, cpu_s=now, calls=calls)
    assert launch.room(100) == left


def test_calls_that_no_thread_gets_to_are_looked_at_more_and_more_rarely() -> None:
    launch = Launch(CORES)
    launch.started([unbegun() for _ in range(WAVE)], 0.0)
    pauses = []
    now = launch.look_from
    for _ in range(10):
        launch.looked([], now, computing=False)
        assert launch.room(1) == 0
        pauses.append(round(launch.look_from - now, 9))
        now = launch.look_from
    assert pauses == sorted(pauses)
    assert WAVE_S < pauses[0] < pauses[-1] <= LONGEST_S


@given(st.lists(st.tuples(st.integers(1, 100), st.booleans(), st.integers(0, WAVE)), max_size=20))
@examples(100)
def test_no_more_than_a_wave_are_ever_on_their_way(steps: list[tuple[int, bool, int]]) -> None:
    launch, now = Launch(CORES), 0.0
    for wanted, computing, begin in steps:
        room = launch.room(wanted)
        assert 0 <= room <= min(wanted, WAVE)
        assert launch.held_back == (room < wanted)
        launch.started([unbegun() for _ in range(room)], now)
        assert len(launch.wave) <= WAVE
        for chunk in launch.wave[:begin]:
            chunk.began = Clocks(0, 0, 0)
        now = launch.look_from
        launch.looked([], now, computing=computing)
        assert launch.look_from > now
