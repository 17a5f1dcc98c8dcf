"""What holds on clusters beyond what the tests of each executor and each option show."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clusters
import pytest

from autoexec import (
    AutoexecError,
    DeadlineExceeded,
    Failure,
    _batches,
    arun_parallel,
    item_seed,
    iter_parallel,
    run_parallel,
)
from autoexec._errors import NotPicklable
from autoexec._pickling import dumps, loads
from autoexec._worker.batch import Answer, Batch, Recipe

ENGINES = ["dask", "ray"]


def double(x: int) -> int:
    return x * 2


def place(_: int) -> int:
    return os.getpid()


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("it stays")


class Unreadable:
    def __reduce__(self) -> Any:
        return _raise, ("it is broken",)


def _raise(text: str) -> None:
    raise ValueError(text)


def is_plain(item: Any) -> bool:
    return isinstance(item, int)


def unpicklable_three(x: int) -> Any:
    return Unpicklable() if x == 3 else x


@pytest.mark.parametrize("backend", ENGINES)
class TestEveryEngine:
    def test_the_first_calls_run_here_and_the_others_there(self, backend: Any) -> None:
        results = run_parallel(place, range(200), backend=backend)
        here = [i for i, pid in enumerate(results) if pid == os.getpid()]
        # Those that run here while the cluster has its first batch may come from behind that.
        assert here[0] == 0
        assert len(here) < 200
        assert results.report.ran["threads"] == len(here)
        assert results.report.ran[backend] == 200 - len(here)
        assert f"backend={backend!r} was asked for" in results.report.plan.reason

    def test_a_call_there_that_asks_for_the_cluster_again_is_told_why_not(
        self, backend: Any
    ) -> None:
        def nested(_: int) -> list[int]:
            return run_parallel(double, range(3), backend=backend)

        with pytest.raises(AutoexecError, match="in a call that runs on a cluster itself"):
            run_parallel(nested, range(4), backend=backend, chunksize=1)

    def test_a_call_there_may_run_others_in_its_worker(self, backend: Any) -> None:
        def nested(size: int) -> list[int]:
            return run_parallel(double, range(size))

        results = run_parallel(nested, range(8), backend=backend, chunksize=1)
        assert results == [[2 * x for x in range(size)] for size in range(8)]

    def test_with_a_chunksize_none_runs_here(self, backend: Any) -> None:
        results = run_parallel(place, range(20), backend=backend, chunksize=5)
        assert os.getpid() not in results

    def test_waiting_calls_run_side_by_side_within_a_batch(self, backend: Any) -> None:
        results = run_parallel(time.sleep, [0.1] * 200, backend=backend)
        assert results.report.plan.width > 8
        assert results.report.calls_s > 19.9
        assert results.report.seconds < 10.0  # which one at a time in each worker would take

    def test_an_item_that_cannot_travel_costs_no_other(self, backend: Any) -> None:
        items: list[Any] = [*range(10), Unpicklable(), *range(10), Unreadable(), 5]
        options: Any = {"backend": backend, "chunksize": 50, "on_error": "return"}
        results = run_parallel(is_plain, items, **options)
        failures = [one for one in results if isinstance(one, Failure)]
        assert [one.index for one in failures] == [10, 21]
        assert isinstance(failures[0].exception, NotPicklable)
        assert "it is broken" in str(failures[1].exception)
        assert [one for one in results if one is True] == [True] * 21

    def test_a_result_that_cannot_travel_costs_no_other(self, backend: Any) -> None:
        options: Any = {"backend": backend, "chunksize": 50, "on_error": "return"}
        results = run_parallel(unpicklable_three, range(6), **options)
        failure = results.pop(3)
        assert results == [0, 1, 2, 4, 5]
        assert isinstance(failure, Failure)
        assert isinstance(failure.exception, NotPicklable)

    def test_what_is_large_travels(self, backend: Any) -> None:
        table = os.urandom(3_000_000)

        def look_up(item: tuple[int, bytes]) -> int:
            return table[item[0]] + item[1][0]

        items = [(i, bytes([i]) * 400_000) for i in range(12)]
        found = run_parallel(look_up, items, backend=backend, chunksize=3)
        assert found == [table[i] + i for i in range(12)]

    def test_each_item_has_the_same_random_stream_as_here(self, backend: Any) -> None:
        def draw(_: int) -> int:
            return item_seed()

        here = run_parallel(draw, range(30), backend="inline", seed=4)
        assert run_parallel(draw, range(30), backend=backend, seed=4) == here

    def test_an_endless_input_is_taken_as_the_results_are(self, backend: Any) -> None:
        taken = [0]

        def count() -> Iterator[int]:
            while True:
                taken[0] += 1
                yield taken[0]

        with iter_parallel(double, count(), backend=backend, buffersize=100) as results:
            assert [next(results) for _ in range(500)] == [2 * i for i in range(1, 501)]
        assert taken[0] <= 601

    def test_within_an_event_loop(self, backend: Any) -> None:
        import asyncio

        async def main() -> list[int]:
            return await arun_parallel(double, range(40), backend=backend)

        assert asyncio.run(main()) == [2 * x for x in range(40)]

    def test_no_more_calls_at_once_than_asked_for(self, backend: Any, tmp_path: Path) -> None:
        def crowd(item: int) -> int:
            mine = tmp_path / str(item)
            mine.touch()
            time.sleep(0.01)
            seen = len(list(tmp_path.iterdir()))
            mine.unlink()
            return seen

        assert max(run_parallel(crowd, range(60), backend=backend, max_workers=3)) <= 3


# --- Clusters that are not there ---------------------------------------------------------------------


def said_by(code: str) -> str:
    """The last line of what a program says of its failure."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr.strip().splitlines()[-1]


