from __future__ import annotations

import math
from typing import Any

import pytest
from strategies import profile

from autoexec._pace import LONGEST_ROUND, PROBE_CALLS, Pace
from autoexec._ramp import FIRST_THREADS, Ramp
from autoexec._types import Kind, Plan

WAITS = profile(0.02, 0.0001, spread=0.0)


def plan(workers: int) -> Plan:
    return Plan("threads", Kind.IO, workers, {"threads": workers}, None, "", waiting=True)


def count(pace: Pace, now: float, done: int, **figures: Any) -> None:
    oldest_s = figures.pop("oldest_s", 0.0)
    seen: dict[str, Any] = {"in_flight": 0, "profile": lambda: WAITS} | figures
    seen["oldest_s"] = lambda _: oldest_s
    pace.count_round(plan(256), now, done=done, **seen)


def limit(pace: Pace) -> int:
    return pace.limit(plan(256), 256)


def test_a_round_is_as_many_calls_as_may_run_at_once() -> None:
    pace = Pace(0.0)
    pace.begin_ramp(plan(256), 0.0, 0)
    count(pace, 0.02, FIRST_THREADS - 1)
    assert limit(pace) == FIRST_THREADS
    count(pace, 0.02, FIRST_THREADS)
    assert limit(pace) > FIRST_THREADS


def test_a_round_is_not_over_while_a_call_of_the_one_before_runs() -> None:
    pace = Pace(0.0)
    pace.begin_ramp(plan(256), 0.0, 0)
    count(pace, 0.02, 500, oldest_s=0.05)
    assert limit(pace) == FIRST_THREADS
    count(pace, LONGEST_ROUND * WAITS.wall_s, 600, oldest_s=60.0)
    assert limit(pace) > FIRST_THREADS, "though that call may never end"


def test_a_round_that_the_end_of_the_run_cuts_short_counts_if_it_gains() -> None:
    for late_s, gains in ((0.03, True), (0.5, False)):
        pace = Pace(0.0)
        pace.begin_ramp(plan(256), 0.0, 0)
        count(pace, 0.02, FIRST_THREADS)
        assert (limit(pace), pace.at_once) == (256, FIRST_THREADS)
        few, rest = FIRST_THREADS, 128
        for ended in (few, rest):
            pace.heard(0.02 + late_s)
            count(pace, 0.02 + late_s, FIRST_THREADS + ended)
            assert pace.at_once == (256 if gains and ended == rest else FIRST_THREADS)


def test_a_round_that_lacked_items_says_only_what_it_gained() -> None:
    for places, settles in ((0, True), (3, True), (16, False)):
        pace = Pace(0.0)
        pace.begin_ramp(plan(256), 0.0, 0)
        pace.idle(0.0, places)
        count(pace, 0.02, FIRST_THREADS)
        assert limit(pace) == 256, "more than nothing at all"
        pace.idle(0.02, 8 * places)
        pace.idle(0.5, 0)
        count(pace, 0.52, FIRST_THREADS + 256)  # less than twice as many calls a second: no gain
        pace.idle(0.52, 0)
        assert (limit(pace) < 256) == settles


def test_calls_that_run_alone_belong_to_no_round() -> None:
    pace = Pace(0.0)
    pace.begin_ramp(plan(256), 0.0, 0)
    pace.probing = 2
    count(pace, 0.5, 100)
    pace.probing = 0
    count(pace, 0.52, 100 + FIRST_THREADS - 1)
    assert limit(pace) == FIRST_THREADS


def test_the_places_stay_while_calls_run_alone() -> None:
    pace = Pace(0.0)
    assert pace.places(plan(256), 256) == 256
    pace.begin_ramp(plan(256), 0.0, 0)
    pace.probing = 2
    assert limit(pace) == 1
    assert pace.places(plan(256), 256) == FIRST_THREADS
    assert pace.places(plan(256)._replace(waiting=False), 2) == 2


def test_before_the_first_round_more_may_turn_out_to_be_allowed() -> None:
    pace = Pace(0.0)
    pace.begin_ramp(plan(4), 0.0, 0)
    assert limit(pace) == 4
    pace.widen(plan(256))
    assert limit(pace) == FIRST_THREADS
    pace.widen(plan(2))
    assert limit(pace) == FIRST_THREADS


