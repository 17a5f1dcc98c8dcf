"""What users call: `run_parallel`, a thin view of one run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from ._checks import check_call
from ._config import resolve
from ._errors import AutoexecError
from ._options import CommonOptions, Settings

if TYPE_CHECKING:
    from ._failure import Failure
    from ._report import Results

T = TypeVar("T")
R = TypeVar("R")


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
    `fn` is called at most once for each item, unless `retries` is set.

    Args:
        fn: Called with one item. May be `async def`.
        items: Any iterable; an empty one gives an empty list.
        backend: `"auto"` (default), `"inline"`, `"threads"`, `"processes"`, `"asyncio"`,
            `"hybrid"` (processes with threads or an event loop in each), `"dask"`, `"ray"`, a `distributed.Client`, or
            a `concurrent.futures.Executor`; what is passed is used and not shut down.
        max_workers: The most calls in flight at once. Default: by the machine.
        chunksize: Items in one dispatch. Default: `"auto"`.
        on_error: `"raise"` (default) stops at the first error and raises it, with a note that
            names the item; `"return"` puts a `Failure` in its place; `"skip"` leaves it out.
        timeout: Seconds that the call of one item may take, from its start. In a process it is
            ended then, on an event loop cancelled; on a thread it is reported and left behind.
        deadline: Seconds that the run may take.
        memory_limit: What this process and its workers may hold together: bytes (`"2 GB"` too), or a share of all
            memory (0.5). Calls are held back before it is exceeded.
        timeline: Record who ran what when, for `.report.timeline("run.json")` or `"run.svg"`.
        retries: How often an item that failed is tried again, at once; or a function
            `(exception, attempt) -> seconds to wait, or None to stop`. What is no `Exception`
            (Ctrl-C, `sys.exit`) and what cannot be pickled is not tried again; a worker that died
            and an `ItemTimeout` are.
        max_per_second: The most calls that start in a second, over the whole run.
        progress: True for a bar (needs tqdm), or a function `(done, total)`, called on this thread
            at most twenty times a second and at the end; `total` is None if it is not known. An error
            in it is logged once, and the run goes on.
        initializer: Called once in each worker process, with `initargs`. Under `auto` all calls then run in
            such; on `threads` and `asyncio` it is not called. Such a run has worker processes of its own.
        max_tasks_per_child: Items after which a worker process is replaced; with `chunksize`, after
        the chunk that reaches that number.
        seed: Gives each item a random stream of its own: see `item_random`.
        context: Context variables (a list of them) whose values calls in other processes see too;
            on threads and event loops calls see all of the caller's. A value must be picklable.
        resume: A file that keeps what is done: a run that finds it there makes only the calls that it
            lacks.
        resume_failed: Try items again whose failure is in that file; else it comes back as it was.
        joblog: A file that gets a line for each item that was called.
        star: Unpack each item: mappings become keyword arguments, others positional ones.

    Returns:
        The results in the order of the items: a list with a `.report`.

    Raises:
        TypeError: `fn` cannot be called, `items` cannot be iterated over, an option is unknown or
            of the wrong type. Nothing was started.
        ValueError: An option is out of range. Nothing was started.
        NotPicklable: A value of `context` cannot travel (nothing was started), nor an item or a result; or
            the function, which ends the run: then it is a `RunAborted`, too.
        JournalError: The file of `resume` belongs to something else, is in use, or may be written to
            by others. Nothing was started.
        WorkerDied: A worker process ended while it ran the item.
        ItemTimeout: The call of an item took longer than `timeout`.
        DeadlineExceeded: The run took longer than `deadline`; what was done is in its `finished`.
        RunAborted: The run ended for a reason that concerns no single item, such as a broken
        executor; what was done is in its `finished`, too.
        Exception: What `fn` raised, or what the input raised after the items before it.
    """
    return start(fn, items, resolve(options))


def start(fn: Callable[..., Any], items: Iterable[Any], settings: Settings) -> Results[Any]:
    """Run a function, decorated or not, over the items, and collect the results."""
    iterator = check_call(fn, items)
    try:  # on the first call: `import autoexec` takes half as long without them
        from ._collect import run
        from ._source import Source
    except ImportError as error:
        raise AutoexecError(
            "autoexec was called while it is being imported, by a signal handler perhaps: call it again"
            f" when that is done ({error})."
        ) from error
    return run(fn, Source(items, iterator), settings)
