"""Starts an interpreter, with pipes and the memory for its notes."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import count
from typing import IO, NamedTuple

from .._worker.notes import SIZE, Notes

PIPE_BYTES = 1 << 20
"""Asked for on Linux, where 64 kB is the default: 50 MB then take 25 ms instead of 60."""
_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# What `-c` puts first on the path is the current directory, whose `struct.py` is none of a worker's business.
_BOOT = (
    "import sys; sys.path[: not sys.flags.safe_path] = [sys.argv[1]];"
    " from autoexec._worker.main import main; main(*sys.argv[2:])"
)
_numbers = count()


class Spawned(NamedTuple):
    """A process that was started, and what it shares with us."""

    process: subprocess.Popen[bytes]
    notes: Notes
    to_it: int
    """Descriptor of the pipe that it reads."""
    from_it: IO[bytes]


def spawn(environment: Mapping[str, str]) -> Spawned:
    """Start an interpreter like this one.

    Raises:
        OSError: There are no processes, descriptors or memory left.
    """
    # The flags of this interpreter (-O, -X, -W, ...), as `multiprocessing` passes them on too.
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    command = [sys.executable, *flags, "-c", _BOOT, _PACKAGE_PARENT]
    if sys.platform == "win32":
        return _spawn_with_standard_pipes(command, environment)
    with ExitStack() as its, ExitStack() as ours:
        # Not its standard output: what is printed before it says anything would be taken for that.
        to_read, to_it = _pipe(its, ours)
        from_it, to_write = _pipe(ours, its)
        memory = _above_standard(_memory())
        its.callback(os.close, memory)
        notes = Notes(mmap.mmap(memory, SIZE))
        fds = to_read, to_write, memory
        process = subprocess.Popen(
            [*command, *map(str, fds)],
            process_group=0,  # Ctrl-C at the terminal goes to the caller, who decides
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=_standard(1),
            stderr=_standard(2),
            env=environment,
        )
        ours.pop_all()
    return Spawned(process, notes, to_it, os.fdopen(from_it, "rb"))


def _spawn_with_standard_pipes(command: list[str], environment: Mapping[str, str]) -> Spawned:
    """On Windows, where other descriptors are not passed on."""
    name = f"autoexec-{os.getpid()}-{next(_numbers)}"
    notes = Notes(mmap.mmap(-1, SIZE, tagname=name))  # type: ignore[call-arg, unused-ignore]
    group: int = subprocess.CREATE_NEW_PROCESS_GROUP  # type: ignore[attr-defined, unused-ignore]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [*command, "", "", name],
        creationflags=group,
        stdin=pipe,
        stdout=pipe,
        # Without a console there is none, as under pythonw: what calls print would be an error.
        stderr=None if sys.__stderr__ is not None else subprocess.DEVNULL,
        env=environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin as stdin:
        return Spawned(process, notes, os.dup(stdin.fileno()), process.stdout)


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """A pipe whose ends are closed with whoever has them."""
    ends = os.pipe()
    reading, writing = map(_above_standard, ends)
    reader.callback(os.close, reading)
    writer.callback(os.close, writing)
    _widen(writing)
    return reading, writing


def _above_standard(fd: int) -> int:
    """The same, not by a number of the standard input and outputs, which a daemon may have closed."""
    if fd > 2:
        return fd
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def _standard(fd: int) -> int | None:
    """What a worker has for a standard output of this process, which may have been closed, as in a daemon, or be
    the number of something else since."""
    try:
        return None if os.get_inheritable(fd) else subprocess.DEVNULL
    except OSError:
        return subprocess.DEVNULL


def _memory() -> int:
    """A descriptor of nameless memory that two processes can share."""
    try:
        fd = os.memfd_create("autoexec", os.MFD_CLOEXEC)
    except (AttributeError, OSError):  # not Linux, or it is not allowed here
        import tempfile  # 10 ms

        with tempfile.TemporaryFile(prefix="autoexec-") as file:  # without a name, too
            fd = os.dup(file.fileno())
    try:
        os.truncate(fd, SIZE)
    except OSError:
        os.close(fd)
        raise
    return fd


def _widen(pipe: int) -> None:
    try:
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except (ImportError, AttributeError, OSError):  # not Linux, or the user has too many
        return
