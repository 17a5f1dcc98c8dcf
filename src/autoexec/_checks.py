"""What a call is given is checked once, before anything starts: its options, its function, its items."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, get_args

from ._options import DEFAULT, NAMES, BackendName, OnError, Settings, is_client
from ._size import parse_size

if TYPE_CHECKING:
    from contextvars import ContextVar


def validate(options: Mapping[str, Any]) -> Settings:
    """Check every option and fill in the defaults.

    Raises:
        TypeError: An option is unknown or of the wrong type.
        ValueError: An option's value is out of range.
    """
    if not options:
        return DEFAULT
    for name in options:
        if name not in NAMES:
            from ._meant import OPTIONS, hint

            meant = hint(name, NAMES, OPTIONS)
            raise TypeError(
                f"There is no option {name!r}.{meant} The options are {', '.join(NAMES)}."
            )
    settings = _check_files(Settings(**options))
    _check_backend(settings.backend)
    if settings.max_workers is not None:
        most = _count("max_workers", settings.max_workers, "or None to leave it to the machine")
        settings = settings._replace(max_workers=most)
    if settings.chunksize != "auto":
        size = _count("chunksize", settings.chunksize, "or 'auto'")
        settings = settings._replace(chunksize=size)
    if settings.on_error not in get_args(OnError):
        kind = ValueError if isinstance(settings.on_error, str) else TypeError
        raise kind(f"on_error must be one of {_listed(OnError)}, not {settings.on_error!r}.")
    _check_flag("star", settings.star)
    _check_flag("timeline", settings.timeline)
    _check_flag("ordered", settings.ordered)
    if settings.buffersize is not None:
        most = _count("buffersize", settings.buffersize, "or None to leave it to the plan")
        settings = settings._replace(buffersize=most)
    if settings.timeout is not None:
        settings = settings._replace(timeout=_seconds("timeout", settings.timeout))
    if settings.deadline is not None:
        settings = settings._replace(deadline=_seconds("deadline", settings.deadline))
    return _check_extras(settings)


def _check_extras(settings: Settings) -> Settings:
    if settings.retries is not DEFAULT.retries and not callable(settings.retries):
        retries = _count("retries", settings.retries, "or a function", least=0)
        settings = settings._replace(retries=retries)
    if settings.max_per_second is not None:
        rate = _positive("max_per_second", settings.max_per_second, "calls a second")
        settings = settings._replace(max_per_second=rate)
    if not isinstance(settings.progress, bool) and not callable(settings.progress):
        raise TypeError(
            f"progress must be True, False or a function (done, total), not {settings.progress!r}."
        )
    if settings.max_tasks_per_child is not None:
        most = _count("max_tasks_per_child", settings.max_tasks_per_child, "or None for no limit")
        settings = settings._replace(max_tasks_per_child=most)
    if settings.memory_limit is not None:
        settings = settings._replace(memory_limit=_memory(settings.memory_limit))
    if settings.seed is not None:
        seed = _count("seed", settings.seed, "or None for no streams", least=0)
        settings = settings._replace(seed=seed)
    if settings.context != ():
        settings = settings._replace(context=_variables(settings.context))
    given = settings.initializer is not None or settings.initargs != ()
    return _check_initializer(settings) if given else settings


def _variables(given: Any) -> tuple[ContextVar[Any], ...]:
    from contextvars import ContextVar

    variables = tuple(given) if isinstance(given, Iterable) else (given,)
    if not isinstance(given, Iterable) or not all(isinstance(one, ContextVar) for one in variables):
        raise TypeError(f"context must be a list of contextvars.ContextVar objects, not {given!r}.")
    return variables


def _check_files(settings: Settings) -> Settings:
    _check_flag("resume_failed", settings.resume_failed)
    if settings.resume_failed and settings.resume is None:
        raise ValueError(
            "resume_failed=True tries the failures in a journal again, but there is none: pass"
            " resume='run.db' as well."
        )
    if settings.resume is not None:
        settings = settings._replace(resume=_file("resume", settings.resume))
    if settings.joblog is not None:
        settings = settings._replace(joblog=_file("joblog", settings.joblog))
    return settings


def _check_initializer(settings: Settings) -> Settings:
    if settings.initializer is not None and not callable(settings.initializer):
        raise TypeError(f"initializer must be callable, but {settings.initializer!r} is not.")
    given: Any = settings.initargs
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"initargs must be a tuple of arguments, not {given!r}.")
    arguments = tuple(given)
    if arguments and settings.initializer is None:
        raise ValueError("initargs are the arguments of an initializer, but there is none.")
    return settings._replace(initargs=arguments)


def _check_backend(backend: object) -> None:
    if isinstance(backend, str):
        if backend not in get_args(BackendName):
            from ._meant import BACKENDS, hint

            meant = hint(backend, get_args(BackendName), BACKENDS)
            raise ValueError(
                f"backend must be one of {_listed(BackendName)} or an executor, not {backend!r}.{meant}"
            )
    elif isinstance(backend, type):
        raise TypeError(
            f"backend must be an executor that was made, not the class {backend.__name__};"
            f" pass {backend.__name__}(...)."
        )
    elif is_client(backend):
        if getattr(backend, "asynchronous", False):
            raise TypeError(
                "backend must be a Client that was made without asynchronous=True; arun_parallel works"
                " with such a one as well."
            )
    elif not _is_executor(backend):
        raise TypeError(
            f"backend must be one of {_listed(BackendName)}, a distributed.Client or a"
            f" concurrent.futures.Executor, not a {type(backend).__name__}."
        )


def _is_executor(backend: object) -> bool:
    # Importing `concurrent.futures` takes 12 ms; whoever has an executor has imported it.
    module = sys.modules.get("concurrent.futures")
    return module is not None and isinstance(backend, module.Executor)


def _count(name: str, value: object, otherwise: str, least: int = 1) -> int:
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(
            f"{name} must be a whole number of at least {least}, {otherwise}, not {value!r}."
        )
    count = operator.index(value)  # type: ignore[arg-type]
    if count < least:
        raise ValueError(f"{name} must be at least {least}, {otherwise}, not {value!r}.")
    return count


def _file(name: str, value: Any) -> str:
    path = value.__fspath__() if hasattr(type(value), "__fspath__") else value
    if not isinstance(path, str):
        raise TypeError(f"{name} must be the name of a file or None, not {value!r}.")
    if not path or "\0" in path:
        raise ValueError(f"{name} must be the name of a file or None, not {value!r}.")
    return path


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}.")


def _seconds(name: str, value: object) -> float:
    return _positive(name, value, "seconds")


def _positive(name: str, value: object, unit: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of {unit} or None, not {value!r}.")
    if not 0 < value <= sys.float_info.max:
        raise ValueError(f"{name} must be more than 0 {unit} and finite, not {value!r}.")
    return float(value)


LEAST_MEMORY = 1 << 20
"""Bytes below which a limit is a mistake: an interpreter takes ten times as much."""


def _memory(value: object) -> int | float:
    """A limit of memory: bytes as an `int`, a share as a `float`."""
    wanted = "bytes (a whole number, or '2 GB') or a share of all memory (0.8 or '80%')"
    limit = value
    if isinstance(value, str):
        try:
            limit = parse_size(value)
        except ValueError:
            raise ValueError(f"memory_limit must be {wanted}, not {value!r}.") from None
    if isinstance(limit, float):
        if not 0 < limit <= 1:
            raise ValueError(
                f"memory_limit must be more than 0 and at most 1.0 as a share of all memory, not"
                f" {value!r}; for bytes pass a whole number."
            )
        return limit
    if isinstance(limit, bool) or not hasattr(type(limit), "__index__"):
        raise TypeError(f"memory_limit must be {wanted}, or None for a safe share, not {value!r}.")
    count = operator.index(limit)  # type: ignore[arg-type]
    if count < LEAST_MEMORY:
        raise ValueError(
            f"memory_limit must be at least a MiB, or a share such as 0.8, not {value!r}."
        )
    return count


def _listed(literal: Any) -> str:
    return ", ".join(repr(value) for value in get_args(literal))


def check_call(fn: object, items: object) -> Iterator[Any]:
    """Refuse a function that cannot be called and items that cannot be iterated over.

    Returns:
        An iterator over the items, made once: a second one might open its source twice.

    Raises:
        TypeError: With what was passed and what to pass instead.
    """
    check_function(fn, items)
    if is_async_iterable(items):
        raise TypeError(
            f"items must be an ordinary iterable, but {type(items).__name__} is asynchronous;"
            " use arun_parallel or aiter_parallel, or collect it first:"
            " [item async for item in items]."
        )
    return check_items(items)


def is_async_iterable(items: object) -> bool:
    """Whether items can be had by `async for` only."""
    return hasattr(items, "__aiter__") and not hasattr(items, "__iter__")


def check_function(fn: object, items: object) -> None:
    """Refuse a function that cannot be called, or whose calls would do nothing.

    Raises:
        TypeError: With what was passed and what to pass instead.
    """
    if not callable(fn):
        from ._meant import uncalled

        hint = " The function comes first, then the items." if callable(items) else uncalled(fn)
        raise TypeError(f"fn must be callable, but {type(fn).__name__} is not.{hint}")
    from ._function import generates, generates_async, name_of  # and `inspect`, on the first call

    if generates(fn):
        raise TypeError(
            f"fn must return its result, but {name_of(fn)} is a generator function: each call would give a"
            " generator, of which nothing has run. Have it return a list, or pass"
            " lambda item: list(fn(item)) instead."
        )
    if generates_async(fn):
        raise TypeError(
            f"fn must return its result, but {name_of(fn)} is an asynchronous generator function: each call"
            " would give a generator, of which nothing has run. Pass an async def function that returns"
            " [value async for value in fn(item)]."
        )


def check_items(items: object) -> Iterator[Any]:
    """Refuse items that cannot be iterated over.

    Returns:
        An iterator over the items, made once: a second one might open its source twice.

    Raises:
        TypeError: With what was passed and what to pass instead.
    """
    if not hasattr(type(items), "__iter__") and not hasattr(type(items), "__getitem__"):
        raise TypeError(
            f"items must be iterable, but {type(items).__name__} is not;"
            " for a single item pass [item]."
        )
    return iter(items)  # type: ignore[call-overload, no-any-return]
