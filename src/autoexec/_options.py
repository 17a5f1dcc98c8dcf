"""The options: defined once. They are checked by `_checks`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, TypedDict

from ._wording import count

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from contextvars import ContextVar
    from pathlib import Path

    from ._types import Route

BackendName = Literal["auto", "inline", "threads", "processes", "asyncio", "hybrid", "dask", "ray"]
Backend: TypeAlias = "BackendName | Executor | DaskClient"
OnError = Literal["raise", "return", "skip"]
Retry: TypeAlias = "int | Callable[[Exception, int], float | None]"
Progress: TypeAlias = "bool | Callable[[int, int | None], object]"


class DaskClient(Protocol):
    """A `distributed.Client`, as far as this package says so without importing that."""

    @property
    def asynchronous(self) -> Any:
        """Its calls are awaited."""

    def get_executor(self, **options: Any) -> Any:
        """An executor that submits to it."""

    def scatter(self, data: Any, /) -> Any:
        """Data moved to its workers."""


class CommonOptions(TypedDict, total=False):
    """The options that do not change the type of the result."""

    backend: Backend
    """`"auto"`, `"inline"`, `"threads"`, `"processes"`, `"asyncio"`, `"hybrid"` (processes with
    threads or an event loop in each), `"dask"` (the current `Client`), `"ray"`, a `Client` of Dask's, or
    an executor of yours."""
    max_workers: int | None
    """The most calls in flight at once, whatever the backend. Default: by the machine."""
    chunksize: int | Literal["auto"]
    """Items in one dispatch."""
    timeout: float | None
    """Seconds that the call of one item may take, from its start."""
    deadline: float | None
    """Seconds that the whole run may take."""
    timeline: bool
    """Record who ran what when, for `report.timeline(file)`."""
    retries: Retry
    """How often an item that failed is tried again, at once; or a function of the error and the
    number of attempts so far: seconds to wait before the next, None to stop."""
    max_per_second: float | None
    """The most calls that start in a second, of the whole run."""
    progress: Progress
    """True for a bar of tqdm, or a function of the items done and of all items (None: not known)."""
    initializer: Callable[..., object] | None
    """Called once in each worker process before anything else; elsewhere not at all."""
    initargs: Iterable[Any]
    """Its arguments."""
    max_tasks_per_child: int | None
    """Items after which a worker process is replaced."""
    memory_limit: int | float | str | None
    """What this process and its workers may hold together: bytes ("2 GB" too), or a share of all
    memory from 0 to 1 ("80%" too). Calls are held back before it is exceeded. Without one, they are
    held back near nine tenths of all memory."""
    seed: int | None
    """Gives each item a random stream of its own, see `item_random`."""
    context: Iterable[ContextVar[Any]]
    """Context variables whose values are passed to calls in other processes; calls in this one see
    all of the caller's."""
    resume: str | Path | None
    """A file that keeps what is done: a run that finds it there makes only the calls that it lacks."""
    resume_failed: bool
    """Try the items again that have failed before, rather than give their errors back."""
    joblog: str | Path | None
    """A file that gets a line for each item, as of GNU parallel."""


class StreamOptions(CommonOptions, total=False):
    """The same of the iterators. A list of results is in input order and holds them all, so it has no
    use for these two."""

    ordered: bool
    """Hand on results in the order of the items (default), or as their calls end."""
    buffersize: int | None
    """The most items taken from the input and not yet handed to the caller. Default: eight times what
    can be in flight, and 65,536 at most."""


class Options(StreamOptions, total=False):
    """All options, as the decorator takes them."""

    on_error: OnError
    """`"raise"` the first error, `"return"` a `Failure` in the item's place, or `"skip"` it."""
    star: bool
    """Unpack each item: mappings become keyword arguments, other iterables positional ones."""


class Settings(NamedTuple):
    """Validated options with their defaults filled in."""

    backend: Backend = "auto"
    max_workers: int | None = None
    chunksize: int | Literal["auto"] = "auto"
    on_error: OnError = "raise"
    star: bool = False
    timeout: float | None = None
    deadline: float | None = None
    timeline: bool = False
    retries: Retry = 0
    max_per_second: float | None = None
    progress: Progress = False
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    max_tasks_per_child: int | None = None
    memory_limit: int | float | None = None
    """Bytes as an `int`, a share as a `float`."""
    seed: int | None = None
    context: tuple[ContextVar[Any], ...] = ()
    resume: str | None = None
    resume_failed: bool = False
    joblog: str | None = None
    ordered: bool = True
    buffersize: int | None = None
    sources: Mapping[str, str] = MappingProxyType({})
    """Where the values came from that were given: name of the option -> source in words."""

    @property
    def own_workers(self) -> bool:
        """Whether the worker processes of this run can serve no other."""
        return self.initializer is not None or self.max_tasks_per_child is not None

    @property
    def given(self) -> dict[str, tuple[Any, str]]:
        """The options that differ from the default, each with its value and where that is from.

        Of an object its name: a report can be pickled, and keeps nothing of the caller's alive.
        """
        if not self.sources:
            return {}
        values = self._asdict()
        return {
            name: (_plain(values[name]), source)
            for name, source in self.sources.items()
            if values[name] != self._field_defaults[name]
        }

    @property
    def recorded(self) -> bool:
        """Whether its outcomes are written down as they come."""
        return self.resume is not None or self.joblog is not None

    @property
    def limited(self) -> bool:
        """Whether a call may have to be given up, so that none may run on the caller's thread."""
        return self.timeout is not None or self.deadline is not None

    @property
    def route(self) -> Route | Literal["auto"]:
        """The name of the backend; `dask` for a `Client`, `external` for an executor of the caller's. Calls that
        need what an initializer leaves in a worker process run in one, also under `auto`."""
        if isinstance(self.backend, str):
            prepared = self.backend == "auto" and self.initializer is not None
            return "processes" if prepared else self.backend
        return "dask" if is_client(self.backend) else "external"


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, tuple):  # context variables by name; of arguments, one may be a password
        names = [getattr(one, "name", "") for one in value]
        return ", ".join(names) if all(names) else count(len(value), "value")
    return getattr(value, "__qualname__", None) or type(value).__qualname__


NAMES = tuple(name for name in Settings._fields if name != "sources")
DEFAULT = Settings()


def is_client(backend: object) -> bool:
    """Whether it is a `distributed.Client`; whoever has one has imported what it is of."""
    module = sys.modules.get("distributed.client")
    return module is not None and isinstance(backend, module.Client)
