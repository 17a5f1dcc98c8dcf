"""A worker takes on the surroundings of its parent, and lets it hear what calls log and warn of."""

from __future__ import annotations

import os
import sys
import warnings

from .. import _place
from .._pickling import dumps

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from typing import Any

    Send = Callable[[tuple[Any, ...]], None]


class _Nobody(Warning):
    """No warning has this category."""


def take_on(now: dict[str, Any], send: Send) -> None:
    """Make this process like the parent, as far as calls can see.

    Args:
        now: Made by `autoexec._pool.surroundings`.
        send: Sends a message to the parent.
    """
    _place.is_worker = True
    _place.cores = now["cores"]
    sys.argv[:] = now["argv"]
    if sys.path != now["path"]:
        sys.path[:] = now["path"]
        import importlib

        importlib.invalidate_caches()
    _change_directory(now["directory"])
    for name in os.environ.keys() - now["environment"].keys():
        del os.environ[name]
    for name, value in now["environment"].items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    sys.setrecursionlimit(now["recursion"])
    sys.set_int_max_str_digits(now["digits"])
    _relay_warnings(now["filters"], send)
    if now["levels"] is not None:
        _relay_logs(now["levels"], send)


def _change_directory(directory: str | None) -> None:
    try:
        if directory is not None and os.getcwd() != directory:
            os.chdir(directory)
    except OSError:  # gone since; a call that needs it will say so
        return


def _relay_warnings(filters: list[Any], send: Send) -> None:
    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        try:
            send(("said", "warning", dumps((message, category, filename, lineno))))
        except Exception:  # a warning that cannot be pickled is still worth its text
            send(("said", "warning", dumps((str(message), UserWarning, filename, lineno))))

    warnings.filters[:] = filters  # type: ignore[index, unused-ignore]
    warnings.simplefilter("ignore", _Nobody)  # so that the change of the filters is noticed
    warnings.showwarning = show


def _relay_logs(levels: dict[str, int], send: Send) -> None:
    import logging

    for name, level in levels.items():
        logging.getLogger(name or None).setLevel(level)
    if not any(getattr(handler, "of_autoexec", False) for handler in logging.root.handlers):
        logging.root.addHandler(_handler(logging.Handler, send))


def _handler(base: type[logging.Handler], send: Send) -> logging.Handler:
    class Relay(base):  # type: ignore[valid-type, misc]
        of_autoexec = True

        def emit(self, record: logging.LogRecord) -> None:
            try:
                send(("said", "log", _portable_record(record)))
            except Exception:
                self.handleError(record)

    relay: logging.Handler = Relay()
    return relay


def _portable_record(record: logging.LogRecord) -> bytes:
    """The record with its text made, since what it was made from may not be able to travel."""
    import logging

    fields = dict(record.__dict__, msg=record.getMessage(), args=None)
    if record.exc_info:
        fields["exc_text"] = logging.Formatter().formatException(record.exc_info)
        fields["exc_info"] = None
    try:
        return dumps(fields)
    except Exception:  # something of the caller's in `extra`
        plain = (str, int, float, type(None))
        return dumps({name: v if isinstance(v, plain) else repr(v) for name, v in fields.items()})
