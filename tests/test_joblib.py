"""The backend of joblib, under the real joblib and the real scikit-learn, with real workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

joblib = pytest.importorskip("joblib")

import autoexec.joblib  # noqa: E402
from autoexec import NotPicklable, RemoteTraceback, WorkerDied, _children, _host  # noqa: E402
from autoexec._pool import shared  # noqa: E402
from autoexec.joblib import AutoexecBackend  # noqa: E402

pytestmark = pytest.mark.xdist_group("joblib")  # so that scikit-learn is imported by one pool only

WAIT_S = 60.0
"""For what must happen: never waited for in full unless something is broken."""


@pytest.fixture(autouse=True, scope="module")
def _warm() -> Iterator[None]:
    """Workers that are not let go between tests: each takes a second to import what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOEXEC_IDLE_SECONDS", "60")
        patch.setattr(shared, "_pools", {})
        yield
        for pool in shared._pools.values():
            pool.shutdown()


@pytest.fixture(autouse=True)
def _configured() -> Iterator[None]:
    with joblib.parallel_config(backend="autoexec", n_jobs=2):
        yield


def call(fn: Any, items: Any, **options: Any) -> Any:
    return joblib.Parallel(**options)(joblib.delayed(fn)(item) for item in items)


def double(x: int) -> int:
    return 2 * x


def pid_of(_: object) -> int:
    return os.getpid()


def fail_on_three(x: int) -> int:
    if x == 3:
        raise ValueError("three")
    return x


def die_on_three(x: int) -> int:
    if x == 3:
        os._exit(3)
    return x


def hold(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(WAIT_S)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def variable(name: str) -> str | None:
    return os.environ.get(name)


def nested(x: int) -> tuple[str, list[int]]:
    inner = joblib.Parallel(n_jobs=2)
    found = inner(joblib.delayed(double)(i) for i in range(x))
    return type(inner._backend).__name__, found


def asked_again(_: object) -> str:
    with joblib.parallel_config(backend=AutoexecBackend(nesting_level=1), n_jobs=2):
        inner = joblib.Parallel()
        inner(joblib.delayed(double)(i) for i in range(3))
        return type(inner._backend).__name__


def backend_of(**options: Any) -> str:
    parallel = joblib.Parallel(**options)
    assert parallel(joblib.delayed(double)(i) for i in range(4)) == [0, 2, 4, 6]
    return type(parallel._backend).__name__


# --- scikit-learn -------------------------------------------------------------------------------------


def test_cross_validation_has_the_scores_of_a_plain_loop() -> None:
    pytest.importorskip("sklearn")
    from sklearn.datasets import make_classification
    from sklearn.model_selection import cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    x, y = make_classification(n_samples=200, random_state=0)
    model = DecisionTreeClassifier(random_state=0)
    alone = cross_val_score(model, x, y, cv=4, n_jobs=1)
    assert cross_val_score(model, x, y, cv=4).tolist() == alone.tolist()


def test_a_grid_search_finds_what_a_plain_loop_finds() -> None:
    pytest.importorskip("sklearn")
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    x, y = make_classification(n_samples=200, random_state=0)
    grid = {"C": [0.01, 0.1, 1.0]}
    alone = GridSearchCV(LogisticRegression(), grid, cv=3, n_jobs=1).fit(x, y)
    found = GridSearchCV(LogisticRegression(), grid, cv=3).fit(x, y)
    name = "mean_test_score"
    assert found.cv_results_[name].tolist() == alone.cv_results_[name].tolist()
    assert found.best_params_ == alone.best_params_
    assert found.best_estimator_.coef_.tolist() == alone.best_estimator_.coef_.tolist()


def test_a_forest_which_prefers_threads_has_them() -> None:
    pytest.importorskip("sklearn")
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier

    x, y = make_classification(n_samples=100, random_state=0)
    alone = RandomForestClassifier(4, random_state=0, n_jobs=1).fit(x, y)
    found = RandomForestClassifier(4, random_state=0).fit(x, y)
    assert found.predict_proba(x).tolist() == alone.predict_proba(x).tolist()


# --- Which backend --------------------------------------------------------------------------------------


def test_batches_run_in_worker_processes() -> None:
    pids = set(call(pid_of, range(20)))
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2


def test_the_workers_wait_for_the_next_call() -> None:
    before = set(call(pid_of, range(20)))
    assert before & set(call(pid_of, range(20)))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "AutoexecBackend"),
        ({"n_jobs": -1, "prefer": "processes"}, "AutoexecBackend"),
        ({"prefer": "threads"}, "ThreadingBackend"),
        ({"require": "sharedmem", "n_jobs": 2}, "ThreadingBackend"),
        ({"n_jobs": 1}, "SequentialBackend"),
    ],
)
def test_the_backend_is_the_one_that_suits(
    options: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_host, "cores", lambda: 2)
    assert backend_of(**options) == name


def test_without_a_number_all_cores_are_used() -> None:
    with joblib.parallel_config(backend="autoexec"):
        assert joblib.Parallel()._backend.effective_n_jobs(None) == _host.cores()
        assert joblib.effective_n_jobs(-1) == _host.cores()
        assert joblib.effective_n_jobs(5) == 5
        assert joblib.effective_n_jobs(-1000) == 1


def test_no_jobs_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="n_jobs == 0"):
        call(double, range(3), n_jobs=0)


def test_an_unknown_option_of_the_backend_is_refused() -> None:
    with pytest.raises(TypeError, match="chunk_size"):
        joblib.parallel_config(backend="autoexec", chunk_size=3)


