"""Starts an interpreter, with pipes and the memory for its notes."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Mapping
from itertools import count
from typing import NamedTuple

from .._worker.notes import SIZE, Notes

PIPE_BYTES = 1 << 20
"""Asked for on Linux, where 64 kB is the default: 50 MB then take 25 ms instead of 60."""
_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    " from autoexec._worker.main import main; main(int(sys.argv[2]), sys.argv[3])"
)
_numbers = count()


class Spawned(NamedTuple):
    """A process that was started, and what it shares with us."""

    process: subprocess.Popen[bytes]
    notes: Notes


def spawn(environment: Mapping[str, str]) -> Spawned:
    """Start an interpreter like this one, with pipes for its standard input and output.

    Raises:
        OSError: There are no processes, descriptors or memory left.
    """
    # The flags of this interpreter (-O, -X, -W, ...), as `multiprocessing` passes them on too.
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    command = [sys.executable, *flags, "-c", _BOOT, _PACKAGE_PARENT]
    pipe = subprocess.PIPE
    # A process group of its own: Ctrl-C at the terminal goes to the caller, who decides.
    if sys.platform == "win32":
        name = f"autoexec-{os.getpid()}-{next(_numbers)}"
        notes = Notes(mmap.mmap(-1, SIZE, tagname=name))
        group = subprocess.CREATE_NEW_PROCESS_GROUP
        process = subprocess.Popen(
            [*command, "-1", name], creationflags=group, stdin=pipe, stdout=pipe, env=environment
        )
        return Spawned(process, notes)
    stdout = memory = -1
    try:
        stdout = _duplicate_stdout()
        memory = _memory()
        notes = Notes(mmap.mmap(memory, SIZE))
        process = subprocess.Popen(
            [*command, str(stdout), str(memory)],
            process_group=0,
            pass_fds=[fd for fd in (stdout, memory) if fd >= 0],
            stdin=pipe,
            stdout=pipe,
            env=environment,
        )
    finally:
        for fd in (stdout, memory):
            if fd >= 0:
                os.close(fd)
    _widen(process)
    return Spawned(process, notes)


def _duplicate_stdout() -> int:
    """A duplicate of this process's standard output, for the worker's; -1 if there is none."""
    try:
        return os.dup(1)
    except OSError:  # closed, as in a daemon
        return -1


def _memory() -> int:
    """A descriptor of nameless memory that two processes can share."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("autoexec", os.MFD_CLOEXEC)
    else:
        import tempfile  # 10 ms

        with tempfile.TemporaryFile(prefix="autoexec-") as file:  # without a name, too
            fd = os.dup(file.fileno())
    try:
        os.truncate(fd, SIZE)
    except OSError:
        os.close(fd)
        raise
    return fd


def _widen(process: subprocess.Popen[bytes]) -> None:
    try:
        import fcntl

        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except (ImportError, AttributeError, OSError):  # not Linux, or the user has too many
        return
