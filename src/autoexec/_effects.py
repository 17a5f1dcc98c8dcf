"""Seeing whether a function changes the caller's objects, which a process could not do for it.

Two ways, both cheap and neither complete: the function's own code is searched for stores to
global and enclosing variables and for calls such as `results.append`; and what it can reach (its
item, captured variables, `self`, the globals it names) is compared before and after a sample call.
What is found keeps the work in this process. What neither way can see is documented.
"""

from __future__ import annotations

import dis
import functools
import inspect
import itertools
import types
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ._function import DEPTH

MUTATORS = frozenset(
    "add append appendleft clear difference_update discard extend extendleft insert"
    " intersection_update pop popitem popleft remove reverse rotate setdefault sort subtract"
    " symmetric_difference_update update".split()
)
CONTAINERS = (list, dict, set, bytearray, deque)
NODES = 300
"""Objects looked at for one comparison: about 0.1 ms."""
BUFFER_BYTES = 1 << 22
"""Buffers up to this size are compared whole (crc32, 1 to 3 GB/s), larger ones at both ends."""
ATOMS = (int, float, complex, bool, str, bytes, type(None))

Path = str
Snapshot = dict[Path, Any]


# --- What the code says -------------------------------------------------------------------------


def effect_in_code(fn: Callable[..., Any]) -> str | None:
    """What the function's own code plainly changes outside itself, in words, or None."""
    for function in _functions_of(fn):
        reach = _reach_of(function)
        for code in _codes(function.__code__):
            if found := _effect_in(code, reach):
                return found
    return None


def _effect_in(code: types.CodeType, reach: dict[str, Any]) -> str | None:
    steps = [s for s in dis.get_instructions(code) if s.opname not in ("CACHE", "EXTENDED_ARG")]
    lazily = _initialised_once(steps)
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        name = step.argval
        if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL") and name not in lazily:
            return f"it assigns the global variable {name!r}"
        if step.opname in ("STORE_DEREF", "DELETE_DEREF") and name in code.co_freevars:
            if name in reach:  # else it belongs to a function nested in ours
                return f"it assigns the enclosing variable {name!r}"
        if (
            step.opname in ("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_NAME")
            and following is not None
            and following.opname in ("LOAD_ATTR", "LOAD_METHOD")
            and following.argval in MUTATORS
            and isinstance(reach.get(name), CONTAINERS)
        ):
            return f"it calls {name}.{following.argval}()"
    return None


def _initialised_once(steps: list[dis.Instruction]) -> set[str]:
    """Globals that are tested for being empty before use: a cache filled once per process, which
    each worker can fill for itself, rather than a result that the caller wants back."""
    found = set()
    for step, after, third in zip(steps, steps[1:], steps[2:], strict=False):
        if step.opname != "LOAD_GLOBAL" and step.argval != "get":
            continue
        is_none = after.opname == "LOAD_CONST" and after.argval is None
        tested = after.opname.startswith("POP_JUMP") or after.opname in ("TO_BOOL", "UNARY_NOT")
        if tested or (is_none and third.opname == "IS_OP"):
            found.add(step.argval)
        elif after.opname == "LOAD_CONST" and isinstance(after.argval, str):
            found.add(after.argval)  # globals().get("name")
    return found


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of a function and of those defined within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _layers(fn: Any) -> Iterator[Any]:
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


def _functions_of(fn: Any) -> Iterator[types.FunctionType]:
    """The Python functions that a call goes through."""
    for layer in _layers(fn):
        call = layer.__func__ if isinstance(layer, types.MethodType) else layer
        if not isinstance(call, (types.FunctionType, functools.partial)):
            call = getattr(type(call), "__call__", None)
        if isinstance(call, types.FunctionType):
            yield call


def _reach_of(function: types.FunctionType) -> dict[str, Any]:
    """The captured variables of a function and the globals that its code names."""
    names = {name for code in _codes(function.__code__) for name in code.co_names}
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


# --- What a call did ----------------------------------------------------------------------------


def snapshot(fn: Callable[..., Any], item: Any) -> Snapshot:
    """What the function can reach, in a form that can be compared after the call."""
    seen: Snapshot = {}
    _visit("its item", item, seen, set())
    for function in _functions_of(fn):
        for name, value in _reach_of(function).items():
            if not isinstance(value, (types.ModuleType, type, *_CODE)):
                _visit(f"the variable {name!r}", value, seen, set())
    for owner in _owners(fn):
        _visit(f"its {type(owner).__name__} object", owner, seen, set())
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
    for layer in _layers(fn):
        if isinstance(layer, functools.partial):
            yield from layer.args
            yield from layer.keywords.values()
        elif isinstance(layer, (types.MethodType, types.BuiltinFunctionType)):
            if not isinstance(layer.__self__, types.ModuleType):
                yield layer.__self__
        elif not isinstance(layer, (*_CODE, type)):
            yield layer


def _visit(path: Path, value: Any, seen: Snapshot, above: set[int]) -> None:
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
        else:
            seen[path] = (id(value), _extent(value))
            for name, part in _parts(value):
                _visit(f"{path}{name}", part, seen, above | {id(value)})
    except Exception:  # A proxy that is not connected, a lazy object: whatever refuses to be read.
        seen.setdefault(path, id(value))


def _extent(value: Any) -> Any:
    """How much a container holds, or what a buffer holds."""
    if isinstance(value, (set, frozenset)):
        # Order is stable while a set is unchanged; ids say which elements, without comparing them.
        return len(value), hash(tuple(id(part) for part in itertools.islice(value, NODES)))
    if isinstance(value, (list, tuple, dict, deque)):
        return len(value)
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
