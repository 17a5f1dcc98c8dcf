"""What was learned about a function in one run, for the next: a web handler that maps ten items a
hundred times a second must not find everything out each time.

A prior takes the place of the first look only. The first calls of the next run are watched as always,
and what they show replaces it.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ._types import Profile, Route

MOST = 256
"""Functions that are remembered; the one that was learned first makes room."""


class Prior(NamedTuple):
    """What a run left behind."""

    profile: Profile
    at_once: int | None
    """Waiting calls at once that did best, if that was looked for."""
    route: Route | None = None
    """Where it was at its end."""
    turns: int = 0
    """Runs that may go by what was seen of calls which take turns on threads, before that is tried again."""
    times: int = 0
    """How often it was tried, and seen, in a row."""


_learned: dict[object, Prior] = {}
"""Each operation on it is atomic, so it needs no lock: of two runs that end together, one is the
last."""


def learn(fn: Callable[..., Any], prior: Prior) -> None:
    """Remember what a run has shown of a function."""
    key = _key(fn)
    if key is None or not prior.profile.calls:
        return
    _learned.pop(key, None)
    _learned[key] = prior
    while len(_learned) > MOST:
        _learned.pop(next(iter(_learned)), None)


def recall(fn: Callable[..., Any]) -> Prior | None:
    """What is known of a function from earlier runs."""
    return _learned.get(_key(fn))


def forget() -> None:
    """Remember nothing."""
    _learned.clear()


def _key(fn: Any) -> object:
    """The code behind a callable, so that lambdas made anew each time are known again. None where
    there is none to tell it by."""
    if isinstance(fn, partial):
        return _key(fn.func)
    if isinstance(fn, types.MethodType):
        return _key(fn.__func__)
    if isinstance(fn, types.FunctionType):
        wrapped = fn.__dict__.get("__wrapped__")
        return fn.__code__ if wrapped is None else (fn.__code__, _key(wrapped))
    if isinstance(fn, types.BuiltinFunctionType):
        home = fn.__self__
        return fn if home is None or isinstance(home, types.ModuleType) else fn.__qualname__
    call = getattr(type(fn), "__call__", None)
    return call.__code__ if isinstance(call, types.FunctionType) else None
