"""What the code of a function says of its effects outside itself: those that are plain, and whether
there may be others."""

from __future__ import annotations

import dis
import functools
import inspect
import itertools
import math
import re
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any, NamedTuple

from ._reach import codes, functions_of, layers, reach_of

MUTATORS = frozenset(
    "add append appendleft clear difference_update discard extend extendleft insert"
    " intersection_update pop popitem popleft remove reverse rotate setdefault sort subtract"
    " symmetric_difference_update update".split()
)
"""Methods of containers that change them."""
CONTAINERS = (list, set, bytearray, deque, MutableMapping)

_LEVELS = 2
"""How far helpers are followed: those that the function calls, and those that these call."""
_SHARED = (types.ModuleType, type, types.FunctionType)
"""What a comparison of state does not look into (`_effects`), so its insides count here."""


def effect_in_code(fn: Callable[..., Any]) -> str | None:
    """What the function's own code plainly changes outside itself, in words, or None."""
    functions = list(functions_of(fn))
    classes = {
        layer.__func__: layer.__self__
        for layer in layers(fn)
        if isinstance(layer, types.MethodType) and isinstance(layer.__self__, type)
    }
    for function in functions:
        # What a decorator of a library keeps on its wrapper, such as statistics, is its own, and so
        # are the caches that the standard library keeps in its helpers (`re.sub`).
        home = str(function.__globals__.get("__name__")).partition(".")[0]
        is_users = (
            function.__globals__ is functions[-1].__globals__
            and home not in sys.stdlib_module_names
        )
        look = _Look(_SHARED if is_users else (), _LEVELS if is_users else 0, set(functions))
        if found := _effect_of(function, classes.get(function), look):
            return f"it {found}"
    return None


class _Look(NamedTuple):
    """What is looked for in a function."""

    kinds: tuple[type, ...]
    """Variables that hold such objects are looked into."""
    levels: int
    """How far helpers are followed."""
    seen: set[types.FunctionType]
    guards: frozenset[_Place] = frozenset()
    """What is looked at before the function is called: it may be there to fill that."""


def _effect_of(function: types.FunctionType, owner: type | None, look: _Look) -> str | None:
    reach = reach_of(function)
    if owner is not None:  # a class method
        reach.update(dict.fromkeys(function.__code__.co_varnames[:1], owner))
    for code in codes(function.__code__):
        if found := _effect_in(code, reach, look):
            return found
        if look.levels and (found := _effect_of_helpers(function, code, reach, look)):
            return found
    return None


def _effect_in(code: types.CodeType, reach: dict[str, Any], look: _Look) -> str | None:
    changes = _read(code).changes
    outside = [change for change in changes if _is_outside(change, code, reach, look.kinds)]
    if not outside:
        return None
    conditions = (_Condition(-1, math.inf, look.guards), *_conditions(code))
    fills = [c for c in conditions if any(change.fills(c) for change in changes)]
    for change in outside:
        if not any(change.belongs_to(condition) for condition in fills):
            return change.words
    return None


def _effect_of_helpers(
    function: types.FunctionType, code: types.CodeType, reach: dict[str, Any], look: _Look
) -> str | None:
    """What the functions of the same module that the code names change, each looked at once."""
    for offset, place in _read(code).named:
        helper = _held(place, reach)
        owner = _held(place.owner(), reach) if isinstance(helper, classmethod) else None
        if isinstance(helper, (classmethod, staticmethod)):
            helper = helper.__func__
        if not isinstance(helper, types.FunctionType) or helper in look.seen:
            continue
        if helper.__globals__ is function.__globals__:
            look.seen.add(helper)
            around = [c.looked for c in _conditions(code) if c.covers(offset)]
            guards = look.guards.union(*around)
            # No comparison looks at what only a helper names: here all variables count.
            within = _Look((object,), look.levels - 1, look.seen, guards)
            if found := _effect_of(helper, owner, within):
                return f"calls {place}(), which {found}"
    return None


class _Reading(NamedTuple):
    """What a code object does, whatever its variables hold."""

    changes: tuple[_Change, ...]
    named: tuple[tuple[int, _Place], ...]
    """Places that begin at a variable of others, with the offsets where they are loaded."""


