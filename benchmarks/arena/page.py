"""The page of the docs: its own words stay, what was measured is put between two comments."""

from __future__ import annotations

from .records import Arena
from .table import markdown

BEGIN, END = "<!-- arena: begin -->", "<!-- arena: end -->"


def filled(page: str, arena: Arena) -> str:
    """The page with these figures in the place of those that it had.

    Raises:
        ValueError: The page has no place for them.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page has no place for the tables: put {BEGIN} and {END} in it.")
    return f"{before}{BEGIN}\n\n{markdown(arena)}\n{END}{after}"
