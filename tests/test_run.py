"""Runs as a user makes them, on every backend."""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import functools
import gc
import itertools
import json
import os
import subprocess
import sys
import threading
import time
import weakref
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from autoexec import (
    DeadlineExceeded,
    Failure,
    ItemTimeout,
    NotPicklable,
    Results,
    RunAborted,
    WorkerDied,
    _call,
    _children,
    _host,
    iter_parallel,
    run_parallel,
)
from autoexec import _thread_cache as thread_cache
from autoexec._chunk import Block, Chunk
from autoexec._options import DEFAULT
from autoexec._pool import shared
from autoexec._pool.spawn import spawn
from autoexec._routes import REMOTE
from autoexec._run import Run
from autoexec._scheduler import Scheduler
from autoexec._source import Source
from autoexec._types import Kind, Ready

BACKENDS = ["auto", "inline", "threads", "processes", "hybrid", "dask", "ray"]


def double(x: int) -> int:
    return x * 2


def fail_on_odd(x: int) -> int:
    if x % 2:
        raise ValueError(f"odd {x}")
    return x


def add(a: int, b: int = 10) -> int:
    return a + b


def burn(units: int) -> int:
    total = 0
    for i in range(units):
        total += i * i
    return total


async def double_later(x: int) -> int:
    await asyncio.sleep(0.001)
    return x * 2


class Model:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def apply(self, x: int) -> int:
        return x * self.factor

    def __call__(self, x: int) -> int:
        return x * self.factor


class Locked:
    def __init__(self) -> None:
        self.lock = threading.Lock()


class Unreadable:
    def __reduce__(self) -> Any:
        return int, ("not a number",)


