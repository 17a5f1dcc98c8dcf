"""Group G: what else is in the process, and what else is on the machine."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import resource
import signal
import threading
import time
import warnings
from collections.abc import Iterator

import programs
from lab import (
    FULL,
    Skip,
    answer,
    fails,
    forget_notes,
    judge,
    note,
    notes,
    plain,
    require,
    suited,
)
from register import AWAY, HERE, row

from autoexec import AutoexecError, WorkerDied

COUNT = 24


def multiply(index: int) -> int:
    import numpy

    note(index)
    ones = numpy.ones((200, 200))
    return int((ones @ ones)[0, 0]) * answer(index)


@row("G1", imports=["numpy"])
def native_threads_in_the_parent(backend: str) -> None:
    """Threads of a linear algebra library live in the caller's process, and calls use it too."""
    try:
        import numpy
    except ImportError:
        raise Skip("NumPy") from None
    large = numpy.ones((600, 600))
    require((large @ large)[0, 0] == 600, "a product is wrong")
    right = lambda index, result: result == 200 * answer(index)  # noqa: E731
    judge(suited(multiply, backend), range(COUNT), backend, right=right)


def log_and_answer(index: int) -> int:
    logging.getLogger("faults").warning("item %d", index)
    return plain(index)


@contextlib.contextmanager
def logging_all_the_time() -> Iterator[None]:
    """Two threads that hold the locks of logging most of the time."""
    over = threading.Event()

    def log() -> None:
        while not over.is_set():
            logging.getLogger("noise").warning("again")

    with open(os.devnull, "w") as nowhere:
        handler = logging.StreamHandler(nowhere)
        logging.root.addHandler(handler)
        threads = [threading.Thread(target=log) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()
            logging.root.removeHandler(handler)


@row("G2")
def threads_that_log_all_the_time(backend: str) -> None:
    """Other threads of the caller's process log without a pause, and so do the calls."""
    with logging_all_the_time():
        for _ in range(5):
            judge(suited(log_and_answer, backend), range(COUNT), backend)


LOOP = """
import asyncio, os, signal, sys
from autoexec import Failure, WorkerDied, run_parallel
heard = []
def fn(x):
    if x == 5: os.kill(os.getpid(), signal.SIGTERM)
    return x
async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, heard.append, "SIGTERM")
    run = lambda: run_parallel(fn, range(16), backend=sys.argv[1], on_error="return")
    found = await asyncio.to_thread(run)
    assert isinstance(found[5], Failure) and isinstance(found[5].exception, WorkerDied), found
    assert "SIGTERM" in str(found[5].exception)
    if sys.argv[1] == "processes":
        assert [one for one in found if one] == [*range(1, 5), *range(6, 16)], found
    assert run_parallel(abs, range(4), backend=sys.argv[1]) == [0, 1, 2, 3]
    await asyncio.sleep(0.2)
asyncio.run(main())
print(heard)
"""


@row("G3", AWAY)
def a_signal_for_a_worker_of_an_asyncio_program(backend: str) -> None:
    """A worker gets SIGTERM while its parent's event loop listens for signals."""
    heard = programs.said(LOOP, backend)
    require(heard == "[]", f"the parent heard {heard}")


class Recorder(logging.Handler):
    """Keeps what it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.name} {record.levelname} {record.getMessage()}")


def say(index: int) -> int:
    logging.getLogger("faults.calls").info("item %d", index)
    logging.getLogger("faults.calls").debug("not asked for")
    warnings.warn(f"careful with {index}", RuntimeWarning, stacklevel=1)
    return plain(index)


mood: contextvars.ContextVar[str] = contextvars.ContextVar("mood", default="none")


def tell_mood(index: int) -> str:
    note(index)
    return f"{mood.get()} {index}"


@row("G4")
def what_calls_say(backend: str) -> None:
    """Calls log, warn and read context variables."""
    recorder = Recorder()
    logging.getLogger("faults").addHandler(recorder)
    logging.getLogger("faults").setLevel(logging.INFO)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        judge(suited(say, backend), range(COUNT), backend)
    logging.getLogger("faults").removeHandler(recorder)
    expected = sorted(f"faults.calls INFO item {index}" for index in range(COUNT))
    require(sorted(recorder.texts) == expected, f"handlers heard {recorder.texts}")
    texts = sorted(str(one.message) for one in caught if one.category is RuntimeWarning)
    require(texts == sorted(f"careful with {i}" for i in range(COUNT)), f"of warnings came {texts}")
    if backend in HERE:
        mood.set("merry")
        right = lambda index, result: result == f"merry {index}"  # noqa: E731
        judge(suited(tell_mood, backend), range(COUNT), backend, right=right)


READS = """
import sys
from autoexec import run_parallel
def read(x): return sys.stdin.read(), sys.stdin.readline(), open(0, closefd=False).read()
assert run_parallel(read, range(8), backend=sys.argv[1]) == [("", "", "")] * 8
print(sys.stdin.read())
"""


@row("G5", AWAY)
def calls_that_read_standard_input(backend: str) -> None:
    """Calls read standard input, on which something waits for the program itself."""
    with open("input", "w") as file:
        file.write("for the program")
    with open("input") as file:
        out = programs.said(READS, backend, stdin=file)
    require(out == "for the program", f"the program itself read {out!r}")


def where(index: int) -> int:
    time.sleep(0.01)
    return plain(index)


LIMITED = """
import os, sys
mode, backend = sys.argv[1:]
if mode.startswith("/"):
    with open(f"{mode}/cgroup.procs", "w") as file: file.write(str(os.getpid()))
else:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from autoexec import run_parallel
def burn(x):
    for _ in range(100_000): pass
    return os.getpid()
async def burn_async(x): return burn(x)
found = run_parallel(burn_async if backend == "asyncio" else burn, range(40), backend=backend)
print(found.report.host.cores, len(set(found)))
"""


@contextlib.contextmanager
def quota() -> Iterator[str | None]:
    """A group whose processes may use one core, if this process is allowed to make one."""
    folder = f"/sys/fs/cgroup/cpu/faults-{os.getpid()}"
    try:
        os.mkdir(folder)
    except OSError:
        yield None
        return
    try:
        with open(f"{folder}/cpu.cfs_quota_us", "w") as file:
            file.write("100000")
        yield folder
    finally:
        os.rmdir(folder)


@row("G6")
def fewer_cores_than_there_are(backend: str) -> None:
    """A CPU quota, an affinity mask, and `max_workers` above and below the number of cores."""
    if not hasattr(os, "sched_setaffinity"):
        raise Skip("an affinity mask")
    with quota() as group:
        for mode in ("mask", *([group] if group else [])):
            out = programs.said(LIMITED, mode, backend).split()
            require(out == ["1", "1"], f"{mode}: cores and processes were {out}")
    for most in (1, 3, 8):
        judge(suited(where, backend), range(COUNT), backend, max_workers=most)
        require(at_once() <= most, f"{at_once()} calls at once with max_workers={most}")


def at_once() -> int:
    """The most calls at the same time that the notes allow for: each took 10 ms before its own."""
    ends = sorted(one.at_s for one in notes())
    return max(sum(end - 0.009 < other <= end for other in ends) for end in ends)


def raise_first(index: int) -> int:
    note(index)
    if index == 0:
        raise ValueError("the first of all")
    return answer(index)


def slow_first(index: int) -> int:
    note(index)
    time.sleep((10.0 if FULL else 3.0) if index == 0 else 0.05)
    return answer(index)


def deadly_first(index: int) -> int:
    note(index)
    if index == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(index)


@row("G8", ["auto", "threads", *AWAY])
def a_first_item_that_is_not_like_the_others(backend: str) -> None:
    """The first item, by which the others are judged, raises, takes long, kills its process."""
    how = {0: fails(ValueError, "the first of all")}
    judge(suited(raise_first, backend), range(COUNT), backend, how)
    judge(suited(slow_first, backend), range(COUNT), backend)
    first = next(one.at_s for one in notes() if one.index == 0)
    waited = [one.index for one in notes() if one.at_s > first + 2.5]
    require(backend != "auto" or not waited, f"items {waited} waited for the first")
    if backend in AWAY:
        judge(deadly_first, range(COUNT), backend, {0: fails(WorkerDied, "SIGKILL")})


def fill_disk(index: int) -> int:
    note(index)
    if index == 5:
        with open("/dev/full", "w") as file:
            file.write("x" * 100_000)
    return answer(index)


@row("G9")
def a_full_disk(backend: str) -> None:
    """The disk is full for a call, and for what a worker needs to start."""
    if not os.path.exists("/dev/full"):
        raise Skip("/dev/full")
    full = {5: fails(OSError, "No space left")}
    judge(suited(fill_disk, backend), range(COUNT), backend, full)
    time.sleep(1.5)  # so that no worker is warm
    forget_notes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        judge(suited(plain, backend), range(COUNT), backend)
    except AutoexecError as error:
        require(backend in AWAY, f"it raised {error!r}")
        require("File too large" in str(error), f"the error does not say why: {error}")
        require(not notes(), "there were calls all the same")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
