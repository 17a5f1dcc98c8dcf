"""Ways to run calls, one file each, all behind the seam `_types.Executor`.

To add one: write a class with `open`, `submit` and `close`, name its lane in `_types.Lane`, and
list it in `make`. `tests/executors/test_contract.py` then holds it to the common behaviour.
"""

from __future__ import annotations

import sys
from typing import assert_never

from .._function import Star, is_async
from .._options import Settings
from .._pickling import Packed
from .._types import Executor, Lane, Sink


def warm_workers() -> int:
    """Worker processes that wait for work."""
    shared = sys.modules.get(f"{__package__.rpartition('.')[0]}._pool.shared")
    warm = getattr(shared, "warm", None)  # another thread may be importing it just now
    return warm() if warm is not None else 0


def make(lane: Lane, packed: Packed, sink: Sink, settings: Settings) -> Executor:
    """The executor of a lane. Each is imported when first used: asyncio alone takes 30 ms."""
    fn = packed.fn
    match lane:
        case "inline":
            from .inline import InlineExecutor

            return InlineExecutor(fn, sink)
        case "threads":
            from .threads import ThreadsExecutor

            return ThreadsExecutor(fn, sink)
        case "processes":
            from .processes import ProcessesExecutor

            return ProcessesExecutor(packed, sink)
        case "hybrid":
            from .loop import LoopExecutor
            from .processes import ProcessesExecutor
            from .threads import ThreadsExecutor

            host = (
                LoopExecutor if is_async(fn.fn if isinstance(fn, Star) else fn) else ThreadsExecutor
            )
            return ProcessesExecutor(packed, sink, "hybrid", host)
        case "asyncio":
            from .loop import LoopExecutor

            return LoopExecutor(fn, sink)
        case "external":
            from .external import ExternalExecutor

            assert not isinstance(settings.backend, str)
            return ExternalExecutor(fn, sink, settings.backend)
    assert_never(lane)
