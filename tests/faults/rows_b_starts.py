"""Group B, continued: workers that cannot start, are replaced or shared, or are not asked to die."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys
import threading
import types
from collections import Counter
from functools import partial
from typing import Any, NoReturn

import programs
import traces
from lab import (
    FORMS,
    Fails,
    Skip,
    answer,
    error_of,
    fails,
    forget_notes,
    gather,
    judge,
    note,
    notes,
    plain,
    require,
    run_parallel,
    suited,
    wait_until,
)
from register import AWAY, row
from rows_b_deaths import COUNT, compute, work_a_little

from autoexec import AutoexecError


@row("B7", ("auto", *AWAY))
def a_module_that_is_not_there_in_a_worker(backend: str) -> None:
    """The function's module exists in the caller's process only."""
    module = types.ModuleType("made_up")
    source = "from lab import note, answer\ndef fn(i):\n    note(i)\n    return answer(i)"
    exec(source, module.__dict__)
    sys.modules["made_up"] = module
    fn = module.__dict__["fn"]
    if backend == "auto":
        judge(fn, range(COUNT), backend)
        return
    error = error_of(lambda: run_parallel(fn, range(COUNT), backend=backend, on_error="return"))
    require(isinstance(error, AutoexecError), f"it raised {error!r}")
    for text in ("No module named 'made_up'", "Traceback"):
        require(text in str(error), f"the error does not say {text!r}: {error}")
    require(not notes(), "the function was called all the same")


def within_descriptors(spare: int, backend: str) -> str:
    """Run with no more than so many descriptors to spare. Returns what is wrong."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(traces.look().descriptors)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + spare, hard))
    try:
        return what_is_wrong(backend, f"{spare} descriptors")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def what_is_wrong(backend: str, spare: str) -> str:
    """What is wrong with a run that has no more than that to spare; empty if all is right, or a
    backend that was asked for says clearly that it cannot be had."""
    try:
        judge(suited(compute, backend), range(40), backend)
    except AutoexecError as error:
        clear = backend != "auto" and "cannot" in str(error)
        return "" if clear else f"with {spare} to spare: {error!r}\n"
    except Exception as error:
        return f"with {spare} to spare: {error!r}\n"
    return ""


SCARCE = """
import os, resource, sys, rows_b_starts as rows
backend, group = sys.argv[1:]
if group:
    with open(f"{group}/cgroup.procs", "w") as file: file.write(str(os.getpid()))
for spare in range(5):
    if group:
        with open(f"{group}/pids.max", "w") as file: file.write(str(1 + spare))
    else:
        most = rows.tasks_of_user() + spare
        resource.setrlimit(resource.RLIMIT_NPROC, (most, resource.getrlimit(resource.RLIMIT_NPROC)[1]))
    print(rows.what_is_wrong(backend, f"{spare} threads or processes"), end="")
"""


def tasks_of_user() -> int:
    """Threads of all processes of this user."""
    count = 0
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{name}/task"))
    return count


@row("B8")
def too_few_descriptors_or_processes(backend: str) -> None:
    """No more than a few descriptors, threads or processes can be had."""
    if sys.platform != "linux":
        raise Skip("Linux")
    wrong = ""
    for spare in (2, 3, 4, 6, 9, 13):
        wrong += within_descriptors(spare, backend)
        wait_until(lambda: not traces.processes_of_row(), "workers that are warm have ended", 5.0)
    group = f"/sys/fs/cgroup/pids/faults-{os.getpid()}"
    try:
        os.mkdir(group)
    except OSError:
        group = ""
    try:
        if group or os.getuid():  # the other limit does not hold for the superuser
            # What a worker wrote that came to nothing for want of threads is no matter.
            process = programs.start(programs.command(SCARCE, backend, group))
            out, errors = programs.output_of(process, 15.0)
            wrong += out + errors * (process.returncode != 0)
    finally:
        if group:
            os.rmdir(group)
    require(not wrong, wrong.replace("\n", "; "))


def fail_to_initialise() -> NoReturn:
    raise LookupError("the table is not there")


