"""Batches at a scheduler of Dask: each is begun once.

Dask runs a task again when the worker dies that runs it or holds its result, or is only cut off and
goes on running it. So a batch asks the scheduler before it begins, and is refused from the second time
on; what was lost is then an error of its items, not another call of the function. What a worker had
not begun runs on another, which is Dask's own doing.
"""

from __future__ import annotations

import distributed
from distributed.utils import sync

from .batch import Batch, run_batch

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from typing import Any

    from .batch import Items


class _Begun:
    """The batches of a run that were begun. They come almost in order, so that few need be kept."""

    def __init__(self, client: str) -> None:
        self.client = client
        self._before = 0
        """All with a lower number were begun."""
        self._later: set[int] = set()

    def add(self, number: int) -> bool:
        """Whether this one was not begun before."""
        if number < self._before or number in self._later:
            return False
        self._later.add(number)
        while self._before in self._later:
            self._later.remove(self._before)
            self._before += 1
        return True


class Claims(distributed.SchedulerPlugin):
    """Knows which batches of which runs were begun. It lives at the scheduler."""

    name = "autoexec-claims-1"
    idempotent = True  # the runs of others are known to the one that is there

    def __init__(self) -> None:
        self._runs: dict[str, _Begun] = {}

    async def start(self, scheduler: Any) -> None:
        """Answer to workers and callers."""
        scheduler.handlers["autoexec_open"] = self.open
        scheduler.handlers["autoexec_claim"] = self.claim
        scheduler.handlers["autoexec_close"] = self.close_run

    def open(self, run: str, client: str) -> None:
        """A run begins."""
        self._runs[run] = _Begun(client)

    def claim(self, run: str, number: int) -> bool:
        """Whether a batch may begin: once, and while its run is on."""
        return run in self._runs and self._runs[run].add(number)

    def close_run(self, run: str) -> None:
        """A run is over: nothing of it begins any more."""
        self._runs.pop(run, None)

    def remove_client(self, scheduler: Any, client: str) -> None:
        """A caller has gone, and its runs with it."""
        for run, begun in list(self._runs.items()):
            if begun.client == client:
                del self._runs[run]


def run_claimed(run: str, fn: bytes, items: Items, batch: Batch) -> bytes:
    """Run a batch in a worker of Dask, if it was not begun before."""
    worker = distributed.get_worker()
    key = worker.get_current_task()
    ask = worker.scheduler.autoexec_claim
    return run_batch(
        fn,
        items,
        batch,
        begin=lambda: bool(sync(worker.loop, ask, run=run, number=batch.number)),
        wanted=lambda: _is_wanted(worker, key),
    )


def _is_wanted(worker: Any, key: Any) -> bool:
    """Whether a task that runs on a worker was not cancelled."""
    task = worker.state.tasks.get(key)
    return task is not None and task.state != "cancelled"
