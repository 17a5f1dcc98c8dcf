"""What a worker has said, or its end says, as blocks and errors."""

from __future__ import annotations

from typing import Any

from .._chunk import Block, Chunk
from .._errors import RemoteError, WorkerDied, attach_traceback, short_repr
from .._pickling import loads, unpack
from .._worker.calls import Call
from .job import DELIVERIES


def death_of(chunk: Chunk, position: int, exit_text: str) -> WorkerDied:
    """The error of the item that was running."""
    hint = (
        " The kernel does that to processes when memory runs out." if "SIGKILL" in exit_text else ""
    )
    others, look = "items", "the item does, call the function on it"
    if type(chunk.item(position)) is Call:
        others, look = "calls", "it does, make that call"
    return WorkerDied(
        f"A worker process {exit_text} while it ran {_named(chunk, position)}.{hint} The other {others} are"
        f" not affected. To see what {look} directly in a process that may end."
    )


def never_received(chunk: Chunk, exit_text: str) -> WorkerDied:
    """The error of the item that no worker could be sent."""
    return WorkerDied(
        f"{DELIVERIES} worker processes ended as they received {_named(chunk, 0)}; the last {exit_text}."
        " It may be too large for their memory."
    )


def _named(chunk: Chunk, position: int) -> str:
    """What errors call it: a run has items, an executor calls."""
    item = chunk.item(position)
    if type(item) is Call:
        return f"the call {short_repr(item)}"
    return f"item {chunk.first + position}, {short_repr(item)}"


def blocks_of(
    chunk: Chunk,
    values: list[Any],
    error: bytes | None,
    traceback: str | None,
    wall_s: float,
    cpu_s: float,
    queued_s: float,
    last: bool,
    began_s: float = 0.0,
) -> list[Block]:
    """An outcome with its values read; one that cannot be read is an error of that item."""
    blocks: list[Block] = []
    read: list[Any] = []
    for data in values:
        try:
            read.append(unpack(data))
        except BaseException as unreadable:
            blocks.append(Block.untimed(chunk, read, unreadable))
            read = []
    problem = None if error is None else read_error(error, traceback)
    return [*blocks, Block(chunk, read, problem, wall_s, cpu_s, queued_s, last, began_s)]


def read_error(data: bytes, traceback: str | None) -> BaseException:
    """An exception as it was in the worker, with its traceback there as the cause; or one that says why it cannot
    be read."""
    try:
        error: BaseException = loads(data)
    except BaseException as unreadable:  # its class is the user's, and may do anything
        error = RemoteError(f"an error that cannot be read here ({short_repr(unreadable)})")
    attach_traceback(error, traceback or "")
    return error