@functools.lru_cache(maxsize=256)
def _read(code: types.CodeType) -> _Reading:
    steps = _steps(code)
    named = []
    for at, step in enumerate(steps):
        place = _place(steps, at) if step.name in _NAMING else None
        if place is not None and place.load != "LOAD_FAST":
            named.append((step.offset, place))
    return _Reading(tuple(_changes(steps)), tuple(named))


# --- Places: how code gets at an object ----------------------------------------------------------------


_VARIABLES = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_FAST")
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
_NAMING = (*_VARIABLES, *_ATTRIBUTES)
_ELEMENT = "[...]"


class _Place(NamedTuple):
    """A variable, or what attributes and subscripts lead to from there."""

    load: str
    """The instruction that loads the variable."""
    names: tuple[str, ...]
    """Of the variable and of attributes; `_ELEMENT` is an element."""

    def __str__(self) -> str:
        return ".".join(self.names).replace(f".{_ELEMENT}", _ELEMENT)

    def part(self, name: str) -> _Place:
        return _Place(self.load, (*self.names, name))

    def owner(self) -> _Place:
        return _Place(self.load, self.names[:-1])

    def container(self) -> _Place:
        """The place itself, or that of the first object on the way of which an element is taken."""
        return _Place(self.load, tuple(itertools.takewhile(lambda n: n != _ELEMENT, self.names)))


def _place(steps: Sequence[_Step], at: int | None) -> _Place | None:
    """The place of what an instruction puts on the stack, if it begins at a variable."""
    if at is None:
        return None
    step = steps[at]
    before: int | None
    if step.name in _VARIABLES:
        return _Place(step.name, (step.argument,))
    if step.name in _ATTRIBUTES:
        name, before = step.argument, at - 1
    elif step.name == "BINARY_SUBSCR":
        name, before = _ELEMENT, _origin(steps, at, above=1)
    elif step.name == "CALL":  # type(self)
        name, before = "__class__", at - 1 - (steps[at - 1].name == "PRECALL")
        if (steps[before - 1].name, steps[before - 1].argument) != (
            "LOAD_GLOBAL",
            "type",
        ):
            return None
    else:
        return None
    found = _place(steps, before)
    return found and found.part(name)


def _held(place: _Place, reach: dict[str, Any]) -> Any:
    """The object at a place as it is now, without running any code of its class, or None."""
    if not place.names:  # the owner of a variable
        return None
    value = reach.get(place.names[0])
    for name in place.names[1:]:
        if type(value).__name__ == "_local":
            return value  # each thread has its own, and so has each process
        value = inspect.getattr_static(value, name, None)
    return value


# --- Changes -------------------------------------------------------------------------------------------


class _Change(NamedTuple):
    """An instruction that changes a variable or an object."""

    offset: int
    place: _Place
    words: str
    method: str = ""
    """The mutator that is called."""
    is_store: bool = True
    """Whether something is put there, rather than taken away or added to what is there (`+=`)."""

    def fills(self, condition: _Condition) -> bool:
        """Whether that is put there which the condition has found to be missing."""
        is_filling = self.method in ("update", "extend") if self.method else self.is_store
        return is_filling and condition.covers(self.offset) and self._was_looked_at(condition)

    def belongs_to(self, filling: _Condition) -> bool:
        """Whether it is part of filling a cache: the cache itself, or what is set along with it."""
        if not filling.covers(self.offset):
            return False
        return (self.is_store and not self.method) or self._was_looked_at(filling)

    def _was_looked_at(self, condition: _Condition) -> bool:
        return self.place in condition.looked or self.place.owner() in condition.looked


def _changes(steps: Sequence[_Step]) -> Iterator[_Change]:
    for at, step in enumerate(steps):
        verb, _, what = step.name.partition("_")
        if verb in ("STORE", "DELETE") and what in ("GLOBAL", "DEREF"):
            kind = "global" if what == "GLOBAL" else "enclosing"
            adds = steps[at - 1].name == "BINARY_OP" and steps[at - 1].argument.endswith("=")
            yield _Change(
                step.offset,
                _Place(f"LOAD_{what}", (step.argument,)),
                f"assigns the {kind} variable {step.argument!r}",
                is_store=verb == "STORE" and not adds,
            )
        elif step.name in _STORES:
            place = _place(steps, _origin(steps, at, above=_STORES[step.name]))
            if place is not None:
                place = place.part(step.argument) if what == "ATTR" else place
                is_store = verb == "STORE" and steps[at - 1].name != "SWAP"
                yield _Change(step.offset, place, f"changes {place}", is_store=is_store)
        elif step.name in _ATTRIBUTES and step.argument in MUTATORS:
            if place := _place(steps, at - 1):
                words = f"calls {place}.{step.argument}()"
                yield _Change(step.offset, place, words, step.argument)
        elif step.name == "LOAD_GLOBAL" and step.argument in ("setattr", "delattr"):
            if place := _place(steps, _first_argument(steps, at)):
                is_store = step.argument == "setattr"
                yield _Change(step.offset, place, f"changes {place}", is_store=is_store)


