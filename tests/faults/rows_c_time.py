"""Group C: calls that do not end, and users who do not wait."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

import programs
import traces
from lab import (
    FOR_EVER_S,
    FORMS,
    FULL,
    LAZY,
    Suited,
    answer,
    enough,
    fails,
    forget_notes,
    gather,
    in_each,
    judge,
    note,
    notes,
    require,
    run_parallel,
    wait_for_ever,
    wait_for_notes,
    walk,
)
from register import AWAY, row

from autoexec import DeadlineExceeded, ItemTimeout

COUNT = 16
BAD = 5
TIMED_OUT = {BAD: fails(ItemTimeout)}


def spin(index: int) -> int:
    note(index)
    while index == BAD:
        pass
    return answer(index)


@row("C1", AWAY)
def an_endless_loop(backend: str) -> None:
    """One item computes for ever; a timeout of one second."""
    in_each(
        FORMS,
        lambda form: judge(spin, range(COUNT), backend, TIMED_OUT, timeout=1.0, form=form),
    )


SIG_IGN = 1


def ignore_and_spin(index: int) -> int:
    if index == BAD:  # by the C library, which takes that from any thread
        ctypes.CDLL(None).signal(int(signal.SIGTERM), ctypes.c_void_p(SIG_IGN))
    return spin(index)


@row("C2", AWAY)
def an_endless_loop_that_ignores_sigterm(backend: str) -> None:
    """The same, and the process does not heed SIGTERM."""
    judge(ignore_and_spin, range(COUNT), backend, TIMED_OUT, timeout=1.0)


def hold_the_gil(index: int) -> int:
    note(index)
    if index == BAD:
        re.match("(a+)+$", "a" * 60 + "b")
    return answer(index)


@row("C3", AWAY)
def a_call_into_c_that_holds_the_gil(backend: str) -> None:
    """One item is in a regular expression that takes for ever, during which no other thread runs."""
    judge(hold_the_gil, range(COUNT), backend, TIMED_OUT, timeout=1.0)


ABANDON = """
import sys, time, threading, asyncio
from autoexec import Failure, ItemTimeout, run_parallel
backend = sys.argv[1]
def fn(x):
    if x == 5: time.sleep(600)
    return x
async def fn_async(x):
    if x == 5: await asyncio.sleep(600)
    return x
call = fn_async if backend == "asyncio" else fn
for _ in range(2):
    found = run_parallel(call, range(16), backend=backend, timeout=0.5, on_error="return")
    assert [one for one in found if not isinstance(one, Failure)] == [*range(5), *range(6, 16)]
    assert isinstance(found[5].exception, ItemTimeout), found[5]
print("right", flush=True)
print(time.monotonic())
"""


@row("C4")
def a_call_that_waits_for_ten_minutes(backend: str) -> None:
    """One item sleeps for 600 s; neither the run nor the end of the program waits for it."""
    out = programs.said(ABANDON, backend).split()
    took_s = time.monotonic() - float(out[1])
    require(took_s < programs.END_S, f"the end of the program took {took_s:.1f} s")


def wait_for_child(index: int) -> int:
    note(index)
    if index == BAD:
        subprocess.run(["sleep", "600"], check=False)
    return answer(index)


@row("C5", AWAY)
def a_call_with_a_child_process(backend: str) -> None:
    """The item that takes too long waits for a process that it has started."""
    judge(wait_for_child, range(COUNT), backend, TIMED_OUT, timeout=1.0)


INTERRUPTED = """
import asyncio, sys, time
from lab import gather, note
def sleep(x):
    note(x)
    time.sleep(600)
def spin(x):
    note(x)
    while True: pass
async def sleep_async(x):
    note(x)
    await asyncio.sleep(600)
