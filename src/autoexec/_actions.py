"""What the scheduler tells its driver to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ._chunk import Chunk
from ._types import Lane


class Take(NamedTuple):
    """Take up to this many items from the input and say `took`."""

    most: int


class Open(NamedTuple):
    """Get a lane ready for this many chunks at once."""

    lane: Lane
    workers: int


class Send(NamedTuple):
    """Hand these chunks to a lane."""

    lane: Lane
    chunks: Sequence[Chunk]
    check: bool
    """Compare the caller's state before and after, and say `checked`."""


class Recall(NamedTuple):
    """Ask for the unstarted items of a chunk."""

    chunk: Chunk


class Poll(NamedTuple):
    """See how many items of these chunks were started, and say `progressed`."""

    chunks: Sequence[Chunk]


class Gauge(NamedTuple):
    """See what memory is held and left, and say `gauged`."""


class Peek(NamedTuple):
    """See how long the calls of these chunks have run, and computed, so far, and say `peeked`."""

    chunks: Sequence[Chunk]


class Stop(NamedTuple):
    """Give up the call that a chunk is in, with this error."""

    chunk: Chunk
    error: BaseException


class Inspect(NamedTuple):
    """Look at what the function's code says of its effects, and say `inspected`."""

    loop_bound: bool
    """What it names may belong to an event loop."""


class Weigh(NamedTuple):
    """Find what a process would take, and say `weighed`."""

    item: Any
    result: Any


class Wait(NamedTuple):
    """Wait for an event, and look at these chunks afterwards."""

    seconds: float
    watch: Sequence[Chunk]
    here: Sequence[Chunk]
    """Calls that run in this process, if there are several: look now and then how busy they keep it."""


class Done(NamedTuple):
    """The run is over."""

    error: BaseException | None


Action = Take | Open | Inspect | Send | Recall | Poll | Gauge | Peek | Stop | Weigh | Wait | Done
