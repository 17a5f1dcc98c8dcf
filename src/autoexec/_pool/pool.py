"""Workers and the jobs that they serve: deals chunks, replaces the dead, ends the idle.

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

from .. import _control, _host, _thread_cache
from .._chunk import Block, Chunk
from .._errors import NotPicklable, NotSent, text_of, text_of_cause
from .._pickling import pack, pack_plain
from .._types import Broken
from .._worker.variables import Differs
from .job import Job
from .surroundings import edited_since, environment, surroundings
from .worker import Worker

if TYPE_CHECKING:
    from .._pickling import Wire

EDIT_S = 1.0
"""Nobody edits a module, and loads it anew, in less than that between two runs."""
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
        learns: They are kept for longer from when a run has missed them, see `idle_after_miss`.
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
        self._idle_s = idle_s
        self._learns = learns
        self._max_calls = max_calls
        self._initializer = initializer
        self._spread = spread
        self._native_threads = native_threads
        # Held while workers are started, which takes a while, so that two do not start the same.
        self._hiring = threading.RLock()
        self._lock = threading.RLock()  # guards what follows
        self._workers: list[Worker] = []
        self._jobs: dict[int, Job] = {}
        self._rounds: list[Job] = []  # the jobs, the one that was served last at the end
        self._idle_since = 0.0
        self._let_go_idle = False
        self._watched = False

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
                self._awake()
            if job.id not in self._jobs:
                job.began_at = time.perf_counter()
                self._jobs[job.id] = job
                self._rounds.append(job)
        if why := _host.why_no_workers():
            self._give_up(job, None, why)
            return
        self._hire(job)
        self._in_background(partial(self._equip, job))

    def _awake(self) -> None:
        """After an idle time: if workers were let go too soon, have the next ones wait for longer; if they
        were not, see that they are not out of date."""
        gap_s = time.monotonic() - self._idle_since
        if self._let_go_idle and self._learns and self._idle_s is not None:
            self._idle_s = _control.idle_after_miss(gap_s, self._idle_s)
        self._let_go_idle = False
        if self._idle_s is not None and self._workers and gap_s > EDIT_S:
            if edited_since(min(worker.began_epoch_s for worker in self._workers)):
                for worker in self._workers:
                    worker.end()

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
                self._let_go()  # who wanted it may not want it any more
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
                self._deal()
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
            job.waiting.clear()
            self._jobs.pop(job.id, None)
            self._rounds = [other for other in self._rounds if other is not job]
            for worker in list(self._workers):
                if abandon and worker.load_of(job):
                    self._end_calls(worker, job)
                elif worker.tainted and not worker.retired:
                    worker.end()
                elif worker in job.workers:
                    worker.tell("forget", job.id)
            self._let_go()

    def _end_calls(self, worker: Worker, job: Job) -> None:
        """End the calls of a job with their worker; where calls of others run beside them, after these."""
        if worker.load_of(job) == worker.load():
            worker.retired = True
            worker.kill()
        else:
            worker.leave_behind(job)
            self._replace(worker)

    # --- Dealing --------------------------------------------------------------------------------------

    def _deal(self) -> None:
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
                job.sink([Block.untimed(chunk, [], error), Block.end_of(chunk)])
                return
        self._hand_over(worker, job, chunk, wires, len(wires))

    def _hand_over(self, worker: Worker, job: Job, chunk: Chunk, items: Any, count: int) -> None:
        worker.give(job, chunk, items, count)
        if self._max_calls and worker.calls >= self._max_calls:
            self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        """Let a worker end after what it has, and start another in its place."""
        worker.end()
        for job in list(self._jobs.values()):
            if worker in job.workers:
                job.part_with(worker)
                self._in_background(partial(self._staff, job))

    # --- Said by workers, on their readers' threads -----------------------------------------------------

    def has_loaded(self, worker: Worker, job_id: int) -> None:
        """A worker has the function of a job."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or worker not in job.workers:
                return
            job.loaded.append(worker)
            self._deal()
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
            self._deal()

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
            self._deal()  # one that was replaced has made room

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

    def _let_go(self) -> None:
        """End the workers that nobody will miss; those of an idle pool after a while."""
        if self._jobs:
            return
        spare = self._workers[_host.cores() :] if self._idle_s is not None else []
        for worker in spare:
            worker.end()
        self._idle_since = time.monotonic()
        if self._idle_s is not None and self._workers and not self._watched:
            self._watched = True
            try:
                _thread_cache.start(self._watch, "autoexec-idle")
            except RuntimeError:  # no more threads, so nobody could end them later
                self._watched = False
                for worker in self._workers:
                    worker.end()

    def _watch(self) -> None:
        while True:
            with self._lock:
                assert self._idle_s is not None
                rest_s = self._idle_since + self._idle_s - time.monotonic()
                if self._jobs or self.closed:
                    self._watched = False
                    return
                if rest_s <= 0:
                    for worker in self._workers:
                        worker.end()
                    self._let_go_idle, self._watched = True, False
                    return
            time.sleep(rest_s)

    def shutdown(self) -> None:
        """End all workers, those that are busy at once, and wait for that. No job may be begun
        afterwards."""
        if os.getpid() != self._process:
            return  # a fork has no workers of its own, and its parent needs these
        self._shielded(self._shut_down)

    def _shut_down(self) -> None:
        with self._lock:
            self.closed = True
            workers = list(self._workers)
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
