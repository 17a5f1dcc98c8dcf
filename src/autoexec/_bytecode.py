"""What the code of a function says of its effects outside itself: those that are plain, and whether
there may be others."""

from __future__ import annotations

import functools
import itertools
import math
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any, NamedTuple

from ._caching import Condition, conditions_of
from ._instructions import (
    ATTRIBUTES,
    CONSTANTS,
    NAMING,
    STORES,
    Place,
    Step,
    held_at,
    origin,
    place_of,
    steps_of,
)
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
    owners = dict(_owners(fn))
    for function in functions:
        # What a decorator of a library keeps on its wrapper, such as statistics, is its own, and so
        # are the caches that the standard library keeps in its helpers (`re.sub`).
        home = str(function.__globals__.get("__name__")).partition(".")[0]
        is_users = (
            function.__globals__ is functions[-1].__globals__
            and home not in sys.stdlib_module_names
        )
        look = _Look(_SHARED if is_users else (), _LEVELS if is_users else 0, set(functions))
        if found := _effect_of(function, owners.get(function), look):
            return f"it {found}"
    return None


def _owners(fn: Callable[..., Any]) -> Iterator[tuple[Any, Any]]:
    """The functions of a callable that have a first argument already, each with that."""
    for layer in layers(fn):
        if isinstance(layer, types.MethodType):
            yield layer.__func__, layer.__self__
        elif not isinstance(layer, (types.FunctionType, functools.partial)):
            yield getattr(type(layer), "__call__", None), layer


class _Look(NamedTuple):
    """What is looked for in a function."""

    kinds: tuple[type, ...]
    """Variables that hold such objects are looked into."""
    levels: int
    """How far helpers are followed."""
    seen: set[types.FunctionType]
    guards: frozenset[Place] = frozenset()
    """What is looked at before the function is called: it may be there to fill that."""


def _effect_of(function: types.FunctionType, owner: Any, look: _Look) -> str | None:
    reach = reach_of(function)
    if owner is not None:  # of a method
        reach.update(dict.fromkeys(function.__code__.co_varnames[:1], owner))
    for code in codes(function.__code__):
        if found := _effect_in(code, reach, look, own=code is function.__code__):
            return found
        if look.levels and (found := _effect_of_helpers(function, code, reach, look)):
            return found
    return None


def _effect_in(
    code: types.CodeType, reach: dict[str, Any], look: _Look, *, own: bool
) -> str | None:
    """What a piece of code changes outside: the function's own, or one that is nested in that."""
    changes = read(code).changes
    outside = [one for one in changes if _is_outside(one, code, reach, look.kinds, own=own)]
    if not outside:
        return None
    conditions = (Condition(-1, math.inf, look.guards), *conditions_of(code))
    fills = [c for c in conditions if any(change.fills(c) for change in changes)]
    for change in outside:
        if not any(change.belongs_to(condition) for condition in fills):
            return change.words
    return None


def _effect_of_helpers(
    function: types.FunctionType, code: types.CodeType, reach: dict[str, Any], look: _Look
) -> str | None:
    """What the functions of the same module that the code names change, each looked at once."""
    for offset, place in read(code).named:
        helper = held_at(place, reach)
        owner = held_at(place.owner(), reach) if isinstance(helper, classmethod) else None
        if isinstance(helper, (classmethod, staticmethod)):
            helper = helper.__func__
        helper = _of_module(helper, function.__globals__)
        if not isinstance(helper, types.FunctionType) or helper in look.seen:
            continue
        if helper.__globals__ is function.__globals__:
            look.seen.add(helper)
            around = [c.looked for c in conditions_of(code) if c.covers(offset)]
            guards = look.guards.union(*around)
            # No comparison looks at what only a helper names: here all variables count.
            within = _Look((object,), look.levels - 1, look.seen, guards)
            if found := _effect_of(helper, owner, within):
                return f"calls {place}(), which {found}"
    return None


def _of_module(helper: Any, module: dict[str, Any]) -> Any:
    """A helper as its module defines it, below decorators such as `contextlib.contextmanager`; not below a cache,
    which makes its call once."""
    for layer in layers(helper):
        if not isinstance(layer, types.FunctionType):
            break
        if layer.__globals__ is module:
            return layer
    return helper


class Reading(NamedTuple):
    """What a code object does, whatever its variables hold."""

    changes: tuple[Change, ...]
    named: tuple[tuple[int, Place], ...]
    """Places that begin at a variable of others, with the offsets where they are loaded."""


@functools.lru_cache(maxsize=256)
def read(code: types.CodeType) -> Reading:
    steps = steps_of(code)
    named = []
    for at, step in enumerate(steps):
        place = place_of(steps, at) if step.name in NAMING else None
        if place is not None and place.load != "LOAD_FAST":
            named.append((step.offset, place))
    return Reading(tuple(_changes(steps)), tuple(named))


# --- Changes -------------------------------------------------------------------------------------------


class Change(NamedTuple):
    """An instruction that changes a variable or an object."""

    offset: int
    place: Place
    words: str
    method: str = ""
    """The mutator that is called."""
    is_store: bool = True
    """Whether something is put there, rather than taken away or added to what is there (`+=`)."""
    is_constant: bool = False
    """What is put there is the same in each call."""

    def fills(self, condition: Condition) -> bool:
        """Whether that is put there which the condition has found to be missing."""
        is_filling = self.method in ("update", "extend") if self.method else self.is_store
        return is_filling and condition.covers(self.offset) and self._was_looked_at(condition)

    def belongs_to(self, filling: Condition) -> bool:
        """Whether it is part of filling a cache: the cache itself, or what is set along with it."""
        if not filling.covers(self.offset):
            return False
        return (self.is_store and not self.method) or self._was_looked_at(filling)

    def _was_looked_at(self, condition: Condition) -> bool:
        return self.place in condition.looked or self.place.owner() in condition.looked