def _first_argument(steps: Sequence[_Step], at: int) -> int:
    """The instruction that has loaded the first argument of the function that `at` loads."""
    at = min(at + 1, len(steps) - 1)
    while at + 1 < len(steps) and steps[at + 1].name in _ATTRIBUTES:
        at += 1
    return at


def _is_outside(
    change: _Change, code: types.CodeType, reach: dict[str, Any], kinds: tuple[type, ...]
) -> bool:
    """Whether it changes something that is there beside the call."""
    place = change.place
    variable, is_variable = place.names[0], "variable" in change.words
    if place.load == "LOAD_FAST":
        if place.names[1:2] == ("__class__",):
            return bool(kinds) and len(place.names) > 2
        is_cls = (variable,) == code.co_varnames[:1] and isinstance(reach.get(variable), type)
        return bool(kinds) and is_cls
    if is_variable:  # an enclosing one may belong to the function that the code is nested in
        return place.load == "LOAD_GLOBAL" or (variable in code.co_freevars and variable in reach)
    if variable not in reach:
        return False
    held = _held(place.container(), reach)
    if type(held).__name__ == "_local":
        return False
    if change.method and not issubclass(type(held), CONTAINERS):
        return False
    if change.method and len(place.names) == 1:
        return True
    return issubclass(type(reach[variable]), kinds)


# --- Caches --------------------------------------------------------------------------------------------


_CONSTANTS = ("LOAD_CONST", "LOAD_SMALL_INT")
_MISSING = ("KeyError", "AttributeError", "LookupError", "IndexError", "NameError")


class _Condition(NamedTuple):
    """A condition and the code that runs depending on it.

    If that code assigns what the condition looks at, then it is a cache, filled once per process or
    per key: each worker can fill its own, so it is no result that the caller wants back.
    """

    start: int
    end: float
    looked: frozenset[_Place]

    def covers(self, offset: int) -> bool:
        return self.start < offset < self.end


@functools.lru_cache(maxsize=256)
def _conditions(code: types.CodeType) -> tuple[_Condition, ...]:
    steps, found = _steps(code), []
    copies: dict[str, frozenset[_Place]] = {}
    for at, step in enumerate(steps):
        if step.name == "STORE_FAST":  # found = cache.get(key)
            copies[step.argument] = _looked_at(steps[_begin(steps, at) : at], copies)
        elif step.name.startswith(("POP_JUMP", "JUMP_IF")) and step.argument > step.offset:
            condition = steps[_begin(steps, at) : at]
            looked = _looked_at(condition, copies)
            if any(_Place("LOAD_GLOBAL", (name,)) in looked for name in _MISSING):
                found.append(_Condition(step.offset, math.inf, _looked_at(steps[:at], copies)))
            elif not _is_ranking(condition):
                found.append(_Condition(step.offset, _end(steps, at), looked))
    return tuple(found)


def _is_ranking(condition: Sequence[_Step]) -> bool:
    """Whether two values are put in order, as for a new maximum, rather than one beside a constant."""
    return any(
        step.name == "COMPARE_OP" and step.argument[0] in "<>" and before.name not in _CONSTANTS
        for before, step in itertools.pairwise(condition)
    )


def _begin(steps: Sequence[_Step], at: int) -> int:
    """Where the expression begins of which the instruction takes the value."""
    needed = 1
    while at and needed:
        at -= 1
        if steps[at].name != "COPY" or needed > 1:  # x or y: a copy is tested
            needed -= steps[at].effect
    return at