CALL = "import autoexec; autoexec.run_parallel(print, range(3), backend={!r})"


@pytest.mark.parametrize("backend", ENGINES)
def test_without_the_package_the_error_says_how_to_get_it(backend: str) -> None:
    package = {"dask": "distributed", "ray": "ray"}[backend]
    text = said_by(f"import sys; sys.modules[{package!r}] = None; {CALL.format(backend)}")
    assert text.endswith(f"pip install 'autoexec-parallel[{backend}]'")


@pytest.mark.parametrize(
    ("backend", "how"), [("dask", "distributed.Client("), ("ray", "ray.init(")]
)
def test_without_a_cluster_the_error_says_how_to_get_one(backend: str, how: str) -> None:
    pytest.importorskip("distributed" if backend == "dask" else "ray")
    assert how in said_by(CALL.format(backend))


def test_a_cluster_without_workers_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(_batches, "PATIENCE_S", 3.0)
    options: Any = {"n_workers": 0, "dashboard_address": "127.0.0.1:0"}
    with (
        distributed.LocalCluster(host="127.0.0.1", **options) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
        pytest.raises(AutoexecError, match="had no worker for"),
    ):
        run_parallel(double, range(100), backend=client)


def test_a_client_is_a_backend_and_stays_open() -> None:
    client = clusters.dask()
    results = run_parallel(double, range(50), backend=client)
    assert results == [2 * x for x in range(50)]
    assert results.report.route == "dask"
    assert client.submit(double, 4).result(timeout=30) == 8


def test_a_client_that_is_closed_is_refused() -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.Client(clusters.dask().cluster, set_as_default=False) as client:
        pass
    with pytest.raises(AutoexecError, match="the Client is closed"):
        run_parallel(double, range(10), backend=client, chunksize=2)


@pytest.fixture
def hanging() -> Iterator[Any]:
    """A client of a scheduler, and what makes that hang with its connections open."""
    distributed = pytest.importorskip("distributed")
    cluster, over = clusters.dask().cluster, threading.Event()
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        try:
            yield client, lambda: cluster.loop.add_callback(over.wait)
        finally:
            over.set()


@pytest.mark.timeout(20)
def test_a_scheduler_that_hangs_holds_up_nobody_who_leaves(hanging: Any) -> None:
    client, hang = hanging
    with iter_parallel(double, itertools.count(), backend=client, chunksize=1) as results:
        next(results)
        hang()


@pytest.mark.timeout(20)
def test_a_deadline_holds_while_a_scheduler_hangs_that_data_moves_to(hanging: Any) -> None:
    client, hang = hanging

    class Large:
        def __reduce__(self) -> Any:
            hang()
            return bytes, (bytes(2_000_000),)

    items: list[Any] = [Large()]
    with pytest.raises(DeadlineExceeded):
        run_parallel(len, items, backend=client, chunksize=1, deadline=1)


def test_the_class_of_clients_is_no_backend() -> None:
    distributed = pytest.importorskip("distributed")
    with pytest.raises(TypeError, match="pass Client"):
        run_parallel(double, range(10), backend=distributed.Client)


def test_a_batch_is_begun_once_and_none_after_its_run() -> None:
    client = clusters.dask()
    from autoexec._worker.claims import run_claimed

    run_parallel(double, range(10), backend=client, chunksize=2)  # so that the scheduler can tell
    scheduler = client.scheduler
    client.sync(scheduler.autoexec_open, run="r", client=client.id)
    fn, items = dumps((double, None)), dumps([4])
    batch = Batch(0, dumps(Recipe("r", list)), width=1, alone=True)

    def answer() -> Answer:
        data = client.submit(run_claimed, "r", fn, items, batch, pure=False).result(timeout=30)
        read: Answer = loads(data)
        return read

    first, second = answer(), answer()
    assert [one.values for one in first.outcomes] == [[8]]
    assert second.refused and not second.outcomes
    client.sync(scheduler.autoexec_close, run="r")
    batch.number = 1
    assert answer().refused


def test_nothing_of_a_run_stays_at_the_scheduler() -> None:
    client = clusters.dask()
    run_parallel(double, range(10), backend=client)  # so that it is there to be asked
    # What was on its way to a scheduler that hung stays there, if its client has left meanwhile.
    before = set(client.run_on_scheduler(_left_at_scheduler))
    run_parallel(double, range(2_000), backend=client, chunksize=50)
    until = time.monotonic() + 30
    while left := set(client.run_on_scheduler(_left_at_scheduler)) - before:
        assert time.monotonic() < until, left
        time.sleep(0.05)


def _left_at_scheduler(dask_scheduler: Any) -> list[str]:
    claims = dask_scheduler.plugins["autoexec-claims-1"]
    return [*map(str, dask_scheduler.tasks), *claims._runs]
