"""Seeing whether a function changes the caller's objects, which a process could not do for it.

Two ways, both cheap and neither complete: the function's own code, and the helpers that it names,
are searched for stores to global and enclosing variables, and to what classes, modules and functions
hold, and for calls such as `results.append` (`_bytecode`); and here, what it can reach (its item,
captured variables, `self`, the globals it names) is compared before and after a sample call. What
is found keeps the work in this process. What neither way can see is documented.
"""

from __future__ import annotations

import functools
import itertools
import pickle
import sys
import types
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ._reach import functions_of, layers, reach_of
from ._seed import draws

NODES = 300
"""Objects looked at for one comparison: about 0.1 ms."""
BUFFER_BYTES = 1 << 22
"""Buffers up to this size are compared whole (crc32, 1 to 3 GB/s), larger ones at both ends."""
ATOMS = (int, float, complex, bool, str, bytes, type(None))

Path = str
Snapshot = dict[Path, Any]


def snapshot(fn: Callable[..., Any], item: Any) -> Snapshot:
    """What the function can reach, in a form that can be compared after the call."""
    seen: Snapshot = {}
    _visit("its item", item, seen, set())
    for function in functions_of(fn):
        for name, value in reach_of(function).items():
            if not isinstance(value, (types.ModuleType, type, *_CODE)):
                _visit(f"the variable {name!r}", value, seen, set())
    for owner in _owners(fn):
        _visit(f"its {type(owner).__name__} object", owner, seen, set(), is_owner=True)
    return seen


def difference(before: Snapshot, after: Snapshot) -> Path | None:
    """The first thing that is not as it was, in words, or None."""
    for path, value in before.items():
        if path not in after or after[path] != value:
            return path
    return next((path for path in after if path not in before), None)


_CODE = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.CodeType,
    functools.partial,
)


def _owners(fn: Any) -> Iterator[Any]:
    """Objects that the callable carries: `self`, a partial's arguments."""
    for layer in layers(fn):
        if isinstance(layer, functools.partial):
            yield from layer.args
            yield from layer.keywords.values()
        elif isinstance(layer, (types.MethodType, types.BuiltinFunctionType)):
            if not isinstance(layer.__self__, types.ModuleType):
                yield layer.__self__
        elif not isinstance(layer, (*_CODE, type)):
            yield layer


def _is_value(value: Any) -> bool:
    """Whether it is one of the standard library's that are what they hold, and hashed by it: paths,
    dates, patterns. What else they keep is a cache: `str(path)` fills one."""
    kind: Any = type(value)
    if kind.__hash__ in (None, object.__hash__) or isinstance(value, (tuple, memoryview)):
        return False
    return str(kind.__module__).partition(".")[0] in sys.stdlib_module_names


def _visit(
    path: Path, value: Any, seen: Snapshot, above: set[int], *, is_owner: bool = False
) -> None:
    """Record a value and, up to `NODES` in all, what it contains."""
    if len(seen) >= NODES:
        return
    try:
        if type(value) in ATOMS:
            # Numbers and short texts by value: made anew, they are to the same effect.
            small = not isinstance(value, (str, bytes)) or len(value) < 64
            seen[path] = (type(value), repr(value) if small else id(value))
        elif id(value) in above or isinstance(value, (types.ModuleType, type, *_CODE)):
            seen[path] = id(value)
        elif not is_owner and _is_value(value):
            seen[path] = id(value)
        else:
            seen[path] = (id(value), _extent(value))
            for name, part in _parts(value):
                _visit(f"{path}{name}", part, seen, above | {id(value)})
    except Exception:  # A proxy that is not connected, a lazy object: whatever refuses to be read.
        seen.setdefault(path, id(value))


def _extent(value: Any) -> Any:
    """How much a container holds, what a buffer holds, or how far a random generator has come."""
    if isinstance(value, (set, frozenset)):
        # Order is stable while a set is unchanged; ids say which elements, without comparing them.
        return len(value), hash(tuple(id(part) for part in itertools.islice(value, NODES)))
    if isinstance(value, (list, tuple, dict, deque)):
        return len(value)
    if draws(value):
        return zlib.crc32(pickle.dumps(value))
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError, NotImplementedError):
        return None
    if not view.c_contiguous:  # crc32 wants one piece, so it costs a copy
        return view.nbytes, view.nbytes <= BUFFER_BYTES and zlib.crc32(view.tobytes("A"))
    view = view.cast("B")
    if view.nbytes <= BUFFER_BYTES:
        return view.nbytes, zlib.crc32(view)
    half = BUFFER_BYTES // 2
    return view.nbytes, zlib.crc32(view[:half]), zlib.crc32(view[-half:])


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """The things that a value holds, each with the text that leads to it."""
    if isinstance(value, (list, tuple, deque)):
        shown = range(len(value)) if len(value) <= 64 else [*range(48), *range(-16, 0)]
        yield from ((f"[{i}]", value[i]) for i in shown)
    elif isinstance(value, dict):
        for key in itertools.islice(tuple(value), 64):
            yield f"[{key!r}]" if type(key) in ATOMS else f"[{id(key)}]", value.get(key)
    for name, part in itertools.islice(tuple(getattr(value, "__dict__", {}).items()), 64):
        yield f".{name}", part
    for name in _slots(type(value)):
        if hasattr(value, name):
            yield f".{name}", getattr(value, name)


def _slots(kind: type) -> Iterator[str]:
    """Names of the slots of a class and its parents, private ones as they are stored."""
    for parent in kind.__mro__:
        declared = parent.__dict__.get("__slots__", ())
        for name in (declared,) if isinstance(declared, str) else declared:
            private = name.startswith("__") and not name.endswith("__")
            yield f"_{parent.__name__.lstrip('_')}{name}" if private else name
