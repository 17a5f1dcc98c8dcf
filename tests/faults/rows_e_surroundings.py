"""Group E: how a program is started and ended, and from where in it a run is made."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

from lab import DEADLINE_S, Wrong, forget_notes, require, wait_for_notes
from programs import END_S, command, end_of, ends_within, output_of, said, start
from register import AWAY, row

WORK = """
import asyncio, os, sys, time
import autoexec
from autoexec import run_parallel
from lab import note
backend = sys.argv[1] if len(sys.argv) > 1 else os.environ["FAULTS_BACKEND"]
def double(x):
    return 2 * x
def sleep(x):
    note(x)
    time.sleep(600)
def spin(x):
    note(x)
    while True: pass
async def double_async(x):
    return 2 * x
async def sleep_async(x):
    note(x)
    await asyncio.sleep(600)
def doubled(count=20):
    fn = double_async if backend == "asyncio" else double
    return run_parallel(fn, range(count), backend=backend) == [2 * x for x in range(count)]
endless = sleep_async if backend == "asyncio" else sleep
"""

EXITS = """
import threading
run = lambda: run_parallel(endless, range(4), backend=backend)
threading.Thread(target=run, daemon=True).start()
while not os.path.getsize(os.environ["FAULTS_CALLS"]): time.sleep(0.01)
sys.stdout.write("the end")
"""


@row("E1")
def a_script_that_exits_while_calls_run(backend: str) -> None:
    """The script comes to its end while another thread of it is in a run."""
    process = start(command(WORK + EXITS, backend))
    wait_for_notes(1)
    time.sleep(0.1)
    out, errors = output_of(process, END_S)
    good = process.returncode == 0 and out == "the end"
    require(good, f"it ended with {process.returncode} and wrote {out!r} {errors}")


@row("E2", ["auto", *AWAY])
def a_parent_that_is_killed(backend: str) -> None:
    """The program is killed, or ended by SIGTERM, while its workers sleep or compute."""
    for how in (signal.SIGKILL, signal.SIGTERM):
        for work in ("sleep", "spin"):
            forget_notes()
            code = WORK + f"run_parallel({work}, range(8), backend=backend, max_workers=2)"
            process = start(command(code, backend))
            wait_for_notes(1)
            time.sleep(0.1)
            process.send_signal(how)
            ends_within(process)
            require(process.returncode == -how, f"it ended with {process.returncode}")


@row("E3")
def every_way_to_start_a_program(backend: str) -> None:
    """A script without a guard, `-c`, `-m`, a script on standard input, a prompt."""
    code = WORK + 'print("right" if doubled() else "wrong")\n'
    Path("script.py").write_text(code)
    folder = os.getcwd()
    python = sys.executable
    environment = {"FAULTS_BACKEND": backend}
    for line, stdin in (
        ([python, "script.py"], None),
        ([python, "-c", code], None),
        ([python, "-m", "script"], None),
        ([python, "-"], code),
        ([python, "-i", "-q"], prompted(code)),
    ):
        process = start(line, env=environment, cwd=folder, stdin=subprocess.PIPE)
        out = end_of(process, DEADLINE_S, stdin)
        require(out == "right", f"{line[1]}: it wrote {out!r}")


def prompted(code: str) -> str:
    """The code as it is typed at a prompt: an empty line after each block."""
    lines: list[str] = []
    for line in code.splitlines():
        if lines and lines[-1].startswith(" ") and not line.startswith(" "):
            lines.append("")
        lines.append(line)
    return "\n".join([*lines, ""])


THREADS = """
import signal, threading
def handlers():
    return {number: signal.getsignal(number) for number in signal.valid_signals()}
def wake_up():
    fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    return fd
before = handlers(), wake_up(), signal.pthread_sigmask(signal.SIG_BLOCK, ())
found = []
def call():
    for _ in range(3): found.append(doubled(50))
