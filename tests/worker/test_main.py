"""Worker processes from their first instruction to their last, whatever calls do in them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from autoexec import run_parallel
from autoexec._chunk import Chunk
from autoexec._pickling import Packed
from autoexec._pool.job import Job
from autoexec._pool.pool import Pool

DEADLINE_S = 60

posix_only = pytest.mark.skipif(os.name == "nt", reason="processes of POSIX")

DOUBLED = """
from autoexec import run_parallel
def double(x):
    return 2 * x
print(*run_parallel(double, range(4), backend="processes", max_workers=1), flush=True)
"""


def said(code: str, **options: Any) -> str:
    """What a program writes that runs this code."""
    line = [sys.executable, "-c", code]
    options = {"stdout": subprocess.PIPE, "text": True, "timeout": DEADLINE_S} | options
    return str(subprocess.run(line, check=True, **options).stdout)


# --- Its start ----------------------------------------------------------------------------------------


@posix_only
def test_what_is_printed_as_the_interpreter_starts_is_no_message(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('hello from the site')")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    out = said(DOUBLED, env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"})
    assert out.splitlines() == ["hello from the site"] * 2 + ["0 2 4 6"]


def test_a_worker_runs_no_module_that_happens_to_be_in_the_directory(tmp_path: Path) -> None:
    for module in ("struct", "pickle", "threading"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit(5)")
    (tmp_path / "elsewhere").mkdir()
    script = tmp_path / "elsewhere" / "script.py"
    script.write_text(DOUBLED)
    line = [sys.executable, str(script)]
    ended = subprocess.run(
        line, check=True, cwd=tmp_path, stdout=subprocess.PIPE, text=True, timeout=DEADLINE_S
    )
    assert ended.stdout == "0 2 4 6\n"


@posix_only
@pytest.mark.parametrize("closed", ["1", "0, 1", "0, 1, 2"])
def test_a_daemon_s_workers_have_none_of_its_files_for_their_outputs(closed: str) -> None:
    code = f"""
import os
answer = os.dup(1)
for fd in ({closed},):
    os.close(fd)
from autoexec import run_parallel
def outputs(_):
    import os
    return [os.path.samestat(os.fstat(fd), os.stat(os.devnull)) for fd in {{{closed}}}]
try:
    found = run_parallel(outputs, range(2), backend="processes", max_workers=2)
except BaseException as error:
    found = error
os.write(answer, repr(found).encode())
"""
    count = closed.count(",") + 1
    assert said(code, stdin=subprocess.DEVNULL) == repr([[True] * count] * 2)


COUNT_PIPES = """
import os, stat
def is_pipe(fd):
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False
os._exit(sum(map(is_pipe, range(3, 64))))
"""


@posix_only
def test_programs_that_calls_start_do_not_have_the_pipes() -> None:
    """Else they would keep them open, and nobody would hear of the death of a worker."""

    def pipes(_: int) -> int:
        line = [sys.executable, "-c", COUNT_PIPES]
        _, status = os.waitpid(os.posix_spawn(line[0], line, os.environ), 0)
        return os.waitstatus_to_exitcode(status)

    assert run_parallel(pipes, range(2), backend="processes") == [0, 0]


# --- Its terminal -------------------------------------------------------------------------------------

AT_A_TERMINAL = '''
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # standard input becomes the terminal of this session
from autoexec import run_parallel
CHILD = """
import os, signal
signal.signal(signal.SIGTTIN, lambda *_: None)
try:
    os.read(os.open('/dev/tty', os.O_RDWR), 1)
except OSError as error:
    print(error.errno)
"""
def ask(how):
    import subprocess, sys, termios
    if how == "child":
        return int(subprocess.check_output([sys.executable, "-c", CHILD], timeout=30))
    with open("/dev/tty", "rb+", buffering=0) as tty:
        if how == "set":  # as getpass does, and ssh
            termios.tcsetattr(tty, termios.TCSANOW, termios.tcgetattr(tty))
            return "set"
        return tty.read(1)
found = run_parallel(ask, ["set", "read", "child"], backend="processes", on_error="return")
print([getattr(one, "exception", one) for one in found], flush=True)
'''


@posix_only
def test_a_call_that_uses_the_terminal_does_not_stop_its_worker() -> None:
    import pty

    ours, its = pty.openpty()
    try:
        out = said(AT_A_TERMINAL, stdin=its, start_new_session=True)
    finally:
        os.close(ours)
        os.close(its)
    assert out == "['set', OSError(5, 'Input/output error'), 5]\n"


# --- Its end ------------------------------------------------------------------------------------------


def leave_a_thread(item: Any) -> None:
    """As a client library does that has one of its own."""
    threading.Thread(target=threading.Event().wait).start()


def test_a_worker_that_fails_ends_though_a_call_has_left_a_thread() -> None:
    pool = Pool(idle_s=None)
    try:
        events: SimpleQueue[Any] = SimpleQueue()
        job = Job(Packed(leave_a_thread), events.put, "processes")
        pool.begin(job, 1)
        events.get(timeout=DEADLINE_S)
        pool.submit(job, [Chunk(0, [0], "processes", "processes")])
        events.get(timeout=DEADLINE_S)
        (worker,) = pool._workers
        worker.tell("no such message")
        assert worker.gone(DEADLINE_S)
        assert not worker.killed
    finally:
        pool.shutdown()


# --- Forks of it --------------------------------------------------------------------------------------


def fall_out(how: str) -> int:
    """How a process ends a call that it was forked in."""
    if how == "raises":
        raise ValueError(how)
    if how == "exits":
        raise SystemExit(0)
    return 0


def forker(log: Path, how: str) -> Callable[[int], int]:
    """Notes each call, and forks in one of them a process that does not end there."""

    def call(item: int) -> int:
        with open(log, "a") as file:
            file.write(f"{item}\n")
        if item == 2:
            warnings.simplefilter("ignore")
            if (child := os.fork()) == 0:
                return fall_out(how)
            os.waitpid(child, 0)
        return item

    return call


@posix_only
@pytest.mark.parametrize("how", ["raises", "exits", "returns"])
@pytest.mark.parametrize("backend", ["processes", "hybrid"])
def test_a_process_that_falls_out_of_the_call_that_has_forked_it_makes_no_other(
    backend: Any, how: str, tmp_path: Path
) -> None:
    fn = forker(tmp_path / "log", how)
    found = run_parallel(fn, range(6), backend=backend, max_workers=1, chunksize=6, deadline=30)
    assert found == list(range(6))
    assert (tmp_path / "log").read_text().split() == list("012345")