@row("B9", ["auto", *AWAY])
def an_initializer_that_raises(backend: str) -> None:
    """The initializer of an executor, or of a run, raises in every worker."""
    from autoexec import ProcessPoolExecutor

    with ProcessPoolExecutor(2, initializer=fail_to_initialise) as executor:
        errors = [
            error_of(executor.submit(plain, 1).result),
            error_of(lambda: run_parallel(plain, range(6), backend=executor)),
        ]
    options: dict[str, Any] = {"backend": backend, "initializer": fail_to_initialise}
    for form in FORMS:
        errors.append(error_of(partial(gather, form, plain, range(6), **options)))
    for error in errors:
        causes = [error, error.__cause__, error.__context__]
        told = any("the table is not there" in str(one) for one in causes)
        require(told, f"the error does not tell the cause: {error!r}")
    require(not notes(), "the function was called all the same")


@row("B11", AWAY)
def workers_that_are_replaced_all_the_time(backend: str) -> None:
    """A long backlog, and workers that end after two or three calls."""
    from autoexec import ProcessPoolExecutor

    with ProcessPoolExecutor(2, max_tasks_per_child=2) as executor:
        judge(plain, range(20), executor)  # to which each chunk is one call
        forget_notes()
        futures = [executor.submit(plain, index) for index in range(20)]
        for index, future in enumerate(futures):
            require(future.result(20) == answer(index), f"future {index} is wrong")
    see_replaced(2)
    require(len(notes()) == 20, f"there were {len(notes())} calls for 20 futures")
    # On hybrid, other calls are under way in a worker when it is given its last one.
    most = 8 if backend == "hybrid" else 2
    options: dict[str, Any] = {"max_tasks_per_child": 3, "max_workers": most}
    for form in ("list", "async iterator"):
        judge(work_a_little, range(12), backend, form=form, **options)
        see_replaced(3)


def see_replaced(most: int) -> None:
    """No worker was used more often than that."""
    calls = Counter(one.pid for one in notes())
    require(max(calls.values()) <= most, f"a worker was used {max(calls.values())} times")


class Odd(BaseException):
    """Neither an error nor a request to end."""


ODD: dict[int, type[BaseException]] = {
    2: SystemExit,
    5: KeyboardInterrupt,
    8: Odd,
    11: StopIteration,
    14: GeneratorExit,
    17: asyncio.CancelledError,
}


def raise_odd(index: int) -> int:
    note(index)
    if index in ODD:
        raise ODD[index](f"odd {index}")
    return answer(index)


@row("B12")
def exceptions_that_are_not_errors(backend: str) -> None:
    """Calls raise SystemExit, KeyboardInterrupt, StopIteration and their like."""
    how: dict[int, Fails] = {i: fails((kind, RuntimeError)) for i, kind in ODD.items()}
    judge(suited(raise_odd, backend), range(COUNT), backend, how)


def inner(index: int) -> int:
    note(index, "inner")
    return index + 1


def outer(index: int) -> int:
    note(index)
    for backend in ("auto", os.environ["FAULTS_INNER"]):
        found = run_parallel(inner, range(6), backend=backend)
        require(found == list(range(1, 7)), f"an inner run gave {found}")
    return answer(index)


@row("B13")
def a_run_within_a_run(backend: str) -> None:
    """Every call is a run of its own, on the same backend and on the one that is found best."""
    os.environ["FAULTS_INNER"] = backend
    watcher = Most()
    watcher.start()
    judge(suited(outer, backend), range(8), backend, max_workers=2)
    most = watcher.finish()
    # A worker for each of two calls, and each of those may want one of its own for its calls.
    require(most <= 6, f"there were {most} processes at a time")
    calls = len(notes("inner"))
    require(calls == 8 * 2 * 6, f"there were {calls} inner calls instead of 96")


class Most(threading.Thread):
    """Counts the processes of the row until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self._most = 0

    def run(self) -> None:
        while not self._over.wait(0.02):
            self._most = max(self._most, len(traces.processes_of_row()))

    def finish(self) -> int:
        self._over.set()
        self.join()
        return self._most
