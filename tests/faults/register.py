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

LATER = {
    "C8": "cancelling `arun_parallel`, which does not exist yet",
    "D2": "an endless input of `iter_parallel`, which does not exist yet",
    "D3": "leaving a loop over `iter_parallel` early",
    "D4": "reading on after the end of `iter_parallel`",
    "D6": "reading on past a failed item of `iter_parallel`",
    "D8": "a `progress` callback that raises; there is no such option yet",
    "D9": "each result of `iter_parallel` as soon as it is there",
    "F3": "a million items through `iter_parallel`",
    "G7": "the option `seed`, which does not exist yet",
}
"""Faults of what the package cannot do yet, each with the reason why it has no row."""


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
        if name in ROWS or name in LATER:
            raise ValueError(f"there are two rows {name}")
        ROWS[name] = Row(name, backends, run, limit_s, imports)
        return run

    return register
