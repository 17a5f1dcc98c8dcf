"""`run_parallel` for other callers: results one by one, and both within an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from ._checks import check_call, check_function, check_items, is_async_iterable
from ._config import resolve
from ._options import CommonOptions, Settings, StreamOptions

if TYPE_CHECKING:
    from ._arun import AsyncResultIterator
    from ._failure import Failure
    from ._report import Results
    from ._source import Source
    from ._stream import ResultIterator

T = TypeVar("T")
R = TypeVar("R")


@overload
def iter_parallel(
    fn: Callable[[T], Awaitable[R]],
    items: Iterable[T],
    *,
    on_error: Literal["return"],
    star: Literal[False] = False,
    **options: Unpack[StreamOptions],
) -> ResultIterator[R | Failure[T]]: ...
@overload
def iter_parallel(
    fn: Callable[[T], Awaitable[R]],
    items: Iterable[T],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: Literal[False] = False,
    **options: Unpack[StreamOptions],
) -> ResultIterator[R]: ...
@overload
def iter_parallel(
    fn: Callable[[T], R],
    items: Iterable[T],
    *,
    on_error: Literal["return"],
    star: Literal[False] = False,
    **options: Unpack[StreamOptions],
) -> ResultIterator[R | Failure[T]]: ...
@overload
def iter_parallel(
    fn: Callable[[T], R],
    items: Iterable[T],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: Literal[False] = False,
    **options: Unpack[StreamOptions],
) -> ResultIterator[R]: ...
@overload
def iter_parallel(
    fn: Callable[..., Awaitable[R]],
    items: Iterable[T],
    *,
    on_error: Literal["return"],
    star: bool,
    **options: Unpack[StreamOptions],
) -> ResultIterator[R | Failure[T]]: ...
@overload
def iter_parallel(
    fn: Callable[..., Awaitable[R]],
    items: Iterable[Any],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: bool,
    **options: Unpack[StreamOptions],
) -> ResultIterator[R]: ...
@overload
def iter_parallel(
    fn: Callable[..., R],
    items: Iterable[T],
    *,
    on_error: Literal["return"],
    star: bool,
    **options: Unpack[StreamOptions],
) -> ResultIterator[R | Failure[T]]: ...
@overload
def iter_parallel(
    fn: Callable[..., R],
    items: Iterable[Any],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: bool,
    **options: Unpack[StreamOptions],
) -> ResultIterator[R]: ...
def iter_parallel(
    fn: Callable[..., Any], items: Iterable[Any], **options: Any
) -> ResultIterator[Any]:
    """Call `fn` on every item, and hand on the results one by one.

    Like `run_parallel`, but lazy: the input may be without end, and at most `buffersize` of its
    items are taken and not yet handed to you. Nothing starts before the first `next`; from then on
    items are taken at your pace: new calls start while you wait for a result. What is ready is handed on
    before an input that may block is asked for more.

        with iter_parallel(fetch, urls, on_error="return") as results:
            for result in results:
                ...
        print(results.report)

    Leaving the `with`, `close()`, dropping the iterator or an error ends everything: what has not
    started is cancelled, worker processes that still run a call are ended, threads that do are left
    behind. An error of a call is raised in the place of its result (with `ordered=False`: when it is
    met), and one of the input after the results of the items before it. A `StopIteration` of theirs,
    which would end the iterator, becomes a `RuntimeError`, as in generators.

    Args:
        fn: Called with one item. May be `async def`.
        items: Any iterable, taken from by your thread only.
        ordered: False: hand on each result when its call ends.
        buffersize: The most items taken from the input and not yet handed to you. Default: eight
            times what can be in flight (so that all workers are busy beside a few slow calls),
            chunks included, and never over 65,536.
        **options: Those of `run_parallel`. A `deadline` counts from the first `next`.

    Returns:
        An iterator and context manager with `.report`, at any time, and `.close()`.

    Raises:
        TypeError: As `run_parallel` does. Nothing was started.
        ValueError: As `run_parallel` does. Nothing was started. Later: two threads at once asked the
            iterator for a result.
    """
    return start_stream(fn, items, resolve(options))


@overload
async def arun_parallel(
    fn: Callable[[T], Awaitable[R]],
    items: Iterable[T] | AsyncIterable[T],
    *,
    on_error: Literal["return"],
    star: Literal[False] = False,
    **options: Unpack[CommonOptions],
) -> Results[R | Failure[T]]: ...
@overload
async def arun_parallel(
    fn: Callable[[T], Awaitable[R]],
    items: Iterable[T] | AsyncIterable[T],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: Literal[False] = False,
    **options: Unpack[CommonOptions],
) -> Results[R]: ...
@overload
async def arun_parallel(
    fn: Callable[[T], R],
    items: Iterable[T] | AsyncIterable[T],
    *,
    on_error: Literal["return"],
    star: Literal[False] = False,
    **options: Unpack[CommonOptions],
) -> Results[R | Failure[T]]: ...
@overload
async def arun_parallel(
    fn: Callable[[T], R],
    items: Iterable[T] | AsyncIterable[T],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: Literal[False] = False,
    **options: Unpack[CommonOptions],
) -> Results[R]: ...
@overload
async def arun_parallel(
    fn: Callable[..., Awaitable[R]],
    items: Iterable[T] | AsyncIterable[T],
    *,
    on_error: Literal["return"],
    star: bool,
    **options: Unpack[CommonOptions],
) -> Results[R | Failure[T]]: ...
@overload
async def arun_parallel(
    fn: Callable[..., Awaitable[R]],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: bool,
    **options: Unpack[CommonOptions],
) -> Results[R]: ...
@overload
async def arun_parallel(
    fn: Callable[..., R],
    items: Iterable[T] | AsyncIterable[T],
    *,
    on_error: Literal["return"],
    star: bool,
    **options: Unpack[CommonOptions],
) -> Results[R | Failure[T]]: ...
@overload
async def arun_parallel(
    fn: Callable[..., R],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: bool,
    **options: Unpack[CommonOptions],
) -> Results[R]: ...
async def arun_parallel(
    fn: Callable[..., Any], items: Iterable[Any] | AsyncIterable[Any], **options: Any
) -> Results[Any]:
    """Call `fn` on every item, and await the results: `run_parallel` within an event loop.

    The loop is never blocked. Calls of an `async def` run as tasks of this very loop, so that its
    clients and sessions can be shared; they see the context variables of the caller. All others run
    on threads or in processes, as is decided by what they do. An asynchronous input is pulled by a
    task on this loop; any other that is no collection by a thread of its own, as it may block.

    If the task that awaits this is cancelled, so is everything: tasks are cancelled and waited for,
    worker processes that run a call are ended, and threads that do are left behind.

    Args:
        fn: Called with one item. May be `async def`.
        items: Any iterable or asynchronous iterable. What is bound to the thread that made it, such
            as a cursor of `sqlite3`, must be collected first, or be wrapped in an async generator.
        **options: Those of `run_parallel`.

    Returns:
        The results in the order of the items: a list with a `.report`.

    Raises:
        TypeError: As `run_parallel` does, and all the others.
    """
    return await start_async(fn, items, resolve(options))


@overload
def aiter_parallel(
    fn: Callable[[T], Awaitable[R]],
    items: Iterable[T] | AsyncIterable[T],
    *,
    on_error: Literal["return"],
    star: Literal[False] = False,
    **options: Unpack[StreamOptions],
) -> AsyncResultIterator[R | Failure[T]]: ...
@overload
def aiter_parallel(
    fn: Callable[[T], Awaitable[R]],
    items: Iterable[T] | AsyncIterable[T],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: Literal[False] = False,
    **options: Unpack[StreamOptions],
) -> AsyncResultIterator[R]: ...
@overload
def aiter_parallel(
    fn: Callable[[T], R],
    items: Iterable[T] | AsyncIterable[T],
    *,
    on_error: Literal["return"],
    star: Literal[False] = False,
    **options: Unpack[StreamOptions],
) -> AsyncResultIterator[R | Failure[T]]: ...
@overload
def aiter_parallel(
    fn: Callable[[T], R],
    items: Iterable[T] | AsyncIterable[T],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: Literal[False] = False,
    **options: Unpack[StreamOptions],
) -> AsyncResultIterator[R]: ...
@overload
def aiter_parallel(
    fn: Callable[..., Awaitable[R]],
    items: Iterable[T] | AsyncIterable[T],
    *,
    on_error: Literal["return"],
    star: bool,
    **options: Unpack[StreamOptions],
) -> AsyncResultIterator[R | Failure[T]]: ...
@overload
def aiter_parallel(
    fn: Callable[..., Awaitable[R]],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: bool,
    **options: Unpack[StreamOptions],
) -> AsyncResultIterator[R]: ...
@overload
def aiter_parallel(
    fn: Callable[..., R],
    items: Iterable[T] | AsyncIterable[T],
    *,
    on_error: Literal["return"],
    star: bool,
    **options: Unpack[StreamOptions],
) -> AsyncResultIterator[R | Failure[T]]: ...
@overload
def aiter_parallel(
    fn: Callable[..., R],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    star: bool,
    **options: Unpack[StreamOptions],
) -> AsyncResultIterator[R]: ...
def aiter_parallel(
    fn: Callable[..., Any], items: Iterable[Any] | AsyncIterable[Any], **options: Any
) -> AsyncResultIterator[Any]:
    """Call `fn` on every item, and hand on the results one by one within an event loop.

    Results come as with `iter_parallel`; calls run where `arun_parallel` runs them:

        async with aiter_parallel(fetch, urls) as results:
            async for result in results:
                ...

    Nothing starts before the first `anext`. From then on the run goes on while you do other things,
    until `buffersize` items are between the input and you. `aclose()`, or leaving the `async with`,
    waits until what was cancelled is gone; an `async for` that is merely left cancels it too, but
    cannot wait for it.

    Args:
        fn: Called with one item. May be `async def`.
        items: Any iterable or asynchronous iterable, as in `arun_parallel`.
        **options: Those of `iter_parallel`.

    Returns:
        An asynchronous iterator and context manager with `.report`, at any time, and `.aclose()`.

    Raises:
        TypeError: As `run_parallel` does. Nothing was started.
        ValueError: As `run_parallel` does. Nothing was started.
        RuntimeError: Two tasks at once asked the iterator for a result.
    """
    return start_async_stream(fn, items, resolve(options))


# --- With the options resolved: what the decorator's methods call as well ------------------------------


def start_stream(
    fn: Callable[..., Any], items: Iterable[Any], settings: Settings
) -> ResultIterator[Any]:
    """`iter_parallel` of a function, decorated or not."""
    iterator = check_call(fn, items)
    # On the first call: `import autoexec` takes half as long without them.
    from . import _source, _stream

    source = _source.Source(items, iterator, whole=False)
    return _stream.ResultIterator(fn, source, settings)


async def start_async(fn: Callable[..., Any], items: Any, settings: Settings) -> Results[Any]:
    """`arun_parallel` of the same."""
    source = _source_of(fn, items, whole=True)
    from . import _arun

    return await _arun.arun(fn, source, settings)


def start_async_stream(
    fn: Callable[..., Any], items: Any, settings: Settings
) -> AsyncResultIterator[Any]:
    """`aiter_parallel` of the same."""
    source = _source_of(fn, items, whole=False)
    from . import _arun

    return _arun.AsyncResultIterator(fn, source, settings)


def _source_of(fn: Callable[..., Any], items: Any, *, whole: bool) -> Source:
    from . import _pulled, _source  # asyncio takes 30 ms; whoever awaits something has imported it

    check_function(fn, items)
    if is_async_iterable(items):
        return _pulled.AsyncSource(items, aiter(items))
    source = _source.Source(items, check_items(items), whole=whole)
    return _pulled.ThreadedSource(source.iterator) if source.may_block else source
