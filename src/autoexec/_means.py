"""Averages of what was measured."""

from __future__ import annotations

from collections.abc import Iterable

MEMORY_BLOCKS = 16
"""Blocks over which the running means reach back."""


class RunningMean:
    """Mean and variance that start exact and then forget exponentially."""

    def __init__(self) -> None:
        self.n = 0
        self.mean = 0.0
        self.variance = 0.0

    def add(self, value: float) -> None:
        """Account for one more."""
        self.n = n = self.n + 1
        weight = 1 / (n if n < MEMORY_BLOCKS else MEMORY_BLOCKS)
        step = value - self.mean
        self.mean += weight * step
        self.variance = (1 - weight) * (self.variance + weight * step * step)


def median(values: Iterable[float]) -> float:
    """The upper one of an even number; 0 of none."""
    ordered = sorted(values)  # `import statistics` takes 9 ms
    return ordered[len(ordered) // 2] if ordered else 0.0
