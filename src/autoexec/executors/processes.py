"""Calls in worker processes, one at a time in each, or side by side (hybrid)."""

from __future__ import annotations

from collections.abc import Sequence

from .. import _control, _host
from .._chunk import Chunk
from .._options import Settings
from .._pickling import Packed, pack
from .._pool import shared
from .._pool.job import Job
from .._pool.pool import Initializer, Pool
from .._types import Lane, Sink
from .._worker.home import AtHome, initialize
from .._worker.notes import SLOTS


class ProcessesExecutor:
    """A job of the pool that all runs share.

    Args:
        fn: Called with one item.
        sink: Hears of outcomes.
        lane: `processes`, or `hybrid` with a host.
        settings: Whether it has workers of its own.
        host: The class of the executor that runs calls side by side within each worker.
    """

    def __init__(
        self,
        fn: Packed,
        sink: Sink,
        settings: Settings,
        lane: Lane = "processes",
        host: type | None = None,
    ) -> None:
        self._own = settings.own_workers
        self._pool = _own_pool(settings) if self._own else shared.get()
        if settings.initializer is not None:
            fn = Packed(fn.fn, AtHome(fn.travels))
        self._job = Job(fn, sink, lane, host=host, depth=_control.PREFETCH)

    def open(self, workers: int) -> None:
        """Get ready for so many chunks at once."""
        processes = workers
        if self._job.host is not None:
            processes = min(_host.cores(), workers)
            self._job.width = min(SLOTS, -(-workers // processes))
            # As many again may wait there: who comes back to this process for the next item waits for
            # the GIL of the worker, twice, and for that of this one.
            self._job.depth = min(SLOTS, 2 * self._job.width)
        self._pool.begin(self._job, processes)

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Deal the chunks out to the workers."""
        self._pool.submit(self._job, chunks)

    def stop(self, chunk: Chunk, error: BaseException) -> None:
        """Give up the call that a chunk is in."""
        self._pool.stop(self._job, chunk, error)

    def close(self, *, abandon: bool) -> None:
        """Let the workers go; with `abandon` those that still run a call of this are killed."""
        try:
            self._pool.finish(self._job, abandon=abandon)
        finally:  # also on Ctrl-C
            if self._own:
                self._pool.shutdown()


def _own_pool(settings: Settings) -> Pool:
    """Workers for one run alone: those of others have not called its initializer, and what theirs
    has left behind is nothing to this."""
    first = None
    if settings.initializer is not None:
        first = Initializer(pack(initialize), pack((settings.initializer, settings.initargs)))
    return Pool(idle_s=None, max_calls=settings.max_tasks_per_child, initializer=first)
