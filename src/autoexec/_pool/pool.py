"""Workers and the jobs that they serve: starts them, replaces the dead.

One lock guards the books; it is held for dealing and never while something is waited for. A signal
handler that calls us in the midst of that is given a pool of its own (`shared`), since the one that
it has interrupted can do nothing before it returns.

A Ctrl-C may come anywhere on the main thread. What must not be left half done, such as the start of a
worker, is shielded from that: it goes on while its caller has the KeyboardInterrupt already, so that
the job may be over when it is begun, and a worker may come up for nobody.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _host, _thread_cache
from .._chunk import Chunk
from .._errors import NotPicklable, text_of, text_of_cause
from .._types import Broken
from .._worker.variables import Differs
from .dealing import Dealing
from .idling import Idling
from .job import Job
from .surroundings import environment, surroundings
from .worker import Worker

if TYPE_CHECKING:
    from .._pickling import Wire

FAREWELL_S = 0.5
"""What workers have to end by themselves, unless a pool gives them more."""


class Initializer(NamedTuple):
    """What each worker calls before anything else, pickled."""

    function: Wire
    arguments: Wire


class Pool:
    """Worker processes that serve any number of jobs.

    Args:
        idle_s: Seconds without a job after which the workers are let go; None for never.
        learns: They are kept for longer if they were costly to start, or a run has missed them, see `Idling`.
        max_calls: Calls after which a worker is replaced; None for never.
        initializer: Called in each worker first.
        spread: Workers among which the cores are shared out for native libraries.
        native_threads: How many threads such libraries start in a worker, whatever else says so.
        farewell_s: Seconds that a worker has to end by itself, before it is killed.
    """

    def __init__(
        self,
        *,
        idle_s: float | None,
        learns: bool = False,
        max_calls: int | None = None,
        initializer: Initializer | None = None,
        spread: int | None = None,
        native_threads: int | None = None,
        farewell_s: float = FAREWELL_S,
    ) -> None:
        self.farewell_s = farewell_s
        self.closed = False
        self._process = os.getpid()
        self._initializer = initializer
        self._spread = spread
        self._native_threads = native_threads
        # Held while workers are started, which takes a while, so that two do not start the same.
        self._hiring = threading.RLock()
        self._lock = threading.RLock()  # guards what follows
        self._workers: list[Worker] = []
        self._dealing = Dealing(self._workers, max_calls, self._replace)
        self._jobs = self._dealing.jobs
        self._idling = Idling(
            self._lock,
            self._workers,
            idle_s=idle_s,
            learns=learns,
            busy=lambda: bool(self._jobs) or self.closed,
        )

    def ready(self) -> int:
        """Workers that are up."""
        return sum(worker.up and worker.is_alive() for worker in list(self._workers))

    def held(self) -> bool:
        """Whether this very thread is in the midst of an operation on the pool, which a signal
        handler that calls us has interrupted."""
        locks: tuple[Any, ...] = (self._lock, self._hiring)
        return any(lock._is_owned() for lock in locks)

    def _shielded(self, work: Callable[[], None]) -> None:
        """Do something that no Ctrl-C ends half-way. In the midst of an operation of this very thread, from
        a callback or a finalizer, another would wait for its locks for ever."""
        if self.held():
            work()
        else:
            _thread_cache.shield(work)

    # --- Jobs -----------------------------------------------------------------------------------------

    def begin(self, job: Job, workers: int) -> None:
        """Let a job use so many workers. Those that are missing are started at once; the function,
        which may take much longer to pickle than they to start, is given to them in the
        background."""
        self._shielded(partial(self._begin, job, workers))

    def _begin(self, job: Job, workers: int) -> None:
        with self._lock:
            if job.over:
                return
            job.wanted = max(job.wanted, workers)
            if job.host is not None:  # who gets the function later hears it with that
                for worker in job.workers:
                    worker.tell("width", job.id, job.width)
            if not self._jobs:
                self._idling.end()
            if job.id not in self._jobs:
                job.began_at = time.perf_counter()
                self._dealing.begin(job)
        if why := _host.why_no_workers():
            self._give_up(job, None, why)
            return
        self._hire(job)
        self._in_background(partial(self._equip, job))

    @staticmethod
    def _in_background(work: Callable[[], None]) -> None:
        try:
            _thread_cache.start(work, "autoexec-start")
        except RuntimeError:  # no more threads: the system's limit, or the interpreter is ending
            work()

    def _hire(self, job: Job) -> None:
        """Start what workers are missing: now, since in the background, beside calls that hold the
        GIL, it takes ten times as long."""
        with self._hiring:
            while (
                job.wanted > len([w for w in self._workers if w.is_alive() and self._suits(w, job)])
                and not self.closed
                and not job.over
            ):
                if self._add_worker():
                    break

    def _suits(self, worker: Worker, job: Job) -> bool:
        """Whether a worker can serve a job: not beside one of the other kind, calls one at a time or side by
        side. What one of these does to its worker would happen to the other: a time-out cannot be heard of,
        and a death takes all calls with it."""
        kinds = {
            one.host is None for one in list(self._jobs.values()) if worker in list(one.workers)
        }
        return not worker.retired and kinds <= {job.host is None}

    def _equip(self, job: Job) -> None:
        """Pickle the function, and give the job its workers."""
        try:
            for worker in list(self._workers):
                worker.tell("prepare", job.module())
            job.fn.wire()
        except NotPicklable as error:
            self._give_up(job, error, f"the function cannot be pickled ({text_of_cause(error)})")
        except BaseException as error:
            self._give_up_after(error, job)
        else:
            self._staff(job)

    def _staff(self, job: Job) -> None:
        """Give a job the workers that it may use: those that are there, then new ones."""
        why: str | None = None
        try:
            with self._hiring:
                while why is None and self._lacks_worker(job):
                    why = self._add_worker()
        except BaseException as error:
            self._give_up_after(error, job)
            return
        if why is None:
            return
        with self._lock:
            job.wanted = len(job.workers)  # it runs with those that could be had
        if not job.workers:
            self._give_up(job, None, why, harmless=True)

    def _lacks_worker(self, job: Job) -> bool:
        """Assign workers that are there; whether that is not enough."""
        with self._lock:
            while not job.over and not self.closed and len(job.workers) < job.wanted:
                others = [w for w in self._workers if w not in job.workers]
                free = [w for w in others if w.is_alive() and self._suits(w, job)]
                if not free:
                    return True
                self._assign(min(free, key=Worker.load), job)
        return False

    def _add_worker(self) -> str | None:
        """Start a worker, which takes some milliseconds. Returns why that was not possible."""
        now = surroundings(self._width(), self._native_threads)  # first: it may fail
        try:
            worker = Worker(self, environment(self._width(), self._native_threads))
        except (OSError, RuntimeError) as error:  # no processes, descriptors, memory or threads
            return f"no worker process can be started ({error})"
        worker.bring_up_to_date(now)
        if self._initializer:
            worker.tell("call", *self._initializer)
        with self._lock:
            if self.closed:
                worker.end()
            elif worker.dead:
                return "a worker process ended as it started"
            else:
                self._workers.append(worker)
                self._begin_idling()  # who wanted it may not want it any more
        return None

    def _width(self) -> int:
        """Workers among which the cores are shared out."""
        wanted = [job.wanted for job in list(self._jobs.values())]
        return self._spread or max([_host.cores(), *wanted])

    def _assign(self, worker: Worker, job: Job) -> None:
        job.workers.append(worker)
        worker.bring_up_to_date(surroundings(self._width(), self._native_threads))
        worker.tell(*job.message())

    def submit(self, job: Job, chunks: Sequence[Chunk]) -> None:
        """Run chunks of a job that was begun; if it is over, they come back."""
        with self._lock:
            job.waiting.extend(chunks)
            if not (job.given_up or job.over):
                self._dealing.deal()
                return
            waiting = job.take_back()
        job.hand_back(waiting)

    def stop(self, job: Job, chunk: Chunk, error: BaseException) -> None:
        """Give up the call that a chunk is in, with this error; the rest of it comes back."""
        with self._lock:
            holder = next((worker for worker in self._workers if worker.has(chunk)), None)
        if holder is not None:  # which must not stay stopped
            self._shielded(partial(holder.stop, chunk, error))

    def finish(self, job: Job, *, abandon: bool) -> None:
        """A job is over; with `abandon` its calls that still run are ended with their workers."""
        self._shielded(partial(self._finish, job, abandon))

    def _finish(self, job: Job, abandon: bool) -> None:
        with self._lock:
            job.over = True
            self._dealing.end(job)
            for worker in list(self._workers):
                if abandon and worker.load_of(job):
                    self._end_calls(worker, job)
                elif worker.tainted and not worker.retired:
                    worker.end()
                elif worker in job.workers:
                    worker.tell("forget", job.id)
            self._begin_idling()

    def _end_calls(self, worker: Worker, job: Job) -> None:
        """End the calls of a job with their worker; where calls of others run beside them, after these."""
        if worker.load_of(job) == worker.load():
            worker.retired = True
            worker.kill()
        else:
            worker.leave_behind(job)
            self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        """Let a worker end after what it has, and start another in its place."""
        worker.end()
        for job in list(self._jobs.values()):
            if worker in job.workers:
                job.part_with(worker)
                try:
                    _thread_cache.start(partial(self._staff, job), "autoexec-start")
                except RuntimeError:  # no more threads; not here, with the lock
                    job.workers.append(worker)  # its reader sees to it when it has ended

    # --- Said by workers, on their readers' threads -----------------------------------------------------

    def has_loaded(self, worker: Worker, job_id: int) -> None:
        """A worker has the function of a job."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or worker not in job.workers:
                return
            job.loaded.append(worker)
            self._dealing.deal()
        fresh = (
            worker.began_at >= job.began_at
        )  # else it was there already, and says nothing of a start
        job.say_ready(time.perf_counter() - worker.began_at if fresh else None)

    def refused(self, worker: Worker, job_id: int, error: BaseException, text: str) -> None:
        """A worker cannot load a function, or its initializer failed."""
        with self._lock:
            concerned = [self._jobs[job_id]] if job_id in self._jobs else []
            if not job_id:
                self.closed = True
                concerned = list(self._jobs.values())
        what = "the function could not be loaded" if job_id else "the initializer failed"
        for job in concerned:
            why = (
                str(error) if isinstance(error, Differs) else f"{what} in a worker process:\n{text}"
            )
            self._give_up(job, error, why, initializing=not job_id)

    def has_room(self, worker: Worker) -> None:
        """A worker has finished a chunk."""
        with self._lock:
            self._dealing.deal()

    def has_ended(self, worker: Worker) -> None:
        """A worker has closed its pipe. From here on it is given nothing, so that what is with it
        can be reported."""
        with self._lock:
            worker.dead = True

    def went_down(self, worker: Worker, exit_text: str) -> None:
        """A worker is gone, and what was with it has been reported; start another."""
        with self._lock:
            if worker in self._workers:
                self._workers.remove(worker)
            served = [job for job in self._jobs.values() if worker in job.workers]
            lost = [job for job in served if not self._survives(job, worker)]
        for job in served:
            if job in lost:
                why = f"a worker process {exit_text} as it loaded the function"
                self._give_up(job, None, why)
            else:
                self._staff(job)
        with self._lock:
            self._dealing.deal()  # one that was replaced has made room

    def _survives(self, job: Job, worker: Worker) -> bool:
        """Whether a job goes on with another worker: not if they die as they load its function."""
        if job.part_with(worker):
            job.tries = max(1, job.tries)
        elif not (worker.retired or worker.ran or worker.killed) or worker.hung:
            job.tries -= 1
        return job.tries > 0 or bool(job.loaded)

    def _give_up_after(self, error: BaseException, job: Job) -> None:
        """The last resort on a thread of the pool's own: a run that nobody told would wait for ever."""
        text = f"{type(error).__name__}: {text_of(error)}"
        self._give_up(job, error, f"no worker process can be had ({text})")

    def _give_up(
        self,
        job: Job,
        error: BaseException | None,
        why: str,
        *,
        harmless: bool = False,
        initializing: bool = False,
    ) -> None:
        """No worker will serve a job: let what waits come back, and say so."""
        with self._lock:
            if job.given_up:
                return
            job.given_up = True
            job.wanted = 0
            waiting = job.take_back()
        job.sink(Broken(job.lane, why, error, harmless, initializing))
        job.hand_back(waiting)

    # --- The end --------------------------------------------------------------------------------------

    def _begin_idling(self) -> None:
        if not self._jobs:
            self._idling.begin()

    def shutdown(self) -> None:
        """End all workers, those that are busy at once, and wait for that. No job may be begun
        afterwards."""
        if os.getpid() != self._process and not any(map(Worker.is_ours, self._workers)):
            return  # a fork has no workers of its own, and its parent needs these
        self._shielded(self._shut_down)

    def _shut_down(self) -> None:
        with self._lock:
            self.closed = True
            workers = list(filter(Worker.is_ours, self._workers))
        for worker in workers:
            if worker.load():
                worker.kill()
            else:
                worker.retire()
        until = time.monotonic() + self.farewell_s
        for worker in workers:
            if not worker.gone(max(0.0, until - time.monotonic())):
                worker.kill()
                worker.gone(self.farewell_s)
