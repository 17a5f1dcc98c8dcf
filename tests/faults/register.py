"""The rows of the fault suite: what is provoked, and on which backends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

Run = Callable[[str], None]

HERE = ("auto", "threads", "asyncio")
"""Backends that run calls in the caller's process."""
AWAY = ("processes", "hybrid")
"""Backends that run them in processes of their own, which may die."""
ALL = (*HERE, *AWAY)


class Row(NamedTuple):
    """A fault."""

    name: str
    backends: Sequence[str]
    run: Run
    """Provokes it on a backend and judges what came of it; it raises where that is not right."""
    limit_s: float
    """What its process may take, the start of the interpreter and a busy machine included."""

    imports: Sequence[str]
    """Modules that it uses, where there are any such."""

    @property
    def text(self) -> str:
        """What is provoked, in a line."""
        return (self.run.__doc__ or "").strip().partition("\n")[0]


ROWS: dict[str, Row] = {}


def row(
    name: str,
    backends: Sequence[str] = ALL,
    *,
    limit_s: float = 60.0,
    imports: Sequence[str] = (),
) -> Callable[[Run], Run]:
    """Register a function that takes the name of a backend as a row."""

    def register(run: Run) -> Run:
        if name in ROWS:
            raise ValueError(f"there are two rows {name}")
        ROWS[name] = Row(name, backends, run, limit_s, imports)
        return run

    return register
