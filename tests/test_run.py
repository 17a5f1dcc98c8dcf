"""Runs as a user makes them, on every backend."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from autoexec import Failure, Results, WorkerDied, _host, run_parallel
from autoexec import _thread_cache as thread_cache

BACKENDS = ["auto", "inline", "threads", "processes"]


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
        import os

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

        fn = double if backend == "processes" else note
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


def test_work_that_holds_the_gil_goes_to_processes_without_a_main_guard() -> None:
    results = run_parallel(burn, [120_000] * 150)
    assert results == [burn(120_000)] * 150
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
        assert "cannot travel" in str(failure_in(results, 1))

    def test_a_result_that_cannot_be_pickled(self) -> None:
        results = run_parallel(return_lock, range(3), backend="processes", on_error="return")
        assert (results[0], results[2]) == (0, 2)
        assert "lock" in str(failure_in(results, 1))

    def test_a_result_that_cannot_be_read_here(self) -> None:
        results = run_parallel(return_unreadable, range(3), backend="processes", on_error="return")
        assert (results[0], results[2]) == (0, 2)
        assert isinstance(failure_in(results, 1), ValueError)

    def test_an_exception_that_cannot_be_rebuilt_comes_as_a_stand_in(self) -> None:
        results = run_parallel(raise_two_arguments, [5], backend="processes", on_error="return")
        error = failure_in(results, 0)
        assert "TwoArguments: 5: oops" in str(error)
        assert "raise_two_arguments" in str(error.__cause__)

    def test_a_worker_that_dies_costs_one_item(self) -> None:
        results = run_parallel(die_on_three, range(12), backend="processes", on_error="return")
        assert [r for r in results if not isinstance(r, Failure)] == [
            x for x in range(12) if x != 3
        ]
        assert isinstance(failure_in(results, 3), WorkerDied)
        assert "exited with code 7" in str(failure_in(results, 3))

    def test_a_function_that_cannot_be_pickled_is_one_clear_error(self) -> None:
        lock = threading.Lock()
        with pytest.raises(Exception, match="cannot be pickled"):
            run_parallel(lambda x: lock.locked(), [1, 2], backend="processes")


class TestEffects:
    """A function that changes the caller's objects is not sent to a process by `auto`."""

    UNITS = 150_000

    @pytest.fixture(autouse=True)
    def quick_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Processes start quickly here, so that they are worth considering on any machine."""
        monkeypatch.setattr(_host, "_process_starts_s", deque([0.05]))

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
        self.stays(counter.step, range(80), "Counter object")
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
        alive = [ref for ref in found if ref() is not None]
    finally:
        gc.enable()
    assert alive == []


def test_threads_and_children_are_gone_after_a_run() -> None:
    import multiprocessing

    before = set(threading.enumerate())
    run_parallel(burn, [120_000] * 60)
    run_parallel(time.sleep, [0.01] * 20)
    assert multiprocessing.active_children() == []
    until = time.monotonic() + thread_cache.IDLE_S + 5  # those without work wait for the next run
    while left := set(threading.enumerate()) - before:
        assert time.monotonic() < until, left
        time.sleep(0.01)
