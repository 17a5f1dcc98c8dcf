"""Calls in worker processes, one at a time in each, or side by side (hybrid)."""

from __future__ import annotations

from collections.abc import Sequence

from .. import _control, _host
from .._chunk import Chunk
from .._pickling import Packed
from .._pool import shared
from .._pool.job import Job
from .._types import Lane, Sink
from .._worker.journal import SLOTS


class ProcessesExecutor:
    """A job of the pool that all runs share.

    Args:
        fn: Called with one item.
        sink: Hears of outcomes.
        lane: `processes`, or `hybrid` with a host.
        host: The class of the executor that runs calls side by side within each worker.
    """

    def __init__(
        self,
        fn: Packed,
        sink: Sink,
        lane: Lane = "processes",
        host: type | None = None,
    ) -> None:
        self._pool = shared.get()
        self._job = Job(fn, sink, lane, host=host, depth=_control.PREFETCH)

    def open(self, workers: int) -> None:
        """Get ready for so many chunks at once."""
        processes = workers
        if self._job.host is not None:
            processes = min(_host.cores(), workers)
            self._job.width = self._job.depth = min(SLOTS, -(-workers // processes))
        self._pool.begin(self._job, processes)

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Deal the chunks out to the workers."""
        self._pool.submit(self._job, chunks)

    def stop(self, chunk: Chunk, error: BaseException) -> None:
        """Give up the call that a chunk is in."""
        self._pool.stop(self._job, chunk, error)

    def close(self, *, abandon: bool) -> None:
        """Let the workers go; with `abandon` those that still run a call of this are killed."""
        self._pool.finish(self._job, abandon=abandon)
