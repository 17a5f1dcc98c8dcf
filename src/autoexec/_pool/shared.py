"""The pool that all runs of this process share: warm for a while, then gone."""

from __future__ import annotations

import atexit
import os

from .idling import IDLE_S
from .pool import Pool

_pools: dict[tuple[int | None, int | None], Pool] = {}
"""By what sets their workers apart: see `get`."""


def get(spread: int | None = None, native_threads: int | None = None) -> Pool:
    """The pool, made when it is first needed.

    Args:
        spread: Workers among which the cores are shared out for native libraries. Default: all that
            there may be. Such a library reads that when it is loaded, so it takes other workers.
        native_threads: The threads that such libraries start, if that was said.
    """
    key = spread, native_threads
    pool = _pools.get(key)
    if pool is not None and pool.held():
        return Pool(idle_s=0.0, spread=spread, native_threads=native_threads)
    if pool is None or pool.closed:
        given_s = _given_s()
        idle_s = IDLE_S if given_s is None else given_s
        pool = Pool(
            idle_s=idle_s, learns=given_s is None, spread=spread, native_threads=native_threads
        )
        atexit.register(pool.shutdown)  # first: a Ctrl-C may come in between
        _pools[key] = pool
    return pool


def _given_s() -> float | None:
    try:
        return max(0.0, float(os.environ["AUTOEXEC_IDLE_SECONDS"]))
    except (KeyError, ValueError):
        return None


def warm() -> int:
    """Workers that are up, of those that any run can have."""
    pool = _pools.get((None, None))
    return pool.ready() if pool is not None else 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)
