"""What was learned about a function is found again by its code, and outvoted by what its calls show."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from strategies import profile

from autoexec import _children, _priors, run_parallel
from autoexec._priors import MOST, Prior, learn, recall
from autoexec._profile import Profiler

MS = 1e-3
PRIOR = Prior(profile(20 * MS, 1 * MS, overlap=0.4), 64)


def double(x: int) -> int:
    return 2 * x


def add(x: int, y: int) -> int:
    return x + y


def make_lambda() -> Callable[[int], int]:
    return lambda x: x + 1


class Scale:
    def __init__(self, by: int) -> None:
        self.by = by

    def apply(self, x: int) -> int:
        return x * self.by

    def __call__(self, x: int) -> int:
        return x * self.by


@pytest.mark.parametrize(
    ("one", "again"),
    [
        (double, double),
        (make_lambda(), make_lambda()),
        (functools.partial(add, y=1), functools.partial(add, y=2)),
        (Scale(2).apply, Scale(3).apply),
        (Scale(2), Scale(3)),
        (math.sqrt, math.sqrt),
        ("".join, ",".join),
    ],
)
def test_the_same_code_is_known_again(one: Any, again: Any) -> None:
    learn(one, PRIOR)
    assert recall(again) == PRIOR


@pytest.mark.parametrize(
    "other",
    [add, make_lambda(), Scale(2), Scale(2).apply, math.cos, int, functools.lru_cache(double)],
)
def test_other_code_is_not(other: Any) -> None:
    learn(double, PRIOR)
    assert recall(other) is None


def test_a_run_without_calls_teaches_nothing() -> None:
    learn(double, PRIOR._replace(profile=PRIOR.profile._replace(calls=0)))
    assert recall(double) is None


def test_only_so_many_functions_are_remembered() -> None:
    learn(double, PRIOR)
    for number in range(MOST):
        learn(eval(f"lambda x: x + {number}"), PRIOR)
    assert recall(double) is None
    assert len(_priors._learned) == MOST


def test_figures_begin_with_what_was_learned() -> None:
    profiler = Profiler(False, PRIOR.profile)
    assert profiler.known
    expected = profiler.profile(remaining=10)
    for name in ("wall_s", "cpu_s", "overlap", "child_s"):
        assert getattr(expected, name) == getattr(PRIOR.profile, name)
    assert expected.done == 0


def wait(x: int) -> int:
    time.sleep(0.02)
    return x


def test_a_second_run_does_not_begin_with_a_first_call() -> None:
    first = run_parallel(wait, range(20))
    assert first.report.history[0][1].route == "inline"
    second = run_parallel(wait, range(20))
    assert [plan.route for _, plan in second.report.history] == ["threads"]
    assert second.report.ran == {"threads": 20}


def test_what_was_learned_gives_way_to_what_is_seen() -> None:
    units = 10

    def work(x: int) -> int:
        if units == 10:
            time.sleep(0.01)
        return sum(range(units))

    assert run_parallel(work, range(40)).report.route == "threads"
    units = 11
    report = run_parallel(work, range(20_000)).report
    assert report.history[0][1].route == "threads"
    assert report.route == "inline"


def test_an_effect_that_was_seen_once_is_looked_for_again() -> None:
    found: list[int] = []
    keeps = True

    def compute(x: int) -> int:
        for place in [found] if keeps else []:
            place.append(x)
        return sum(range(300_000))

    report = run_parallel(compute, range(40)).report
    # On a busy machine it may not come to that calls should leave, and are compared.
    assert report.profile.effect is None or "found" in report.profile.effect
    prior = recall(compute)
    assert prior is not None
    learn(compute, prior._replace(profile=prior.profile._replace(effect="found is not as it was")))
    keeps = False
    assert run_parallel(compute, range(40)).report.profile.effect is None


def test_no_worker_is_started_in_vain_where_the_code_ties_a_function_here() -> None:
    found: list[int] = []

    def note(x: int) -> None:
        found.append(sum(range(300_000)))

    for _ in range(2):
        children = set(_children.ours)
        report = run_parallel(note, range(40)).report
        assert not {"processes", "hybrid"} & set(report.ran)
        # On a busy machine it may not come to that it should leave.
        assert report.profile.effect is None or "found.append" in report.profile.effect
        assert _children.ours <= children
    # What its code says is read anew in each run, so this is not what was learned.
    prior = recall(note)
    assert prior is not None
    assert prior.profile.effect is None
