"""What an initializer left, for the functions of the main program."""

from __future__ import annotations

import functools

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_left: dict[str, Any] = {}
"""What the initializer left in the globals of the caller's main program."""


def initialize(fn: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Call an initializer, and keep the globals that it sets for the calls to come.

    Functions of the main program travel by value, each with globals of its own, so a call would
    not see them otherwise.
    """
    fn(*arguments)
    own = _main_globals(fn)
    _left.update({name: value for name, value in own.items() if not name.startswith("__")})


def at_home(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which now sees what the initializer left."""
    _main_globals(fn).update(_left)
    return fn


class AtHome:
    """A function on its way to workers with an initializer, where it arrives as itself, and sees
    what that has left."""

    def __init__(self, fn: Any) -> None:
        self._fn = fn

    def __reduce__(self) -> tuple[Any, ...]:
        return _settle_in, (self._fn,)


def _settle_in(fn: Any) -> Any:
    layer = fn
    while layer is not None:
        at_home(layer)
        layer = getattr(layer, "__wrapped__", None)
    return fn


def _main_globals(fn: Any) -> dict[str, Any]:
    """The globals of a function of the main program; of any other, an empty dictionary."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = getattr(fn, "__func__", fn)  # of a method
    if not hasattr(fn, "__globals__"):
        fn = type(fn).__call__  # of an object that can be called
    own: dict[str, Any] = getattr(fn, "__globals__", {})
    return own if own.get("__name__") == "__main__" else {}
