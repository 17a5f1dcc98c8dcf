"""What a run costs beside its calls, from readings and from a real run."""

from __future__ import annotations

import time

import pytest

from benchmarks.watching import CASES, HEADINGS, Reading, Used, cost_of, line, text


def test_calls_of_the_driver_are_no_cost_of_the_run() -> None:
    taken = [Reading(0.0, 0.0, 0.0), Reading(1.0, 0.3, 0.7), Reading(2.0, 0.5, 1.1)]
    results = [Used(1, 7, 0.4), Used(1, 8, 0.5), Used(2, 9, 5.0)]
    found = cost_of(taken, results, pid=1, driver=7)
    assert found.wall_s == 2.0
    assert found.driver == pytest.approx((0.5 - 0.4) / 2)
    assert found.driver_later == pytest.approx(0.5 - 0.3 - 0.4 / 2)
    assert found.process == pytest.approx((1.1 - 0.9) / 2)


def test_a_run_that_ended_before_a_third_reading_has_no_second_half_of_its_own() -> None:
    found = cost_of([Reading(0.0, 0.0, 0.0), Reading(1.0, 0.1, 0.2)], [], pid=1, driver=7)
    assert found.driver_later == found.driver == pytest.approx(0.1)


@pytest.mark.skipif(
    not hasattr(time, "pthread_getcpuclockid"), reason="the system tells no such clock"
)
def test_a_case_is_measured_and_becomes_a_line() -> None:
    case = next(case for case in CASES if case.name == "waits in threads")
    measured = line(case._replace(item=10.0), 0.02)
    assert len(measured) == len(HEADINGS)
    assert measured[-1] in ("threads", "inline")
    assert text([HEADINGS, measured]).count("\n") == 1