def _end(steps: Sequence[_Step], at: int) -> float:
    """Where the code ends that depends on a jump: the branch, the other, or all that follows a
    branch that leaves. (One that raises refuses an item: what follows it is no cache.)"""
    jump, target = steps[at], steps[at].argument
    landing = next((i for i in range(at, len(steps)) if steps[i].offset >= target), len(steps))
    last = steps[landing - 1]
    if last.name.startswith(("RETURN", "JUMP_BACKWARD")):
        return math.inf
    after = float(last.argument if last.name == "JUMP_FORWARD" else target)
    tested = steps[at - 1 - (steps[at - 1].name == "TO_BOOL")]
    leaves_value = sum(step.effect for step in steps[at + 1 : landing]) > 0  # x = x if x else y
    if tested.name == "COPY" or jump.name.startswith("JUMP_IF") or leaves_value:  # x = x or y
        return next((s.offset + 1 for s in steps[landing:] if _stores(s, after)), after)
    return after


def _stores(step: _Step, start: float) -> bool:
    return step.offset >= start and step.name.startswith("STORE")


def _looked_at(steps: Sequence[_Step], copies: dict[str, frozenset[_Place]]) -> frozenset[_Place]:
    """The places whose values an expression uses, also by way of local variables."""
    found: set[_Place] = set()
    for at, (step, following) in enumerate(itertools.zip_longest(steps, steps[1:])):
        if step.name == "LOAD_FAST":
            found |= copies.get(step.argument, frozenset())
        if following is not None and following.name in _ATTRIBUTES:
            continue
        place = _place(steps, at) if step.name in _NAMING else None
        if place is not None and step.name == "LOAD_METHOD":
            place = place.owner() if step.argument == "get" else None
        if place is not None:
            found.add(place.container())
        if place == _Place("LOAD_GLOBAL", ("globals",)):  # "name" in globals()
            texts = [s.argument for s in steps if isinstance(s.argument, str)]
            found |= {_Place("LOAD_GLOBAL", (text,)) for text in texts}
    return frozenset(found)


# --- What may change something -----------------------------------------------------------------------


class _Step(NamedTuple):
    """An instruction, or half of one that does two things at once."""

    name: str
    argument: Any
    effect: int
    """By how much the stack grows."""
    offset: int


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
    steps = _steps(code)
    own = _made_here(code, steps)
    for i, step in enumerate(steps):
        if step.name in _STORES:
            changed = _origin(steps, i, above=_STORES[step.name])
        elif step.name in _ATTRIBUTES and step.argument in MUTATORS:
            changed = i - 1
        else:
            continue
        if changed is None or steps[changed].name != "LOAD_FAST":
            return True
        if steps[changed].argument not in own:
            return True
    return False


@functools.lru_cache(maxsize=256)
def _steps(code: types.CodeType) -> tuple[_Step, ...]:
    """The instructions, those on two local variables at once (3.13 and later) as two, and by the
    same names in all versions."""
    found = []
    for one in dis.get_instructions(code):
        name, argument = one.opname, one.argval
        if name in ("CACHE", "EXTENDED_ARG", "NOT_TAKEN"):
            continue
        halves = re.findall("LOAD_FAST|STORE_FAST", name)
        names = argument if isinstance(argument, tuple) else (argument,)
        if halves and len(halves) == len(names):
            for half, local in zip(halves, names, strict=True):
                found.append(_Step(half, local, 1 if half == "LOAD_FAST" else -1, one.offset))
            continue
        effect = dis.stack_effect(one.opcode, one.arg, jump=False)
        if name == "BINARY_OP":
            name, argument = "BINARY_SUBSCR" if one.argrepr == "[]" else name, one.argrepr
        elif name == "LOAD_ATTR" and effect == 1:
            name = "LOAD_METHOD"
        found.append(_Step(name, argument, effect, one.offset))
    return tuple(found)


def _made_here(code: types.CodeType, steps: Sequence[_Step]) -> set[str]:
    """Local variables that hold nothing but what was made for them: displays and results of calls."""
    arguments = code.co_argcount + code.co_kwonlyargcount
    found = set(code.co_varnames[arguments:])
    for before, step in itertools.pairwise(steps):
        if step.name == "STORE_FAST" and not before.name.startswith(_MAKES):
            found.discard(step.argument)
    return found


def _origin(steps: Sequence[_Step], at: int, above: int) -> int | None:
    """Where the object was put on the stack that the instruction at `at` changes."""
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
    return at - 1 if at else None
