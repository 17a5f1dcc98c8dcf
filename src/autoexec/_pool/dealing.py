"""Which worker gets which chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._chunk import Block, Chunk
from .._errors import NotPicklable, NotSent
from .._pickling import pack, pack_plain
from .job import Job
from .worker import Worker


class Dealing:
    """The jobs of a pool, of which each has its turn. All of it under the lock of that.

    Args:
        workers: Those that there are.
        max_calls: Calls after which a worker is replaced; None for never.
        replace: Has that done.
    """

    def __init__(
        self, workers: Sequence[Worker], max_calls: int | None, replace: Callable[[Worker], None]
    ) -> None:
        self.jobs: dict[int, Job] = {}
        self._rounds: list[Job] = []  # the same, the one that was served last at the end
        self._workers = workers
        self._max_calls = max_calls
        self._replace = replace

    def begin(self, job: Job) -> None:
        """Give a job its turns from now on."""
        self.jobs[job.id] = job
        self._rounds.append(job)

    def end(self, job: Job) -> None:
        """No more of them."""
        job.waiting.clear()
        self.jobs.pop(job.id, None)
        self._rounds = [other for other in self._rounds if other is not job]

    def deal(self) -> None:
        """Hand waiting chunks to workers that have room, one job after the other."""
        dealt = True
        while dealt:
            dealt = False
            for job in list(self._rounds):
                if job.waiting and (worker := self._place(job)):
                    self._rounds.append(job)  # first: after a Ctrl-C it would be nowhere
                    self._rounds.remove(job)
                    self._give(worker, job, job.waiting.popleft())
                    dealt = True

    def _place(self, job: Job) -> Worker | None:
        """The worker that has the least to do, if it has room for a chunk of this job."""
        able = [worker for worker in job.loaded if not (worker.retired or worker.dead)]
        # Behind a call of another job none waits: it would share what becomes of that one's worker.
        free = [w for w in able if job.host is not None or w.load_of(job) == w.load()]
        if not free:
            return None
        worker = min(free, key=Worker.load)
        if job.host is None and not worker.load() and self._serving(job) >= job.wanted:
            return None  # those that are about to be replaced have a last call
        # A second chunk, which spares a worker the wait for the next, is dealt only once all
        # workers are up: else it would be in a queue while one that comes up has nothing to do.
        many = len(able) >= job.wanted or job.width > 1
        most = job.depth if many and not self._awaited(worker, job) else 1
        return worker if worker.load() < most else None

    def _serving(self, job: Job) -> int:
        """Workers that have calls of a job."""
        return sum(worker.load_of(job) > 0 for worker in self._workers)

    def _awaited(self, worker: Worker, job: Job) -> bool:
        """Whether another job waits for a worker to have done what it has."""
        others = (other for other in self._rounds if other is not job and worker in other.loaded)
        return job.host is None and any(other.waiting for other in others)

    def _give(self, worker: Worker, job: Job, chunk: Chunk) -> None:
        if not job.admit(chunk):
            return
        items = chunk.items
        if job.host is None and len(items) > 1 and (plain := pack_plain(items)) is not None:
            self._hand_over(worker, job, chunk, plain, len(items))
            return
        wires: list[Any] = []
        for item in items:
            try:
                wires.append(pack(item))
            except Exception as refused:
                # Whatever it is: this may be the thread of another worker's reader, which must go on.
                if wires:
                    break
                # Of a later item it is found when that is the first.
                known = isinstance(refused, NotPicklable)
                error = NotSent(str(refused) if known else f"it cannot be pickled: {type(refused)}")
                error.__cause__ = refused.__cause__
                self._refuse(job, chunk, error)
                return
        self._hand_over(worker, job, chunk, wires, len(wires))

    def _hand_over(self, worker: Worker, job: Job, chunk: Chunk, items: Any, count: int) -> None:
        try:
            worker.give(job, chunk, items, count)
        except MemoryError:
            self._refuse(job, chunk, NotSent("there is no memory to send it"))
        if self._max_calls and worker.calls >= self._max_calls:
            self._replace(worker)

    @staticmethod
    def _refuse(job: Job, chunk: Chunk, error: NotSent) -> None:
        """The first item of a chunk cannot be sent; the rest comes back."""
        job.sink([Block.untimed(chunk, [], error), Block.end_of(chunk)])
