"""What a callable is made of, and what its code can reach."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator
from typing import Any

from ._function import DEPTH


def layers(fn: Any) -> Iterator[Any]:
    """A callable and those that it wraps: partials, decorated functions.

    Nothing is asked for that an object could make up: one with a `__getattr__` of its own might
    claim to wrap something, for ever, or count how often it was asked.
    """
    for _ in range(DEPTH):
        yield fn
        if isinstance(fn, functools.partial):
            fn = fn.func
        elif isinstance(fn, types.MethodType):
            fn = fn.__func__.__dict__.get("__wrapped__") if _has_dict(fn.__func__) else None
        else:
            fn = (
                object.__getattribute__(fn, "__dict__").get("__wrapped__")
                if _has_dict(fn)
                else None
            )
        if fn is None:
            return


def _has_dict(value: Any) -> bool:
    return isinstance(
        inspect.getattr_static(value, "__dict__", None), (dict, types.GetSetDescriptorType)
    )


def functions_of(fn: Any) -> Iterator[types.FunctionType]:
    """The Python functions that a call goes through."""
    for layer in layers(fn):
        call = layer.__func__ if isinstance(layer, types.MethodType) else layer
        if not isinstance(call, (types.FunctionType, functools.partial)):
            call = getattr(type(call), "__call__", None)
        if isinstance(call, types.FunctionType):
            yield call


def reach_of(function: types.FunctionType) -> dict[str, Any]:
    """The captured variables of a function and the globals that its code names."""
    names = {name for code in codes(function.__code__) for name in code.co_names}
    reach = {name: function.__globals__[name] for name in names if name in function.__globals__}
    for position, value in enumerate(function.__defaults__ or ()):
        reach[_argument_names(function)[position]] = value
    reach.update(function.__kwdefaults__ or {})
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            reach[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            reach[name] = None
    return reach


def _argument_names(function: types.FunctionType) -> tuple[str, ...]:
    """Names of the positional arguments that have defaults."""
    code = function.__code__
    return code.co_varnames[code.co_argcount - len(function.__defaults__ or ()) : code.co_argcount]


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of a function and of those defined within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)
