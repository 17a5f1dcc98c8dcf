"""What kind of function it is, what it is called, and adapters that make one call of it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

DEPTH = 10
"""Wrappers that are looked through; some objects claim to have every attribute, for ever."""


class Star:
    """Calls a function with an item unpacked: mappings as keywords, other iterables by position."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.__wrapped__ = fn  # so that `inspect` and reports see through it

    def __call__(self, item: Any) -> Any:
        return self.fn(**item) if isinstance(item, Mapping) else self.fn(*item)


class RunCoroutine:
    """Calls an `async def` function where there is no event loop: a new loop for each item."""

    def __init__(self, fn: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
        self.fn = fn
        self.__wrapped__ = fn

    def __call__(self, item: Any) -> Any:
        import asyncio  # 30 ms, which only those who use it should pay

        if asyncio._get_running_loop() is None:
            return asyncio.run(self.fn(item))
        # As in a notebook, which has one on this thread, beside which there cannot be another.
        from concurrent.futures import ThreadPoolExecutor
        from contextvars import copy_context

        thread = ThreadPoolExecutor(1)
        try:
            return thread.submit(copy_context().run, asyncio.run, self.fn(item)).result()
        finally:
            thread.shutdown(wait=False)


class Decorated:
    """What `@parallel` makes of a function: named here, so that runs can see through it."""

    __wrapped__: Callable[..., Any]


def undecorated(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function that `@parallel` was put on; any other as it is."""
    return fn.__wrapped__ if isinstance(fn, Decorated) else fn


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether calling `fn` gives a coroutine: `async def`, a partial of one, or such a `__call__`."""
    return _is(inspect.iscoroutinefunction, fn)


def generates(fn: Callable[..., Any]) -> bool:
    """The same for a generator, of which nothing has run yet."""
    return _is(inspect.isgeneratorfunction, fn)


def generates_async(fn: Callable[..., Any]) -> bool:
    """The same for an asynchronous one."""
    return _is(inspect.isasyncgenfunction, fn)


def _is(of_kind: Callable[[Any], bool], fn: Any) -> bool:
    """Whether a function is of a kind, however it is passed."""
    while isinstance(fn, (functools.partial, Star)):
        fn = fn.func if isinstance(fn, functools.partial) else fn.fn
    fn = undecorated(fn)
    if of_kind(fn):
        return True
    # A function's own `__call__` is that of its type; to look at it takes as long again.
    return not inspect.isroutine(fn) and of_kind(getattr(type(fn), "__call__", None))


def name_of(fn: Callable[..., Any]) -> str:
    """The name by which a report calls the function."""
    for _ in range(DEPTH):
        inner = fn.func if isinstance(fn, functools.partial) else getattr(fn, "__wrapped__", None)
        if inner is None:
            break
        fn = inner
    return getattr(fn, "__qualname__", None) or type(fn).__qualname__
