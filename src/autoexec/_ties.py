"""What ties a function to this process: objects by which its calls heed each other."""

from __future__ import annotations

import io
import types
from collections.abc import Collection, Iterator
from contextvars import ContextVar
from typing import Any

from ._pickling import is_named
from ._reach import functions_of, reach_of
from ._seed import draws

_METHODS = (types.MethodType, types.BuiltinMethodType, types.MethodWrapperType)
_SHARING = (
    "_thread",
    "threading",
    "queue",
    "_queue",
    "asyncio",
    "multiprocessing",
    "_multiprocessing",
)
"""Modules whose objects calls use to heed each other; in another process they would heed nobody."""
_PLAIN = (
    "builtins",
    "types",
    "typing",
    "functools",
    "collections",
    "re",
    "datetime",
    "decimal",
    "enum",
)


def kept_here(
    fn: Any, *, loop_bound: bool, carried: Collection[ContextVar[Any]] = ()
) -> str | None:
    """What ties a function to this process, in words: a lock or queue that its code names, an iterator or random
    generator, a context variable that does not go along; or, where it may be bound to an event loop, any object of a class
    that is not plain data, such as a client."""
    for function in functions_of(fn):
        for name, value in reach_of(function).items():
            if isinstance(value, (type, types.ModuleType, types.FunctionType)):
                continue
            if isinstance(value, ContextVar):
                if value in carried:
                    continue
                return (
                    f"it uses the context variable {name!r}, which is not in the option `context`"
                )
            if tie := _goes_on(name, value):
                return tie
            home = type(value).__module__.partition(".")[0]
            if type(value).__name__ == "_local":
                continue  # each thread has its own, and so has each process
            if home in _SHARING:
                return f"it uses the {type(value).__name__} {name!r}, which calls elsewhere would not share"
            if loop_bound and home not in _PLAIN and not home.startswith("autoexec"):
                return f"it uses {name!r}, which may belong to an event loop of this process"
    return None


def _goes_on(name: str, value: Any) -> str | None:
    """What ties a function here that uses an object from which each call has the next value: an iterator or a
    random generator, or a method of one."""
    if isinstance(value, _METHODS):
        if is_named(value):
            return None  # `random.random`: of which each process has its own
        value = value.__self__
    if isinstance(value, Iterator) and not isinstance(value, io.IOBase):  # a log, say
        return f"it uses the iterator {name!r}, of which calls elsewhere would have the same values again"
    if draws(value):
        return (
            f"it draws from {name!r}, and calls elsewhere would draw the same numbers again (the option `seed`"
            " gives each item a generator)"
        )
    return None
