"""Times and counts in words."""

from __future__ import annotations


def seconds(value: float) -> str:
    """A time in the unit that suits it, to three figures."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= 0.9995 * size:  # what would be rounded to 1,000 of the smaller unit
            return f"{three_figures(value / size)} {unit}"
    return f"{three_figures(value * 1e9)} ns"


def three_figures(value: float) -> str:
    """A number to three figures, without an exponent."""
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def count(n: int, noun: str) -> str:
    """A number of things, in English."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
