"""What a worker must know of this process, and what it lets this process hear."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

from .. import _host
from .._pickling import loads

_NATIVE = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""By these, native libraries decide how many threads to start."""


def environment(workers: int, native_threads: int | None = None) -> dict[str, str]:
    """The environment of a worker: that of this process, and a share of the cores for libraries
    that start threads of their own, unless the user has said how many."""
    if native_threads is not None:
        return {**os.environ, **dict.fromkeys(_NATIVE, str(native_threads))}
    share = str(share_of_cores(workers))
    return {**dict.fromkeys(_NATIVE, share), **os.environ}


def share_of_cores(workers: int) -> int:
    """How many cores each of so many workers may use."""
    return max(1, _host.cores() // max(1, workers))


def surroundings(workers: int, native_threads: int | None = None) -> dict[str, Any]:
    """What `_worker.surroundings.take_on` needs, as it is now; takes about 20 µs."""
    return {
        "cores": share_of_cores(workers),
        "argv": list(sys.argv),
        "path": list(sys.path),
        "directory": _directory(),
        "environment": environment(workers, native_threads),
        "filters": _filters(),
        "levels": _levels(),
        "recursion": sys.getrecursionlimit(),
        "digits": sys.get_int_max_str_digits(),
    }


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _filters() -> list[Any]:
    """The warnings filters. Those for warnings of other packages stay here: a worker would have to
    import each of them at its start."""
    return [one for one in warnings.filters if one[2].__module__ == "builtins"]


def _levels() -> dict[str, int] | None:
    """The levels of loggers, "" being the root's; None where nobody listens, so that workers need
    not import `logging` (10 ms)."""
    logging: Any = sys.modules.get("logging")
    root = getattr(logging, "root", None)
    manager = getattr(root, "manager", None)
    if manager is None:  # another thread may be importing it just now
        return None
    loggers = {
        name: logger
        for name, logger in list(manager.loggerDict.items())
        if isinstance(logger, logging.Logger)
    }
    loggers[""] = root
    if not any(logger.handlers for logger in loggers.values()):
        return None
    return {name: logger.level for name, logger in loggers.items() if logger.level or not name}


def edited_since(epoch_s: float) -> bool:
    """Whether a module of the user's that is loaded here was written after that time of day: workers that
    are older may have the old one. Takes 0.2 ms for a thousand modules, of which installed ones are not
    looked at."""
    from sysconfig import get_paths  # 2 ms

    paths = get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    installed = tuple(os.path.join(paths[name], "") for name in names)
    files = map(_file_of, list(sys.modules.values()))
    return any(_written_s(file) > epoch_s for file in files if not file.startswith(installed))


def _file_of(module: object) -> str:
    try:  # not by its attribute: some would be imported by that
        file = object.__getattribute__(module, "__dict__").get("__file__")
    except Exception:  # anything may stand there
        return ""
    return file if isinstance(file, str) else ""


def _written_s(file: str) -> float:
    try:
        return os.stat(file).st_mtime
    except (OSError, ValueError):
        return 0.0


def hear(kind: str, what: bytes) -> None:
    """Pass on what a worker logged or warned of, to whoever listens in this process."""
    if kind == "warning":
        warnings.showwarning(*loads(what))
        return
    import logging

    record = logging.makeLogRecord(loads(what))
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)
