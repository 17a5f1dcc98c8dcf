"""Context variables of the caller, for calls in other processes.

On threads and tasks calls run in a copy of the caller's context. To a process a function travels with
the values of those variables that the caller has named, and each of its calls finds them set:

    caller's context -> InContext(fn, values) -> pickle -> InContext there -> set, fn(item), reset

Python's own pickle refuses variables. One that is a global of a module is looked up there. Any other is
made anew, together with the function, which then travels by value: both refer to the one that is made.
"""

from __future__ import annotations

import io
import sys
from contextvars import Context, ContextVar, copy_context

from ._errors import NotPicklable, text_of
from ._pickling import PROTOCOL, loads

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Values = list[tuple[ContextVar[Any], Any]]


def values_of(variables: Iterable[ContextVar[Any]]) -> Values:
    """What the variables are in the context of the caller; those that are not set there are left out.

    Raises:
        NotPicklable: A value cannot travel. Nothing was started.
    """
    context = copy_context()
    found = [(variable, context[variable]) for variable in variables if variable in context]
    for variable, value in found:
        try:
            _dumps(value)
        except Exception as error:
            raise NotPicklable(
                f"The context variable {variable.name!r} has a value of type {type(value).__name__},"
                f" which cannot travel to a process ({text_of(error)}): leave it out of `context`, or give it"
                " a value that can be pickled."
            ) from error
    return found


class InContext:
    """Calls a function with variables set, as they were where it comes from."""

    def __init__(self, fn: Callable[[Any], Any], values: Values) -> None:
        self.fn = fn
        self.values = values
        self.__wrapped__ = fn  # so that what belongs to the function itself is found
        self._data: bytes | None = None

    def __call__(self, item: Any) -> Any:
        tokens = [(variable, variable.set(value)) for variable, value in self.values]
        try:
            return self.fn(item)
        finally:
            for variable, token in tokens:
                variable.reset(token)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._data is None:
            self._data = _dumps((self.fn, self.values))
        return _arrive, (type(self), self._data)


class TaskInContext(InContext):
    """The same where calls are awaited, each in a task with a context of its own."""

    async def __call__(self, item: Any) -> Any:
        for variable, value in self.values:
            variable.set(value)
        result = self.fn(item)
        return await result if hasattr(result, "__await__") else result


def _arrive(kind: type[InContext], data: bytes) -> InContext:
    return kind(*loads(data))


# --- How variables travel -------------------------------------------------------------------------------


def _dumps(value: Any) -> bytes:
    """The pickle of what may refer to context variables."""
    import cloudpickle  # type: ignore[import-untyped]

    class Writer(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, ContextVar):
                return _reduced(obj)
            return super().reducer_override(obj)

    file = io.BytesIO()
    Writer(file, PROTOCOL).dump(value)
    return file.getvalue()


def _reduced(variable: ContextVar[Any]) -> tuple[Any, ...]:
    if homes := _homes(variable):
        return _find, (homes,)
    try:
        return _make, (variable.name, Context().run(variable.get))
    except LookupError:  # it has no default
        return _make, (variable.name,)


def _homes(variable: ContextVar[Any]) -> list[tuple[str, str]]:
    """The modules that have the variable as a global, and the names of it there. One that defines it is
    found behind those that import it from there, unless these were imported later."""
    return [
        (module, name)
        for module, its in list(sys.modules.items())
        if module not in ("__main__", "__mp_main__")
        for name, value in list(getattr(its, "__dict__", {}).items())
        if value is variable
    ]


def _find(homes: list[tuple[str, str]]) -> Any:
    # The function is here already, and what it imports: mostly the variable too. Another module may
    # be a whole application that has imported it.
    here = [home for home in homes if home[0] in sys.modules]
    module, name = (here or homes)[-1]
    __import__(module)
    return getattr(sys.modules[module], name)


def _make(name: str, *default: Any) -> ContextVar[Any]:
    return ContextVar(name, default=default[0]) if default else ContextVar(name)
