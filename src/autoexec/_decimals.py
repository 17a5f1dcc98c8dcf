"""How the caller rounds decimals, for calls in other processes: on threads and tasks that is seen anyway."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    import decimal
    from collections.abc import Callable
    from typing import Any

_USUAL = (
    28,
    "ROUND_HALF_EVEN",
    -999999,
    999999,
    1,
    0,
    {"DivisionByZero", "InvalidOperation", "Overflow"},
)
"""What `decimal` begins with, as in `_figures`."""


def rounding_of_caller() -> decimal.Context | None:
    """The context that this thread rounds by; None for the usual one."""
    getcontext = getattr(sys.modules.get("decimal"), "getcontext", None)  # it may be half imported
    context: decimal.Context | None = None if getcontext is None else getcontext()
    return None if context is None or _figures(context) == _USUAL else context


def _figures(context: decimal.Context) -> tuple[Any, ...]:
    traps = {signal.__name__ for signal, is_on in context.traps.items() if is_on}
    ranges = context.Emin, context.Emax
    return context.prec, context.rounding, *ranges, context.capitals, context.clamp, traps


class Rounding:
    """Calls a function that rounds as is done where it comes from."""

    def __init__(self, fn: Callable[[Any], Any], context: decimal.Context) -> None:
        self.fn = fn
        self.context = context
        self.__wrapped__ = fn  # so that what belongs to the function itself is found

    def __call__(self, item: Any) -> Any:
        from decimal import localcontext

        with localcontext(self.context):  # a copy, since its flags are of one thread
            return self.fn(item)


class TaskRounding(Rounding):
    """The same where calls are awaited, each in a task with a context of its own."""

    async def __call__(self, item: Any) -> Any:
        from decimal import setcontext

        setcontext(self.context.copy())
        result = self.fn(item)
        return await result if hasattr(result, "__await__") else result