def test_a_trial_of_fewer_ends_though_no_call_returns() -> None:
    pace = Pace(0.0)
    assert pace.trial_until(plan(256)) == math.inf
    pace.begin_ramp(plan(256), 0.0, 0)
    now, done = 0.0, 0
    while pace.trial_until(plan(256)) == math.inf and done < 10_000:  # a server of 16
        now, done = now + limit(pace) / 16 * 0.02, done + limit(pace)
        count(pace, now, done)
    tried = limit(pace)
    assert now < pace.trial_until(plan(256)) < now + 1.0
    elsewhere = plan(256)._replace(route="hybrid")
    assert pace.trial_until(elsewhere) == math.inf, "where no round is counted none is broken off"
    count(pace, pace.trial_until(plan(256)) + 0.001, done)
    assert limit(pace) > tried


def stalls_at(pace: Pace, in_flight: int, cpu_s: float = 1e-4) -> float:
    if not pace.full(plan(256), in_flight):
        return math.inf
    return pace.stalls_at(0.0, wall_s=1e-4, cpu_s=cpu_s)


def test_while_as_many_wait_as_may_and_none_comes_back_more_are_let_in() -> None:
    pace = Pace(0.0)
    pace.begin_ramp(plan(256), 0.0, 0)
    assert stalls_at(pace, FIRST_THREADS) == math.inf, "so far nobody knows how long they take"
    pace.heard(0.02)
    count(pace, 0.02, 20)
    assert stalls_at(pace, FIRST_THREADS - 1) == math.inf
    assert stalls_at(pace, FIRST_THREADS, cpu_s=0.01) == math.inf, "they would all compute here"
    at = stalls_at(pace, FIRST_THREADS)
    assert 0.02 < at < 0.05
    pace.stalled(plan(256), at)
    assert limit(pace) == 2 * FIRST_THREADS
    assert stalls_at(pace, 2 * FIRST_THREADS) > at


def test_where_no_more_may_run_that_is_tried_ever_more_seldom() -> None:
    pace, most = Pace(0.0), plan(FIRST_THREADS)
    pace.begin_ramp(most, 0.0, 0)
    pace.heard(0.02)
    count(pace, 0.02, 20)
    now, pauses = 0.02, []
    for _ in range(5):
        assert pace.full(most, FIRST_THREADS)
        at = pace.stalls_at(0.0, wall_s=1e-4, cpu_s=1e-4)
        pauses.append(at - now)
        now = at
        pace.stalled(most, now)
        assert limit(pace) == FIRST_THREADS
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(16 * pauses[0])
    pace.heard(now)
    assert pace.stalls_at(0.0, wall_s=1e-4, cpu_s=1e-4) - now < pauses[-1]


def probes(
    pace: Pace,
    *,
    plain: bool = False,
    settled: bool = False,
    aged: bool = False,
    wall_s: float = 0.001,
    kind: Kind = Kind.IO,
) -> bool:
    return pace.should_probe(
        plan(256)._replace(kind=kind),
        1.0,
        unclear=100,
        busy=1.0,
        plain=plain,
        settled=lambda: settled,
        aged=aged,
        wall_s=wall_s,
    )


def test_none_is_run_alone_where_calls_stay_and_many_at_once_bring_something() -> None:
    pace = Pace(0.0)
    pace.begin_ramp(plan(256), 0.0, 0)
    pace._ramp = Ramp(32, "settled", best=32, rate=200.0)
    assert not probes(pace, settled=True, wall_s=0.025)  # five at a time
    assert probes(pace, settled=True, wall_s=0.005), "they might as well run one by one"
    assert probes(Pace(0.0), settled=True, wall_s=0.025, kind=Kind.CPU_FREE), "more threads may do"
    assert probes(pace, wall_s=0.025) is False  # not so soon again


def test_a_trial_of_calls_alone_ends_where_it_is_known_what_they_do_only_if_none_has_run() -> None:
    for probing, left in ((PROBE_CALLS, 0), (PROBE_CALLS - 1, PROBE_CALLS - 1), (0, 0)):
        pace = Pace(0.0)
        pace.probing = probing
        pace.end_probe()
        assert pace.probing == left


def test_some_are_run_alone_unless_one_has_run_for_longer_than_turns_explain() -> None:
    pace = Pace(0.0)
    assert not probes(pace, aged=True)
    assert not pace.probing
    assert probes(pace)
    assert pace.probing
