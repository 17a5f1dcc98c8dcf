"""Programs that a row starts, watches, interrupts and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import traces
from lab import DEADLINE_S, FULL, Wrong, require, wait_until

FOLDER = str(Path(__file__).parent)
END_S = 2.0 if FULL else 8.0
"""What a program has to end, and all that it has started with it. 2 s are promised; a machine that does
other things beside the tests may pause for longer, and calls that last for ten minutes tell as much."""


def command(code: str, *arguments: str) -> list[str]:
    """The command line that runs that code."""
    return [sys.executable, "-c", code, *arguments]


def start(line: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Start a program in a session of its own, as from a terminal of its own.

    Args:
        line: The command line.
        options: For `Popen`.
    """
    path = os.pathsep.join([FOLDER, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, **options.pop("env", {})}
    options = {"stdin": subprocess.DEVNULL, "start_new_session": True, **options}
    pipe = subprocess.PIPE
    return subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, env=environment, **options)


def end_of(process: subprocess.Popen[str], seconds: float, stdin: str | None = None) -> str:
    """Wait for the end of a program and of what it has started.

    Returns:
        What it wrote on standard output.

    Raises:
        Wrong: It did not end in time, failed, or left processes behind.
    """
    out, errors = output_of(process, seconds, stdin)
    require(process.returncode == 0, f"the program ended with {process.returncode}: {errors}")
    require("Traceback" not in errors, f"the program wrote: {errors}")
    return out


def output_of(
    process: subprocess.Popen[str], seconds: float, stdin: str | None = None
) -> tuple[str, str]:
    """The same for a program that may fail: what it wrote on standard output and error."""
    try:
        out, errors = process.communicate(stdin, timeout=seconds)
    except subprocess.TimeoutExpired:
        had = "had not" if process.poll() is None else "had, but not all that it has started,"
        _signal_session(process, signal.SIGABRT)  # those with `faulthandler` write where they are
        time.sleep(0.5)
        end_session(process)
        _, errors = process.communicate()
        raise Wrong(f"the program {had} ended after {seconds:g} s: {errors}") from None
    wait_until(
        lambda: not traces.processes_of_row(),
        f"the processes of a program have ended, {traces.processes_of_row()}",
        END_S,
    )
    return out.strip(), errors.strip()


def said(code: str, *arguments: str, seconds: float = DEADLINE_S, **options: Any) -> str:
    """What a program writes that runs this code, once it has ended well."""
    return end_of(start(command(code, *arguments), **options), seconds)


def end_session(process: subprocess.Popen[str]) -> None:
    """Kill a program and what it has started."""
    _signal_session(process, signal.SIGKILL)


def _signal_session(process: subprocess.Popen[str], number: signal.Signals) -> None:
    for pid in [process.pid, *traces.processes_of_row()]:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def ends_within(process: subprocess.Popen[str], seconds: float = END_S) -> float:
    """Wait for the end of a program. Returns how long that took."""
    began = time.monotonic()
    output_of(process, seconds)
    return time.monotonic() - began
