"""What runs in a worker: a chunk of items in, outcomes out."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import _host
from .._call import run_chunk
from .._errors import AutoexecError
from .._pickling import Portable, dumps, loads
from .._types import Block, Chunk
from .errors import portable_error


class Outcome(NamedTuple):
    """A `Block` without its chunk, as it travels."""

    values: list[Any]
    error: BaseException | None
    traceback: str | None
    wall_s: float
    cpu_s: float


Outcomes = list[Outcome]


def run_portable(fn: Portable, items: Portable) -> Outcomes:
    """Call the function on each item, wherever an executor of the caller's has put us."""
    return _outcomes(fn.value, items.value)


def _outcomes(fn: Callable[[Any], Any], items: list[Any]) -> Outcomes:
    """Call `fn` on each item; errors become values that can travel."""
    outcomes: Outcomes = []

    def emit(block: Block) -> None:
        error, traceback = None, None
        if block.error is not None:
            error, traceback = portable_error(block.error)
        outcomes.append(Outcome(list(block.values), error, traceback, block.wall_s, block.cpu_s))

    run_chunk(fn, Chunk(0, items, "external", "external"), emit)
    return outcomes


# --- Workers of our own: the function arrives once, items and results as bytes ----------------------

_function_bytes = b""
_function: Callable[[Any], Any] | None = None


def set_up(function_bytes: bytes) -> None:
    """First thing in a worker: keep the function as bytes, since reading it may fail."""
    global _function_bytes
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    _host.mark_worker()
    _function_bytes = function_bytes


def load_function() -> None:
    """Make the function ready. Raises what its import raises, with the worker's traceback."""
    global _function
    if _function is None:
        try:
            _function = loads(_function_bytes)
        except BaseException as exc:
            error, text = portable_error(exc)
            raise AutoexecError(
                f"the function could not be loaded in a worker process: {error!r}\n{text}"
            ) from None


def run_bytes(items: list[bytes]) -> Outcomes:
    """Call the function on each item; values come back as bytes, one by one.

    Pickling happens within the call, so that what goes wrong with it is that item's error.
    """
    load_function()
    fn = _function
    assert fn is not None
    return _outcomes(lambda data: dumps(fn(loads(data))), items)
