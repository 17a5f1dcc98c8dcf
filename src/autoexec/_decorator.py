"""`@parallel`: a function that is called as before and runs over many items besides."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, overload

from ._api import start
from ._checks import check_call
from ._config import checked, resolve
from ._forms import start_async, start_async_stream, start_stream
from ._function import Decorated, is_async
from ._options import Options
from ._pickling import is_importable

if TYPE_CHECKING:
    from ._arun import AsyncResultIterator
    from ._report import Results
    from ._stream import ResultIterator

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
P = ParamSpec("P")

_TRAVELLING = (str, int, float, bool, type(None))
"""Values of options that a function takes along to a process: executors and bars stay."""


class ParallelFunction(Decorated, Generic[P, R_co]):
    """A function that is called as before and has `map`, `starmap` and `options` besides.

    It can be pickled: by its name where it has one that a worker can import, else by value.
    """

    __wrapped__: Callable[P, R_co]
    __name__: str
    __qualname__: str

    def __init__(self, fn: Callable[P, R_co], options: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, fn)
        self._options = dict(options)
        self._origin: ParallelFunction[P, R_co] | None = None  # of what this is a copy
        if is_async(fn) and sys.version_info >= (3, 12):
            # So that `inspect.iscoroutinefunction` says so; on 3.11 nothing but a function can.
            inspect.markcoroutinefunction(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself."""
        return self.__wrapped__(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """On an instance: the method bound to it, which has `map` too."""
        fn: Any = self.__wrapped__
        if isinstance(fn, (staticmethod, classmethod)):
            return ParallelFunction(fn.__get__(instance, owner), self._options)
        if instance is None:
            return self
        return ParallelFunction(types.MethodType(fn, instance), self._options)

    def __reduce__(self) -> str | tuple[Any, ...]:
        if is_importable(self):
            return self.__qualname__
        options = {k: v for k, v in self._options.items() if isinstance(v, _TRAVELLING)}
        if self._origin is not None and is_importable(self._origin):
            return _with_options, (self._origin, options)
        return _arrive, (self.__wrapped__, options)

    def __repr__(self) -> str:
        return f"<parallel {self.__wrapped__!r}>"

    def options(self, **options: Unpack[Options]) -> ParallelFunction[P, R_co]:
        """The same function with other options; those that are not named stay as they are."""
        merged = {**self._options, **options}
        copy = ParallelFunction(self.__wrapped__, checked(merged))
        copy._origin = self._origin or self
        return copy

    @overload
    def map(
        self: ParallelFunction[P, Coroutine[Any, Any, T]], items: Iterable[Any]
    ) -> Results[T]: ...
    @overload
    def map(self, items: Iterable[Any]) -> Results[R_co]: ...
    def map(self, items: Iterable[Any]) -> Results[Any]:
        """`run_parallel` of this function over the items, with the decorator's options."""
        return start(self, items, resolve(self._options))

    @overload
    def starmap(
        self: ParallelFunction[P, Coroutine[Any, Any, T]], items: Iterable[Any]
    ) -> Results[T]: ...
    @overload
    def starmap(self, items: Iterable[Any]) -> Results[R_co]: ...
    def starmap(self, items: Iterable[Any]) -> Results[Any]:
        """The same with each item unpacked: mappings become keyword arguments."""
        return start(self, items, resolve({**self._options, "star": True}))

    @overload
    def imap(
        self: ParallelFunction[P, Coroutine[Any, Any, T]], items: Iterable[Any]
    ) -> ResultIterator[T]: ...
    @overload
    def imap(self, items: Iterable[Any]) -> ResultIterator[R_co]: ...
    def imap(self, items: Iterable[Any]) -> ResultIterator[Any]:
        """`iter_parallel` of this function over the items."""
        return start_stream(self, items, resolve(self._options))

    @overload
    async def amap(
        self: ParallelFunction[P, Coroutine[Any, Any, T]], items: Iterable[Any] | AsyncIterable[Any]
    ) -> Results[T]: ...
    @overload
    async def amap(self, items: Iterable[Any] | AsyncIterable[Any]) -> Results[R_co]: ...
    async def amap(self, items: Iterable[Any] | AsyncIterable[Any]) -> Results[Any]:
        """`arun_parallel` of this function over the items."""
        return await start_async(self, items, resolve(self._options))

    @overload
    def aimap(
        self: ParallelFunction[P, Coroutine[Any, Any, T]], items: Iterable[Any] | AsyncIterable[Any]
    ) -> AsyncResultIterator[T]: ...
    @overload
    def aimap(self, items: Iterable[Any] | AsyncIterable[Any]) -> AsyncResultIterator[R_co]: ...
    def aimap(self, items: Iterable[Any] | AsyncIterable[Any]) -> AsyncResultIterator[Any]:
        """`aiter_parallel` of this function over the items."""
        return start_async_stream(self, items, resolve(self._options))


def _with_options(fn: ParallelFunction[P, R], options: Mapping[str, Any]) -> ParallelFunction[P, R]:
    return fn.options(**options)


def _arrive(fn: Callable[..., Any], options: Mapping[str, Any]) -> ParallelFunction[..., Any]:
    # A bound method is read as what its name stands for, which is decorated.
    return fn if isinstance(fn, ParallelFunction) else ParallelFunction(fn, options)


@overload
def parallel(fn: Callable[P, R], /) -> ParallelFunction[P, R]: ...
@overload
def parallel(
    **options: Unpack[Options],
) -> Callable[[Callable[P, R]], ParallelFunction[P, R]]: ...
def parallel(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Give a function a `map` that runs it over many items, like `run_parallel`.

    Used as `@parallel` or, with options of `run_parallel`, as `@parallel(max_workers=8)`. The
    options are checked when the decorator runs. Above `@staticmethod` and `@classmethod` it works
    like on any function; below `@classmethod` it does only before Python 3.13, where a class method
    no longer asks what it wraps to bind itself.
    """
    values = checked(options)
    if fn is None:
        return lambda function: _decorate(function, values)
    return _decorate(fn, values)


def _decorate(fn: Any, options: Mapping[str, Any]) -> Any:
    within: Any = fn
    if isinstance(within, (staticmethod, classmethod)):
        within = within.__func__
    check_call(within, ())
    return ParallelFunction(fn, options)
