"""The input that every machine has: files of the standard library."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from .._errors import AutoexecError

SMALLEST_BYTES, LARGEST_BYTES = 4_000, 60_000
"""Files that take a few milliseconds each: none is over at once, none holds up the others."""
LEFT_OUT = frozenset({"__pycache__", "idlelib", "idle_test", "site-packages", "test", "tests"})
"""Folders that hold files of other projects, or test data that is not meant to compile."""


def pick_files(count: int) -> dict[str, Path]:
    """Up to `count` files, the same ones for the same interpreter.

    They are spread evenly over the library in the order of their names.

    Returns:
        Names relative to the library, with forward slashes, and where the files are.

    Raises:
        AutoexecError: The standard library has no source files here.
    """
    root = sysconfig.get_path("stdlib")
    found = sorted(_sources(root))
    if not found:
        raise AutoexecError(
            f"The standard library has no source files in {root}, and they are the input of the"
            " comparison."
        )
    step = max(1, len(found) // count)
    return {name: Path(root, name) for name in found[::step][:count]}


def _sources(root: str) -> Iterator[str]:
    for folder, inner, names in os.walk(root):
        inner[:] = [name for name in inner if name not in LEFT_OUT]
        for name in names:
            path = Path(folder, name)
            if name.endswith(".py") and SMALLEST_BYTES <= path.stat().st_size <= LARGEST_BYTES:
                yield path.relative_to(root).as_posix()
