"""The program around a run: how it is started, interrupted, killed. Each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

DEADLINE_S = 60

BURN = """
def burn(units):
    total = 0
    for i in range(units):
        total += i * i
    return total
"""

WORK = (
    BURN
    + """
from autoexec import run_parallel
results = run_parallel(burn, [20_000] * 40, backend='processes')
print(results == [burn(20_000)] * 40, results.report.ran.get("processes", 0) > 0)
"""
)

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def python(*arguments: str, stdin: str | None = None, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


class TestHowItIsStarted:
    """No way to start a program needs a main guard or leaves noise on standard error."""

    code = WORK

    def test_a_script_without_a_main_guard(self, tmp_path: Path) -> None:
        script = tmp_path / "script.py"
        script.write_text(self.code)
        assert python(str(script)) == "True True"

    def test_python_c(self) -> None:
        assert python("-c", self.code) == "True True"

    def test_python_m(self, tmp_path: Path) -> None:
        (tmp_path / "tool.py").write_text(self.code)
        assert python("-m", "tool", cwd=tmp_path) == "True True"

    def test_a_script_from_standard_input(self) -> None:
        assert python("-", stdin=self.code) == "True True"

    def test_a_call_from_a_thread(self) -> None:
        code = f"import threading\ndef main():\n{textwrap.indent(self.code, '    ')}\n"
        code += "t = threading.Thread(target=main); t.start(); t.join()"
        assert python("-c", code) == "True True"


def test_classes_of_main_keep_their_identity() -> None:
    code = """
from autoexec import run_parallel
class Point:
    def __init__(self, x): self.x = x
def move(p):
    assert isinstance(p, Point)
    return Point(p.x + 1)
moved = run_parallel(move, [Point(1), Point(2)], backend="processes")
print([type(p) is Point for p in moved], [p.x for p in moved])
"""
    assert python("-c", code) == "[True, True] [2, 3]"


def test_print_and_input_in_a_worker() -> None:
    code = """
import sys
from autoexec import run_parallel
def talk(x):
    print("said", x)
    return sys.stdin.read()
print(run_parallel(talk, [7], backend="processes"))
"""
    assert sorted(python("-c", code, stdin="not for workers").split("\n")) == ["['']", "said 7"]


SLEEPING = """
import sys, time
from autoexec import run_parallel
def sleep(x):
    open(sys.argv[1], "a").write("x")
    time.sleep(600)
"""
SPINNING = """
import sys
from autoexec import run_parallel
def sleep(x):
    open(sys.argv[1], "a").write("x")
    while True: pass
"""


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until a call has begun."""
    until = time.monotonic() + DEADLINE_S
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path("/proc", name, "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(name))
    return found


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


@posix_only
@pytest.mark.parametrize(
    ("backend", "work"),
    [("threads", SLEEPING), ("processes", SLEEPING), ("processes", SPINNING), ("auto", SLEEPING)],
)
def test_ctrl_c_ends_a_run_and_the_program(backend: str, work: str, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    code = work + f"run_parallel(sleep, range(4), backend={backend!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(begun)], stderr=subprocess.PIPE, text=True
    )
    wait_for(begun, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1  # the program's own, none of workers or threads
    assert "KeyboardInterrupt" in errors


@posix_only
def test_the_program_may_end_while_calls_run_in_threads(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    code = SLEEPING + textwrap.dedent("""
        import os, threading
        run = lambda: run_parallel(sleep, range(4), backend="threads")
        threading.Thread(target=run, daemon=True).start()
        while not os.path.exists(sys.argv[1]): time.sleep(0.01)
    """)
    assert python("-c", code, str(begun)) == ""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks into /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("work", [SLEEPING, SPINNING])
def test_workers_end_with_a_parent_that_is_killed(
    how: signal.Signals, work: str, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    code = work + "run_parallel(sleep, range(4), backend='processes')"
    process = subprocess.Popen([sys.executable, "-c", code, str(begun)], text=True)
    wait_for(begun, process)
    workers = children_of(process.pid)
    assert workers
    process.send_signal(how)
    process.wait(timeout=DEADLINE_S)
    until = time.monotonic() + DEADLINE_S
    while not all(map(gone, workers)):
        assert time.monotonic() < until, "workers outlive their parent"
        time.sleep(0.01)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks into /proc")
def test_descriptors_threads_and_children_stay_flat() -> None:
    code = (
        BURN
        + """
import os, threading, time
from autoexec import run_parallel
def children():
    mine = str(os.getpid())
    found = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            found += open(f"/proc/{name}/stat").read().rpartition(")")[2].split()[1] == mine
        except OSError:
            pass
    return found
def figures():
    until = time.monotonic() + 20  # idle threads and workers are let go after a while
    while (children() or threading.active_count() > 1) and time.monotonic() < until:
        time.sleep(0.05)
    return len(os.listdir("/proc/self/fd")), threading.active_count(), children()
def once():
    run_parallel(burn, range(20))
    run_parallel(time.sleep, [0.001] * 5)
    run_parallel(burn, range(4), backend="processes")
once()
before = figures()
for _ in range(15): once()
after = figures()
print(before == after, before, after)
"""
    )
    said = python("-c", code)
    assert said.startswith("True"), said


@posix_only
def test_no_worker_can_start_and_auto_goes_on_here() -> None:
    code = (
        BURN
        + """
import subprocess
from autoexec import run_parallel
def refuse(*args, **options): raise OSError(11, "Resource temporarily unavailable")
subprocess.Popen = refuse
results = run_parallel(burn, [200_000] * 60)
print(results == [burn(200_000)] * 60, "no worker process can be started" in str(results.report))
"""
    )
    assert python("-c", code) == "True True"


def test_a_function_whose_module_is_not_there_in_a_worker_is_one_clear_error() -> None:
    code = """
import sys, types
module = types.ModuleType("made_up")
exec("def double(x): return 2 * x", module.__dict__)
sys.modules["made_up"] = module
from autoexec import AutoexecError, run_parallel
try:
    run_parallel(module.double, [1, 2], backend="processes")
except AutoexecError as error:
    print("No module named 'made_up'" in str(error))
"""
    assert python("-c", code) == "True"


@posix_only
@pytest.mark.parametrize("backend", ["auto", "threads", "processes", "hybrid"])
def test_a_signal_handler_may_run_something_while_a_run_is_interrupted(backend: str) -> None:
    code = """
import random, signal, sys, time
from autoexec import run_parallel
def double(x): return 2 * x
def right(): return run_parallel(double, range(6), backend=sys.argv[1]) == [0, 2, 4, 6, 8, 10]
busy, answers = False, []
def handle(*_):
    global busy
    if not busy:
        busy = True
        answers.append(right())
        busy = False
assert right()  # so that everything is imported
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.0117)
until = time.monotonic() + 1
while time.monotonic() < until or not answers: answers.append(right())
signal.setitimer(signal.ITIMER_REAL, 0)
print(all(answers))
"""
    assert python("-c", code, backend) == "True"
