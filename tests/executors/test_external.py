"""Executors of the caller's: the public contract, held by those that people have; and what else there is."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import Executor, Future
from typing import Any, cast

import pytest
from functions import double

import autoexec
from autoexec import AutoexecError, RunAborted, run_parallel
from autoexec.testing import ExecutorContract


class TestThreads(ExecutorContract):
    max_workers = 3

    def make_executor(self) -> Executor:
        return concurrent.futures.ThreadPoolExecutor(3)


class TestStandardProcesses(ExecutorContract):
    def make_executor(self) -> Executor:
        context = multiprocessing.get_context("spawn")
        return concurrent.futures.ProcessPoolExecutor(2, mp_context=context)


class TestOurProcesses(ExecutorContract):
    def make_executor(self) -> Executor:
        return autoexec.ProcessPoolExecutor(2)


class TestLoky(ExecutorContract):
    @classmethod
    def setup_class(cls) -> None:
        pytest.importorskip("joblib")
        super().setup_class()

    def make_executor(self) -> Executor:
        from joblib.externals import loky

        return cast("Executor", loky.ProcessPoolExecutor(2))


# --- An executor that breaks ------------------------------------------------------------------------------


class Full(Executor):
    """Takes three calls, which it runs at once, and then no more."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls += 1
        if self.calls > 3:
            raise RuntimeError("the queue is full")
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def test_one_that_takes_no_more_calls_ends_the_run_in_words() -> None:
    with pytest.raises(RunAborted, match=r"Full .*the queue is full") as caught:
        run_parallel(double, range(50), backend=Full(), max_workers=1, chunksize=1)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert caught.value.finished == {0: 0, 1: 2, 2: 4}  # what it had done is not lost
    assert caught.value.__notes__ == ["3 items were done: see `finished` of this error."]


class Ending(Executor):
    """Is shut down, with all its calls, when it has taken the last."""

    def __init__(self, calls: int) -> None:
        self.left = calls
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.left -= 1
        self.futures.append(Future())
        if len(self.futures) == 1:
            self.futures[0].set_result(fn(*args, **kwargs))
        elif not self.left:
            for future in self.futures[:0:-1]:
                future.cancel()
        return self.futures[-1]


@pytest.mark.timeout(30)
def test_one_that_cancels_what_it_was_given_ends_the_run() -> None:
    with pytest.raises(RunAborted, match="Ending that was passed has cancelled") as caught:
        run_parallel(double, range(4), backend=Ending(4), max_workers=4, chunksize=1)
    assert caught.value.finished == {0: 0}


def die(x: int) -> int:
    if x == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_pool_that_breaks_ends_the_run_and_is_refused_from_then_on() -> None:
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        # The error of an item that it had, or, if that is sooner, that it takes no more.
        with pytest.raises((concurrent.futures.BrokenExecutor, AutoexecError)):
            run_parallel(die, range(50), backend=pool, chunksize=1)
        with pytest.raises(AutoexecError, match="ProcessPoolExecutor"):
            run_parallel(double, range(5), backend=pool, on_error="return")


def test_the_contract_is_imported_without_pytest() -> None:
    code = "import autoexec.testing, sys; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_executor_that_breaks_the_contract_is_found() -> None:
    class Backwards(ExecutorContract):
        max_workers = 1

        def make_executor(self) -> Executor:
            return Full()

    Backwards.setup_class()
    with pytest.raises((AutoexecError, AssertionError)):
        Backwards().test_results_are_in_the_order_of_the_items()
    with pytest.raises(NotImplementedError, match="make_executor"):
        ExecutorContract().make_executor()