threads = [threading.Thread(target=call) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert found == [True] * 24, found
assert before == (handlers(), wake_up(), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
print("right")
"""


@row("E4")
def eight_threads_call_at_once(backend: str) -> None:
    """Eight threads, none of them the main one, make runs at the same time."""
    require(said(WORK + THREADS, backend) == "right", "not all was right")


AT_ODD_MOMENTS = """
import atexit, signal, threading
when = os.environ["FAULTS_WHEN"]
def late(write=os.write, doubled=doubled, refused=autoexec.AutoexecError):
    try:
        write(1, b"right" if doubled() else b"wrong")
    except refused as error:
        write(1, b"right" if str(error) else b"an error without a text")
class Last:
    def __del__(self, late=late, write=os.write):
        try:
            late()
        except (ImportError, RuntimeError, NameError, TypeError) as error:
            write(1, b"right" if "shut" in str(error) or "NoneType" in str(error) else b"unclear")
def alarm(seconds):
    signal.signal(signal.SIGALRM, lambda *_: late())
    signal.setitimer(signal.ITIMER_REAL, seconds)
if "after a run" in when:
    assert doubled()
if "atexit" in when:
    atexit.register(late)
elif "thread" in when:
    def outlive():
        threading.main_thread().join()
        late()
    threading.Thread(target=outlive).start()
elif "shutdown" in when:
    last = Last()
elif "within a run" in when:
    doubled()
    alarm(0.15)
    until = time.monotonic() + 0.5
    while time.monotonic() < until: assert doubled()
elif "within an import" in when:
    class Importing:
        def find_spec(self, name, path=None, target=None):
            if name == "autoexec._scheduler": signal.raise_signal(signal.SIGALRM)
    sys.meta_path.insert(0, Importing())
    alarm(60)
    assert doubled()
elif "signal" in when:
    alarm(0.01)
    time.sleep(0.1)
"""

MOMENTS = (
    "atexit",
    "atexit, after a run",
    "a thread that outlives the main one",
    "shutdown",
    "shutdown, after a run",
    "signal",
    "signal, within a run",
    "signal, within an import of the first run",
)


@row("E5")
def calls_at_odd_moments(backend: str) -> None:
    """A run from `atexit`, from a signal handler, within another run, as the interpreter ends."""
    wrong = []
    for when in MOMENTS:
        try:
            out = said(WORK + AT_ODD_MOMENTS, backend, env={"FAULTS_WHEN": when}, seconds=10.0)
        except Wrong as error:
            wrong.append(f"{when}: {error}")
            continue
        # As the very last thing, there may be nobody left to call it.
        if out != "right" and not ("shutdown" in when and not out):
            wrong.append(f"{when}: it wrote {out!r}")
    require(not wrong, "; ".join(wrong))


IN_LOOP = """
async def main():
    assert doubled()
    assert await asyncio.to_thread(doubled)
    await asyncio.sleep(0)
    return doubled()
print("right" if asyncio.run(main()) else "wrong")
"""


@row("E6")
def a_call_within_a_running_event_loop(backend: str) -> None:
    """A run in a coroutine, as in a notebook, whose loop is running."""
    require(said(WORK + IN_LOOP, backend) == "right", "not all was right")


CHANGED = """
def see(x):
    import mood
    return (os.environ.get("MOOD"), os.environ.get("GONE"), os.getcwd(), mood.NAME, step(x))
async def see_async(x): return see(x)
def step(x): return x + 1
def seen():
    fn = see_async if backend == "asyncio" else see
    found = run_parallel(fn, range(4), backend=backend)
    return [one[:4] for one in found[:1]] * 4 == [one[:4] for one in found] and found
folder = os.getcwd()
for name in ("one", "two"):
    os.mkdir(name)
    with open(f"{name}/mood.py", "w") as file: file.write(f"NAME = {name!r}")
os.environ["MOOD"], os.environ["GONE"] = "good", "here"
sys.path.insert(0, f"{folder}/one")
assert seen()[3] == ("good", "here", folder, "one", 4), seen()
os.environ["MOOD"] = "bad"
del os.environ["GONE"]
os.chdir("two")
exec("def step(x): return 100 * x", globals())
assert seen()[3] == ("bad", None, f"{folder}/two", "one", 300), seen()
with open(f"{folder}/two/late.py", "w") as file: file.write("NAME = 'late'")
sys.path.insert(0, f"{folder}/two")
def see(x):
    import late
    return late.NAME, None, None, None, x
assert seen()[3] == ("late", None, None, None, 3), seen()
print("right")
"""


@row("E7")
def surroundings_that_change_between_runs(backend: str) -> None:
    """The environment, the directory, the path and a function change; workers are warm."""
    require(said(WORK + CHANGED, backend) == "right", "not all was right")


AT_A_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from autoexec import run_parallel
def ask(how):
    import termios
    with open("/dev/tty", "rb+", buffering=0) as tty:
        if how == "set":
            termios.tcsetattr(tty, termios.TCSANOW, termios.tcgetattr(tty))
            return how
        return tty.read(1)
found = run_parallel(ask, ["set", "read"], backend=sys.argv[1], max_workers=2, on_error="return")
print(*[getattr(one, "exception", one) for one in found])
"""


@row("E8", AWAY)
def a_call_that_uses_the_terminal(backend: str) -> None:
    """Calls set and read the terminal of the program, as getpass does, or ssh."""
    ours, its = pty.openpty()
    try:
        out = said(AT_A_TERMINAL, backend, stdin=its)
    finally:
        os.close(ours)
        os.close(its)
    require(out == "set [Errno 5] Input/output error", f"it wrote {out!r}")
