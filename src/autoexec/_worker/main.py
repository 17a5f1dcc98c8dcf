"""A worker process: reads chunks of items, calls the function, sends the outcomes back.

Messages in:   ("start", sys.argv, sys.path, function bytes), then
               ("chunk", number, together, [item bytes, ...])
Messages out:  ("up",) or ("broken", text), then
               ("outcomes", number, [(values, error bytes, traceback, wall_s, cpu_s), ...], last)

A thread of its own reads the input, so that the parent can always write, and so that the death of
the parent, which is the end of the input, ends this process at once, whatever it is doing.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import IO, Any

from .._call import run_chunk
from .._pickling import dumps, loads
from .._types import Block, Chunk
from .errors import portable_error
from .frames import read_frame, write_frame


def main(stdout_fd: int) -> None:
    """Serve until the parent closes the pipe.

    Args:
        stdout_fd: Descriptor of the parent's standard output, or -1 where none was passed on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    pipe_in, pipe_out = _take_pipes(stdout_fd)
    messages: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_read, args=(pipe_in, messages), daemon=True).start()
    _, sys.argv[:], sys.path[:], function = messages.get()
    try:
        fn = _load(function)
    except BaseException as exc:
        _, text = portable_error(exc)
        write_frame(pipe_out, ("broken", text))
        return
    write_frame(pipe_out, ("up",))
    while True:
        _, number, together, items = messages.get()
        _serve(fn, number, together, items, pipe_out)


def _load(function: bytes) -> Callable[[bytes], bytes]:
    from .. import _host

    _host.mark_worker()
    fn = loads(function)
    # Reading an item and pickling its result happen within the call, so that what goes wrong
    # with either is that item's error.
    return lambda data: dumps(fn(loads(data)))


def _take_pipes(stdout_fd: int) -> tuple[IO[bytes], IO[bytes]]:
    """Move the pipes away from standard input and output, which belong to user code."""
    pipe_in = os.fdopen(os.dup(0), "rb")
    pipe_out = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(stdout_fd if stdout_fd >= 0 else 2, 1)
    if stdout_fd >= 0:
        os.close(stdout_fd)
    return pipe_in, pipe_out


def _read(pipe: IO[bytes], messages: SimpleQueue[Any]) -> None:
    while True:
        try:
            messages.put(read_frame(pipe))
        except EOFError:
            os._exit(0)  # the parent is done with us, or gone


def _serve(
    fn: Callable[[bytes], bytes], number: int, together: int, items: list[bytes], pipe: IO[bytes]
) -> None:
    """Run a chunk and send the outcomes of so many items together: what has been sent, a later
    death cannot take along."""
    parts = [items[i : i + together] for i in range(0, len(items), together)]
    for i, part in enumerate(parts):
        outcomes: list[Any] = []
        chunk = Chunk(0, part, "processes", "processes")
        chunk.watched = True
        run_chunk(fn, chunk, lambda block: outcomes.append(_wire(block)))
        _flush_prints()
        write_frame(pipe, ("outcomes", number, outcomes, i == len(parts) - 1))


def _flush_prints() -> None:
    """What a call printed must not be lost when this process ends without ceremony."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed, or replaced by the call
            continue


def _wire(block: Block) -> tuple[Any, ...]:
    error, traceback = None, None
    if block.error is not None:
        portable, traceback = portable_error(block.error)
        error = _error_bytes(portable)
    return list(block.values), error, traceback, block.wall_s, block.cpu_s, block.queued_s


def _error_bytes(error: BaseException) -> bytes:
    try:
        return dumps(error)
    except Exception:  # `portable_error` tried, but its second pickling may still fail
        return pickle.dumps(RuntimeError(f"an error of type {type(error).__name__}"))
