"""Group B: worker processes that die, and calls that try to end theirs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import signal
import threading
import time
from typing import Any

import programs
import traces
from lab import (
    FORMS,
    FULL,
    Skip,
    answer,
    error_of,
    fails,
    forget_notes,
    in_each,
    judge,
    note,
    notes,
    plain,
    require,
    run_parallel,
    segfault,
    suited,
    wait_for_notes,
)
from register import AWAY, row

from autoexec import DeadlineExceeded, ItemTimeout, WorkerDied

COUNT = 24


def crash(index: int) -> int:
    note(index)
    if index == 5:
        segfault()
    if index == 17:
        os.abort()
    return answer(index)


async def crash_async(index: int) -> int:
    await asyncio.sleep(0.001)
    return crash(index)


@row("B1", AWAY)
def segmentation_fault_and_abort(backend: str) -> None:
    """One item is a segmentation fault, another one aborts."""
    affected = {5: fails(WorkerDied, "SIGSEGV"), 17: fails(WorkerDied, "SIGABRT")}
    either = dict.fromkeys(affected, fails(WorkerDied, "SIG"))
    # On hybrid both may be in one process, and then one of them does not begin.
    how: dict[str, Any] = {"maybe": either} if backend == "hybrid" else {"affected": affected}
    judge(crash_async, range(COUNT), backend, **how)
    in_each(FORMS, lambda form: judge(crash, range(COUNT), backend, form=form, **how))


def leave(index: int) -> int:
    note(index)
    if index == 5:
        os._exit(0)
    return answer(index)


@row("B2", AWAY)
def a_silent_exit(backend: str) -> None:
    """One item ends its process with exit code 0."""
    judge(leave, range(COUNT), backend, {5: fails(WorkerDied, "exited with code 0")})


def work_a_little(index: int) -> int:
    note(index)
    time.sleep(0.005)
    return answer(index)


class Killer(threading.Thread):
    """Kills busy workers at random times until it is told to stop."""

    def __init__(self, times: int) -> None:
        super().__init__(daemon=True)
        self.killed: set[int] = set()
        self._times = times
        self._random = random.Random()
        self._over = threading.Event()

    def run(self) -> None:
        while len(self.killed) < self._times:
            if self._over.wait(self._random.uniform(0.0, 0.2)):
                return
            busy = {one.pid for one in notes()[-8:]} - self.killed
            for pid in list(busy)[:1]:
                if traces.state_of(pid) not in "XZ":
                    self.killed.add(pid)  # first, since the judge may look at once
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    def finish(self) -> set[int]:
        self._over.set()
        self.join()
        return self.killed


@row("B3", AWAY)
def kills_at_random_times(backend: str) -> None:
    """Workers are killed from outside, again and again, at random times."""
    for chunksize in ("auto", 7):
        killer = Killer(3)
        killer.start()
        judge(
            work_a_little,
            range(200),
            backend,
            killed=killer.finish,
            max_workers=2,
            chunksize=chunksize,
        )


SPARE_BYTES = 256 << 20


def exhaust(index: int) -> int:
    """Item 5 is not given the memory that it asks for."""
    note(index)
    if index == 5:
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES, hard))
        try:
            bytearray(4 * SPARE_BYTES)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    return answer(index)


GROUP_LIMIT = "FAULTS_MEMORY_GROUP"


def overfill(index: int) -> int:
    """Item 5 moves into a group with little memory, where there is one, and takes more.

    Elsewhere it does to itself what the kernel does.
    """
    note(index)
    if index == 5:
        if group := os.environ.get(GROUP_LIMIT):
            with open(f"{group}/cgroup.procs", "w") as file:
                file.write(str(os.getpid()))
            hoard = [b"x" * (1 << 20) for _ in range(1024)]
            require(not hoard, "1 GiB was had in a group with 64 MiB")
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(index)


class MemoryGroup:
    """A group of processes that may use 64 MiB, where this process is allowed to make one."""

    def __init__(self) -> None:
        self._folder = f"/sys/fs/cgroup/memory/faults-{os.getpid()}"

    def __enter__(self) -> None:
        try:
            os.mkdir(self._folder)
            with open(f"{self._folder}/memory.limit_in_bytes", "w") as file:
                file.write(str(64 << 20))
        except OSError:
            return
        os.environ[GROUP_LIMIT] = self._folder

    def __exit__(self, *_: object) -> None:
        if os.environ.pop(GROUP_LIMIT, None):
            os.rmdir(self._folder)


@row("B4")
def out_of_memory(backend: str) -> None:
    """One item asks for more memory than its process may have; one is killed by the kernel."""
    if not os.path.exists("/proc/self/statm"):
        raise Skip("/proc")
    judge(suited(exhaust, backend), range(COUNT), backend, {5: fails(MemoryError)})
    if backend in AWAY:
        with MemoryGroup():
            judge(overfill, range(COUNT), backend, {5: fails(WorkerDied, "SIGKILL", "memory")})


def kill_thirteen(index: int) -> int:
    note(index)
    if index == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(index)


@row("B5", AWAY)
def an_item_that_always_kills(backend: str) -> None:
    """One item kills whoever runs it, in chunks of every size."""
    for chunksize in ("auto", 1, 10, 30):
        affected = {13: fails(WorkerDied, "SIGKILL", "item 13")}
        judge(kill_thirteen, range(30), backend, affected, chunksize=chunksize)


@row("B6", ("auto", *AWAY))
def idle_workers_killed_between_calls(backend: str) -> None:
    """The workers of a run that is over are killed; the next run follows at once, or later."""
    judge(compute, range(30), backend)
    for pause_s in (0.0, 0.0, 0.0, 0.0, 0.001, 0.005, 0.05):
        for pid in traces.processes_of_row():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(pause_s)
        judge(compute, range(30), backend)


def compute(index: int) -> int:
    until = time.thread_time() + 0.004
    while time.thread_time() < until:
        pass
    return plain(index)


def die_soon_afterwards(index: int) -> int:
    """Item 3 ends its process once its result has been sent."""
    note(index)
    if index == 3:
        threading.Timer(0.1, os._exit, [6]).start()
    elif index > 3:
        time.sleep(0.03)
    return answer(index)


@row("B10", AWAY)
def a_death_after_the_result_was_sent(backend: str) -> None:
    """A worker dies a tenth of a second after the call that made it die."""
    for count in (4, 12):
        judge(
            die_soon_afterwards,
            range(count),
            backend,
            killed=lambda: {one.pid for one in notes() if one.index == 3},
            max_workers=1,
            chunksize=1,
        )


def one_in_twenty_kills(index: int) -> int:
    note(index)
    if index % 20 == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(index)


@row("B14", AWAY, limit_s=300.0 if FULL else 60.0)
def one_in_twenty_kills_its_worker(backend: str) -> None:
    """Every twentieth item kills its worker."""
    count = 10_000 if FULL else 400
    affected = {i: fails(WorkerDied, "SIGKILL") for i in range(13, count, 20)}
    if backend == "hybrid":  # several of them may be in one process
        judge(one_in_twenty_kills, range(count), backend, maybe=affected, deadline_s=250.0)
    else:
        judge(one_in_twenty_kills, range(count), backend, affected, deadline_s=250.0)


def stop_itself(index: int) -> int:
    note(index)
    if index == 5:
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(30.0)  # a thread may go on for a moment
    return answer(index)


@row("B15", AWAY)
def a_worker_that_is_stopped(backend: str) -> None:
    """A worker is stopped and never goes on; a timeout tells, or the deadline of the run."""
    judge(stop_itself, range(COUNT), backend, {5: fails(ItemTimeout)}, timeout=1.0)
    forget_notes()
    error = error_of(lambda: run_parallel(stop_itself, range(6), backend=backend, deadline=5.0))
    require(isinstance(error, DeadlineExceeded), f"it raised {error!r}")
    wait_for_notes(1)


SIGPIPE_AT_ITS_DEFAULT = """
import os, signal, sys, time
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
from autoexec import Failure, WorkerDied, run_parallel
def fragile(pair):
    index, data = pair
    time.sleep(0.02)
    if index == 8:
        os._exit(7)
    return index
items = [(index, bytes(3 << 20)) for index in range(14)]
found = run_parallel(fragile, items, backend=sys.argv[1], max_workers=2, on_error="return")
failures = [one for one in found if isinstance(one, Failure)]
assert {type(one.exception) for one in failures} == {WorkerDied} and len(failures) <= 2, failures
assert all(one == index or index in [f.index for f in failures] for index, one in enumerate(found))
print("right")
"""


@row("B16", AWAY)
def a_death_where_sigpipe_is_at_its_default(backend: str) -> None:
    """A worker dies with half of an item in its pipe; the program has set SIGPIPE as `cat` has it."""
    out = programs.said(SIGPIPE_AT_ITS_DEFAULT, backend)
    require(out == "right", f"it wrote {out!r}")
