"""The executor that takes the place of the standard library's, with real worker processes."""

from __future__ import annotations

import concurrent.futures
import functools
import gc
import inspect
import itertools
import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoexec import Failure, NotPicklable, RemoteTraceback, WorkerDied, _thread_cache, run_parallel
from autoexec._calls import Calls, InitializerFailed, NoWorkers
from autoexec._chunk import Block, Chunk
from autoexec._futures import ProcessPoolExecutor
from autoexec._pool import outlet
from autoexec._pool import pool as pools
from autoexec._pool import worker as workers
from autoexec._pool.job import Job
from autoexec._pool.worker import Worker
from autoexec._worker import frames

WAIT_S = 60.0
"""For what must happen: never waited for in full unless something is broken."""


def square(x: int) -> int:
    return x * x


def hold_the_gil(_: object) -> int:
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        sum(range(10))
    return sum(range(10))


def pid_of(_: object = None) -> int:
    return os.getpid()


def describe(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def fail(text: str) -> None:
    raise ValueError(text)


def fail_on_three(x: int) -> int:
    if x == 3:
        raise ValueError("three")
    return x


def die(_: object = None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(3)


def hold(folder: Path, name: str = "hold") -> int:
    """Say that it has begun, and by whom, then wait until it may end."""
    part = folder / f"{name}.part"
    part.write_text(str(os.getpid()))
    part.rename(folder / f"{name}.begun")
    wait_for((folder / f"{name}.go").exists)
    return os.getpid()


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def holder(folder: Path, name: str = "hold") -> int:
    """The process that runs a call of `hold`, once it does."""
    wait_for((folder / f"{name}.begun").exists)
    return int((folder / f"{name}.begun").read_text())


def release(folder: Path, name: str = "hold") -> None:
    (folder / f"{name}.go").touch()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Sender:
    """Fails on its way to a worker."""

    def __reduce__(self) -> Any:
        raise RuntimeError("it does not want to travel")


class Large:
    """Its memory goes beside the pickle, and arrives as bytes or as a bytearray."""

    def __init__(self, memory: bytearray, readonly: bool) -> None:
        self._memory = memory
        self._readonly = readonly

    def __reduce_ex__(self, protocol: Any) -> Any:
        view = memoryview(self._memory)
        return _itself, (pickle.PickleBuffer(view.toreadonly() if self._readonly else view),)


def _itself(value: Any) -> Any:
    return value


class Unreadable:
    """Fails as a worker reads it."""

    def __reduce__(self) -> Any:
        return int, ("not a number",)


@pytest.fixture
def executor() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2) as executor:
        yield executor


def run_script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    script = folder / "script.py"
    script.write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


# --- Calls -------------------------------------------------------------------------------------------


def test_a_call_runs_in_another_process(executor: ProcessPoolExecutor) -> None:
    assert executor.submit(pid_of).result(WAIT_S) != os.getpid()


def test_it_is_an_executor_of_the_standard_library(executor: ProcessPoolExecutor) -> None:
    assert isinstance(executor, concurrent.futures.Executor)
    futures = [executor.submit(square, i) for i in range(20)]
    done = {future.result() for future in concurrent.futures.as_completed(futures, WAIT_S)}
    assert done == {i * i for i in range(20)}


def test_arguments_and_keyword_arguments_arrive(executor: ProcessPoolExecutor) -> None:
    future = executor.submit(describe, 1, "b", fn=2, self=3, chunk=4)
    assert future.result(WAIT_S) == ((1, "b"), {"fn": 2, "self": 3, "chunk": 4})


def test_the_arguments_are_as_they_were_when_the_call_was_submitted(
    executor: ProcessPoolExecutor,
) -> None:
    values = [1]
    future = executor.submit(describe, values)
    values.append(2)
    assert future.result(WAIT_S) == (([1],), {})


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_large_arguments_too_are_as_they_were_when_the_call_was_submitted(
    tmp_path: Path, kind: Callable[[bytes], bytes | bytearray]
) -> None:
    memory = bytearray(1 << 20)
    with ProcessPoolExecutor(1) as executor:
        executor.submit(hold, tmp_path)
        holder(tmp_path)
        future = executor.submit(describe, Large(memory, readonly=kind is bytes))
        memory[0] = 1
        memory.append(1)  # nobody has a view of it
        release(tmp_path)
        assert future.result(WAIT_S) == ((kind(bytes(1 << 20)),), {})
        assert type(future.result()[0][0]) is kind


def test_an_array_keeps_its_order(executor: ProcessPoolExecutor) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.asfortranarray(numpy.arange(90_000.0).reshape(300, 300))
    (arrived,), _ = executor.submit(describe, array).result(WAIT_S)
    assert (arrived == array).all()


@pytest.mark.parametrize("size", [0, 1 << 16, 10 << 20])
def test_large_bytes_go_there_and_back(executor: ProcessPoolExecutor, size: int) -> None:
    data = bytes(size)
    array = bytearray(data)
    assert executor.submit(describe, data, array).result(WAIT_S) == ((data, array), {})


def test_a_lambda_and_a_closure_can_be_called(executor: ProcessPoolExecutor) -> None:
    factor = 7

    def scale(x: int) -> int:
        return factor * x

    assert executor.submit(lambda x: x + 1, 1).result(WAIT_S) == 2
    assert executor.submit(scale, 6).result(WAIT_S) == 42
    factor = 8
    assert executor.submit(scale, 6).result(WAIT_S) == 48


def test_an_error_comes_home_with_the_traceback_of_the_worker(
    executor: ProcessPoolExecutor,
) -> None:
    error = executor.submit(fail, "oops").exception(WAIT_S)
    assert isinstance(error, ValueError)
    assert error.args == ("oops",)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "in fail" in str(error.__cause__)


def test_an_exit_in_a_call_is_that_calls_error(executor: ProcessPoolExecutor) -> None:
    assert isinstance(executor.submit(sys.exit, 4).exception(WAIT_S), SystemExit)
    assert executor.submit(square, 3).result(WAIT_S) == 9


def test_what_cannot_be_pickled_fails_its_own_future_only(executor: ProcessPoolExecutor) -> None:
    before = executor.submit(square, 2)
    bad = executor.submit(describe, threading.Lock())
    rude = executor.submit(describe, Sender())
    after = executor.submit(square, 3)
    assert isinstance(bad.exception(WAIT_S), NotPicklable)
    assert isinstance(rude.exception(WAIT_S), NotPicklable)
    assert "does not want to travel" in str(rude.exception())
    assert (before.result(WAIT_S), after.result(WAIT_S)) == (4, 9)


def lock_of(x: int) -> Any:
    return threading.Lock()


def test_errors_speak_of_calls(executor: ProcessPoolExecutor) -> None:
    dying = executor.submit(leave).exception(timeout=WAIT_S)
    assert str(dying) == (
        "A worker process exited with code 3 while it ran the call leave(). The other calls are not affected."
        " To see what it does, make that call directly in a process that may end."
    )
    locked = executor.submit(id, threading.Lock()).exception(timeout=WAIT_S)
    assert isinstance(locked, NotPicklable)
    assert str(locked).startswith("The call id(<unlocked _thread.lock object")
    assert str(locked).endswith(
        "cannot travel to a worker process: cannot pickle '_thread.lock' object. Pass what can be pickled, or"
        " use a ThreadPoolExecutor."
    )
    returned = executor.submit(lock_of, 1).exception(timeout=WAIT_S)
    assert "ThreadPoolExecutor" in str(returned)
    with pytest.raises(WorkerDied, match=r"while it ran the call die\(1\) and 1 more\. "):
        list(executor.map(die, [1, 2], chunksize=2))


def test_an_error_of_a_run_on_it_speaks_of_what_is_the_runs(executor: ProcessPoolExecutor) -> None:
    with pytest.raises(
        NotPicklable, match=r"^\[<unlocked _thread.lock .* cannot travel .*Executor\)\.\n"
    ):
        run_parallel(id, [threading.Lock()], backend=executor)


def test_what_the_worker_cannot_read_fails_its_own_future_only(
    executor: ProcessPoolExecutor,
) -> None:
    bad = executor.submit(describe, Unreadable())
    assert isinstance(bad.exception(WAIT_S), ValueError)
    assert executor.submit(square, 3).result(WAIT_S) == 9


def test_a_result_that_cannot_be_pickled_fails_its_own_future_only(
    executor: ProcessPoolExecutor,
) -> None:
    assert isinstance(executor.submit(threading.Lock).exception(WAIT_S), NotPicklable)
    assert executor.submit(square, 3).result(WAIT_S) == 9


def test_calls_are_submitted_from_several_threads(executor: ProcessPoolExecutor) -> None:
    found: dict[int, list[int]] = {}

    def work(first: int) -> None:
        futures = [executor.submit(square, i) for i in range(first, first + 50)]
        found[first] = [future.result(WAIT_S) for future in futures]

    threads = [threading.Thread(target=work, args=(i * 50,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i * 50: [x * x for x in range(i * 50, i * 50 + 50)] for i in range(8)}


def test_a_callback_of_a_future_submits_the_next_call(executor: ProcessPoolExecutor) -> None:
    last: Future[int] = Future()

    def go_on(future: Future[int]) -> None:
        x = future.result()
        if x > 1000:
            last.set_result(x)
        else:
            executor.submit(square, x).add_done_callback(go_on)

    executor.submit(square, 2).add_done_callback(go_on)
    assert last.result(WAIT_S) == 65536


def test_a_callback_may_wait_for_the_submissions_of_another_thread(
    executor: ProcessPoolExecutor,
) -> None:
    """So it has none of the locks that they need."""
    submitted = threading.Event()
    seen: list[bool] = []
    other: list[Future[int]] = []

    def submit_there() -> None:
        other.append(executor.submit(square, 3))
        submitted.set()

    def callback(_: Future[int]) -> None:
        threading.Thread(target=submit_there).start()
        seen.append(submitted.wait(WAIT_S))

    executor.submit(square, 2).add_done_callback(callback)
    wait_for(lambda: seen)
    assert seen == [True]
    assert other[0].result(WAIT_S) == 9


def test_a_callback_that_exits_ends_nothing_but_itself(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with ProcessPoolExecutor(1) as executor:
        # Of a call that is over, it would run on this thread.
        executor.submit(hold, tmp_path).add_done_callback(lambda _: sys.exit(1))
        release(tmp_path)
        assert executor.submit(square, 3).result(WAIT_S) == 9
    assert "callback" in caplog.text


def test_no_more_workers_start_than_there_are_calls() -> None:
    with ProcessPoolExecutor(8) as executor:
        pids = {executor.submit(pid_of).result(WAIT_S) for _ in range(10)}
    assert len(pids) == 1


def test_calls_have_workers_though_a_ctrl_c_came_as_the_first_was_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupts = [signal.SIGINT]
    start = Worker.__init__

    def interrupt(worker: Worker, *args: Any) -> None:
        if interrupts:
            signal.raise_signal(interrupts.pop())
        start(worker, *args)

    monkeypatch.setattr(Worker, "__init__", interrupt)
    executor = ProcessPoolExecutor(2)
    try:
        with pytest.raises(KeyboardInterrupt):
            executor.submit(square, 2)
        assert executor.submit(square, 3).result(timeout=WAIT_S) == 9
    finally:
        executor.kill_workers()


def test_shutdown_does_not_wait_for_a_call_whose_submit_was_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupts = [signal.SIGINT]

    class Interrupted(set[Calls]):
        def add(self, calls: Calls) -> None:
            super().add(calls)
            if interrupts:
                signal.raise_signal(interrupts.pop())

    monkeypatch.setattr("autoexec._calls._open", Interrupted())
    executor = ProcessPoolExecutor(1)
    with pytest.raises(KeyboardInterrupt):
        executor.submit(square, 2)
    ending = threading.Thread(target=executor.shutdown, daemon=True)
    ending.start()
    ending.join(WAIT_S)
    assert not ending.is_alive()


def test_calls_run_side_by_side(executor: ProcessPoolExecutor, tmp_path: Path) -> None:
    futures = [executor.submit(hold, tmp_path, name) for name in "ab"]
    pids = {holder(tmp_path, name) for name in "ab"}
    for name in "ab":
        release(tmp_path, name)
    assert {future.result(WAIT_S) for future in futures} == pids
    assert len(pids) == 2


# --- Cancelling --------------------------------------------------------------------------------------


def test_a_call_can_be_cancelled_until_a_worker_has_it(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1) as executor:
        running = executor.submit(hold, tmp_path)
        holder(tmp_path)
        waiting = executor.submit(square, 2)
        last = executor.submit(square, 3)
        assert running.running()
        assert not running.cancel()
        assert waiting.cancel()
        release(tmp_path)
        assert last.result(WAIT_S) == 9
        # Those who wait for it hear of it, too.
        done, _ = concurrent.futures.wait([running, waiting], WAIT_S)
        assert done == {running, waiting}
    with pytest.raises(CancelledError):
        waiting.result()


# --- Deaths ------------------------------------------------------------------------------------------


def test_a_workers_death_fails_the_call_that_it_ran_and_no_other(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2) as executor:
        victim = executor.submit(hold, tmp_path, name="victim")
        others = [executor.submit(square, i) for i in range(50)]
        os.kill(holder(tmp_path, "victim"), signal.SIGKILL)
        error = victim.exception(WAIT_S)
        others += [executor.submit(square, i) for i in range(50, 100)]
        assert [other.result(WAIT_S) for other in others] == [i * i for i in range(100)]
    assert isinstance(error, WorkerDied)
    assert "SIGKILL" in str(error)
    assert "hold(" in str(error) and "name='victim'" in str(error)


def test_the_dead_are_replaced_however_many_there_are(executor: ProcessPoolExecutor) -> None:
    deadly = [executor.submit(die) for _ in range(6)]
    fine = [executor.submit(square, i) for i in range(6)]
    assert all(isinstance(future.exception(WAIT_S), WorkerDied) for future in deadly)
    assert [future.result(WAIT_S) for future in fine] == [i * i for i in range(6)]


def test_a_worker_that_dies_idle_is_replaced() -> None:
    with ProcessPoolExecutor(1) as executor:
        pid = executor.submit(pid_of).result(WAIT_S)
        os.kill(pid, signal.SIGKILL)
        assert executor.submit(pid_of).result(WAIT_S) != pid


def test_a_call_that_its_worker_had_not_started_goes_to_another() -> None:
    with ProcessPoolExecutor(1) as executor:
        pid = executor.submit(pid_of).result(WAIT_S)
        os.kill(pid, signal.SIGSTOP)
        future = executor.submit(pid_of)
        wait_for(future.running)
        os.kill(pid, signal.SIGKILL)
        assert future.result(WAIT_S) != pid


def end_at_the_first_call() -> None:
    """As a worker ends that has no memory for what it receives."""
    from autoexec._worker import frames, main

    read = frames.read_frame

    def read_or_end(pipe: Any) -> Any:
        message = read(pipe)
        if message[0] == "chunk":
            os._exit(3)
        return message

    setattr(main, "read_frame", read_or_end)  # noqa: B010  # it is not the module's own


def test_a_call_that_ends_each_worker_before_it_starts_is_given_up() -> None:
    with ProcessPoolExecutor(1, initializer=end_at_the_first_call) as executor:
        error = executor.submit(square, 2).exception(WAIT_S)
    assert isinstance(error, WorkerDied)
    assert "square(2)" in str(error)


def test_without_threads_a_large_call_goes_to_a_worker_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What does not fit into the pipe is written by a thread, of which there is none at first."""
    starts: list[str] = []

    def start(job: Callable[[], None], name: str) -> None:
        starts.append(name)
        if len(starts) == 1:
            raise RuntimeError("can't start new thread")
        _thread_cache.start(job, name)

    monkeypatch.setattr(outlet, "_thread_cache", SimpleNamespace(start=start))
    with ProcessPoolExecutor(1) as executor:
        futures = [executor.submit(len, bytes(3_000_000)) for _ in range(3)]
        assert [future.result(WAIT_S) for future in futures] == [3_000_000] * 3
    assert len(starts) > 1


@pytest.mark.parametrize("backend", ["auto", "processes"])
def test_what_there_is_no_memory_for_to_send_has_an_error_or_runs_here(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[int] = []

    def frame(message: tuple[Any, ...]) -> list[bytes | memoryview]:
        if message[0] == "chunk" and len(failed) < 2:
            failed.append(1)
            raise MemoryError
        return frames.frame(message)

    monkeypatch.setattr(workers, "frame", frame)
    results = run_parallel(hold_the_gil, range(60), backend=backend, on_error="return")
    assert len(failed) == 2
    errors = [one.exception for one in results if isinstance(one, Failure)]
    assert all(isinstance(error, NotPicklable) for error in errors)
    assert len(errors) == (2 if backend == "processes" else 0)
    assert [one for one in results if not isinstance(one, Failure)].count(45) == 60 - len(errors)


# --- max_tasks_per_child ------------------------------------------------------------------------------


def test_without_a_thread_that_starts_it_a_worker_is_replaced_once_it_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(job: Callable[[], None], name: str) -> None:
        if name == "autoexec-start":
            raise RuntimeError("can't start new thread")
        _thread_cache.start(job, name)

    monkeypatch.setattr(
        pools, "_thread_cache", SimpleNamespace(start=start, shield=_thread_cache.shield)
    )
    with ProcessPoolExecutor(2, max_tasks_per_child=1) as executor:
        pids = list(executor.map(pid_of, range(6), timeout=WAIT_S))
    assert len(set(pids)) == 6


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_are_replaced_after_so_many_calls(workers: int) -> None:
    with ProcessPoolExecutor(workers, max_tasks_per_child=2) as executor:
        pids = list(executor.map(pid_of, range(8)))
    assert all(pids.count(pid) <= 2 for pid in pids)
    assert len(set(pids)) >= 4


def test_workers_are_replaced_while_they_die_as_well() -> None:
    with ProcessPoolExecutor(2, max_tasks_per_child=2) as executor:
        deadly = [executor.submit(die) for _ in range(5)]
        fine = [executor.submit(square, i) for i in range(10)]
        assert all(isinstance(future.exception(WAIT_S), WorkerDied) for future in deadly)
        assert [future.result(WAIT_S) for future in fine] == [i * i for i in range(10)]


# --- Initializers ------------------------------------------------------------------------------------

_state: list[int] = []


def set_state(*values: int) -> None:
    _state.extend(values)


def state(_: object = None) -> list[int]:
    return _state


def test_the_initializer_runs_once_in_each_worker() -> None:
    with ProcessPoolExecutor(2, initializer=set_state, initargs=(1, 2)) as executor:
        assert list(executor.map(state, range(20))) == [[1, 2]] * 20
        assert isinstance(executor.submit(die).exception(WAIT_S), WorkerDied)
        assert list(executor.map(state, range(20))) == [[1, 2]] * 20
    assert _state == []


def test_an_initializer_that_raises_fails_every_call_with_its_error() -> None:
    with ProcessPoolExecutor(2, initializer=fail, initargs=("no database",)) as executor:
        futures = [executor.submit(square, 1)]
        try:
            futures += [executor.submit(square, i) for i in range(50)]
        except InitializerFailed:
            pass  # it may be known already
        for future in futures:
            error = future.exception(WAIT_S)
            assert isinstance(error, InitializerFailed) and isinstance(error, BrokenExecutor)
            assert "no database" in str(error)
            assert isinstance(error.__cause__, ValueError)
            assert "in fail" in str(error.__cause__.__cause__)
        with pytest.raises(InitializerFailed, match="no database"):
            executor.submit(square, 1)
        with pytest.raises(InitializerFailed, match="no database"):
            executor.map(square, [1])


def test_an_initializer_that_ends_its_process_fails_every_call() -> None:
    with ProcessPoolExecutor(1, initializer=leave) as executor:
        error = executor.submit(square, 1).exception(WAIT_S)
        assert isinstance(error, NoWorkers) and isinstance(error, BrokenExecutor)
        # The second if it was gone before it was counted in.
        assert "exited with code 3" in str(error) or "ended as it started" in str(error)
        with pytest.raises(NoWorkers):
            executor.submit(square, 1)


def test_an_initializer_that_cannot_be_pickled_is_refused() -> None:
    with pytest.raises(NotPicklable):
        ProcessPoolExecutor(initializer=set_state, initargs=(threading.Lock(),))


def test_calls_of_the_main_program_see_what_its_initializer_set(tmp_path: Path) -> None:
    run = run_script(
        tmp_path,
        """
        import functools
        from autoexec._futures import ProcessPoolExecutor

        model, cache, limit = None, {}, 10

        def load(name):
            global model
            model = name
            cache["size"] = len(name)

        def helper(): return model, cache["size"], limit
        def work(x): return x, helper()

        class Worker:
            def __call__(self, x): return work(x)
            def run(self, x): return work(x)

        with ProcessPoolExecutor(1, initializer=load, initargs=("bert",)) as executor:
            tasks = [work, functools.partial(work), Worker(), Worker().run]
            assert [executor.submit(task, 1).result() for task in tasks] == [(1, ("bert", 4, 10))] * 4
            limit = 11
            assert list(executor.map(work, [1], chunksize=2)) == [(1, ("bert", 4, 11))]
        print("done")
        """,
    )
    assert (run.stdout, run.stderr) == ("done\n", "")


# --- map ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 3, 100])
@pytest.mark.parametrize("buffersize", [None, 1, 4])
def test_map_gives_results_in_order(
    executor: ProcessPoolExecutor, chunksize: int, buffersize: int | None
) -> None:
    results = executor.map(pow, range(20), [2] * 30, chunksize=chunksize, buffersize=buffersize)
    assert list(results) == [i * i for i in range(20)]


def test_map_of_nothing_is_nothing(executor: ProcessPoolExecutor) -> None:
    assert list(executor.map(square, [])) == []
    assert list(executor.map(square)) == []  # no iterables


def test_map_sends_a_group_of_calls_to_one_worker(executor: ProcessPoolExecutor) -> None:
    pids = list(executor.map(pid_of, range(30), chunksize=10))
    assert all(len(set(pids[i : i + 10])) == 1 for i in range(0, 30, 10))


def test_map_starts_at_once_and_reads_all_of_its_input(executor: ProcessPoolExecutor) -> None:
    read = iter(range(5))
    results = executor.map(square, read)
    assert next(read, None) is None
    assert list(results) == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("chunksize", [1, 3])
def test_map_with_a_buffer_takes_no_more_than_it_holds_of_an_endless_input(
    executor: ProcessPoolExecutor, chunksize: int
) -> None:
    read = itertools.count()
    results = executor.map(square, read, chunksize=chunksize, buffersize=4)
    assert next(read) == 4 * chunksize
    assert next(results) == 0
    assert next(read) == 5 * chunksize + 1
    assert [next(results) for _ in range(chunksize - 1)] == [
        i * i for i in range(1, chunksize)
    ]  # these were there
    assert next(read) == 5 * chunksize + 2


def test_map_raises_the_error_of_a_call_in_its_place(executor: ProcessPoolExecutor) -> None:
    results = executor.map(fail_on_three, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert next(results, None) is None


def test_map_times_out_and_cancels_what_waits(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1) as executor:
        executor.submit(pid_of).result()  # a worker is there, so that it has the first at once
        results = executor.map(hold, [tmp_path] * 3, "abc", timeout=0.2)
        with pytest.raises(TimeoutError):
            next(results)
        holder(tmp_path, "a")
        release(tmp_path, "a")
    assert not (tmp_path / "b.begun").exists()


def test_results_that_are_not_taken_cancel_their_calls(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1) as executor:
        results = executor.map(hold, [tmp_path] * 3, "abc")
        holder(tmp_path, "a")
        release(tmp_path, "a")
        next(results)
        del results
        release(tmp_path, "b")  # only now, since the worker would begin the third after it
    assert not (tmp_path / "c.begun").exists()


def test_map_does_not_keep_an_executor_that_was_dropped() -> None:
    executor = ProcessPoolExecutor(1)
    gone = weakref.ref(executor)
    results = executor.map(square, itertools.count(), buffersize=2)
    del executor
    gc.collect()
    assert gone() is None
    assert list(results) == [0, 1]


# --- Arguments ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be at least 1"),
        ({"max_workers": 1.5}, TypeError, "max_workers must be a whole number"),
        ({"max_workers": True}, TypeError, "max_workers must be a whole number"),
        ({"max_tasks_per_child": 0}, ValueError, "max_tasks_per_child must be at least 1"),
        ({"max_tasks_per_child": "2"}, TypeError, "max_tasks_per_child must be a whole number"),
        ({"initializer": 3}, TypeError, "initializer must be callable"),
        ({"initializer": print, "initargs": 3}, TypeError, "initargs must be a tuple"),
        ({"mp_context": object()}, ValueError, "workers are always fresh interpreters"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        ProcessPoolExecutor(**arguments)


@pytest.mark.parametrize("name", ["chunksize", "buffersize"])
def test_wrong_numbers_are_refused_by_map(executor: ProcessPoolExecutor, name: str) -> None:
    wrong: Any
    for wrong, kind in ((0, ValueError), (-1, ValueError), ("2", TypeError), (2.0, TypeError)):
        with pytest.raises(kind, match=f"{name} must be"):
            executor.map(square, [1], **{name: wrong})


def test_the_standard_arguments_are_taken() -> None:
    with ProcessPoolExecutor(
        max_workers=1, mp_context=None, initializer=None, initargs=(), max_tasks_per_child=None
    ) as executor:
        assert executor.submit(square, 2).result(WAIT_S) == 4


def test_the_standard_arguments_are_taken_by_position() -> None:
    with ProcessPoolExecutor(1, None, set_state, (1, 2)) as executor:
        assert executor.submit(state).result(WAIT_S) == [1, 2]
    standard: Any = concurrent.futures.ProcessPoolExecutor
    by_position = [
        [
            name
            for name, its in inspect.signature(kind).parameters.items()
            if its.kind != its.KEYWORD_ONLY
        ]
        for kind in (ProcessPoolExecutor, standard)
    ]
    assert by_position[0] == by_position[1]


# --- Shutdown ----------------------------------------------------------------------------------------


def test_after_shutdown_nothing_can_be_submitted() -> None:
    executor = ProcessPoolExecutor(1)
    executor.shutdown()
    executor.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(square, 1)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.map(square, [1])


def test_shutdown_waits_for_all_futures_and_their_callbacks_then_ends_the_workers() -> None:
    seen: list[int] = []
    executor = ProcessPoolExecutor(2)
    pids = [executor.submit(pid_of) for _ in range(10)]
    for future in pids:
        future.add_done_callback(lambda done: seen.append(done.result()))
    executor.shutdown()
    assert sorted(seen) == sorted(future.result(0) for future in pids)
    assert not any(is_alive(pid) for pid in seen)


def test_shutdown_without_waiting_lets_the_calls_run_and_then_ends_the_workers(
    tmp_path: Path,
) -> None:
    executor = ProcessPoolExecutor(1)
    first = executor.submit(hold, tmp_path)
    rest = [executor.submit(pid_of) for _ in range(10)]
    pid = holder(tmp_path)
    executor.shutdown(wait=False)
    assert not first.done()
    with pytest.raises(RuntimeError):
        executor.submit(square, 1)
    release(tmp_path)
    assert {future.result(WAIT_S) for future in rest} == {pid}
    wait_for(lambda: not is_alive(pid))


def test_shutdown_cancels_what_no_worker_has_if_asked(tmp_path: Path) -> None:
    executor = ProcessPoolExecutor(1)
    first = executor.submit(hold, tmp_path)
    rest = [executor.submit(pid_of) for _ in range(10)]
    pid = holder(tmp_path)
    executor.shutdown(wait=False, cancel_futures=True)
    assert concurrent.futures.wait(rest, WAIT_S).done == set(rest)
    assert all(future.cancelled() for future in rest)
    release(tmp_path)
    executor.shutdown()
    assert first.result(0) == pid
    assert not is_alive(pid)


@pytest.mark.parametrize("how", ["kill_workers", "terminate_workers"])
def test_workers_are_ended_in_their_calls_if_asked(tmp_path: Path, how: str) -> None:
    executor = ProcessPoolExecutor(1)
    running = executor.submit(hold, tmp_path)
    waiting = executor.submit(square, 2)
    pid = holder(tmp_path)
    getattr(executor, how)()
    assert waiting.cancelled()
    assert isinstance(running.exception(WAIT_S), WorkerDied)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(square, 3)
    executor.shutdown()
    assert not is_alive(pid)


@pytest.mark.parametrize("how", ["kill_workers", "terminate_workers"])
def test_workers_that_only_wait_are_ended_if_asked(how: str) -> None:
    executor = ProcessPoolExecutor(1)
    pid = executor.submit(pid_of).result(WAIT_S)
    getattr(executor, how)()
    getattr(executor, how)()
    wait_for(lambda: not is_alive(pid))


class Books:
    """A pool without workers."""

    def __init__(self) -> None:
        self.given: list[Chunk] = []

    def begin(self, job: Job, workers: int) -> None:
        self.job = job

    def submit(self, job: Job, chunks: list[Chunk]) -> None:
        self.given += chunks

    def finish(self, job: Job, *, abandon: bool) -> None:
        job.over = True

    def shutdown(self) -> None:
        """There are none to end."""


def test_a_call_that_came_back_and_waits_for_another_worker_is_not_forgotten_at_the_end() -> None:
    """It was running once, so its future cannot be cancelled."""
    books: Any = Books()
    calls = Calls(books, 1)
    future = calls.submit(square, (2,), {})
    assert books.job.admit(books.given[0])
    books.job.sink([Block.end_of(books.given[0])])
    assert future.running() and len(books.given) == 2
    calls.abandon()
    with pytest.raises(CancelledError):
        future.result(0)


def test_shutdown_ends_workers_that_only_wait() -> None:
    executor = ProcessPoolExecutor(1)
    pid = executor.submit(pid_of).result(WAIT_S)
    executor.shutdown(wait=False)
    wait_for(lambda: not is_alive(pid))


def test_a_callback_cannot_wait_for_the_shutdown(
    executor: ProcessPoolExecutor, tmp_path: Path
) -> None:
    errors: list[BaseException] = []

    def callback(_: Future[int]) -> None:
        try:
            executor.shutdown()
        except RuntimeError as error:
            errors.append(error)

    executor.submit(hold, tmp_path).add_done_callback(callback)
    release(tmp_path)  # only now, since the callback of a call that is over runs on this thread
    wait_for(lambda: errors)
    assert "cannot wait" in str(errors[0])


def test_an_executor_that_is_dropped_runs_its_calls_and_ends_its_workers(tmp_path: Path) -> None:
    executor = ProcessPoolExecutor(1)
    first = executor.submit(hold, tmp_path)
    last = executor.submit(pid_of)
    pid = holder(tmp_path)
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert gone() is None
    release(tmp_path)
    assert first.result(WAIT_S) == last.result(WAIT_S) == pid
    wait_for(lambda: not is_alive(pid))


def test_an_executor_that_is_dropped_idle_ends_its_workers() -> None:
    executor = ProcessPoolExecutor(1)
    pid = executor.submit(pid_of).result(WAIT_S)
    del executor
    gc.collect()
    wait_for(lambda: not is_alive(pid))


def test_a_future_that_is_done_keeps_neither_arguments_nor_result_alive(
    executor: ProcessPoolExecutor,
) -> None:
    argument = Thing()
    kept = weakref.ref(argument)
    future = executor.submit(make_thing, argument)
    result = weakref.ref(future.result(WAIT_S))
    del future, argument

    def all_gone() -> bool:
        gc.collect()
        return kept() is None and result() is None

    wait_for(all_gone)


class Thing:
    pass


def make_thing(_: object) -> Thing:
    return Thing()


# --- The end of the program --------------------------------------------------------------------------

WORK = """
import os, sys, time
from autoexec._futures import ProcessPoolExecutor

def work(x):
    time.sleep(0.05)
    return x

def show(future):
    sys.stdout.write(f"{future.result()}\\n")  # in one piece: callbacks run on several threads
    sys.stdout.flush()
"""


@pytest.mark.parametrize("then", ["", "del executor", "executor.shutdown(wait=False)"])
def test_a_program_that_ends_waits_for_its_futures(tmp_path: Path, then: str) -> None:
    run = run_script(
        tmp_path,
        WORK
        + textwrap.dedent(f"""
        executor = ProcessPoolExecutor(2)
        for x in range(10):
            executor.submit(work, x).add_done_callback(show)
        {then}
        """),
    )
    assert run.stderr == ""
    assert sorted(map(int, run.stdout.split())) == list(range(10))


@pytest.mark.skipif(
    (3, 12, 0) <= sys.version_info < (3, 12, 3),
    reason="These versions start no threads at exit, so no worker can be replaced then.",
)
def test_workers_are_replaced_as_a_program_ends(tmp_path: Path) -> None:
    run = run_script(
        tmp_path,
        WORK
        + textwrap.dedent("""
        executor = ProcessPoolExecutor(2, max_tasks_per_child=1)
        for x in range(10):
            executor.submit(work, x).add_done_callback(show)
        """),
    )
    assert run.stderr == ""
    assert sorted(map(int, run.stdout.split())) == list(range(10))


def test_a_callback_at_the_end_of_the_program_can_submit_no_more(tmp_path: Path) -> None:
    run = run_script(
        tmp_path,
        WORK
        + textwrap.dedent("""
        from pathlib import Path
        from autoexec import _calls

        def wait(gate):
            while not gate.exists():
                time.sleep(0.01)

        def more(future):
            while not _calls._exiting:
                time.sleep(0.01)
            try:
                executor.submit(work, 2)
            except RuntimeError as error:
                print(error, flush=True)

        gate = Path(__file__).with_name("gate")
        executor = ProcessPoolExecutor(1)
        executor.submit(wait, gate).add_done_callback(more)
        gate.touch()  # only now, since the callback of a call that is over runs on this thread
        """),
    )
    assert run.stderr == ""
    assert run.stdout == "cannot schedule new futures after interpreter shutdown\n"


def test_a_program_ends_with_executors_that_were_shut_down_or_never_used(tmp_path: Path) -> None:
    run = run_script(
        tmp_path,
        WORK
        + textwrap.dedent("""
        unused = ProcessPoolExecutor(2)
        left = ProcessPoolExecutor(2)
        left.submit(work, 1).add_done_callback(show)
        left.shutdown(wait=False)
        with ProcessPoolExecutor(2) as executor:
            executor.submit(work, 2).result()
        """),
    )
    assert (run.stdout, run.stderr) == ("1\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="This system cannot fork.")
def test_a_forked_child_leaves_its_parents_calls_alone(tmp_path: Path) -> None:
    run = run_script(
        tmp_path,
        WORK.replace("0.05", "0.5")
        + textwrap.dedent("""
        import warnings
        warnings.simplefilter("ignore")
        executor = ProcessPoolExecutor(1)
        future = executor.submit(work, 1)
        child = os.fork()
        if child == 0:
            try:
                executor.submit(work, 2)
            except Exception as error:
                print(type(error).__name__, flush=True)
            executor.shutdown()
            del executor
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        print(future.result())
        """),
    )
    assert (run.stdout, run.stderr) == ("NoWorkers\n1\n", "")


def test_no_worker_outlives_its_program(tmp_path: Path) -> None:
    run = run_script(
        tmp_path,
        WORK
        + textwrap.dedent("""
        executor = ProcessPoolExecutor(2)
        print(*{executor.submit(os.getpid).result() for _ in range(4)}, flush=True)
        executor.submit(time.sleep, 1000)
        os._exit(0)
        """),
    )
    assert run.stderr == ""
    wait_for(lambda: not any(is_alive(int(pid)) for pid in run.stdout.split()))


def test_partial_functions_and_methods_can_be_called(executor: ProcessPoolExecutor) -> None:
    assert executor.submit(functools.partial(pow, 2), 5).result(WAIT_S) == 32
    assert executor.submit("a,b".split, ",").result(WAIT_S) == ["a", "b"]


def test_a_run_that_uses_it_counts_calls_for_the_end_of_a_worker_one_by_one() -> None:
    with ProcessPoolExecutor(1, max_tasks_per_child=2) as executor:
        pids = run_parallel(pid_of_worker, range(12), backend=executor)
    assert max(Counter(pids).values()) <= 2


def pid_of_worker(_: int) -> int:
    return os.getpid()


# --- Where it is used -----------------------------------------------------------------------------------


def test_a_run_uses_as_many_at_once_as_it_has() -> None:
    with ProcessPoolExecutor(5) as executor:
        assert run_parallel(square, range(10), backend=executor).report.plan.workers == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_one_that_was_made_before_a_fork_and_is_first_used_after_it_ends_its_workers() -> None:
    program = """
    import os
    from autoexec import ProcessPoolExecutor

    executor = ProcessPoolExecutor(1)
    if os.fork() == 0:
        pid = executor.submit(os.getpid).result(30)
        executor.shutdown()
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            os._exit(0)
        os._exit(1)
    raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    assert subprocess.run(command, timeout=WAIT_S).returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.skipif(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="it is ignored here")
def test_what_a_call_starts_can_be_interrupted() -> None:
    def interrupted(_: object) -> int:
        with subprocess.Popen(["sleep", "60"]) as child:
            child.send_signal(signal.SIGINT)
            return child.wait()

    assert run_parallel(interrupted, [0], backend="processes") == [-signal.SIGINT]


def test_a_handler_of_what_a_worker_logs_may_leave() -> None:
    class Leaves(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            sys.exit(1)

    def warn(item: int) -> int:
        logging.getLogger("leaves").critical("enough")
        return item

    logging.getLogger("leaves").addHandler(leaves := Leaves())
    try:
        assert run_parallel(warn, range(3), backend="processes") == [0, 1, 2]
    finally:
        logging.getLogger("leaves").removeHandler(leaves)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is like that in any case")
@pytest.mark.parametrize("refused", [True, False])
def test_where_there_is_no_nameless_memory_a_file_will_do(
    refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError("vm.memfd_noexec")

    if refused:
        monkeypatch.setattr(os, "memfd_create", refuse)
    else:
        monkeypatch.delattr(os, "memfd_create")
    with ProcessPoolExecutor(1) as executor:
        assert executor.submit(square, 3).result(WAIT_S) == 9
        assert isinstance(executor.submit(die).exception(WAIT_S), WorkerDied)
