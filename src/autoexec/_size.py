"""Sizes of memory, as they are written."""

from __future__ import annotations

UNITS: dict[str, int] = {
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
"""Bytes in each unit, by its name in small letters."""


def parse_size(text: str) -> int | float:
    """The bytes of a text like "2 GB", "1.5GiB" or "2000000000"; of "80%" or "0.8" the share.

    Raises:
        ValueError: It is none of these.
    """
    number = text.strip().rstrip("%bBkKmMgGtTiI ")
    unit = text.strip()[len(number) :].strip().lower()
    if unit == "%":
        return float(number) / 100
    if unit:
        if unit not in UNITS:
            raise ValueError(f"{unit!r} is no unit of memory")
        return round(float(number) * UNITS[unit])
    return int(number) if number.isdecimal() else float(number)


def size_text(count: float) -> str:
    """A number of bytes in the unit that suits it, to three figures."""
    for unit in ("TB", "GB", "MB", "kB"):
        if count >= 0.9995 * UNITS[unit.lower()]:
            return f"{count / UNITS[unit.lower()]:.3g} {unit}"
    return f"{count:.0f} bytes"
