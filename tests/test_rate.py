"""So many calls start in a second, and no more: by a clock that is a number."""

from __future__ import annotations

import time
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec import run_parallel
from autoexec._options import BackendName
from autoexec._rate import BURST_S, Rate


@given(
    st.floats(0.1, 5000), st.lists(st.floats(0, 0.5), min_size=1, max_size=60), st.integers(1, 40)
)
@examples(150)
def test_no_span_has_more_starts_than_the_rate_and_a_small_burst(
    per_second: float, steps: list[float], wanted: int
) -> None:
    rate, now = Rate(per_second, 0.0), 0.0
    starts: list[tuple[float, int]] = []
    for step in steps:
        now += step
        calls = int(min(wanted, rate.allowed(now)))
        rate.started(calls)
        starts.append((now, calls))
    burst = max(1.0, per_second * BURST_S)
    for i, (begin, _) in enumerate(starts):
        total = 0
        for end, calls in starts[i:]:
            total += calls
            assert total <= burst + per_second * (end - begin) + 1e-6
    assert sum(calls for _, calls in starts) <= burst + per_second * now + 1e-6


@given(st.floats(0.1, 5000), st.integers(1, 200))
@examples(60)
def test_whoever_waits_as_told_starts_as_often_as_allowed(per_second: float, calls: int) -> None:
    rate, now = Rate(per_second, 0.0), 0.0
    for _ in range(calls):
        if rate.allowed(now) < 1:
            now = rate.next_at(now)
        assert rate.allowed(now) >= 1
        rate.started(1)
    assert now == pytest.approx((calls - 1) / per_second, rel=1e-3)


def test_without_a_rate_nothing_is_waited_for() -> None:
    rate = Rate(None, 0.0)
    assert rate.allowed(0.0) == inf
    rate.started(10**9)
    assert (rate.allowed(0.0), rate.next_at(0.0)) == (inf, inf)


def test_who_may_start_now_waits_for_nothing() -> None:
    assert Rate(2.0, 0.0).next_at(0.0) == inf


def started_at(x: int) -> float:
    return time.time()


@pytest.mark.parametrize("backend", ["auto", "inline", "threads", "processes", "asyncio", "hybrid"])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_run_keeps_to_the_rate_on_all_lanes_together(backend: BackendName, lazy: bool) -> None:
    items = iter(range(13)) if lazy else list(range(13))
    begin = time.perf_counter()
    results = run_parallel(started_at, items, backend=backend, max_per_second=50, chunksize=5)
    assert len(results) == 13
    assert time.perf_counter() - begin >= 12 / 50 - BURST_S