def test_calls_within_a_batch_run_on_threads_of_its_worker() -> None:
    assert call(nested, [3, 4]) == [
        ("ThreadingBackend", [0, 2, 4]),
        ("ThreadingBackend", [0, 2, 4, 6]),
    ]
    assert call(asked_again, [0, 1]) == ["ThreadingBackend"] * 2


def test_native_libraries_have_as_many_threads_as_were_asked_for() -> None:
    with joblib.parallel_config(backend="autoexec", n_jobs=2, inner_max_num_threads=3):
        assert set(call(variable, ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])) == {"3"}


def test_native_libraries_share_the_cores_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(_host, "cores", lambda: 6)
    assert set(call(variable, ["OMP_NUM_THREADS"] * 4)) == {"3"}


# --- Results, in all the ways of joblib --------------------------------------------------------------------


def test_results_are_in_order_and_whole_whatever_the_size_of_batches() -> None:
    offset = 7
    found = call(lambda x: x + offset, range(3000))  # lambdas travel
    assert found == list(range(7, 3007))


def test_small_calls_are_sent_together() -> None:
    parallel = joblib.Parallel()
    parallel(joblib.delayed(double)(i) for i in range(3000))
    assert parallel.n_dispatched_batches < 1500


def test_results_can_be_had_as_they_come() -> None:
    assert list(call(double, range(30), return_as="generator")) == [2 * x for x in range(30)]
    assert sorted(call(double, range(30), return_as="generator_unordered")) == [
        2 * x for x in range(30)
    ]


def test_a_generator_goes_on_beside_another_call() -> None:
    results = call(double, range(200), return_as="generator", batch_size=1)
    assert next(results) == 0
    assert call(double, range(5)) == [0, 2, 4, 6, 8]
    assert list(results) == [2 * x for x in range(1, 200)]


def test_a_generator_that_is_left_lets_go() -> None:
    results = call(double, range(200), return_as="generator", batch_size=1)
    assert next(results) == 0
    with pytest.warns(UserWarning):
        del results
    assert call(double, range(5)) == [0, 2, 4, 6, 8]


def test_one_parallel_serves_several_calls() -> None:
    with joblib.Parallel() as parallel:
        for _ in range(3):
            assert parallel(joblib.delayed(double)(i) for i in range(9)) == list(range(0, 18, 2))


# --- What goes wrong ----------------------------------------------------------------------------------------


def test_an_error_is_raised_with_the_traceback_of_the_worker() -> None:
    with pytest.raises(ValueError, match="three") as caught:
        call(fail_on_three, range(100))
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "fail_on_three" in str(caught.value.__cause__)
    assert call(double, range(5)) == [0, 2, 4, 6, 8]


def test_the_death_of_a_worker_is_an_error_and_the_next_call_has_another() -> None:
    with pytest.raises(WorkerDied, match="exited with code 3"):
        call(die_on_three, range(100), batch_size=1)
    assert call(double, range(5)) == [0, 2, 4, 6, 8]


def test_what_cannot_travel_is_an_error() -> None:
    with pytest.raises(NotPicklable, match="cannot travel"):
        call(type, [sys._getframe()])
    assert call(double, range(5)) == [0, 2, 4, 6, 8]


def test_at_a_timeout_the_workers_are_ended(tmp_path: Path) -> None:
    with pytest.raises(multiprocessing.TimeoutError):
        call(hold, [tmp_path] * 4, timeout=1.0)
    begun = [int(path.name) for path in tmp_path.iterdir()]
    until = time.monotonic() + WAIT_S
    while _children.ours & set(begun):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert call(double, range(5)) == [0, 2, 4, 6, 8]


PROGRAM = """
    import os, sys, time
    from pathlib import Path
    import autoexec.joblib, joblib

    def hold(number):
        Path(str(os.getpid())).touch()
        time.sleep(60)

    def fail(number):
        if number == 5:
            raise ValueError("five")
        time.sleep(0.01)

    with joblib.parallel_config(backend="autoexec", n_jobs=2):
        joblib.Parallel(pre_dispatch="all")(joblib.delayed({function})(i) for i in range(1000))
"""


def start_program(folder: Path, function: str) -> subprocess.Popen[str]:
    script = folder / "program.py"
    script.write_text(textwrap.dedent(PROGRAM.replace("{function}", function)))
    return subprocess.Popen([sys.executable, script], cwd=folder, stderr=subprocess.PIPE, text=True)


def test_a_program_ends_after_an_error_though_much_was_waiting(tmp_path: Path) -> None:
    with start_program(tmp_path, "fail") as program:
        _, said = program.communicate(timeout=WAIT_S)
    assert program.returncode == 1
    assert "ValueError: five" in said


@pytest.mark.skipif(sys.platform == "win32", reason="a console sends Ctrl-C to all its processes")
def test_one_interrupt_ends_a_program_and_its_workers(tmp_path: Path) -> None:
    with start_program(tmp_path, "hold") as program:
        until = time.monotonic() + WAIT_S
        while len(workers := [p for p in tmp_path.iterdir() if p.name.isdecimal()]) < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=WAIT_S)
    assert "KeyboardInterrupt" in said
    until = time.monotonic() + WAIT_S
    while any(is_alive(int(worker.name)) for worker in workers):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_without_joblib_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['joblib'] = None; import autoexec.joblib"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'autoexec-parallel[joblib]'" in done.stderr


def test_it_is_registered_by_its_import() -> None:
    assert joblib.parallel.BACKENDS[autoexec.joblib.NAME] is AutoexecBackend