def _changes(steps: Sequence[Step]) -> Iterator[Change]:
    for at, step in enumerate(steps):
        verb, _, what = step.name.partition("_")
        if verb in ("STORE", "DELETE") and what in ("GLOBAL", "DEREF"):
            kind = "global" if what == "GLOBAL" else "enclosing"
            adds = steps[at - 1].name == "BINARY_OP" and steps[at - 1].argument.endswith("=")
            yield Change(
                step.offset,
                Place(f"LOAD_{what}", (step.argument,)),
                f"assigns the {kind} variable {step.argument!r}",
                is_store=verb == "STORE" and not adds,
            )
        elif step.name in STORES:
            place = place_of(steps, origin(steps, at, above=STORES[step.name]))
            if place is not None:
                place = place.part(step.argument) if what == "ATTR" else place
                is_store = verb == "STORE" and steps[at - 1].name != "SWAP"
                value = origin(steps, at, above=STORES[step.name] + 1) if is_store else None
                same = value is not None and steps[value].name in CONSTANTS
                same = same and (what == "ATTR" or steps[at - 1].name in CONSTANTS)
                words = f"changes {place}"
                yield Change(step.offset, place, words, is_store=is_store, is_constant=same)
        elif step.name in ATTRIBUTES and step.argument in MUTATORS:
            if place := place_of(steps, at - 1):
                words = f"calls {place}.{step.argument}()"
                yield Change(step.offset, place, words, step.argument)
        elif step.name == "LOAD_GLOBAL" and step.argument in ("setattr", "delattr"):
            if place := place_of(steps, _first_argument(steps, at)):
                is_store = step.argument == "setattr"
                yield Change(step.offset, place, f"changes {place}", is_store=is_store)


def _first_argument(steps: Sequence[Step], at: int) -> int:
    """The instruction that has loaded the first argument of the function that `at` loads."""
    at = min(at + 1, len(steps) - 1)
    while at + 1 < len(steps) and steps[at + 1].name in ATTRIBUTES:
        at += 1
    return at


def _is_outside(
    change: Change,
    code: types.CodeType,
    reach: dict[str, Any],
    kinds: tuple[type, ...],
    *,
    own: bool,
) -> bool:
    """Whether it changes something that is there beside the call."""
    place = change.place
    variable, is_variable = place.names[0], "variable" in change.words
    if place.load == "LOAD_FAST":
        if not own:  # of a class that the call makes, say
            return False
        if place.names[1:2] == ("__class__",):
            return bool(kinds) and len(place.names) > 2
        if (variable,) != code.co_varnames[:1] or variable not in reach or not kinds:
            return False
        return isinstance(reach[variable], type) or _adds_to_self(change, reach)
    if is_variable:  # an enclosing one may belong to the function that the code is nested in
        return place.load == "LOAD_GLOBAL" or (variable in code.co_freevars and variable in reach)
    if variable not in reach:
        return False
    held = held_at(place.container(), reach)
    if type(held).__name__ == "_local":
        return False
    if change.is_constant and _is_setting(held, held_at(place.owner(), reach)):
        return False
    if change.method and not issubclass(type(held), CONTAINERS):
        return False
    if change.method and len(place.names) == 1:
        return True
    return issubclass(type(reach[variable]), kinds)


def _adds_to_self(change: Change, reach: dict[str, Any]) -> bool:
    """Whether it adds to what the object of a method holds, or takes from it, as one that counts or collects:
    where a call seldom does, no comparison may see it. A plain store may fill a cache, or be undone."""
    held = held_at(change.place.container(), reach)
    if type(held).__name__ == "_local":
        return False
    return issubclass(type(held), CONTAINERS) if change.method else not change.is_store


def _is_setting(held: Any, owner: Any) -> bool:
    """Whether it is an environment variable, or of a logger: set for what the call does, and so by each worker
    for itself (`os.environ["OMP_NUM_THREADS"] = "1"`)."""
    return type(held).__name__ == "_Environ" or type(owner).__module__ == "logging"


# --- What may change something -----------------------------------------------------------------------


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
    steps = steps_of(code)
    own = _made_here(code, steps)
    for i, step in enumerate(steps):
        if step.name in STORES:
            changed = origin(steps, i, above=STORES[step.name])
        elif step.name in ATTRIBUTES and step.argument in MUTATORS:
            changed = i - 1
        else:
            continue
        if changed is None or steps[changed].name != "LOAD_FAST":
            return True
        if steps[changed].argument not in own:
            return True
    return False


def _made_here(code: types.CodeType, steps: Sequence[Step]) -> set[str]:
    """Local variables that hold nothing but what was made for them: displays and results of calls."""
    arguments = code.co_argcount + code.co_kwonlyargcount
    found = set(code.co_varnames[arguments:])
    for before, step in itertools.pairwise(steps):
        if step.name == "STORE_FAST" and not before.name.startswith(_MAKES):
            found.discard(step.argument)
    return found
