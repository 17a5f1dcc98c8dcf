"""The pool that all runs of this process share: warm for a while, then gone."""

from __future__ import annotations

import atexit
import os

from .pool import Pool

IDLE_S = 1.0
"""Seconds for which the workers of a run wait for the next, unless the environment variable
`AUTOEXEC_IDLE_SECONDS` says otherwise. A start takes 60 ms and is hidden behind items that run
meanwhile, so there is little to be gained by keeping 20 MB a worker for longer."""

_pool: Pool | None = None


def get() -> Pool:
    """The pool, made when it is first needed."""
    global _pool
    if _pool is not None and _pool.held():
        return Pool(idle_s=0.0)
    if _pool is None or _pool.closed:
        _pool = Pool(idle_s=_idle_s())
        atexit.register(_pool.shutdown)
    return _pool


def _idle_s() -> float:
    try:
        return max(0.0, float(os.environ["AUTOEXEC_IDLE_SECONDS"]))
    except (KeyError, ValueError):
        return IDLE_S


def warm() -> int:
    """Workers that are up."""
    return _pool.ready() if _pool is not None else 0


def _after_fork() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
