"""What an executor must do to be a backend, as tests: for those who have written one.

    from autoexec.testing import ExecutorContract

    class TestMyExecutor(ExecutorContract):
        max_workers = 2

        def make_executor(self):
            return MyExecutor(2)

pytest finds the tests by themselves. They want nothing of the executor but `submit`, `shutdown` and
futures, with its workers on this machine, and this package installed where they run.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, ClassVar

from ._api import run_parallel
from ._errors import AutoexecError, ItemTimeout
from ._failure import Failure
from ._forms import arun_parallel, iter_parallel
from ._report import Results
from ._seed import item_random

SMALL_ITEMS = 2000
SMALL_DISPATCHES = SMALL_ITEMS // 5
"""At most so many for so many calls of a microsecond. With the standard pools it takes about 20; the
limit is where an item at a time, which takes 2,000, is plainly excluded."""
POLL_S = 0.005


class ExecutorContract:
    """Tests of an executor that is passed as `backend=`: subclass it in a module of tests.

    All tests but the last use one executor, made before the first and shut down after the last.
    """

    max_workers: ClassVar[int] = 2
    """Calls that the executor really runs at once; at least 1."""
    deadline_s: ClassVar[float] = 60.0
    """Seconds after which a test gives up: for an executor that loses calls."""
    executor: ClassVar[Executor]

    def make_executor(self) -> Executor:
        """A new executor that runs `max_workers` calls at once."""
        raise NotImplementedError(f"{type(self).__name__} must define make_executor(self).")

    @classmethod
    def setup_class(cls) -> None:
        """Make the executor of all tests."""
        cls.executor = cls().make_executor()

    @classmethod
    def teardown_class(cls) -> None:
        """Shut it down."""
        cls.executor.shutdown()

    def run(self, fn: Callable[..., Any], items: Iterable[Any], **options: Any) -> Results[Any]:
        """`run_parallel` on the executor, or on another backend."""
        return run_parallel(fn, items, **{**self._options(), **options})

    def _options(self) -> dict[str, Any]:
        return {
            "backend": self.executor,
            "max_workers": self.max_workers,
            "deadline": self.deadline_s,
        }

    # --- Results --------------------------------------------------------------------------------------

    def test_results_are_in_the_order_of_the_items(self) -> None:
        results = self.run(_square, range(100))
        _same(results, [x * x for x in range(100)])
        _same(results.report.route, "external")

    def test_each_item_is_called_once(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        _same(self.run(partial(_note, log), range(100)), list(range(100)))
        _same(sorted(map(int, log.read_text().split())), list(range(100)))

    def test_functions_of_all_kinds_travel(self) -> None:
        offset = 3
        _same(self.run(lambda x: x + offset, [1, 2]), [4, 5])
        _same(self.run(_Adder(3).add, [1, 2]), [4, 5])
        _same(self.run(partial(_add, y=3), [1, 2]), [4, 5])
        _same(self.run(_add, [(1, 3), {"x": 2, "y": 3}], star=True), [4, 5])

    def test_coroutine_functions_are_run(self) -> None:
        _same(self.run(_square_later, range(5)), [0, 1, 4, 9, 16])

    def test_each_item_has_its_own_random_stream(self) -> None:
        alone = self.run(_draw, range(20), seed=7, backend="inline")
        _same(self.run(_draw, range(20), seed=7), alone)

    # --- Errors ---------------------------------------------------------------------------------------

    def test_an_error_is_raised_as_it_is_with_a_note_of_its_item(self) -> None:
        error = _raised(ValueError, lambda: self.run(_fail_on_seven, range(20)))
        _holds(
            "item 7" in " ".join(getattr(error, "__notes__", ())), f"no note of item 7: {error!r}"
        )

    def test_a_failure_takes_the_place_of_a_result(self) -> None:
        results = self.run(_fail_on_seven, range(20), on_error="return")
        _same(results.ok, [x for x in range(20) if x != 7])
        _same(
            [(one.index, one.item, type(one.exception)) for one in results.failures],
            [(7, 7, ValueError)],
        )

    def test_what_failed_is_tried_again(self, tmp_path: Path) -> None:
        _same(self.run(partial(_fail_at_first, tmp_path), range(5), retries=1), list(range(5)))

    def test_a_call_that_takes_too_long_is_reported_and_the_others_go_on(
        self, tmp_path: Path
    ) -> None:
        gate = tmp_path / "gate"
        self.run(_square, [1])  # its workers are up
        results = self.run(
            partial(_wait_if_negative, gate), [1, -1], timeout=1.5, on_error="return", max_workers=1
        )
        gate.touch()
        _same(results[0], 1)
        _holds(
            isinstance(results[1], Failure) and isinstance(results[1].exception, ItemTimeout),
            f"the call that waits came to {results[1]!r}",
        )

    # --- The other forms ------------------------------------------------------------------------------

    def test_an_input_without_end_can_be_left(self) -> None:
        with iter_parallel(_square, count(), **self._options()) as results:
            _same(list(islice(results, 50)), [x * x for x in range(50)])
        _same(self.run(_square, [3]), [9])

    def test_results_can_be_awaited(self) -> None:
        async def main() -> Any:
            return await arun_parallel(_square, range(20), **self._options())

        _same(asyncio.run(main()), [x * x for x in range(20)])

    # --- How it is used -------------------------------------------------------------------------------

    def test_small_items_travel_together(self) -> None:
        counted = _Counted(self.executor)
        _same(
            self.run(_square, range(SMALL_ITEMS), backend=counted),
            [x * x for x in range(SMALL_ITEMS)],
        )
        _holds(
            counted.calls < SMALL_DISPATCHES,
            f"{counted.calls:,} dispatches of {SMALL_ITEMS:,} items",
        )

    def test_max_workers_is_the_most_that_it_is_given_at_once(self) -> None:
        for most in {1, self.max_workers}:
            counted = _Counted(self.executor)
            _same(
                self.run(_square, range(50), backend=counted, max_workers=most, chunksize=1),
                [x * x for x in range(50)],
            )
            _holds(counted.peak <= most, f"{counted.peak} calls at once where max_workers={most}")

    def test_as_many_calls_run_at_once_as_it_has_workers(self, tmp_path: Path) -> None:
        meet = partial(_meet, tmp_path, self.max_workers, self.deadline_s)
        _same(self.run(meet, range(self.max_workers), chunksize=1), list(range(self.max_workers)))

    def test_it_is_not_shut_down(self) -> None:
        counted = _Counted(self.executor)
        self.run(_square, range(5), backend=counted)
        _raised(ValueError, lambda: self.run(_fail_on_seven, range(20), backend=counted))
        _same(counted.shutdowns, 0)
        _same(self.executor.submit(_square, 3).result(timeout=self.deadline_s), 9)

    def test_one_that_was_shut_down_is_refused_in_words(self) -> None:
        executor = self.make_executor()
        executor.shutdown()
        error = _raised(AutoexecError, lambda: self.run(_square, range(5), backend=executor))
        _holds(type(executor).__name__ in str(error), f"it does not say which executor: {error}")


class _Counted(Executor):
    """Passes calls on, and counts them."""

    def __init__(self, inner: Executor) -> None:
        self.calls = self.peak = self.shutdowns = self._now = 0
        self._inner = inner
        self._lock = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with self._lock:
            self.calls += 1
            self._now += 1
            self.peak = max(self.peak, self._now)
        future = self._inner.submit(fn, *args, **kwargs)
        future.add_done_callback(self._ended)  # before the callback that sends the next
        return future

    def _ended(self, future: Future[Any]) -> None:
        with self._lock:
            self._now -= 1

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.shutdowns += 1


# --- What the tests say, where pytest does not rewrite what is asserted -----------------------------------


def _holds(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)


def _same(found: object, expected: object) -> None:
    _holds(found == expected, f"found {found!r}, expected {expected!r}")


def _raised(kind: type[BaseException], call: Callable[[], object]) -> BaseException:
    try:
        value = call()
    except kind as error:
        return error
    raise AssertionError(f"there was no {kind.__name__}, but {value!r}")


# --- What the executor runs: named here, so that its workers find it ---------------------------------------


def _square(x: int) -> int:
    return x * x


async def _square_later(x: int) -> int:
    await asyncio.sleep(0)
    return x * x


def _add(x: int, y: int) -> int:
    return x + y


class _Adder:
    def __init__(self, y: int) -> None:
        self.y = y

    def add(self, x: int) -> int:
        return x + self.y


def _draw(x: int) -> float:
    return x + item_random().random()


def _fail_on_seven(x: int) -> int:
    if x == 7:
        raise ValueError("seven")
    return x


def _note(log: Path, x: int) -> int:
    with open(log, "a") as file:
        file.write(f"{x}\n")
    return x


def _fail_at_first(folder: Path, x: int) -> int:
    mark = folder / f"tried-{x}"
    if not mark.exists():
        mark.touch()
        raise ValueError(f"not at first: {x}")
    return x


def _wait_if_negative(gate: Path, x: int) -> int:
    while x < 0 and not gate.exists():
        time.sleep(POLL_S)
    return x


def _meet(folder: Path, parties: int, patience_s: float, x: int) -> int:
    """Return once so many calls are in here."""
    (folder / f"party-{x}").touch()
    until = time.monotonic() + patience_s
    while len(list(folder.glob("party-*"))) < parties:
        if time.monotonic() > until:
            raise TimeoutError(f"fewer than {parties} calls ran at once")
        time.sleep(POLL_S)
    return x