class TwoArguments(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


class GivesNoError(Exception):
    def with_traceback(self, tb: Any) -> Any:
        self.tb = tb  # and forgets to return itself


class RefusesTraceback(Exception):
    def with_traceback(self, tb: Any) -> Any:
        raise RuntimeError("not me")


class HasNoText(TypeError):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class RefusesNotes(Exception):
    def add_note(self, note: str) -> None:
        raise SystemExit("no notes")


class IsNeitherTrueNorFalse(Exception):
    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    __hash__ = None  # type: ignore[assignment]


ODD = [GivesNoError, RefusesTraceback, HasNoText, RefusesNotes, IsNeitherTrueNorFalse]


def raise_odd(item: tuple[int, int]) -> int:
    kind, x = item
    if x % 2:
        raise ODD[kind]
    return x


def raise_two_arguments(x: int) -> None:
    raise TwoArguments(x, "oops")


def return_lock(x: int) -> Any:
    return threading.Lock() if x == 1 else x


def return_unreadable(x: int) -> Any:
    return Unreadable() if x == 1 else x


def name_of_type(x: object) -> str:
    return type(x).__name__


def failure_in(results: list[Any], index: int) -> BaseException:
    failure = results[index]
    assert isinstance(failure, Failure)
    return failure.exception


def die_on_three(x: int) -> int:
    if x == 3:
        os._exit(7)
    time.sleep(0.005)  # longer than the millisecond whose outcomes are announced together
    return x


@pytest.mark.parametrize("backend", BACKENDS)
class TestEveryBackend:
    def test_results_are_a_list_in_the_order_of_the_items(self, backend: Any) -> None:
        results = run_parallel(double, range(50), backend=backend)
        assert results == [x * 2 for x in range(50)]
        assert isinstance(results, list)

    def test_an_empty_input_gives_an_empty_list(self, backend: Any) -> None:
        results = run_parallel(double, [], backend=backend)
        assert results == []
        assert results.report.items == 0

    def test_one_item(self, backend: Any) -> None:
        assert run_parallel(double, [21], backend=backend) == [42]

    def test_input_of_unknown_length(self, backend: Any) -> None:
        assert run_parallel(double, iter(range(30)), backend=backend) == [x * 2 for x in range(30)]

    def test_lambdas_closures_partials_methods_and_callables_work(self, backend: Any) -> None:
        three = 3
        functions: list[Any] = [
            lambda x: x * three,
            functools.partial(add, b=5),
            Model(4).apply,
            Model(5),
        ]
        found = [run_parallel(fn, [1, 2], backend=backend) for fn in functions]
        assert found == [[3, 6], [6, 7], [4, 8], [5, 10]]

    def test_the_first_error_is_raised_with_a_note_that_names_the_item(self, backend: Any) -> None:
        with pytest.raises(ValueError, match="odd 3") as caught:
            run_parallel(fail_on_odd, [0, 2, 3, 4], backend=backend)
        assert any("item 2, 3" in note for note in caught.value.__notes__)

    def test_errors_can_be_returned_in_the_place_of_results(self, backend: Any) -> None:
        results = run_parallel(fail_on_odd, range(5), backend=backend, on_error="return")
        assert [r for r in results if not isinstance(r, Failure)] == [0, 2, 4]
        failures = [r for r in results if isinstance(r, Failure)]
        assert [(f.index, f.item, str(f.exception)) for f in failures] == [
            (1, 1, "odd 1"),
            (3, 3, "odd 3"),
        ]
        assert not any(failures)
        assert results.report.failures == 2

    @pytest.mark.timeout(60)
    @pytest.mark.parametrize("kind", range(len(ODD)))
    def test_an_error_is_that_of_its_item_whatever_its_class_makes_of_methods(
        self, backend: Any, kind: int
    ) -> None:
        items = [(kind, x) for x in range(4)]
        results = run_parallel(raise_odd, items, backend=backend, on_error="return", max_workers=2)
        assert [results[0], results[2]] == [0, 2]
        assert [type(failure_in(results, i)) for i in (1, 3)] == [ODD[kind]] * 2
        with pytest.raises(ODD[kind]):
            run_parallel(raise_odd, [(kind, 1)] * 3, backend=backend, chunksize=3)

    def test_errors_can_be_left_out_and_are_counted(self, backend: Any) -> None:
        results = run_parallel(fail_on_odd, range(5), backend=backend, on_error="skip")
        assert results == [0, 2, 4]
        assert (results.report.failures, results.report.skipped) == (2, 2)

    def test_star_unpacks_tuples_and_mappings(self, backend: Any) -> None:
        assert run_parallel(add, [(1, 2), (3,)], star=True, backend=backend) == [3, 13]
        assert run_parallel(add, [{"a": 1, "b": 1}], star=True, backend=backend) == [2]

    def test_coroutine_functions_work(self, backend: Any) -> None:
        assert run_parallel(double_later, range(6), backend=backend) == [x * 2 for x in range(6)]

    def test_an_error_of_the_input_is_raised_after_the_items_before_it(self, backend: Any) -> None:
        called: list[int] = []

        def items() -> Iterator[int]:
            yield from range(5)
            raise OSError("the disk is gone")

        def note(x: int) -> int:
            called.append(x)
            return x

        away: list[str] = ["processes", "hybrid", *REMOTE]
        fn = double if str(backend) in away else note
        with pytest.raises(OSError, match="the disk is gone"):
            run_parallel(fn, items(), backend=backend)
        if fn is note:
            assert sorted(called) == list(range(5))


@pytest.mark.parametrize("backend", ["auto", "threads"])
def test_each_item_is_called_exactly_once(backend: Any) -> None:
    calls: list[int] = []

    def note(x: int) -> int:
        calls.append(x)  # seen as an effect, so `auto` keeps it here
        return burn(2_000) + x

    results = run_parallel(note, range(300), backend=backend)
    assert sorted(calls) == list(range(300))
    assert results == [burn(2_000) + x for x in range(300)]


@pytest.mark.parametrize("backend", ["auto", "inline", "threads"])
def test_a_list_that_grows_while_it_is_worked_on_does_not_lengthen_the_run(backend: Any) -> None:
    items = [1, 2, 3]

    def grow(x: int) -> int:
        items.append(x)
        return x

    assert run_parallel(grow, items, backend=backend) == [1, 2, 3]


def test_each_item_is_called_exactly_once_across_processes(tmp_path: Any) -> None:
    log = tmp_path / "calls"

    def note(x: int) -> int:
        with open(log, "a") as file:
            file.write(f"{x}\n")
        return burn(30_000)

    run_parallel(note, range(200), backend="auto")
    assert sorted(map(int, log.read_text().split())) == list(range(200))


@pytest.fixture
def quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes start quickly here, so that they are worth considering on any machine."""
    monkeypatch.setattr(_host, "_process_starts_s", deque([0.05]))


@pytest.fixture
def warm(quick_start: None) -> None:
    """They are there already, and have imported this module."""
    run_parallel(double, range(4), backend="processes")


@pytest.mark.usefixtures("warm")
def test_work_that_holds_the_gil_goes_to_processes_without_a_main_guard() -> None:
    results = run_parallel(burn, [120_000] * 400)
    assert results == [burn(120_000)] * 400
    report = results.report
    assert report.route == "processes"
    assert report.ran["processes"] > 0
    assert "hold the GIL" in report.plan.reason


def test_a_running_event_loop_does_not_matter() -> None:
    async def main() -> list[int]:
        return [*run_parallel(double_later, range(5)), *run_parallel(double, range(3))]

    assert asyncio.run(main()) == [0, 2, 4, 6, 8, 0, 2, 4]


def test_an_executor_of_the_callers_is_used_and_left_alone() -> None:
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        results = run_parallel(double, range(20), backend=pool)
        assert results == [x * 2 for x in range(20)]
        assert results.report.route == "external"
        assert pool.submit(double, 1).result() == 2


def test_max_workers_is_a_limit() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def count(x: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1
        return x

    run_parallel(count, range(60), max_workers=3)
    assert most <= 3
    run_parallel(count, range(40), max_workers=5, backend="threads")
    assert 1 < most <= 5


def test_the_other_items_are_on_their_way_while_a_long_first_one_runs() -> None:
    released = threading.Event()

    def wait_first(x: int) -> int:
        if x == 0:
            assert released.wait(30)
        elif x == 20:
            released.set()  # the first call only ends if the others start meanwhile
        return x

    assert run_parallel(wait_first, range(21)) == list(range(21))


def test_nested_runs_work() -> None:
    def inner(x: int) -> int:
        return sum(run_parallel(double, range(x)))

    assert run_parallel(inner, range(6)) == [sum(2 * i for i in range(x)) for x in range(6)]
    assert run_parallel(inner, range(3), backend="processes") == [0, 0, 2]


@pytest.mark.parametrize("backend", ["auto", "inline", "threads", "processes", "hybrid"])
@pytest.mark.parametrize("items", [tuple(range(99)), range(99), range(10**30, 10**30 + 99)])
def test_of_a_tuple_or_a_range_each_item_is_called_once(backend: Any, items: Sequence[int]) -> None:
    assert run_parallel(double, items, backend=backend) == [2 * item for item in items]
    found = run_parallel(fail_on_odd, items, backend=backend, on_error="return")
    assert [item for item in found if not isinstance(item, Failure)] == [
        x for x in items if not x % 2
    ]
    assert [one.item for one in found if isinstance(one, Failure)] == [x for x in items if x % 2]


def test_eight_threads_at_once() -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: run_parallel(double, range(n)), range(8)))
    assert found == [[x * 2 for x in range(n)] for n in range(8)]


class TestTravel:
    """What cannot go to a process or come back is an error of its item alone."""

    def test_an_item_that_cannot_be_pickled(self) -> None:
        items = [1, Locked(), 3]
        results = run_parallel(name_of_type, items, backend="processes", on_error="return")
        assert (results[0], results[2]) == ("int", "int")
        assert isinstance(failure_in(results, 1), NotPicklable)
        assert "cannot travel" in str(failure_in(results, 1))

    def test_a_result_that_cannot_be_pickled(self) -> None:
        results = run_parallel(return_lock, range(3), backend="processes", on_error="return")
        assert (results[0], results[2]) == (0, 2)
        assert "lock" in str(failure_in(results, 1))

    def test_a_result_that_cannot_be_read_here(self) -> None:
        results = run_parallel(return_unreadable, range(3), backend="processes", on_error="return")
        assert (results[0], results[2]) == (0, 2)
        assert isinstance(failure_in(results, 1), ValueError)

    def test_an_exception_that_pickle_cannot_make_again_comes_as_what_it_is(self) -> None:
        results = run_parallel(raise_two_arguments, [5], backend="processes", on_error="return")
        error = failure_in(results, 0)
        assert type(error).__name__ == "TwoArguments" and str(error) == "5: oops"
        assert "raise_two_arguments" in str(error.__cause__)

    def test_a_worker_that_dies_costs_one_item(self) -> None:
        results = run_parallel(die_on_three, range(12), backend="processes", on_error="return")
        assert [r for r in results if not isinstance(r, Failure)] == [
            x for x in range(12) if x != 3
        ]
        assert isinstance(failure_in(results, 3), WorkerDied)
        assert "exited with code 7" in str(failure_in(results, 3))

    @pytest.mark.parametrize("backend", ["processes", "hybrid", "dask", "ray"])
    def test_a_function_that_cannot_be_pickled_is_one_clear_error(self, backend: Any) -> None:
        lock = threading.Lock()

        def is_locked(x: int) -> bool:
            return lock.locked()

        said = (
            r"is_locked cannot travel to a worker process.* cannot pickle '_thread.lock' object\. "
        )
        with pytest.raises(NotPicklable, match=said) as caught:
            run_parallel(is_locked, [1, 2], backend=backend)
        assert isinstance(caught.value, RunAborted)
        assert caught.value.finished == {}
        with pytest.raises(NotPicklable, match=said):
            list(iter_parallel(is_locked, [1, 2], backend=backend))

    @pytest.mark.usefixtures("warm")
    def test_under_auto_it_is_called_here_while_the_others_go_to_processes(self) -> None:
        def place(item: Any) -> tuple[int, str]:
            burn(120_000)
            return os.getpid(), type(item).__name__

        items: list[Any] = list(range(400))
        for stuck in (60, 100, 101, 399):
            items[stuck] = Locked()
        results = run_parallel(place, items)
        assert [name for _, name in results] == [type(item).__name__ for item in items]
        assert {pid for pid, name in results if name == "Locked"} == {os.getpid()}
        assert {pid for pid, name in results if name == "int"} - {os.getpid()}
        assert results.report.ran["processes"] > 0
        assert results.report.failures == 0


class Gate:
    """Calls that wait until it is opened, in whatever process they are."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gate"

    def wait(self, item: int) -> int:
        while item < 0 and not self.path.exists():
            time.sleep(0.005)
        return item * 2

    async def wait_later(self, item: int) -> int:
        while item < 0 and not self.path.exists():
            await asyncio.sleep(0.005)
        return item * 2

    def fn(self, kind: str) -> Any:
        return self.wait if kind == "sync" else self.wait_later


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.path.touch()  # so that threads that were left behind end


WAYS = [
    *((backend, "sync") for backend in BACKENDS),
    *((backend, "async") for backend in [*BACKENDS, "asyncio"]),
]
"""On an event loop a call that never awaits cannot be given up."""
TIMEOUT_S = 1.5
"""Long for the calls that are to be quick: imports and pauses of the machine are part of them."""


@pytest.mark.parametrize(("backend", "kind"), WAYS)
class TestTimeout:
    """Only the call that takes too long fails. A negative item waits."""

    def test_the_others_are_not_affected(self, backend: Any, kind: str, gate: Gate) -> None:
        items = [0, 1, -2, 3, 4, 5, 6, 7]
        fn: Any = gate.fn(kind)
        options: Any = {"backend": backend, "timeout": TIMEOUT_S, "on_error": "return"}
        results = run_parallel(fn, items, **options)
        failure = results.pop(2)
        assert results == [0, 2, 6, 8, 10, 12, 14]
        assert isinstance(failure, Failure)
        assert isinstance(failure.exception, ItemTimeout)
        assert isinstance(failure.exception, TimeoutError)
        assert (failure.index, failure.item, failure.seconds) == (2, -2, TIMEOUT_S)

    def test_it_ends_the_run_like_any_error(self, backend: Any, kind: str, gate: Gate) -> None:
        fn: Any = gate.fn(kind)
        options: Any = {"timeout": 0.2, "max_workers": 1}  # so that no other call can be late
        with pytest.raises(ItemTimeout, match=r"wait\w* took longer than timeout=") as caught:
            run_parallel(fn, [-1, 2], backend=backend, **options)
        assert any("item 0, -1" in note for note in caught.value.__notes__)


def test_a_timeout_holds_for_calls_on_an_executor_of_the_callers(gate: Gate) -> None:
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        options: Any = {"backend": pool, "timeout": TIMEOUT_S, "on_error": "return"}
        results = run_parallel(gate.wait, [0, -1, 2], **options)
        assert (results[0], results[2]) == (0, 4)
        assert isinstance(failure_in(results, 1), ItemTimeout)
        gate.path.touch()


@pytest.mark.parametrize("backend", ["auto", "threads", "processes", "external", "dask", "ray"])
def test_calls_of_a_chunk_do_not_share_the_time_of_one(backend: Any) -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        chosen = pool if backend == "external" else backend
        options: Any = {"backend": chosen, "timeout": TIMEOUT_S, "chunksize": 18}
        assert run_parallel(time.sleep, [0.1] * 18, **options) == [None] * 18


def test_the_process_of_a_call_that_took_too_long_is_gone(tmp_path: Path) -> None:
    def hang(x: int) -> int:
        (tmp_path / str(os.getpid())).touch()
        while x < 0:
            pass
        return os.getpid()

    options: Any = {"backend": "processes", "timeout": TIMEOUT_S, "on_error": "return"}
    run_parallel(hang, [-1], **options)
    (pid,) = (int(path.name) for path in tmp_path.iterdir())
    until = time.monotonic() + 30
    while pid in _children.ours:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(("backend", "kind"), WAYS)
def test_after_the_deadline_what_was_done_is_known(backend: Any, kind: str, gate: Gate) -> None:
    fn: Any = gate.fn(kind)
    deadline = 2.0
    if backend in ("processes", "hybrid", "dask", "ray"):
        # Workers take a while to start on a machine that has other things to do.
        run_parallel(double, range(4), backend=backend, max_workers=4)
        deadline = 4.0
    options: Any = {"backend": backend, "deadline": deadline, "max_workers": 4, "chunksize": 1}
    with pytest.raises(DeadlineExceeded, match=f"deadline={deadline:.0f}") as caught:
        run_parallel(fn, [0, 1, -2, 3, 4], **options)  # a cluster tells of a chunk at its end
    assert isinstance(caught.value, TimeoutError)
    finished = caught.value.finished
    done = {0: 0, 1: 2, 3: 6, 4: 8}
    assert finished.items() <= done.items()
    # One after another, the items behind the one that waits had no turn; a cluster may take longer.
    assert set(finished) >= ({0, 1} if backend in ("auto", "inline", "dask", "ray") else set(done))


def test_what_failed_before_the_deadline_is_among_what_was_done(gate: Gate) -> None:
    def fail_or_wait(x: int) -> int:
        if x == 1:
            raise ValueError(x)
        return gate.wait(x)

    for on_error, count in (("return", 3), ("skip", 2)):
        options: Any = {"backend": "threads", "max_workers": 4, "on_error": on_error}
        with pytest.raises(DeadlineExceeded) as caught:
            run_parallel(fail_or_wait, [0, 1, -2, 3], deadline=2.0, **options)
        finished = caught.value.finished
        assert (finished[0], finished[3], len(finished)) == (0, 6, count)
        if on_error == "return":
            assert isinstance(finished[1], Failure)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_that_ends_in_time_has_its_results(backend: Any) -> None:
    results = run_parallel(double, range(20), backend=backend, timeout=30, deadline=60)
    assert results == [x * 2 for x in range(20)]


class TestHybrid:
    """Calls side by side in each of several processes."""

    @pytest.mark.parametrize("fn", [double, double_later])
    def test_results_are_in_the_order_of_the_items(self, fn: Any) -> None:
        results = run_parallel(fn, range(300), backend="hybrid")
        assert results == [x * 2 for x in range(300)]
        assert results.report.route == "hybrid"
        assert results.report.ran == {"hybrid": 300}

    def test_calls_of_a_process_wait_at_the_same_time(self, tmp_path: Path) -> None:
        def meet(x: int) -> int:
            (tmp_path / str(x)).touch()
            while len(list(tmp_path.iterdir())) < 16:
                time.sleep(0.005)
            return os.getpid()

        pids = run_parallel(meet, range(16), backend="hybrid", max_workers=16)
        assert os.getpid() not in pids
        assert len(set(pids)) <= _host.cores()

    @pytest.mark.parametrize("fn", [double, double_later])
    def test_any_number_of_calls_at_once_may_be_asked_for(self, fn: Any) -> None:
        results = run_parallel(fn, range(3_000), backend="hybrid", max_workers=3_000)
        assert results == [x * 2 for x in range(3_000)]

    def test_a_function_is_async_if_its_outermost_wrapper_is(self) -> None:
        @functools.wraps(double_later)
        def at_once(x: int) -> int:
            return asyncio.run(double_later(x))

        @functools.wraps(double)
        async def later(x: int) -> int:
            return double(x)

        assert run_parallel(at_once, range(3), backend="hybrid") == [0, 2, 4]
        assert run_parallel(later, range(3), backend="hybrid") == [0, 2, 4]


class TestWithoutProcesses:
    """Where none can be started, for want of memory or descriptors."""

    @pytest.fixture(autouse=True)
    def cold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shared, "_pools", {})

    @staticmethod
    def refuse(environment: object) -> Any:
        raise OSError(11, "Resource temporarily unavailable")

    @pytest.mark.parametrize("fn", [double, double_later])
    @pytest.mark.parametrize("backend", ["processes", "hybrid"])
    def test_the_calls_run_here_and_the_report_says_why(
        self, backend: Any, fn: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("autoexec._pool.worker.spawn", self.refuse)
        results = run_parallel(fn, range(20), backend=backend)
        assert results == [x * 2 for x in range(20)]
        assert results.report.ran.get(backend, 0) == 0
        assert "no worker process can be started" in str(results.report)

    @pytest.mark.timeout(30)
    def test_if_the_last_ones_have_died_the_rest_runs_here(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, spawned = os.getpid(), itertools.count()

        def spawn_two(environment: Any) -> Any:
            return spawn(environment) if next(spawned) < 2 else self.refuse(environment)

        def die(x: int) -> int:
            time.sleep(0.002)
            if os.getpid() != here:
                os._exit(7)
            return x

        monkeypatch.setattr("autoexec._pool.worker.spawn", spawn_two)
        options: Any = {"backend": "processes", "on_error": "return", "max_workers": 2}
        results = run_parallel(die, range(20), **options)
        died = [result for result in results if isinstance(result, Failure)]
        assert all(isinstance(failure.exception, WorkerDied) for failure in died)
        assert 1 <= len(died) <= 2
        assert [result for result in results if isinstance(result, int)] == [
            x for x in range(20) if x not in {failure.index for failure in died}
        ]


@pytest.mark.usefixtures("quick_start")
class TestEffects:
    """A function that changes the caller's objects is not sent to a process by `auto`."""

    UNITS = 150_000

    def stays(self, fn: Any, items: Any, text: str) -> Results[Any]:
        results: Results[Any] = run_parallel(fn, items)
        assert results.report.ran.get("processes", 0) == 0
        assert text in str(results.report)
        return results

    def test_a_captured_list(self) -> None:
        found: list[int] = []

        def note(x: int) -> None:
            found.append(burn(self.UNITS) + x)

        self.stays(note, range(80), "found")
        assert len(found) == 80

    def test_an_enclosing_variable(self) -> None:
        total = 0

        def count(x: int) -> None:
            nonlocal total
            total += burn(self.UNITS) and x

        self.stays(count, range(80), "total")
        assert total == sum(range(80))

    def test_an_attribute_of_self(self) -> None:
        units = self.UNITS

        class Counter:
            count = 0

            def step(self, x: int) -> int:
                self.count += 1
                return burn(units)

        counter = Counter()
        self.stays(counter.step, range(80), "changes self.count")
        assert counter.count == 80

    def test_the_item(self) -> None:
        items: list[dict[str, int]] = [{} for _ in range(80)]

        def fill(item: dict[str, int]) -> None:
            item["sum"] = burn(self.UNITS)

        self.stays(fill, items, "its item")
        assert all(item == {"sum": burn(self.UNITS)} for item in items)


def test_results_and_exceptions_are_collected_without_a_garbage_collection() -> None:
    class Marked(Exception):
        pass

    found: list[weakref.ref[Marked]] = []

    def fail(x: int) -> None:
        error = Marked()
        found.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    gc.collect()
    gc.disable()
    try:
        for backend in ("inline", "threads"):
            results = run_parallel(fail, range(3), backend=backend, on_error="return")
            del results
            with pytest.raises(Marked):
                run_parallel(fail, range(1), backend=backend)
        until = time.monotonic() + 10  # a thread lets go of its last call a moment after it
        while alive := [ref for ref in found if ref() is not None]:
            assert time.monotonic() < until, alive
            time.sleep(0.01)
    finally:
        gc.enable()


def test_threads_and_children_are_gone_after_a_run() -> None:
    import multiprocessing

    before = set(threading.enumerate())
    children = set(multiprocessing.active_children())  # a cluster of other tests
    run_parallel(burn, [120_000] * 60)
    run_parallel(time.sleep, [0.01] * 20)
    assert set(multiprocessing.active_children()) <= children
    until = time.monotonic() + thread_cache.IDLE_S + 60  # those without work wait for the next run
    while left := set(threading.enumerate()) - before:
        assert time.monotonic() < until, left
        time.sleep(0.01)


def test_ctrl_c_carries_what_was_done() -> None:
    def fn(x: int) -> int:
        if x == 3:
            _thread.interrupt_main()
            time.sleep(0.3)
        return x * 2

    with pytest.raises(KeyboardInterrupt) as caught:
        run_parallel(fn, range(1000), backend="threads", max_workers=1, chunksize=1)
    finished: dict[int, int] = caught.value.finished  # type: ignore[attr-defined]
    assert finished == {0: 0, 1: 2, 2: 4}
    assert "3 items were done" in caught.value.__notes__[0]


class LastOnes:
    """Four calls that end one after the other, at most three at once. When the first has, the last begins, and
    the run has nothing to do but to wait for these three."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, interrupt_at: int | None = None) -> None:
        self.waits = 0
        self.turns = [threading.Event() for _ in range(5)]
        """Set when a call may end; the last of them by the test."""
        self.heard: list[int] = []
        next_event, heard = Run._next_event, Scheduler.heard
        driver = threading.get_ident()  # runs that others have left may not be over

        def wait(run: Run, seconds: float) -> Any:
            if threading.get_ident() != driver:
                return next_event(run, seconds)
            if self.waits == interrupt_at:
                raise KeyboardInterrupt
            self.turns[min(self.waits, 4)].set()
            self.waits += 1
            return next_event(run, 30.0)  # no call ends between two waits

        def hear(scheduler: Scheduler, blocks: Any, now: float) -> None:
            if threading.get_ident() == driver:
                self.heard.append(len(blocks))
            heard(scheduler, blocks, now)

        monkeypatch.setattr(Run, "_next_event", wait)
        monkeypatch.setattr(Scheduler, "heard", hear)

    def run(self, fn: Any, **options: Any) -> Any:
        def call(item: int) -> int:
            assert self.turns[item].wait(timeout=60)
            return fn(item)  # type: ignore[no-any-return]

        return run_parallel(call, range(4), backend="threads", max_workers=3, **options)


def test_the_last_outcomes_are_taken_together(monkeypatch: pytest.MonkeyPatch) -> None:
    last = LastOnes(monkeypatch)
    assert last.run(double) == [0, 2, 4, 6]
    assert last.heard == [1, 3]


def test_an_error_among_the_last_outcomes_is_not_kept_for_those_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    last, ended = LastOnes(monkeypatch), []
    later = threading.Event()

    def fn(item: int) -> int:
        if item == 3:
            ended.append(later.wait(timeout=20))
        if item == 2:
            raise ValueError("oops")
        return item

    with pytest.raises(ValueError, match="oops"):
        last.run(fn)
    assert not ended
    later.set()
    last.turns[3].set()


def test_ctrl_c_among_the_last_outcomes_carries_those(monkeypatch: pytest.MonkeyPatch) -> None:
    last = LastOnes(monkeypatch, interrupt_at=2)
    with pytest.raises(KeyboardInterrupt) as caught:
        last.run(int)
    assert caught.value.finished == {0: 0, 1: 1}  # type: ignore[attr-defined]
    assert last.heard == [1, 1]
    for turn in last.turns:
        turn.set()


@pytest.mark.parametrize(
    "when", ["while_a_result_is_pickled", "while_the_clocks_are_read", "while_outcomes_wait"]
)
def test_ctrl_c_loses_no_outcome(when: str, tmp_path: Path) -> None:
    program = Path(__file__).with_name("programs_interrupt.py")
    command = [sys.executable, str(program), when, str(tmp_path / "journal")]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    ended, finished, again = json.loads(made.stdout)
    assert len(ended) > 1
    assert set(ended) <= set(finished)
    assert again == []


@pytest.mark.timeout(30)
def test_what_happens_while_it_hears_is_heard_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(double, Source([1], iter([1])), DEFAULT)
    heard: list[Ready] = []

    def hear(ready: Ready) -> None:
        heard.append(ready)
        run._inbox.put(ready)

    monkeypatch.setattr(run.scheduler, "ready", hear)
    run._inbox.put(Ready("threads", 1, None))
    run.hear()
    run.close(abandon=True)
    assert len(heard) == 1


@pytest.mark.parametrize("kind", ["ctrl-c", "deadline"])
def test_what_calls_of_one_chunk_have_come_to_is_among_what_was_done(kind: str) -> None:
    later = threading.Event()

    def fn(x: int) -> int:
        if x == 30:
            if kind == "ctrl-c":
                _thread.interrupt_main()
            later.wait(timeout=20)
        return x

    deadline = 0.5 if kind == "deadline" else None
    with pytest.raises((KeyboardInterrupt, DeadlineExceeded)) as caught:
        run_parallel(
            fn, range(100), backend="threads", max_workers=1, chunksize=50, deadline=deadline
        )
    later.set()
    error: Any = caught.value
    assert error.finished == {x: x for x in range(30)}
    assert kind == "ctrl-c" or "30 of 100 were" in str(error)


@pytest.mark.parametrize("backend", ["inline", "processes"])
def test_who_forgot_star_is_told_of_it(backend: Any) -> None:
    def add(x: int, y: int) -> int:
        return x + y

    wrong: Any = add  # which type checkers tell at once
    with pytest.raises(TypeError, match="missing 1 required") as caught:
        run_parallel(wrong, [(1, 2)], backend=backend)
    assert any("pass star=True" in note for note in caught.value.__notes__)


def test_coroutines_run_inline_beside_a_running_loop() -> None:
    async def main() -> list[int]:
        return run_parallel(double_later, range(3), backend="inline")

    assert asyncio.run(main()) == [0, 2, 4]


@pytest.mark.skipif(os.cpu_count() == 1, reason="there is one core")
def test_large_items_of_calls_that_let_go_of_the_gil_never_leave() -> None:
    items = [bytes(8_000_000)] * 24
    report = run_parallel(zlib.crc32, items).report
    assert set(report.ran) <= {"inline", "threads"}, str(report)


@pytest.mark.parametrize("kind", ["waits", "computes"])
def test_without_clocks_of_other_threads_a_run_is_like_any_other(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS and Windows: the CPU time of the process stands in."""

    def wait(item: int) -> int:
        time.sleep(0.02)
        return item

    def compute(item: int) -> int:
        return item + 0 * sum(range(400_000))

    monkeypatch.setattr(_call, "_cpu_clock", None)
    results = run_parallel(wait if kind == "waits" else compute, range(60))
    assert results == list(range(60))
    kinds = {"waits": {Kind.IO}, "computes": {Kind.CPU_HELD, Kind.CPU_FREE}}
    assert results.report.kind in kinds[kind], str(results.report)


def test_the_driver_pauses_for_more_outcomes_unless_something_is_due_or_the_run_may_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(Scheduler, "pause_s", 0.005)
    chunk = Chunk(0, [0, 1], "threads", "threads")
    ended, failed = (
        Block(chunk, [0], None, 0.1, 0.0, 0.0, False),
        Block.untimed(chunk, [], ValueError()),
    )
    for stream in (False, True):
        run = Run(double, Source([1, 2], iter([1, 2])), DEFAULT, stream=stream)
        now = time.perf_counter()
        for blocks, due in (([ended], 60.0), ([ended, failed], 60.0), ([ended], -1.0)):
            run._let_more_end(blocks, now + due)
        assert pauses == ([] if stream else [0.005])
        pauses.clear()
        run.close(abandon=True)
