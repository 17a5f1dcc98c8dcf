"""An item that failed is tried again, is counted once, and holds nobody up."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import COSTS, HOST, examples

from autoexec import AutoexecError, Failure, ItemTimeout, WorkerDied, run_parallel
from autoexec._actions import Done, Send, Take, Wait
from autoexec._checks import validate
from autoexec._chunk import Block
from autoexec._errors import NotPicklable
from autoexec._intake import Intake
from autoexec._options import BackendName
from autoexec._retries import PolicyFailed, Retries
from autoexec._scheduler import Scheduler

BACKENDS: list[BackendName] = [
    "auto",
    "inline",
    "threads",
    "processes",
    "asyncio",
    "hybrid",
    "dask",
    "ray",
]


def fail_twice(where: str) -> str:
    """Fails on its first two calls; the file counts them, for all processes."""
    with open(where, "a") as file:
        file.write("x")
    if os.path.getsize(where) < 3:
        raise ValueError(where)
    return where


def fail(x: int) -> int:
    raise KeyError(x)


def die(where: str) -> str:
    if not os.path.exists(where):
        Path(where).touch()
        os._exit(3)
    return where


def hang_once(where: str) -> str:
    if not os.path.exists(where):
        Path(where).touch()
        time.sleep(60)
    return where


# --- The decision --------------------------------------------------------------------------------------


@given(st.integers(0, 5), st.integers(0, 9))
@examples(30)
def test_an_int_is_the_most_further_attempts(most: int, index: int) -> None:
    retries = Retries(most)
    waits = [retries.wait_s(index, ValueError()) for _ in range(most + 1)]
    assert waits == [0.0] * most + [None]
    assert retries.count == most
    assert retries.settled(index) == most + 1
    assert retries.settled(index) == 0


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit(), NotPicklable("no")], ids=repr
)
def test_what_another_attempt_cannot_help_is_not_tried_again(error: BaseException) -> None:
    assert Retries(5).wait_s(0, error) is None


@pytest.mark.parametrize("error", [WorkerDied("x"), ItemTimeout("x"), ValueError("x")], ids=repr)
def test_what_it_may_help_is(error: BaseException) -> None:
    assert Retries(5).wait_s(0, error) == 0.0


def test_a_policy_is_told_the_error_and_the_attempt() -> None:
    asked: list[tuple[Exception, int]] = []

    def policy(error: Exception, attempt: int) -> float | None:
        asked.append((error, attempt))
        return 0.5 if attempt < 3 else None

    error = ValueError()
    retries = Retries(policy)
    assert [retries.wait_s(4, error) for _ in range(3)] == [0.5, 0.5, None]
    assert asked == [(error, 1), (error, 2), (error, 3)]
    assert retries.count == 2


@pytest.mark.parametrize("answer", [-1, float("nan"), float("inf"), "1", True])
def test_a_policy_that_gives_no_seconds_is_refused(answer: Any) -> None:
    with pytest.raises(PolicyFailed, match="item 7"):
        Retries(lambda error, attempt: answer).wait_s(7, ValueError())


# --- The wait ------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 20), max_size=12), st.integers(0, 20))
@examples(60)
def test_items_put_off_are_in_hand_again_when_their_time_has_come(
    times: list[int], now: int
) -> None:
    intake = Intake(len(times))
    intake.took([], True, None)
    for index, at in enumerate(times):
        intake.put_off(index, f"item {index}", at)
    assert intake.remaining == len(times)
    assert intake.over == (not times)
    intake.wake(now)
    assert intake.count == sum(at <= now for at in times)
    assert intake.remaining == len(times)
    assert intake.wakes_at == min([at for at in times if at > now], default=float("inf"))
    seen = [intake.take(1) for _ in range(intake.count)]
    assert sorted((first, items[start]) for first, items, start in seen) == [
        (index, f"item {index}") for index, at in enumerate(times) if at <= now
    ]


def test_others_go_on_while_one_waits_and_nothing_is_asked_meanwhile() -> None:
    settings = validate({"backend": "threads", "max_workers": 1, "retries": lambda e, n: 5.0})
    scheduler = Scheduler(
        HOST._replace(costs=COSTS), settings, length=2, is_async=False, name="f", now=0.0
    )
    sent: list[tuple[float, int]] = []
    waits: list[float] = []
    now = 0.0
    while not isinstance(action := scheduler.next_action(now), Done):
        if isinstance(action, Take):
            scheduler.took(["a", "b"], True)
        elif isinstance(action, Send):
            (chunk,) = action.chunks
            sent.append((now, chunk.first))
            error = ValueError() if len(sent) == 1 else None
            values = [] if error else [chunk.item(i) for i in range(chunk.count)]
            now += 0.001
            block = Block(chunk, values, error, 0.001, 0.001, 0.0, True)
            scheduler.heard([block], now)
        elif isinstance(action, Wait):
            waits.append(action.seconds)
            now += action.seconds
    assert [index for _, index in sent] == [0, 1, 0]
    assert sent[1][0] < 0.1
    assert 5.0 <= sent[2][0] < 5.1
    assert len(waits) < 30
    assert [value for values in scheduler.window.take() for value in values] == ["a", "b"]
    assert scheduler.profiler.done == 2


# --- On every backend ----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_item_that_succeeds_in_the_end_is_one_result(
    backend: BackendName, tmp_path: Path
) -> None:
    paths = [str(tmp_path / str(i)) for i in range(4)]
    results = run_parallel(fail_twice, paths, backend=backend, max_workers=2, retries=2)
    assert results == paths
    assert [os.path.getsize(path) for path in paths] == [3] * 4
    report = results.report
    assert (report.retries, report.items, report.failures) == (8, 4, 0)
    assert sum(report.ran.values()) == 4
    assert "retried   8 times" in str(report)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_item_that_never_succeeds_fails_once_and_says_how_often_it_was_tried(
    backend: BackendName,
) -> None:
    results = run_parallel(fail, range(3), backend=backend, retries=2, on_error="return")
    assert [failure.index for failure in results.failures] == [0, 1, 2]
    assert results.ok == []
    assert all("last of 3 attempts" in f.exception.__notes__[0] for f in results.failures)
    assert (results.report.retries, results.report.failures, results.report.items) == (6, 3, 3)


def test_only_the_item_that_failed_in_a_chunk_is_tried_again() -> None:
    calls: list[int] = []

    def fn(x: int) -> int:
        calls.append(x)
        if x == 3 and calls.count(3) < 3:
            raise ValueError(x)
        return x

    results = run_parallel(fn, range(10), backend="threads", max_workers=1, chunksize=5, retries=2)
    assert results == list(range(10))
    assert sorted(calls) == sorted([*range(10), 3, 3])


@pytest.mark.parametrize("fn", [die, hang_once])
def test_a_worker_that_died_and_a_call_that_hung_are_tried_again(
    fn: Callable[[str], str], tmp_path: Path
) -> None:
    paths = [str(tmp_path / "a")]
    options: dict[str, Any] = {"timeout": 3.0} if fn is hang_once else {}
    assert run_parallel(fn, paths, backend="processes", retries=1, **options) == paths


def test_a_policy_that_raises_ends_the_run_in_words() -> None:
    def policy(error: Exception, attempt: int) -> float:
        raise ZeroDivisionError

    with pytest.raises(AutoexecError, match="policy raised ZeroDivisionError") as caught:
        run_parallel(fail, [1], retries=policy, on_error="return")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_policy_is_asked_on_the_callers_thread() -> None:
    asked: set[int] = set()

    def policy(error: Exception, attempt: int) -> float | None:
        asked.add(threading.get_ident())
        return None

    results = run_parallel(fail, range(5), backend="threads", retries=policy, on_error="return")
    assert all(isinstance(value, Failure) for value in results)
    assert asked == {threading.get_ident()}


def test_failed_items_are_tried_again_in_one_line() -> None:
    def odd(x: int) -> int:
        if x % 2 == 0:
            raise ValueError(x)
        return x

    results = run_parallel(odd, range(5), on_error="return")
    assert results.ok == [1, 3]
    again = run_parallel(str, [failure.item for failure in results.failures])
    assert again == ["0", "2", "4"]
