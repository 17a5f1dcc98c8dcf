"""What came home of a chunk that somebody else's executor ran, as blocks."""

from __future__ import annotations

from collections.abc import Sequence

from ._chunk import Block, Chunk
from ._errors import attach_traceback
from ._worker.calls import Outcomes


def blocks_of(chunk: Chunk, outcomes: Outcomes) -> list[Block]:
    """What came home of a chunk."""
    blocks: list[Block] = []
    for i, outcome in enumerate(outcomes):
        if outcome.error is not None and outcome.error.__traceback__ is None:
            attach_traceback(outcome.error, outcome.traceback or "")
        last = i == len(outcomes) - 1
        times = outcome.wall_s, outcome.cpu_s, outcome.queued_s
        blocks.append(Block(chunk, outcome.values, outcome.error, *times, last, outcome.began_s))
    return blocks or [Block.end_of(chunk)]


def failed(chunk: Chunk, errors: Sequence[BaseException], wall_s: float) -> list[Block]:
    """Every item of the chunk has an error: which of them were called is not known."""
    last = chunk.count - 1
    return [
        Block(chunk, [], error, wall_s / chunk.count, 0.0, 0.0, i == last)
        for i, error in enumerate(errors)
    ]
