"""Where the options of a run come from: its arguments, then `config`, then the environment."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from functools import lru_cache
from types import MappingProxyType, TracebackType
from typing import Any, Unpack

from . import _place
from ._checks import validate
from ._options import NAMES, Options, Settings

PREFIX = "AUTOEXEC_"


def _whole_or(*words: str) -> Callable[[str], Any]:
    return lambda text: text if text in words else int(text)


def _flag(text: str) -> bool:
    flags = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in flags:
        raise ValueError(f"{text!r} is neither true nor false")
    return flags[text.lower()]


_READERS: Mapping[str, Callable[[str], Any]] = {
    "backend": str,
    "max_workers": int,
    "chunksize": _whole_or("auto"),
    "on_error": str,
    "timeout": float,
    "deadline": float,
    "retries": int,
    "max_per_second": float,
    "progress": _flag,
    "max_tasks_per_child": int,
    "memory_limit": str,
    "seed": int,
    "timeline": _flag,
    "ordered": _flag,
    "buffersize": int,
}
"""The options that make sense as a text, and how that is read."""
_VARIABLES = {PREFIX + name.upper(): name for name in _READERS}
_OTHERS = ("AUTOEXEC_IDLE_SECONDS",)
"""Variables that are no option of a run."""


class config:
    """Options for all runs within a `with` block, unless a run is given others.

        with config(max_workers=8, on_error="return"):
            results = run_parallel(fetch, urls)

    Blocks nest: the inner one adds to the outer. What is set holds for the thread or task that
    entered the block and for calls that runs in it make on threads and tasks; not for a
    `threading.Thread` that is started in it, nor for runs that calls make within worker processes.

    Args:
        options: Those of `run_parallel`; they are checked at once.

    Raises:
        TypeError, ValueError: An option is unknown, of the wrong type or out of range.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        self._options = checked(options)
        self._tokens: list[Token[Mapping[str, Any]]] = []

    def __enter__(self) -> config:
        self._tokens.append(_configured.set({**_configured.get(), **self._options}))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _configured.reset(self._tokens.pop())


_configured: ContextVar[Mapping[str, Any]] = ContextVar(
    "autoexec_config", default=MappingProxyType({})
)


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same options, as they are once checked: an iterator among them is used up by that, so the tuple
    made of it is kept.

    Raises:
        TypeError, ValueError: An option is unknown, of the wrong type or out of range.
    """
    settings = validate(options)
    return {name: getattr(settings, name) for name in options}


def resolve(options: Mapping[str, Any]) -> Settings:
    """The settings of a run with these arguments.

    Raises:
        TypeError, ValueError: An option is wrong; one from the environment is named by its variable.
    """
    _warn_of_unknown()
    configured = _configured.get()
    variables = _read_environment()
    if not configured and not variables:
        settings = validate(options)
        return (
            settings._replace(sources=dict.fromkeys(options, "argument")) if options else settings
        )
    sources: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name, (variable, value) in variables.items():
        values[name], sources[name] = value, f"environment variable {variable}"
    for given, source in ((configured, "config"), (options, "argument")):
        values.update(given)
        sources.update(dict.fromkeys(given, source))
    return validate(values)._replace(sources=sources)


def _read_environment() -> Mapping[str, tuple[str, Any]]:
    """The options that the environment sets: name -> variable and value.

    Not in a worker process, whose environment is the parent's: a bar or a backend that the program
    was given is not meant for each of the runs that its calls may make.
    """
    if _nothing_set() or _place.is_worker:
        return {}
    found: dict[str, tuple[str, Any]] = {}
    for variable, name in _VARIABLES.items():
        text = os.environ.get(variable, "").strip()
        if text:
            found[name] = variable, _read(variable, name, text)
    return found


@lru_cache(1)
def _warn_of_unknown() -> None:
    """Warn once of variables that look like options and are none: the caller believes that they are heeded."""
    if _place.is_worker:
        return
    for variable in os.environ:
        if variable.startswith(PREFIX) and variable not in _VARIABLES and variable not in _OTHERS:
            from ._meant import OPTIONS, hint

            meant = {PREFIX + name.upper(): PREFIX + to.upper() for name, to in OPTIONS.items()}
            question = hint(variable, [*_VARIABLES, *_OTHERS], meant)
            warnings.warn(
                f"The environment variable {variable} is none of autoexec.{question}", stacklevel=2
            )


def _nothing_set() -> bool:
    """Whether none of the variables is there: 0.5 µs, where reading each takes 15."""
    data = getattr(os.environ, "_data", None)
    if type(data) is not dict:
        return _VARIABLES.keys().isdisjoint(os.environ)
    return _encoded().isdisjoint(data)


@lru_cache(1)
def _encoded() -> frozenset[Any]:
    encode = getattr(os.environ, "encodekey", lambda name: name)
    return frozenset(encode(name) for name in _VARIABLES)


@lru_cache(64)
def _read(variable: str, name: str, text: str) -> Any:
    try:
        value = _READERS[name](text)
        validate({name: value})
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The environment variable {variable} is {text!r}, which is no value for the option"
            f" {name}: {error}"
        ) from error
    return value


assert _READERS.keys() <= set(NAMES)
