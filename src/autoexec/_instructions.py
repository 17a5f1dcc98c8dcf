"""The instructions of a function's code, by the same names in all versions, and the objects that they get at."""

from __future__ import annotations

import dis
import functools
import inspect
import itertools
import re
import types
from collections.abc import Sequence
from typing import Any, NamedTuple


class Step(NamedTuple):
    """An instruction, or half of one that does two things at once."""

    name: str
    argument: Any
    effect: int
    """By how much the stack grows."""
    offset: int


STORES = {
    "STORE_ATTR": 0,
    "DELETE_ATTR": 0,
    "STORE_SUBSCR": 1,
    "DELETE_SUBSCR": 1,
    "STORE_SLICE": 2,
}
"""Instructions that change an object, and how many values lie above it on the stack."""


@functools.lru_cache(maxsize=256)
def steps_of(code: types.CodeType) -> tuple[Step, ...]:
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
                found.append(Step(half, local, 1 if half == "LOAD_FAST" else -1, one.offset))
            continue
        effect = dis.stack_effect(one.opcode, one.arg, jump=False)
        if name == "BINARY_OP":
            name, argument = "BINARY_SUBSCR" if one.argrepr == "[]" else name, one.argrepr
        elif name == "LOAD_ATTR" and effect == 1:
            name = "LOAD_METHOD"
        found.append(Step(name, argument, effect, one.offset))
    return tuple(found)


def origin(steps: Sequence[Step], at: int, above: int) -> int | None:
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


# --- Places: how code gets at an object ----------------------------------------------------------------


CONSTANTS = ("LOAD_CONST", "LOAD_SMALL_INT")
VARIABLES = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_FAST")
ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
NAMING = (*VARIABLES, *ATTRIBUTES)
ELEMENT = "[...]"


class Place(NamedTuple):
    """A variable, or what attributes and subscripts lead to from there."""

    load: str
    """The instruction that loads the variable."""
    names: tuple[str, ...]
    """Of the variable and of attributes; `ELEMENT` is an element."""

    def __str__(self) -> str:
        return ".".join(self.names).replace(f".{ELEMENT}", ELEMENT)

    def part(self, name: str) -> Place:
        """An attribute of what is there, or an element."""
        return Place(self.load, (*self.names, name))

    def owner(self) -> Place:
        """What that is an attribute or element of."""
        return Place(self.load, self.names[:-1])

    def container(self) -> Place:
        """The place itself, or that of the first object on the way of which an element is taken."""
        return Place(self.load, tuple(itertools.takewhile(lambda n: n != ELEMENT, self.names)))


def place_of(steps: Sequence[Step], at: int | None) -> Place | None:
    """The place of what an instruction puts on the stack, if it begins at a variable."""
    if at is None:
        return None
    step = steps[at]
    before: int | None
    if step.name in VARIABLES:
        return Place(step.name, (step.argument,))
    if step.name in ATTRIBUTES:
        name, before = step.argument, at - 1
    elif step.name == "BINARY_SUBSCR":
        name, before = ELEMENT, origin(steps, at, above=1)
    elif step.name == "CALL":  # type(self)
        name, before = "__class__", at - 1 - (steps[at - 1].name == "PRECALL")
        if (steps[before - 1].name, steps[before - 1].argument) != (
            "LOAD_GLOBAL",
            "type",
        ):
            return None
    else:
        return None
    found = place_of(steps, before)
    return found and found.part(name)


def held_at(place: Place, reach: dict[str, Any]) -> Any:
    """The object at a place as it is now, without running any code of its class, or None."""
    if not place.names:  # the owner of a variable
        return None
    value = reach.get(place.names[0])
    for name in place.names[1:]:
        if type(value).__name__ == "_local":
            return value  # each thread has its own, and so has each process
        value = inspect.getattr_static(value, name, None)
    return value
