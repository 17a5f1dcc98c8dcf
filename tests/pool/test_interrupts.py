"""Ctrl-C at any moment of a run on worker processes: nothing is left of it, and the next one works."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

DEADLINE_S = 60

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

START = """
import os, signal, subprocess, sys, threading, time
from autoexec import run_parallel
from autoexec._pool import shared

def double(x):
    return 2 * x

def run():
    return run_parallel(double, range(20), backend="processes", max_workers=2)

def wait_until(true):
    until = time.monotonic() + 10
    while not true():
        if time.monotonic() > until:
            raise AssertionError("something is left")
        time.sleep(0.002)

def nothing_runs():
    return not any(pool._jobs for pool in shared._pools.values())

def interrupt():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
"""

AT_THE_FORK = """
started = []
class Popen(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        started.append(self.pid)
        if len(started) == int(sys.argv[1]):
            interrupt()  # whoever is called here has not returned the process to anybody

subprocess.Popen = Popen
os.environ["AUTOEXEC_IDLE_SECONDS"] = "0"
try:
    run()
except KeyboardInterrupt:
    print("interrupted")
wait_until(nothing_runs)
for pid in started:
    wait_until(lambda: not os.path.exists(f"/proc/{pid}") if sys.platform == "linux" else True)
"""

AT_EACH_LINE = """
NAMES = set(sys.argv[1].split(","))
FILES = ("_collect.py", "_run.py", "_crew.py", "pool.py", "processes.py", "_thread_cache.py")

def trace(frame, event, _):
    code = frame.f_code
    if code.co_name in NAMES and os.path.basename(code.co_filename) in FILES:
        return trace_line

def trace_line(frame, event, _):
    global rest
    if event == "line" and not is_with(frame):
        rest -= 1
        if rest == 0:
            signal.raise_signal(signal.SIGINT)
    return trace_line

def is_with(frame):
    # Between the body of a `with` and its end the interpreter heeds no signal, but it traces the line.
    import linecache
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with ")

run()
lines = 0
while True:
    rest = lines = lines + 1
    sys.settrace(trace)
    try:
        run()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    if rest > 0:
        break  # there are no more lines
    wait_until(nothing_runs)
    assert run() == [2 * x for x in range(20)], lines
print("interrupted", lines - 1)
"""


def said(code: str, *arguments: str) -> str:
    line = [sys.executable, "-c", START + code, *arguments]
    return subprocess.run(
        line, check=True, stdout=subprocess.PIPE, text=True, timeout=DEADLINE_S
    ).stdout


@pytest.mark.parametrize("nth", ["1", "2"])
def test_a_worker_that_is_just_being_started_does_not_stay(nth: str) -> None:
    assert said(AT_THE_FORK, nth) == "interrupted\n"


@pytest.mark.parametrize("names", ["begin,open,shield", "close,_close,let_go,finish,shield"])
def test_nothing_stays_of_a_run_that_is_interrupted_as_it_begins_or_ends(names: str) -> None:
    word, lines = said(AT_EACH_LINE, names).split()
    assert word == "interrupted"
    assert int(lines) > 10
