"""Ways to run calls, one file each, all behind the seam `_types.Executor`.

To add one: write a class with `open`, `submit`, `stop` and `close`, name its lane in
`_routes.Lane`, and list it in `make`. `tests/executors/test_contract.py` then holds it to the common
behaviour.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, assert_never, cast

from .. import _host
from .._function import is_async, name_of
from .._options import Settings
from .._pickling import Packed
from .._types import Executor, Lane, Sink
from .inline import InlineExecutor
from .threads import ThreadsExecutor

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from concurrent.futures import Executor as CallersExecutor


def warm_workers() -> int:
    """Worker processes that wait for work."""
    shared = sys.modules.get(_host.__name__.replace("_host", "_pool.shared"))
    warm = getattr(shared, "warm", None)  # another thread may be importing it just now
    return warm() if warm is not None else 0


def make(
    lane: Lane,
    packed: Packed,
    sink: Sink,
    settings: Settings,
    home: AbstractEventLoop | None = None,
) -> Executor:
    """The executor of a lane.

    Most are imported when first used: asyncio alone takes 30 ms. The others at once, while there are
    descriptors to do it with.

    Args:
        lane: Which.
        packed: The function.
        sink: Hears of outcomes.
        settings: The options.
        home: The loop that tasks run on, if not one of their own.
    """
    fn = packed.fn
    match lane:
        case "inline":
            return InlineExecutor(fn, sink)
        case "threads":
            return ThreadsExecutor(fn, sink)
        case "processes":
            from .processes import ProcessesExecutor

            return ProcessesExecutor(packed, sink, settings)
        case "hybrid":
            from .loop import LoopExecutor
            from .processes import ProcessesExecutor

            host = LoopExecutor if is_async(fn) else ThreadsExecutor
            return ProcessesExecutor(packed, sink, settings, "hybrid", host)
        case "asyncio":
            from .loop import LoopExecutor, TasksExecutor

            return LoopExecutor(fn, sink) if home is None else TasksExecutor(fn, sink, home)
        case "external":
            from .external import ExternalExecutor

            return ExternalExecutor(packed.travels, sink, cast("CallersExecutor", settings.backend))
        case "dask":
            from .._batches import BatchesExecutor
            from .dask import DaskEngine

            dask = DaskEngine(settings.backend, name_of(fn), deadline=settings.deadline)
            return BatchesExecutor(dask, packed, sink, settings, host=ThreadsExecutor)
        case "ray":
            from .._batches import BatchesExecutor
            from .ray import RayEngine

            ray = RayEngine(name_of(fn))
            return BatchesExecutor(ray, packed, sink, settings, host=ThreadsExecutor)
    assert_never(lane)
