"""Where code fills a cache: conditions, and what is assigned depending on them. Each worker process can fill
its own, so it is no result that the caller wants back."""

from __future__ import annotations

import functools
import itertools
import math
import types
from collections.abc import Sequence
from typing import NamedTuple

from ._instructions import ATTRIBUTES, CONSTANTS, NAMING, Place, Step, place_of, steps_of

_MISSING = ("KeyError", "AttributeError", "LookupError", "IndexError", "NameError")


class Condition(NamedTuple):
    """A condition and the code that runs depending on it.

    If that code assigns what the condition looks at, then it is a cache, filled once per process or
    per key: each worker can fill its own, so it is no result that the caller wants back.
    """

    start: int
    end: float
    looked: frozenset[Place]

    def covers(self, offset: int) -> bool:
        """Whether an instruction depends on it."""
        return self.start < offset < self.end


@functools.lru_cache(maxsize=256)
def conditions_of(code: types.CodeType) -> tuple[Condition, ...]:
    """The conditions in a piece of code, in its order."""
    steps, found = steps_of(code), []
    copies: dict[str, frozenset[Place]] = {}
    for at, step in enumerate(steps):
        if step.name == "STORE_FAST":  # found = cache.get(key)
            copies[step.argument] = _looked_at(steps[_begin(steps, at) : at], copies)
        elif step.name.startswith(("POP_JUMP", "JUMP_IF")) and step.argument > step.offset:
            condition = steps[_begin(steps, at) : at]
            looked = _looked_at(condition, copies)
            if any(Place("LOAD_GLOBAL", (name,)) in looked for name in _MISSING):
                found.append(Condition(step.offset, math.inf, _looked_at(steps[:at], copies)))
            elif not _is_ranking(condition):
                found.append(Condition(step.offset, _end(steps, at), looked))
    return tuple(found)


def _is_ranking(condition: Sequence[Step]) -> bool:
    """Whether two values are put in order, as for a new maximum, rather than one beside a constant."""
    return any(
        step.name == "COMPARE_OP" and step.argument[0] in "<>" and before.name not in CONSTANTS
        for before, step in itertools.pairwise(condition)
    )


def _begin(steps: Sequence[Step], at: int) -> int:
    """Where the expression begins of which the instruction takes the value."""
    needed = 1
    while at and needed:
        at -= 1
        if steps[at].name != "COPY" or needed > 1:  # x or y: a copy is tested
            needed -= steps[at].effect
    return at


def _end(steps: Sequence[Step], at: int) -> float:
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


def _stores(step: Step, start: float) -> bool:
    return step.offset >= start and step.name.startswith("STORE")


def _looked_at(steps: Sequence[Step], copies: dict[str, frozenset[Place]]) -> frozenset[Place]:
    """The places whose values an expression uses, also by way of local variables."""
    found: set[Place] = set()
    for at, (step, following) in enumerate(itertools.zip_longest(steps, steps[1:])):
        if step.name == "LOAD_FAST":
            found |= copies.get(step.argument, frozenset())
        if following is not None and following.name in ATTRIBUTES:
            continue
        place = place_of(steps, at) if step.name in NAMING else None
        if place is not None and step.name == "LOAD_METHOD":
            place = place.owner() if step.argument == "get" else None
        if place is not None:
            found.add(place.container())
        if place == Place("LOAD_GLOBAL", ("globals",)):  # "name" in globals()
            texts = [s.argument for s in steps if isinstance(s.argument, str)]
            found |= {Place("LOAD_GLOBAL", (text,)) for text in texts}
    return frozenset(found)
