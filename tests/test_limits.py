"""Calls that run for too long are named in time, once each. Time is a number."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import NamedTuple, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._actions import Poll, Stop
from autoexec._chunk import Chunk
from autoexec._errors import ItemTimeout
from autoexec._limits import LEAST_POLL_S, POLLS, Limits, Stopwatch
from autoexec._options import Settings
from autoexec._routes import Lane

NEVER = 10**6


class Life(NamedTuple):
    """When the calls of a chunk begin, and when the last of them ends; whole numbers are exact."""

    begins: list[int]
    end: int

    def started(self, now: float) -> int:
        return sum(begin <= now for begin in self.begins)

    def there(self, now: float) -> bool:
        """Whether the chunk is in flight; it may wait for a while before its first call."""
        return now < self.end


@st.composite
def lives(draw: st.DrawFn) -> Life:
    begin = draw(st.integers(0, 300))
    lengths = draw(st.lists(st.integers(0, 250), min_size=1, max_size=5))
    *begins, end = accumulate(lengths, initial=begin)
    return Life(begins, end)


timeouts = st.integers(1, 5).map(lambda poll: POLLS * poll)


class Named(NamedTuple):
    """A call that was named: the chunk's position, the call's, and when."""

    chunk: int
    call: int
    now: float


def watch(timeout: int, chunks: list[Life], delays: list[int]) -> list[Named]:
    """Look at chunks until all have ended, each look so much later than it was due."""
    stopwatch = Stopwatch(timeout)
    keys = [Chunk(0, [], "threads", "threads") for _ in chunks]
    named: list[Named] = []
    looks = 0
    now = stopwatch.look_at
    while now <= max(life.end for life in chunks):
        there = [i for i, life in enumerate(chunks) if life.there(now)]
        overdue = stopwatch.look(now, [(keys[i], chunks[i].started(now)) for i in there])
        for chunk in overdue:
            i = keys.index(chunk)
            named.append(Named(i, chunks[i].started(now) - 1, now))
        assert stopwatch.look_at > now
        now = stopwatch.look_at + (delays[looks % len(delays)] if delays else 0)
        looks += 1
    return named


some_lives = st.lists(lives(), min_size=1, max_size=4)


@given(timeouts, some_lives, st.lists(st.integers(0, 200), max_size=6))
@examples(200)
def test_no_call_is_named_early_however_late_the_looks_are(
    timeout: int, chunks: list[Life], delays: list[int]
) -> None:
    for chunk, call, now in watch(timeout, chunks, delays):
        assert call >= 0  # one that has begun
        assert now - chunks[chunk].begins[call] >= timeout


@given(timeouts, some_lives, st.lists(st.integers(0, 200), max_size=6))
@examples(200)
def test_each_call_is_named_once(timeout: int, chunks: list[Life], delays: list[int]) -> None:
    calls = [(chunk, call) for chunk, call, _ in watch(timeout, chunks, delays)]
    assert len(calls) == len(set(calls))


@given(timeouts, some_lives)
@examples(200)
def test_a_call_is_named_at_most_a_poll_late_if_the_looks_are_on_time(
    timeout: int, chunks: list[Life]
) -> None:
    late = {(chunk, call): now for chunk, call, now in watch(timeout, chunks, [])}
    poll = timeout // POLLS
    for i, life in enumerate(chunks):
        for call, (begin, end) in enumerate(
            zip(life.begins, [*life.begins[1:], life.end], strict=True)
        ):
            if end > begin + timeout + poll:
                assert late[i, call] <= begin + timeout + poll


@given(timeouts, st.lists(st.integers(1, 10), min_size=1, max_size=40))
@examples(50)
def test_progress_begins_the_time_anew(timeout: int, steps: list[int]) -> None:
    quick = [min(step, timeout - 1) for step in steps]
    *begins, end = accumulate(quick, initial=0)
    assert watch(timeout, [Life(begins, end)], []) == []


def test_a_call_behind_one_that_was_named_is_timed_like_any_other() -> None:
    named = watch(POLLS, [Life([0, 50], 100)], [])
    assert [(chunk, call) for chunk, call, _ in named] == [(0, 0), (0, 1)]


def test_a_chunk_that_waits_for_a_worker_has_all_the_time() -> None:
    assert watch(POLLS, [Life([NEVER // 100], NEVER // 100)], []) == []


def test_it_is_looked_at_at_once_and_then_at_a_twentieth_of_the_time() -> None:
    stopwatch = Stopwatch(POLLS)
    assert stopwatch.look_at <= 0
    stopwatch.look(7, [])
    assert stopwatch.look_at == 8


def test_polls_are_never_closer_than_a_millisecond() -> None:
    stopwatch = Stopwatch(1e-6)
    stopwatch.look(0.0, [])
    assert stopwatch.look_at == LEAST_POLL_S


def test_without_a_timeout_nobody_looks() -> None:
    assert Stopwatch(None).look_at == math.inf


# --- What is done about it ---------------------------------------------------------------------------


def limits(timeout: float | None = None, deadline: float | None = None) -> Limits:
    return Limits(Settings(timeout=timeout, deadline=deadline), "work", now=100.0)


def test_without_limits_nothing_is_ever_due() -> None:
    free = limits()
    assert free.next_look(running=True) == math.inf
    assert free.action(1e9, lambda: [Chunk(0, [1], "threads", "threads")]) is None


def test_what_is_running_is_looked_at_and_what_takes_too_long_is_stopped() -> None:
    limited, chunk = limits(timeout=20.0), Chunk(0, [1, 2], "processes", "processes")
    assert limited.action(100.0, list) is None  # nothing runs
    assert limited.action(100.0, lambda: [chunk]) == Poll([chunk])
    limited.look(100.0, [(chunk, 1)])
    assert limited.next_look(running=True) == 101.0
    assert limited.next_look(running=False) == math.inf
    assert limited.action(100.5, lambda: [chunk]) is None
    limited.look(120.0, [(chunk, 1)])
    stop = limited.action(120.0, lambda: [chunk])
    assert isinstance(stop, Stop)
    assert stop.chunk is chunk
    assert isinstance(stop.error, ItemTimeout)
    assert "work took longer than timeout=20" in str(stop.error)
    assert limited.action(120.5, lambda: [chunk]) is None


def test_what_has_ended_meanwhile_is_not_stopped() -> None:
    limited = limits(timeout=20.0)
    chunks = [Chunk(i, [1], "threads", "threads") for i in range(2)]
    for now in (100.0, 120.0):
        limited.look(now, [(chunk, 1) for chunk in chunks])
    chunks[1].finished = True
    stop = limited.action(120.5, lambda: chunks)
    assert isinstance(stop, Stop)
    assert stop.chunk is chunks[0]
    assert limited.action(120.5, lambda: chunks) is None


@pytest.mark.parametrize("lane", [lane for lane in get_args(Lane) if lane != "inline"])
def test_the_error_says_what_has_become_of_the_call(lane: Lane) -> None:
    limited, chunk = limits(timeout=1.0), Chunk(0, [1], lane, lane)
    for now in (100.0, 102.0):
        limited.look(now, [(chunk, 1)])
    stop = limited.action(102.0, lambda: [chunk])
    assert isinstance(stop, Stop)
    assert str(stop.error).count(".") >= 2  # a second sentence


def test_a_deadline_is_a_time_and_its_error_says_how_far_it_came() -> None:
    limited = limits(deadline=30.0)
    assert limited.until == 130.0
    assert limited.next_look(running=False) == 130.0
    error = limited.exceeded(1500, 20_000)
    assert "deadline=30" in str(error)
    assert "1,500 of 20,000" in str(error)
    assert error.finished == {}
    assert ": 3 were." in str(limited.exceeded(3, None))
