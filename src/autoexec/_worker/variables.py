"""Variables of modules that a function reads by name: whether they are in a worker what they are in its parent.

A worker imports these modules anew. What the program has set in them since (`settings.limit = 10`) is not set there.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


Variable = tuple[str, tuple[str, ...]]
"""A module, and the names that lead from there to a value."""

MOST_PARTS = 300
"""Values within a value that are compared: about 0.1 ms. What is larger is data rather than a setting."""
LONGEST = 1000
"""Characters of a text, for the same reason."""
_ATOMS = (int, float, complex, bool, str, bytes, type(None))
_CONTAINERS = (list, tuple, dict, set, frozenset)


class Differs(Exception):
    """A variable is not here what it is in the parent."""


def checked(fn: Any, expected: Mapping[Variable, str]) -> Any:
    """The function, if the variables of modules that it reads are here as they should be.

    Raises:
        Differs: One is not.
    """
    for (module, names), text in expected.items():
        here = (
            text_of(value_at(vars(sys.modules[module]), names)) if module in sys.modules else text
        )
        if here != text:
            raise Differs(_difference(".".join((module, *names)), text, here))
    return fn


def _difference(name: str, there: str, here: str | None) -> str:
    what = (
        f"{there} here and {here} in a worker"
        if here and " " not in there + here
        else "not the same in a worker"
    )
    return f"its calls read {name}, which is {what}, since that imports the module anew"


def value_at(variables: Mapping[str, Any], names: Iterable[str]) -> Any:
    """What names lead to, without running any code of a class on the way; None if there is nothing."""
    first, *rest = names
    value = variables.get(first)
    for name in rest:
        value = held_by(value, name)
    return value


def held_by(owner: Any, name: str) -> Any:
    """An attribute as it is stored. (`inspect.getattr_static` says the same; a worker would import `inspect` for it.)"""
    for holder in owner.__mro__ if isinstance(owner, type) else (owner, *type(owner).__mro__):
        try:
            stored = object.__getattribute__(holder, "__dict__")
        except AttributeError:  # it has slots
            continue
        if name in stored:
            return stored[name]
    return None


def text_of(value: Any) -> str | None:
    """A plain value as text, the same in every process; None for what is not plain, or is large."""
    parts: list[str] = []
    return " ".join(parts) if _add(value, parts) else None


def _add(value: Any, parts: list[str]) -> bool:
    kind = type(value)
    if kind in _ATOMS:
        parts.append(repr(value) if kind not in (str, bytes) or len(value) <= LONGEST else "")
        return bool(parts[-1]) and len(parts) <= MOST_PARTS
    if kind not in _CONTAINERS:
        return False
    parts.append(f"{kind.__name__}(")
    if kind in (set, frozenset):
        texts = [text_of(one) for one in value]
        parts += sorted(text or "" for text in texts)
        whole = None not in texts
    elif kind is dict:
        whole = all(_add(key, parts) and _add(held, parts) for key, held in value.items())
    else:
        whole = all(_add(one, parts) for one in value)
    parts.append(")")
    return whole and len(parts) <= MOST_PARTS
