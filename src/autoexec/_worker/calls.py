"""What an executor of the caller's runs, wherever it runs it: a chunk in, outcomes out."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._call import run_chunk
from .._chunk import Block, Chunk
from .._pickling import Portable
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
    """Call the function on each item; errors become values that can travel."""
    outcomes: Outcomes = []

    def emit(block: Block) -> None:
        error, traceback = None, None
        if block.error is not None:
            error, traceback = portable_error(block.error)
        outcomes.append(Outcome(list(block.values), error, traceback, block.wall_s, block.cpu_s))

    run_chunk(fn.value, Chunk(0, items.value, "external", "external"), emit)
    return outcomes
