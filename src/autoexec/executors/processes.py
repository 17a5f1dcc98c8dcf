"""Calls in worker processes, by the standard library's process pool.

All that is specific to that pool is in this file. Workers are spawned, never forked: a fork in a
program with threads can deadlock in the child. The function is sent once per worker, as bytes that
are read where a failure can be reported; items are pickled here, one by one, before the pool sees
them, so that a bad one is an error of that item alone.

The pool imports the caller's main module in each worker. A script that calls us at its top level
would then run itself again in each worker; `_run` refuses such a call, and the pool breaks.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from typing import Any

from .. import _host
from .._errors import NotPicklable, WorkerDied, short_repr
from .._pickling import dumps, loads
from .._types import Broken, Chunk, Ready, Sink
from .._worker.calls import Outcomes, load_function, run_bytes, set_up
from .futures import FutureChunks


class ProcessesExecutor:
    """Runs chunks in worker processes that know the function already."""

    def __init__(self, fn: Callable[[Any], Any], sink: Sink) -> None:
        self._fn = fn
        self._sink = sink
        self._chunks = FutureChunks(sink, loads)
        self._workers = 0
        self._up = 0
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._closed = False

    def open(self, workers: int) -> None:
        """Start the workers in the background.

        On a thread of its own, since starting a process writes the function to it through a pipe,
        which takes as long as the new interpreter does to come up and read it.
        """
        if self._workers:
            return  # a standard pool keeps the size that it was made with
        self._workers = workers
        threading.Thread(target=self._start, name="autoexec-start", daemon=True).start()

    def _start(self) -> None:
        started = time.perf_counter()
        try:
            data = dumps(self._fn)
        except NotPicklable as error:
            self._sink(Broken("processes", f"the function cannot be pickled ({error.__cause__})"))
            return
        with self._lock:
            if self._closed:
                return
            self._pool = pool = ProcessPoolExecutor(
                self._workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=set_up,
                initargs=(data,),
            )
        try:
            for _ in range(self._workers):
                pool.submit(load_function).add_done_callback(
                    lambda future: self._warmed(future, started)
                )
        except (OSError, RuntimeError) as error:  # no processes or descriptors left; closed
            self._sink(Broken("processes", f"worker processes could not be started ({error})"))

    def _warmed(self, future: Future[None], started: float) -> None:
        if self._closed or future.cancelled():
            return
        error = future.exception()
        if error is None:
            start_s = time.perf_counter() - started
            with self._lock:
                self._up += 1
            if self._up == self._workers:
                _host.remember_process_start(start_s)
            self._sink(Ready("processes", self._up, start_s))
        elif isinstance(error, BrokenExecutor):
            self._sink(Broken("processes", _WHY_NO_START))
        else:
            self._sink(Broken("processes", str(error)))

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Send the chunks to the pool; one that has broken is replaced first."""
        for chunk in chunks:
            items = [_dumps_item(item) for item in chunk.items]
            self._chunks.follow(chunk, self._named(chunk, self._submit_one(items)))

    def _submit_one(self, items: list[bytes]) -> Future[Outcomes]:
        assert self._pool is not None, "Ready comes first"
        try:
            return self._pool.submit(run_bytes, items)
        except BrokenExecutor:
            # A worker died. What was with the pool has been reported; the rest gets a new one.
            self._pool.shutdown(wait=False)
            self._pool = ProcessPoolExecutor(
                self._workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=set_up,
                initargs=(dumps(self._fn),),
            )
            return self._pool.submit(run_bytes, items)

    @staticmethod
    def _named(chunk: Chunk, future: Future[Outcomes]) -> Future[Outcomes]:
        """The same future, with the pool's own error put in words."""
        named: Future[Outcomes] = Future()

        def settle(done: Future[Outcomes]) -> None:
            if done.cancelled():
                named.cancel()
                return
            error = done.exception()
            if isinstance(error, BrokenExecutor):
                died = WorkerDied(
                    f"A worker process ended while items {chunk.first} to"
                    f" {chunk.first + chunk.count - 1} were with the pool, the first of them"
                    f" {short_repr(chunk.item(0))}. Which of them ended it is not known; they are"
                    " not run again, since some may have run. Find it with backend='inline', or"
                    " use chunksize=1."
                )
                died.__cause__ = error
                error = died
            if error is not None:
                named.set_exception(error)
            else:
                named.set_result(done.result())

        future.add_done_callback(settle)
        return named

    def close(self, *, abandon: bool) -> None:
        """Let the workers end; with `abandon` they are killed, whatever they are doing."""
        with self._lock:
            self._closed = True
            pool = self._pool
        if pool is None:
            return
        # The standard library has a public way to do this from 3.14 on only.
        processes = dict(getattr(pool, "_processes", None) or {})
        self._chunks.cancel()
        pool.shutdown(wait=False, cancel_futures=True)
        if abandon:
            for process in processes.values():
                process.kill()


_WHY_NO_START = (
    "the worker processes ended while they started; if this is a script, the call belongs under"
    " if __name__ == '__main__':"
)


class _Unsendable:
    """Travels in the place of an item that cannot; reading it raises why."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, (self._reason,)


def _refuse(reason: str) -> None:
    raise NotPicklable(reason)


def _dumps_item(item: Any) -> bytes:
    try:
        return dumps(item)
    except NotPicklable as error:
        return dumps(_Unsendable(str(error)))
