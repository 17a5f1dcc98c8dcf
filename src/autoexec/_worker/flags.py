"""Batches on Ray: each ends early when nobody wants it any more.

`ray.cancel` is not used: with `force` it may end a worker that has gone on to another batch, and was seen
to bring down the caller's own process (Ray 2.60, `task_manager.cc`: "An unexpected system state");
without, it raises KeyboardInterrupt in whatever runs there by then. So a caller who leaves raises a flag
in Ray's key-value store, where the batch sees it between two calls.
"""

from __future__ import annotations

import time

from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_exists, _internal_kv_put

from .batch import Batch, run_batch
from .crew import LOOK_S

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from .batch import Items

_SPACE = "autoexec"


def raise_flag(run: str, number: int) -> None:
    """Nobody wants this batch any more."""
    _internal_kv_put(f"{run}:{number}", b"", namespace=_SPACE)


def lower_flag(run: str, number: int) -> None:
    """The batch has ended."""
    _internal_kv_del(f"{run}:{number}", namespace=_SPACE)


def run_wanted(run: str, fn: bytes, items: Items, batch: Batch) -> bytes:
    """Run a batch in a worker of Ray, as long as it is wanted."""
    wanted = _Wanted(f"{run}:{batch.number}")
    return run_batch(fn, items, batch, begin=wanted, wanted=wanted)


class _Wanted:
    """Whether somebody still waits, asked now and then: it takes 0.3 ms."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._look_at = 0.0
        self._flag = False

    def __call__(self) -> bool:
        now = time.monotonic()
        if now >= self._look_at and not self._flag:
            self._flag = bool(_internal_kv_exists(self._key, namespace=_SPACE))
            self._look_at = now + LOOK_S
        return not self._flag
