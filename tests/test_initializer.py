"""What is called once in each worker process, and how long such a process is used."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from autoexec import AutoexecError, RemoteTraceback, run_parallel
from autoexec._options import BackendName

STATE: list[int] = []


def fill(number: int) -> None:
    STATE.append(number)


def state(x: int) -> tuple[int, list[int]]:
    return os.getpid(), STATE


def fail() -> None:
    raise ValueError("no database")


def pid(x: int) -> int:
    return os.getpid()


@pytest.mark.parametrize("backend", ["auto", "processes", "hybrid"])
def test_it_is_called_once_in_each_worker(backend: BackendName) -> None:
    found = run_parallel(state, range(20), backend=backend, initializer=fill, initargs=[7])
    assert all(seen == [7] for _, seen in found)
    assert STATE == []


@pytest.mark.parametrize("backend", ["inline", "threads", "asyncio"])
def test_elsewhere_it_is_not_called(backend: BackendName) -> None:
    found = run_parallel(state, range(3), backend=backend, initializer=fail)
    assert found == [(os.getpid(), [])] * 3


def test_other_runs_do_not_see_what_it_left() -> None:
    run_parallel(state, range(2), backend="processes", initializer=fill, initargs=(7,))
    assert all(seen == [] for _, seen in run_parallel(state, range(4), backend="processes"))


def test_globals_that_it_sets_in_a_script_are_seen_by_the_calls(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from autoexec import parallel, run_parallel\n"
        "def connect(name):\n    global base\n    base = name\n"
        "def use(x): return base + x\n"
        "@parallel\ndef used(x): return base + x\n"
        "options = dict(backend='processes', initializer=connect, initargs=('db',))\n"
        "print(run_parallel(use, 'ab', **options), run_parallel(used, 'ab', **options))\n"
        "print(run_parallel(use, [('a',)], star=True, seed=1, **options))\n"
    )
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert run.stdout.splitlines() == ["['dba', 'dbb'] ['dba', 'dbb']", "['dba']"], run.stderr


@pytest.mark.parametrize("backend", ["processes", "hybrid", "dask", "ray"])
def test_if_it_fails_the_run_does_with_its_remote_traceback(backend: BackendName) -> None:
    with pytest.raises(AutoexecError, match="initializer raised ValueError") as caught:
        run_parallel(pid, range(3), backend=backend, initializer=fail, on_error="return")
    cause = caught.value.__cause__
    assert isinstance(cause, ValueError)
    assert isinstance(cause.__cause__, RemoteTraceback)
    assert "no database" in cause.__cause__.text


def test_one_that_cannot_travel_is_refused() -> None:
    lock: Any = threading.Lock()
    with pytest.raises(AutoexecError, match="cannot travel"):
        run_parallel(pid, [1], backend="processes", initializer=fill, initargs=(lock,))


def test_workers_are_replaced_after_so_many_items() -> None:
    found = run_parallel(pid, range(12), backend="processes", max_workers=2, max_tasks_per_child=3)
    assert len(found) == 12
    assert max(found.count(one) for one in set(found)) <= 3