backend, work, form = sys.argv[1:]
fn = sleep_async if backend == "asyncio" else {"sleep": sleep, "spin": spin}[work]
gather(form, fn, range(4), backend=backend)
"""


def interrupt(backend: str, work: str, how: str, form: str = "list") -> None:
    """Start a program, send it what Ctrl-C sends, and see it end."""
    forget_notes()
    line = programs.command(INTERRUPTED, backend, work, form)
    process = programs.start(line, env={"PYTHONFAULTHANDLER": "1"})
    wait_for_notes(1)
    time.sleep(0.1)
    if how == "group":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    if how == "twice":
        time.sleep(0.02)
        process.send_signal(signal.SIGINT)
    out, errors = programs.output_of(process, programs.END_S)
    code = process.returncode
    case = f"{form}, {how}, {work}"
    require(code == -signal.SIGINT, f"{case}: it ended with {code}: {out} {errors}")
    require("KeyboardInterrupt" in errors, f"{case}: it wrote {errors}")


INTERRUPTED_AT_START = """
import os, signal, subprocess, sys, threading, time
from autoexec import run_parallel
os.environ["AUTOEXEC_IDLE_SECONDS"] = "0"
pids = []
class Popen(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        pids.append(self.pid)
        if len(pids) == 1:  # one more might come after the end of the run
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
subprocess.Popen = Popen
try:
    run_parallel(abs, range(100), backend=sys.argv[1], max_workers=4)
except KeyboardInterrupt:
    print("interrupted")
until = time.monotonic() + float(sys.argv[2])
for pid in pids:
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < until, f"of {len(pids)} workers {pid} is left"
        time.sleep(0.01)
"""


@row("C6")
def control_c(backend: str) -> None:
    """Ctrl-C to the group, to the caller alone, and twice, while calls sleep or compute or workers start."""
    if backend in AWAY:
        out = programs.said(INTERRUPTED_AT_START, backend, str(programs.END_S))
        require(out == "interrupted", f"interrupted as workers started, it wrote {out!r}")
    for how in ("group", "parent", "twice"):
        interrupt(backend, "sleep", how)
    if backend in AWAY:
        interrupt(backend, "spin", "group")
    for form in FORMS[1:]:
        for how in ("group", "twice"):
            interrupt(backend, "sleep", how, form)


def fail_at_once(index: int) -> int:
    note(index)
    if index == 1:
        raise ValueError("at once")
    time.sleep(6.0)
    return answer(index)


async def fail_at_once_async(index: int) -> int:
    note(index)
    if index == 1:
        raise ValueError("at once")
    await asyncio.sleep(6.0)
    return answer(index)


@row("C7", ["asyncio", *AWAY])
def an_early_error_beside_slow_calls(backend: str) -> None:
    """One item fails at once while the others take six seconds."""
    most_s = 1.0 if FULL else 4.0  # see `programs.END_S`
    fn = fail_at_once_async if backend == "asyncio" else fail_at_once
    traces.watch(20.0)
    try:
        run_parallel(fn, range(4), backend=backend, max_workers=2)
    except ValueError as error:
        now = time.monotonic()
        require("at once" in str(error), f"another error came: {error!r}")
        failed = [one.at_s for one in notes() if one.index == 1]
        require(now - failed[0] < most_s, f"it took {now - failed[0]:.1f} s to hear of the error")
    else:
        require(False, "there was no error")
    require(max(one.index for one in notes()) <= 3, "there were more calls than items")


def slow_one(index: int) -> int:
    note(index)
    if index == 7:
        wait_for_ever()
    return answer(index)


class SlowOne(Suited):
    """The same, on an event loop."""

    async def __call__(self, item: Any) -> Any:
        note(item)
        if item == 7:
            await asyncio.sleep(FOR_EVER_S)
        return answer(item)


@row("C9")
def a_slow_item_within_a_chunk(backend: str) -> None:
    """One item in the middle of a chunk waits for ten minutes, with a timeout of 0.8 seconds."""
    fn = SlowOne(slow_one) if backend == "asyncio" else slow_one
    how = {7: fails(ItemTimeout)}
    judge(fn, range(20), backend, how, timeout=0.8, chunksize=10, max_workers=2)
    enough.set()  # for the call that is left behind on a thread


def tenth_of_a_second(index: int) -> int:
    note(index)
    time.sleep(0.1)
    return answer(index)


class TenthOfASecond(Suited):
    """The same, on an event loop."""

    async def __call__(self, item: Any) -> Any:
        note(item)
        await asyncio.sleep(0.1)
        return answer(item)


@row("C10")
def a_deadline_in_the_middle(backend: str) -> None:
    """A run that would take fifty seconds, with a deadline after three."""
    fn = TenthOfASecond(tenth_of_a_second) if backend == "asyncio" else tenth_of_a_second
    see_deadline("list", fn, backend, "raise")
    in_each(FORMS, lambda form: see_deadline(form, fn, backend, "return"))


def see_deadline(form: str, fn: Callable[[Any], Any], backend: str, on_error: str) -> None:
    """A run ends at its deadline, with an error, and no result is lost."""
    # Workers are there before, or on a busy machine nothing was done in three seconds.
    gather("list", fn, range(2), backend=backend, max_workers=2)
    forget_notes()
    handed: list[int] = []
    began = time.monotonic()
    options: dict[str, Any] = {"backend": backend, "max_workers": 2, "deadline": 3.0}
    options["on_error"] = on_error
    try:
        if form in LAZY:
            walk(form, fn, range(1000), handed.append, **options)
        else:
            gather(form, fn, range(1000), **options)
    except DeadlineExceeded as error:
        took_s = time.monotonic() - began
        require(bool(handed) == (form in LAZY), f"results that were handed on: {handed}")
        both = error.finished.keys() & set(range(len(handed)))
        require(not both, f"results were handed on and are in the error too: {both}")
        see_what_is_finished({**dict(enumerate(handed)), **error.finished}, took_s)
    else:
        require(False, "it did not end at its deadline")


def see_what_is_finished(finished: Mapping[int, Any], took_s: float) -> None:
    """The error came on time, and all results are there that there were."""
    most_s = 4.0 if FULL else 10.0  # see `programs.END_S`
    require(2.9 < took_s < most_s, f"a deadline of 3 s took {took_s:.2f} s")
    require(finished, "nothing is said to be finished")
    wrong = {i: value for i, value in finished.items() if value != answer(i)}
    require(not wrong, f"these results are wrong: {wrong}")
    calls = [one.index for one in notes()]
    require(len(calls) == len(set(calls)), "an item was called twice")
    # Those that were running then are the only ones that are missing.
    require(len(set(calls) - finished.keys()) <= 6, f"{len(calls)} calls, {len(finished)} results")
