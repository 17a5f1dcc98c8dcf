"""Telling items and functions apart, the same in every process: digests of what they are. Pure.

The digest of a value is that of its canonical form, not of its pickle: a pickle depends on the order of
a set, which depends on the hash seed, and on which of two equal texts is the same object. So plain values
and containers are written by rule (sets and dicts in the order of the digests of what is in them), and any
other object as what `pickle` would be told of it: the callable that makes it, its arguments, its state.
"""

from __future__ import annotations

import copyreg
import functools
import types
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any

from ._errors import NotPicklable, short_repr, text_of
from ._function import name_of
from ._reach import functions_of, layers

SIZE = 16
"""Bytes of a digest: among 10^9 items two of the same digest are as likely as 10^-21."""

_Update = Callable[[bytes], None]
_SINGLE = frozenset((bool, type(None), float, complex, type(Ellipsis), type(NotImplemented)))
_NAMED = (type, types.ModuleType)


def digest(value: Any) -> bytes:
    """What tells a value from others.

    Raises:
        NotPicklable: It holds something that cannot be told from others, such as an open file.
    """
    return _digest(value, set())


def _digest(value: Any, above: set[int]) -> bytes:
    made = blake2b(digest_size=SIZE)
    try:
        _feed(made.update, value, above)
    except NotPicklable:
        raise
    except Exception as error:  # whatever the classes of the value raise when they are asked
        raise NotPicklable(
            f"{short_repr(value)} of type {type(value).__name__} cannot be told from other values"
            f" ({text_of(error) or type(error).__name__})."
        ) from error
    return made.digest()


def _feed(update: _Update, value: Any, above: set[int]) -> None:
    kind = type(value)
    if kind is str:
        _text(update, b"s", value.encode("utf-8", "surrogatepass"))
    elif kind is int:
        _text(update, b"i", b"%x" % value)  # decimal digits would take time, or be refused
    elif kind in _SINGLE:
        _text(update, b"v", repr(value).encode())
    elif kind is bytes or kind is bytearray:
        _text(update, b"b" if kind is bytes else b"B", value)
    elif id(value) in above:
        update(b"^")  # it holds itself
    else:
        above.add(id(value))
        _feed_parts(update, value, above)
        above.discard(id(value))


def _text(update: _Update, tag: bytes, data: bytes) -> None:
    update(b"%b%d:" % (tag, len(data)))
    update(data)


def _feed_parts(update: _Update, value: Any, above: set[int]) -> None:
    kind = type(value)
    if kind is list or kind is tuple:
        update(b"%b%d:" % (b"l" if kind is list else b"t", len(value)))
        for part in value:
            _feed(update, part, above)
    elif kind is dict:
        pairs = [_digest(key, above) + _digest(part, above) for key, part in value.items()]
        _text(update, b"d", b"".join(sorted(pairs)))
    elif kind is set or kind is frozenset:
        parts = sorted(_digest(part, above) for part in value)
        _text(update, b"S" if kind is set else b"F", b"".join(parts))
    elif isinstance(value, types.CodeType):
        _feed(update, _code(value), above)
    elif isinstance(value, types.FunctionType):
        made_of = {name: _digest(part, above) for name, part in _parts_of(value)}
        _feed(update, ("function", value.__module__, value.__qualname__, made_of), above)
    elif isinstance(value, _NAMED):
        name = getattr(value, "__qualname__", value.__name__)
        _feed(update, (kind.__name__, getattr(value, "__module__", None), name), above)
    else:
        _feed(update, _reduced(value), above)


def _reduced(value: Any) -> tuple[Any, ...]:
    """What `pickle` would be told of an object."""
    kind = type(value)
    special = copyreg.dispatch_table.get(kind)
    told = special(value) if special is not None else value.__reduce_ex__(4)
    if isinstance(told, str):  # a global of its module
        return "global", getattr(value, "__module__", None), told
    padded: tuple[Any, ...] = (*told, None, None, None)
    fn, arguments, state, items, pairs = padded[:5]
    contents = list(items or ()), list(pairs or ())
    return "object", kind.__module__, kind.__qualname__, fn, arguments, state, *contents


# --- Functions ---------------------------------------------------------------------------------------


def identity(fn: Callable[..., Any]) -> dict[str, str]:
    """What makes a function this one: parts in words, each with its digest or text.

    These are its module and name, the byte code and constants of every Python function that a call of it
    goes through (wrappers and partials), and what it captured: variables of enclosing functions, defaults,
    arguments of a partial, the object of a method. Of what cannot be told from others, such as a lock, the
    type alone counts. Globals and the functions that it calls do not count, nor do comments and lines.
    """
    found = {"name": f"{_module(fn)}.{name_of(fn)}"}
    for depth, layer in enumerate(layers(fn)):
        for name, value in _state_of(layer):
            found[_numbered(name, depth)] = _known(value)
    for depth, function in enumerate([*functions_of(fn), *_makers_of(fn)]):
        for name, value in _parts_of(function):
            found[_numbered(name, depth)] = _known(value)
    return found


def _module(fn: Any) -> str:
    *_, inner = layers(fn)
    return getattr(inner, "__module__", None) or type(inner).__module__


def _numbered(name: str, depth: int) -> str:
    return f"{name} (wrapped {depth} deep)" if depth else name


def _known(value: Any) -> str:
    try:
        return digest(value).hex()
    except NotPicklable:
        return f"a {type(value).__module__}.{type(value).__qualname__}"


def _state_of(layer: Any) -> Iterator[tuple[str, Any]]:
    """What a callable that is no plain function holds."""
    if isinstance(layer, functools.partial):
        for position, value in enumerate(layer.args):
            yield f"argument {position} of the partial", value
        for name, value in sorted(layer.keywords.items()):
            yield f"argument {name!r} of the partial", value
    elif isinstance(layer, types.MethodType):
        yield "the object of the method", layer.__self__
    elif not isinstance(layer, types.FunctionType):
        yield "the object that is called", layer


def _parts_of(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """The code of a function and what it captured."""
    yield "code", function.__code__
    for position, value in enumerate(function.__defaults__ or ()):
        yield f"default {position}", value
    for name, value in sorted((function.__kwdefaults__ or {}).items()):
        yield f"default of {name!r}", value
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"captured {name!r}", cell.cell_contents
        except ValueError:  # not assigned yet
            yield f"captured {name!r}", None


def _makers_of(fn: Callable[..., Any]) -> Iterator[types.FunctionType]:
    """The Python functions by which a class makes an object, if it is one that is called."""
    for name in ("__new__", "__init__") if isinstance(fn, type) else ():
        if isinstance(maker := getattr(fn, name), types.FunctionType):
            yield maker


def _code(code: types.CodeType) -> tuple[Any, ...]:
    """What code does, without where it is written."""
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    # Where an error is caught is in a table of its own, not in the instructions.
    return "code", code.co_code, code.co_exceptiontable, code.co_consts, counts, names
