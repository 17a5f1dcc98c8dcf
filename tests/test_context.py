"""Context variables of the caller are seen by calls wherever they run."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import Executor
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

import pytest
from functions import request, see_request, see_request_later

from autoexec import (
    NotPicklable,
    aiter_parallel,
    arun_parallel,
    iter_parallel,
    parallel,
    run_parallel,
)
from autoexec._context import InContext, values_of
from autoexec._pool import shared
from autoexec._ties import kept_here

OTHER: ContextVar[str] = ContextVar("OTHER", default="none")
ELSEWHERE = ["processes", "hybrid"]
EVERYWHERE = ["auto", "inline", "threads", "asyncio", *ELSEWHERE]


@pytest.fixture(autouse=True)
def _set() -> Any:
    token = request.set("r-1")
    yield
    request.reset(token)


def burn_and_see(x: int) -> tuple[int, str]:
    sum(range(200_000))
    return os.getpid(), request.get()


# --- Every backend, every form --------------------------------------------------------------------------


@pytest.mark.parametrize("backend", EVERYWHERE)
def test_calls_see_the_value_of_the_caller(backend: Any) -> None:
    assert run_parallel(see_request, range(6), backend=backend, context=[request]) == ["r-1"] * 6


@pytest.mark.parametrize("backend", EVERYWHERE)
def test_so_do_coroutines(backend: Any) -> None:
    found = run_parallel(see_request_later, range(6), backend=backend, context=[request])
    assert found == ["r-1"] * 6


@pytest.mark.parametrize("pool", ["threads", "processes"])
def test_so_do_calls_on_an_executor_of_the_callers(pool: str) -> None:
    executor: Executor
    if pool == "threads":
        executor = concurrent.futures.ThreadPoolExecutor(1)
    else:
        spawn = multiprocessing.get_context("spawn")
        executor = concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn)
    with executor:
        assert run_parallel(see_request, [1], backend=executor, context=[request]) == ["r-1"]
        assert executor.submit(see_request, 1).result() == "none"


def test_it_holds_for_all_forms() -> None:
    options: Any = {"backend": "processes", "context": [request]}

    async def main() -> list[Any]:
        awaited: list[Any] = await arun_parallel(see_request, [1], **options)
        return awaited + [one async for one in aiter_parallel(see_request, [1], **options)]

    assert list(iter_parallel(see_request, [1], **options)) == ["r-1"]
    assert asyncio.run(main()) == ["r-1", "r-1"]
    assert parallel(**options)(see_request).map([1]) == ["r-1"]


def test_where_auto_chooses_processes_the_value_is_there() -> None:
    found = run_parallel(burn_and_see, range(300), context=[request])
    assert {value for _, value in found} == {"r-1"}


def test_retries_seeds_and_initializers_go_with_it(tmp_path: Path) -> None:
    mark = str(tmp_path / "mark")

    def fail_once(x: int) -> str:
        if not os.path.exists(mark):
            open(mark, "w").close()
            raise ValueError("once")
        return request.get()

    options: Any = {"backend": "processes", "context": [request], "seed": 1, "retries": 1}
    assert run_parallel(fail_once, [1], initializer=print, **options) == ["r-1"]


# --- Which variables, which values ----------------------------------------------------------------------


def test_without_the_option_a_process_sees_the_default() -> None:
    assert run_parallel(see_request, [1], backend="processes") == ["none"]


def test_a_variable_of_a_function_travels_with_it() -> None:
    own: ContextVar[int] = ContextVar("own", default=3)
    assert run_parallel(lambda x: own.get(), [1], backend="processes", context=[own]) == [3]
    own.set(4)
    assert run_parallel(lambda x: own.get(), [1], backend="processes", context=[own]) == [4]
    bare: ContextVar[int] = ContextVar("bare")
    found = run_parallel(lambda x: bare.get(7), [1], backend="processes", context=[own, bare])
    assert found == [7]


def test_a_variable_of_the_main_program_travels(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent("""
        from contextvars import ContextVar
        from autoexec import run_parallel

        user = ContextVar("user")

        def who(number):
            return user.get()

        user.set("ann")
        print(run_parallel(who, [1, 2], backend="processes", context=[user]))
        """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['ann', 'ann']"


def test_what_a_call_sets_is_gone_with_it() -> None:
    def change(x: int) -> str:
        before = request.get()
        request.set("changed")
        return before

    options: Any = {"backend": "processes", "max_workers": 1, "context": [request]}
    assert run_parallel(change, range(5), **options) == ["r-1"] * 5
    assert run_parallel(see_request, [1], backend="processes", max_workers=1) == ["none"]


def test_each_run_has_the_values_of_its_caller() -> None:
    def run(value: str) -> list[str]:
        request.set(value)
        return run_parallel(see_request, range(3), backend="processes", context=[request])

    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda value: copy_context().run(run, value), "abc"))
    assert found == [["a"] * 3, ["b"] * 3, ["c"] * 3]


@pytest.mark.parametrize("backend", ["auto", "processes", "threads"])
def test_a_value_that_cannot_travel_is_refused_before_anything_starts(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int] = []
    monkeypatch.setattr(shared, "_pools", {})
    held: ContextVar[Any] = ContextVar("held")
    held.set(threading.Lock())
    with pytest.raises(NotPicklable, match=r"variable 'held' has a value of type lock"):
        run_parallel(called.append, [1], backend=backend, context=[held])
    assert called == []
    assert not shared._pools


@pytest.mark.parametrize("given", [request, 3, ["request"], "request", [request, None], True])
def test_anything_but_a_list_of_variables_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="context must be a list of"):
        run_parallel(see_request, [1], context=given)


def test_a_variable_that_is_not_set_is_left_out() -> None:
    assert values_of([OTHER, request]) == [(request, "r-1")]


def test_a_function_stays_where_a_variable_is_that_does_not_go_along() -> None:
    tie = kept_here(see_request, loop_bound=False)
    assert tie is not None and "context variable 'request'" in tie
    assert kept_here(see_request, loop_bound=False, carried=[request]) is None
    assert kept_here(see_request_later, loop_bound=True, carried=[request]) is None


def test_a_variable_is_not_fetched_from_a_module_that_happens_to_import_it(tmp_path: Path) -> None:
    (tmp_path / "ids.py").write_text(
        "from contextvars import ContextVar\nkey = ContextVar('key')\n"
    )
    (tmp_path / "work.py").write_text("import ids\ndef see(x): return ids.key.get()\n")
    (tmp_path / "application.py").write_text(
        textwrap.dedent("""
        print("starting")
        from ids import key
        import work
        from autoexec import run_parallel

        def serve():
            key.set("k")
            print(run_parallel(work.see, [1], backend="processes", context=[key]))
        """)
    )
    command = [sys.executable, "-c", "import application; application.serve()"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["starting", "['k']"]


def test_it_can_travel_on() -> None:
    once = pickle.loads(pickle.dumps(InContext(see_request, [(request, "twice")])))
    again = pickle.loads(pickle.dumps(once))
    assert again(1) == "twice"
    assert request.get() == "r-1"
