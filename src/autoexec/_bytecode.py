"""What the code of a function says of its effects outside itself: those that are plain, and whether
there may be others."""

from __future__ import annotations

import dis
import itertools
import re
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ._reach import codes, functions_of, reach_of

MUTATORS = frozenset(
    "add append appendleft clear difference_update discard extend extendleft insert"
    " intersection_update pop popitem popleft remove reverse rotate setdefault sort subtract"
    " symmetric_difference_update update".split()
)
"""Methods of containers that change them."""
CONTAINERS = (list, dict, set, bytearray, deque)


def effect_in_code(fn: Callable[..., Any]) -> str | None:
    """What the function's own code plainly changes outside itself, in words, or None."""
    for function in functions_of(fn):
        reach = reach_of(function)
        for code in codes(function.__code__):
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


# --- What may change something -----------------------------------------------------------------------


class _Step(NamedTuple):
    """An instruction, or half of one that does two things at once."""

    name: str
    argument: Any
    effect: int
    """By how much the stack grows."""


_STORES = {
    "STORE_ATTR": 0,
    "DELETE_ATTR": 0,
    "STORE_SUBSCR": 1,
    "DELETE_SUBSCR": 1,
    "STORE_SLICE": 2,
}
"""Instructions that change an object, and how many values lie above it on the stack."""

_MAKES = ("BUILD_", "CALL", "BINARY_OP")


def may_change_objects(fn: Callable[..., Any]) -> bool:
    """Whether a call might change its item, its `self` or another object of the caller's.

    So it is where the code stores to, or calls a method such as `append` of, anything but an object
    that the function itself has made and holds in a local variable.
    """
    return any(
        _changes_objects(code) for function in functions_of(fn) for code in codes(function.__code__)
    )


def _changes_objects(code: types.CodeType) -> bool:
    steps = list(_steps(code))
    own = _made_here(code, steps)
    for i, step in enumerate(steps):
        if step.name in _STORES:
            changed = _origin(steps, i, above=_STORES[step.name])
        elif step.name in ("LOAD_ATTR", "LOAD_METHOD") and step.argument in MUTATORS:
            changed = steps[i - 1] if i else None
        else:
            continue
        if changed is None or not (changed.name == "LOAD_FAST" and changed.argument in own):
            return True
    return False


def _steps(code: types.CodeType) -> Iterator[_Step]:
    """The instructions, those on two local variables at once (3.13 and later) as two."""
    for one in dis.get_instructions(code):
        if one.opname in ("CACHE", "EXTENDED_ARG"):
            continue
        halves = re.findall("LOAD_FAST|STORE_FAST", one.opname)
        names = one.argval if isinstance(one.argval, tuple) else (one.argval,)
        if halves and len(halves) == len(names):
            for half, name in zip(halves, names, strict=True):
                yield _Step(half, name, 1 if half == "LOAD_FAST" else -1)
        else:
            yield _Step(one.opname, one.argval, dis.stack_effect(one.opcode, one.arg, jump=False))


def _made_here(code: types.CodeType, steps: Sequence[_Step]) -> set[str]:
    """Local variables that hold nothing but what was made for them: displays and results of calls."""
    arguments = code.co_argcount + code.co_kwonlyargcount
    found = set(code.co_varnames[arguments:])
    for before, step in itertools.pairwise(steps):
        if step.name == "STORE_FAST" and not before.name.startswith(_MAKES):
            found.discard(step.argument)
    return found


def _origin(steps: Sequence[_Step], at: int, above: int) -> _Step | None:
    """The instruction that has put the object on the stack that the one at `at` changes."""
    if at and steps[at - 1].name == "SWAP":  # x.a += 1: it is where the object was copied
        at -= 1
        while at and steps[at].name != "COPY":
            at -= 1
        while at and steps[at - 1].name == "COPY":
            at -= 1
    for _ in range(above):
        needed = 1
        while at and needed:
            at -= 1
            needed -= steps[at].effect
    return steps[at - 1] if at else None
