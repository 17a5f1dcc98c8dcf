"""Variables of modules that a function reads by name.

A worker imports these modules anew, so what the program has set in them is not set there: settings that were read
from a file, an option of a command line. Calls there would give other results than calls here, in one list.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from ._bytecode import read
from ._instructions import ELEMENT, Place
from ._pickling import MAIN, is_importable
from ._reach import codes, functions_of
from ._worker.variables import Variable, checked, held_by, text_of

LEVELS = 2
"""How far helpers are followed, as where it is looked for effects: those that it calls, and those that these call."""


class AsHere:
    """A function on its way to a worker, which does not take it if variables that it reads are others there.

    Args:
        call: What is called there.
        fn: The function of the user within that.
    """

    def __init__(self, call: Callable[[Any], Any], fn: Callable[..., Any]) -> None:
        self._call = call
        self._fn = fn

    def __reduce__(self) -> tuple[Any, ...]:
        return checked, (self._call, read_by(self._fn))


def read_by(fn: Callable[..., Any]) -> dict[Variable, str]:
    """The plain variables that a function reads in modules which a worker imports, each with its value as text.

    Left out are those that the code itself changes, which it finds as it needs them: a cache, a flag that something
    was loaded.
    """
    found: dict[Variable, str] = {}
    changed: set[Variable] = set()
    seen: set[types.FunctionType] = set()
    level = list(functions_of(fn))
    for _ in range(LEVELS + 1):
        helpers: list[types.FunctionType] = []
        for function in level:
            if function not in seen:
                seen.add(function)
                helpers += _look_into(function, found, changed)
        level = helpers
    return {one: text for one, text in found.items() if not _is_changed(one, changed)}


def _is_changed(variable: Variable, changed: set[Variable]) -> bool:
    """Whether it is among those, or what holds it or a part of it is."""
    module, names = variable
    return any(where == module and all(map(str.__eq__, names, others)) for where, others in changed)


def _look_into(
    function: types.FunctionType, found: dict[Variable, str], changed: set[Variable]
) -> Iterator[types.FunctionType]:
    """Add what a function reads and changes. Gives the functions that it names."""
    for code in codes(function.__code__):
        reading = read(code)
        for change in reading.changes:
            changed.update([variable for variable, _ in _along(change.place, function)][-1:])
        for _, place in reading.named:
            for variable, value in _along(place, function):
                if isinstance(value, types.FunctionType):
                    yield value
                elif (text := text_of(value)) is not None:
                    found[variable] = text


def _along(place: Place, function: types.FunctionType) -> Iterator[tuple[Variable, Any]]:
    """What lies on the way to a place: variables that a worker finds by name, or a function."""
    first, *rest = place.names
    if place.load not in ("LOAD_GLOBAL", "LOAD_NAME") or first not in function.__globals__:
        return
    home, value = _module_of(function), function.__globals__[first]
    path: tuple[str, ...] = (first,)
    while True:
        if isinstance(value, types.ModuleType):
            home, path = value.__name__, ()
        elif isinstance(value, type):
            home = value.__module__ if is_importable(value) else None
            path = tuple(value.__qualname__.split("."))
        elif isinstance(value, types.FunctionType) or (home and not _is_of_python(home)):
            yield (home or "", path), value
        if not rest or rest[0] == ELEMENT or isinstance(value, types.FunctionType):
            return
        name = rest.pop(0)
        path, value = (*path, name), held_by(value, name)


def _is_of_python(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def _module_of(function: types.FunctionType) -> str | None:
    """The module that a worker imports for a function; None if it travels by value, with its variables."""
    name = function.__module__
    return name if name not in MAIN and is_importable(function) else None
