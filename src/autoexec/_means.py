"""Averages of what was measured."""

from __future__ import annotations

from collections.abc import Iterable

MEMORY_BLOCKS = 16
"""Blocks over which the running means reach back."""
MIXTURE_BLOCKS = 128
"""The same where some calls wait for long and the others compute: of those of which one in twenty does so, 16 in a
row have none four times in ten, and were taken for calls that only compute."""


def memory_of(*, mixture: bool) -> int:
    """Blocks over which means reach back, of calls of which some wait for long and the others compute, or not."""
    return MIXTURE_BLOCKS if mixture else MEMORY_BLOCKS


class RunningMean:
    """Mean and variance that start exact and then forget exponentially."""

    def __init__(self) -> None:
        self.n = 0
        self.mean = 0.0
        self.variance = 0.0

    def add(self, value: float, memory: int = MEMORY_BLOCKS) -> None:
        """Account for one more; those before the last so many fade."""
        self.n = n = self.n + 1
        weight = 1 / (n if n < memory else memory)
        step = value - self.mean
        self.mean += weight * step
        self.variance = (1 - weight) * (self.variance + weight * step * step)


def median(values: Iterable[float]) -> float:
    """The upper one of an even number; 0 of none."""
    ordered = sorted(values)  # `import statistics` takes 9 ms
    return ordered[len(ordered) // 2] if ordered else 0.0
