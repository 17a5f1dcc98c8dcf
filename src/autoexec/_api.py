"""What users call: `run_parallel` and `@parallel`, thin views of one run."""

from __future__ import annotations

import functools
import types
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, Unpack, overload

from ._errors import AutoexecError
from ._options import CommonOptions, Options, Settings, check_call, validate

if TYPE_CHECKING:
    from ._report import Results
    from ._window import Failure

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
P = ParamSpec("P")


@overload
def run_parallel(
    fn: Callable[[T], Awaitable[R]],
    items: Iterable[T],
    *,
    on_error: Literal["return"],
    star: Literal[False] = False,
    **options: Unpack[CommonOptions],
) -> Results[R | Failure[T]]: ...
@overload
def run_parallel(
    fn: Callable[[T], Awaitable[R]],
    items: Iterable[T],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: Literal[False] = False,
    **options: Unpack[CommonOptions],
) -> Results[R]: ...
@overload
def run_parallel(
    fn: Callable[[T], R],
    items: Iterable[T],
    *,
    on_error: Literal["return"],
    star: Literal[False] = False,
    **options: Unpack[CommonOptions],
) -> Results[R | Failure[T]]: ...
@overload
def run_parallel(
    fn: Callable[[T], R],
    items: Iterable[T],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: Literal[False] = False,
    **options: Unpack[CommonOptions],
) -> Results[R]: ...
@overload
def run_parallel(
    fn: Callable[..., Awaitable[R]],
    items: Iterable[T],
    *,
    on_error: Literal["return"],
    star: bool,
    **options: Unpack[CommonOptions],
) -> Results[R | Failure[T]]: ...
@overload
def run_parallel(
    fn: Callable[..., Awaitable[R]],
    items: Iterable[Any],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: bool,
    **options: Unpack[CommonOptions],
) -> Results[R]: ...
@overload
def run_parallel(
    fn: Callable[..., R],
    items: Iterable[T],
    *,
    on_error: Literal["return"],
    star: bool,
    **options: Unpack[CommonOptions],
) -> Results[R | Failure[T]]: ...
@overload
def run_parallel(
    fn: Callable[..., R],
    items: Iterable[Any],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: bool,
    **options: Unpack[CommonOptions],
) -> Results[R]: ...
def run_parallel(fn: Callable[..., Any], items: Iterable[Any], **options: Any) -> Results[Any]:
    """Call `fn` on every item, as fast as this machine allows.

    The first calls are watched while they run: how much they compute, how much they wait, and
    whether they hold the GIL. The rest then runs one after another, on threads, in processes or
    on an event loop, whichever is predicted to end first; `.report` of the result says why.
    `fn` is called exactly once for each item.

    Args:
        fn: Called with one item. May be `async def`.
        items: Any iterable; an empty one gives an empty list.
        backend: `"auto"` (default), `"inline"`, `"threads"`, `"processes"`, `"asyncio"`,
            `"hybrid"` (processes with threads or an event loop in each), or a `concurrent.futures.Executor`, which is used and not shut down.
        max_workers: The most calls in flight at once. Default: by the machine.
        chunksize: Items in one dispatch. Default: `"auto"`.
        on_error: `"raise"` (default) stops at the first error and raises it, with a note that
            names the item; `"return"` puts a `Failure` in its place; `"skip"` leaves it out.
        timeout: Seconds that the call of one item may take, from its start. In a process it is
            ended then, on an event loop cancelled; on a thread it is reported and left behind.
        deadline: Seconds that the run may take.
        star: Unpack each item: mappings become keyword arguments, others positional ones.

    Returns:
        The results in the order of the items: a list with a `.report`.

    Raises:
        TypeError: `fn` cannot be called, `items` cannot be iterated over, an option is unknown or
            of the wrong type. Nothing was started.
        ValueError: An option is out of range. Nothing was started.
        WorkerDied: A worker process ended while it ran the item.
        ItemTimeout: The call of an item took longer than `timeout`.
        DeadlineExceeded: The run took longer than `deadline`; what was done is in its `finished`.
        Exception: What `fn` raised, or what the input raised after the items before it.
    """
    return _collect(fn, items, validate(options))


def _collect(fn: Callable[..., Any], items: Iterable[Any], settings: Settings) -> Results[Any]:
    iterator = check_call(fn, items)
    plain = fn.__wrapped__ if isinstance(fn, ParallelFunction) else fn
    # On the first call: `import autoexec` takes half as long without them.
    from . import _run, _source

    if not hasattr(_run, "run"):
        raise AutoexecError(
            "autoexec was called while it is being imported, by a signal handler perhaps: call it"
            " again when that is done."
        )
    return _run.run(plain, _source.Source(items, iterator), settings)


class ParallelFunction(Generic[P, R_co]):
    """A function that is called as before and has `map` besides."""

    __wrapped__: Callable[P, R_co]
    __name__: str
    __qualname__: str

    def __init__(self, fn: Callable[P, R_co], settings: Settings) -> None:
        functools.update_wrapper(self, fn)
        self._settings = settings

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself."""
        return self.__wrapped__(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """On an instance: the method bound to it, which has `map` too."""
        if instance is None:
            return self
        return ParallelFunction(types.MethodType(self.__wrapped__, instance), self._settings)

    def __repr__(self) -> str:
        return f"<parallel {self.__wrapped__!r}>"

    @overload
    def map(
        self: ParallelFunction[P, Coroutine[Any, Any, T]], items: Iterable[Any]
    ) -> Results[T]: ...
    @overload
    def map(self, items: Iterable[Any]) -> Results[R_co]: ...
    def map(self, items: Iterable[Any]) -> Results[Any]:
        """`run_parallel` of this function over the items, with the decorator's options."""
        return _collect(self.__wrapped__, items, self._settings)


@overload
def parallel(fn: Callable[P, R], /) -> ParallelFunction[P, R]: ...
@overload
def parallel(
    **options: Unpack[Options],
) -> Callable[[Callable[P, R]], ParallelFunction[P, R]]: ...
def parallel(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Give a function a `map` that runs it over many items, like `run_parallel`.

    Used as `@parallel` or, with options of `run_parallel`, as `@parallel(max_workers=8)`. The
    options are checked when the decorator runs.
    """
    settings = validate(options)
    if fn is None:
        return lambda function: _decorate(function, settings)
    return _decorate(fn, settings)


def _decorate(fn: Callable[P, R], settings: Settings) -> ParallelFunction[P, R]:
    check_call(fn, ())
    return ParallelFunction(fn, settings)
