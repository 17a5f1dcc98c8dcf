"""Workers between two runs: how long they wait for the next, and which are out of date by then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from .. import _control, _host, _thread_cache
from .surroundings import edited_since
from .worker import Worker

EDIT_S = 1.0
"""Nobody edits a module, and loads it anew, in less than that between two runs."""
LOOK_S = 5.0
"""Workers may die or be replaced by some that cost less, so that there is less to wait for; or memory may be short."""
SHORT = 0.1
"""Share of the memory that is left, below which workers wait no longer than `IDLE_S`, whatever they have cost."""
IDLE_S = 1.0
"""Seconds for which workers wait however little they cost, and nobody has missed them."""


class Idling:
    """Lets the workers of a pool go that nobody will miss. All of it under the lock of that.

    Args:
        lock: Of the pool.
        workers: Those that there are.
        idle_s: Seconds without a job after which they are let go; None for never.
        learns: They are kept for longer if they were costly to start, see `idle_s`, and from when a run has missed
            them, see `idle_after_miss`.
        busy: Whether there is a job, or the pool is closed, which ends them all.
    """

    def __init__(
        self,
        lock: threading.RLock,
        workers: Sequence[Worker],
        *,
        idle_s: float | None,
        learns: bool,
        busy: Callable[[], bool],
    ) -> None:
        self._lock = lock
        self._workers = workers
        self._idle_s = idle_s
        self._learns = learns
        self._busy = busy
        self._since = 0.0
        self._let_go = False
        self._watched = False

    def end(self) -> None:
        """After an idle time: if workers were let go too soon, have the next ones wait for longer; if they
        were not, see that they are not out of date."""
        if self._idle_s is None:
            return
        gap_s = time.monotonic() - self._since
        if self._let_go and self._learns:
            self._idle_s = _control.idle_after_miss(gap_s, self._idle_s)
        self._let_go = False
        if self._workers and gap_s > EDIT_S:
            if edited_since(min(worker.began_epoch_s for worker in self._workers)):
                for worker in self._workers:
                    worker.end()

    def begin(self) -> None:
        """End what is beyond the cores, and the others after a while."""
        if self._idle_s is None:
            return
        for worker in self._workers[_host.cores() :]:
            worker.end()
        self._since = time.monotonic()
        if self._workers and not self._watched:
            self._watched = True
            try:
                _thread_cache.start(self._watch, "autoexec-idle")
            except RuntimeError:  # no more threads, so nobody could end them later
                self._watched = False
                for worker in self._workers:
                    worker.end()

    def _kept_s(self, idle_s: float, *, short: bool) -> float:
        if not self._learns:
            return idle_s
        if short:
            return min(idle_s, IDLE_S)
        stay = (worker for worker in self._workers if not worker.retired)
        start_s = max((worker.start_cpu_s for worker in stay), default=0.0)
        return _control.idle_s(idle_s, start_s)

    def _watch(self) -> None:
        short = False
        while True:
            with self._lock:
                assert self._idle_s is not None
                rest_s = self._since + self._kept_s(self._idle_s, short=short) - time.monotonic()
                if self._busy():
                    self._watched = False
                    return
                if rest_s <= 0:
                    for worker in self._workers:
                        worker.end()
                    self._let_go, self._watched = True, False
                    return
            time.sleep(min(rest_s, LOOK_S))
            short = rest_s > LOOK_S and _memory_is_short()


def _memory_is_short() -> bool:
    memory = _host.read_memory()
    return memory is not None and memory.free_bytes < SHORT * memory.total_bytes
