"""`python -m autoexec run package.module:function`: a function over lines of standard input."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, get_args

from .._config import resolve
from .._errors import AutoexecError
from .._options import BackendName, OnError
from .._wording import count
from . import FAILED, FINE, INTERRUPTED, UsageError
from .lines import FORMATS, Encoded, EncodedAsync, failure_line, is_number, read

HELP = "run a function over the lines of standard input"
ABOUT = """\
Call a function on every line of standard input and write its results to standard output, one
line of JSON each, in the order of the input.

    python -m autoexec run package.module:function < items.jsonl > results.jsonl

The module is imported as `python -m` would, so one in the current directory is found. Blank lines
are left out. What the function prints goes to standard error, and it finds its standard input
empty. With --on-error return, an item that fails gives the line
{"index": 3, "error": "what it said", "type": "ValueError"}, the index counted from 0.
The exit code is 1 if any item failed, whatever --on-error says."""


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("function", metavar="package.module:function")
    parser.add_argument(
        "--input",
        choices=FORMATS,
        default="auto",
        help="what a line is: JSON or text; auto (default): JSON if the first line is a JSON"
        " object, array or string",
    )
    parser.add_argument(
        "--star",
        action="store_true",
        help="an object is keyword arguments, an array positional ones",
    )
    parser.add_argument("--report", action="store_true", help="print the report to standard error")
    for flag, option, details in _FLAGS:
        parser.add_argument(flag, dest=option, **details)


_FLAGS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "--results",
        "ordered",
        {
            "choices": ["ordered", "completed"],
            "help": "in the order of the input (default), or as they are done",
        },
    ),
    (
        "--on-error",
        "on_error",
        {
            "choices": get_args(OnError),
            "help": "raise (default): stop at the first error; return: write a line for it;"
            " skip: write nothing",
        },
    ),
    ("--timeout", "timeout", {"type": float, "metavar": "S", "help": "seconds for one item"}),
    ("--deadline", "deadline", {"type": float, "metavar": "S", "help": "seconds for all"}),
    (
        "--memory-limit",
        "memory_limit",
        {
            "metavar": "SIZE",
            "help": "what all processes may hold: 2GB, 80%%",
        },
    ),
    ("--retries", "retries", {"type": int, "metavar": "N", "help": "tries after the first"}),
    (
        "--resume",
        "resume",
        {"metavar": "FILE", "help": "keep what is done in FILE, and go on from what is there"},
    ),
    (
        "--resume-failed",
        "resume_failed",
        {
            "action": "store_true",
            "default": None,
            "help": "with --resume: try the items again that failed",
        },
    ),
    ("--joblog", "joblog", {"metavar": "FILE", "help": "append a line for each item to FILE"}),
    (
        "--workers",
        "max_workers",
        {"type": int, "metavar": "N", "help": "the most calls at once"},
    ),
    (
        "--chunksize",
        "chunksize",
        {
            "type": int,
            "metavar": "N",
            "help": "items in one dispatch; default: as their calls take",
        },
    ),
    (
        "--max-per-second",
        "max_per_second",
        {"type": float, "metavar": "N", "help": "the most calls that start in a second"},
    ),
    ("--seed", "seed", {"type": int, "metavar": "N", "help": "of the random stream of each item"}),
    ("--backend", "backend", {"choices": get_args(BackendName), "help": "default: auto"}),
    (
        "--progress",
        "progress",
        {"action": "store_true", "default": None, "help": "show how far it has come"},
    ),
)


def main(chosen: argparse.Namespace) -> int:
    """Run the command. Returns the exit code."""
    options = _options(chosen)
    with _own_streams() as (source, out):  # before the import: a module may print, too
        fn = _encoded(find(chosen.function), star=chosen.star)
        return Command(fn, options, chosen.input, report=chosen.report).run(source, out)


def _options(chosen: argparse.Namespace) -> dict[str, Any]:
    given = {option: getattr(chosen, option, None) for _, option, _ in _FLAGS}
    options = {option: value for option, value in given.items() if value is not None}
    if "ordered" in options:
        options["ordered"] = options["ordered"] == "ordered"
    try:
        resolve(options)  # with those of the environment
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None
    return options


class Command:
    """A run of the command, and how many results it has written.

    Args:
        fn: Gives its results as JSON.
        options: Of the run.
        how: What a line of the input is.
        report: Print the report at the end.
    """

    def __init__(
        self, fn: Callable[[Any], Any], options: dict[str, Any], how: str, *, report: bool
    ) -> None:
        self._fn = fn
        self._options = options
        self._how = how
        self._report = report
        self._written = 0
        self._failed = 0
        self._numbers = False  # a line that went as text might have been meant as one

    def run(self, source: IO[str], out: IO[str]) -> int:
        """Read, call, write. Returns the exit code."""
        try:
            self._write_all(source, out)
        except KeyboardInterrupt:
            self._say(f"interrupted: {self._progress()}")
            return INTERRUPTED
        except _NobodyReads:
            return FAILED
        except SystemExit as error:
            self._say(
                f"error: a call ended the program: sys.exit({error.code!r})", self._progress()
            )
            return FAILED
        except AutoexecError as error:
            self._say(f"error: {error}", *getattr(error, "__notes__", ()))
            self._say(self._progress())
            return FAILED
        except Exception as error:
            _print(error)
            if self._numbers and isinstance(error, TypeError):
                self._say(
                    "Lines are text, also those that are numbers: for these pass --input json."
                )
            self._say(self._progress())
            return FAILED
        return FAILED if self._failed else FINE

    def _write_all(self, source: IO[str], out: IO[str]) -> None:
        from .. import Failure, iter_parallel

        results = iter_parallel(self._fn, self._items(source), **self._options)
        for result in results:
            if isinstance(result, Failure):
                self._failed += 1
                result = failure_line(result.index, result.exception)
            try:
                out.write(result + "\n")
                out.flush()  # a microsecond, for which what is finished is there
            except BrokenPipeError as error:
                raise _NobodyReads from error
            self._written += 1
        self._failed = max(self._failed, results.report.failures)
        if results.report.resumed:
            self._say(f"{count(results.report.resumed, 'item')} from {results.report.journal}")
        if self._failed:
            self._say(f"{self._failed:,} of {results.report.items:,} items failed")
        if self._report:
            self._say(str(results.report))

    def _items(self, source: IO[str]) -> Iterator[Any]:
        for item in read(source, self._how):
            self._numbers = self._numbers or (isinstance(item, str) and is_number(item))
            yield item

    def _progress(self) -> str:
        return f"{count(self._written, 'result')} written"

    @staticmethod
    def _say(*lines: str) -> None:
        print(*lines, sep="\n", file=sys.stderr)


class _NobodyReads(Exception):
    """Whoever read the results has had enough."""


@contextmanager
def _own_streams() -> Iterator[tuple[IO[str], IO[str]]]:
    """Standard input and output for this command alone.

    Meanwhile what anything else prints, in worker processes and programs that are started too, goes
    to standard error, and whatever reads standard input finds it empty.
    """
    sys.stdout.flush()
    kept = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(null, 0)
        os.dup2(2, 1)
        with (
            open(
                os.dup(kept[0]), encoding="utf-8-sig", errors="surrogateescape", newline="\n"
            ) as source,
            _closing(open(os.dup(kept[1]), "w", encoding="utf-8")) as out,
        ):
            yield source, out
    finally:
        sys.stdout.flush()
        os.dup2(kept[0], 0)
        os.dup2(kept[1], 1)
        for fd in (*kept, null):
            os.close(fd)


@contextmanager
def _closing(out: IO[str]) -> Iterator[IO[str]]:
    """A file whose reader may have gone."""
    try:
        yield out
    finally:
        try:
            out.close()
        except OSError:
            pass  # what it had not read is lost to it; a disk that is full was said


def _print(error: Exception) -> None:
    """Its traceback, from the function on."""
    import traceback
    from pathlib import Path

    package, first = str(Path(__file__).parent.parent), error.__traceback__
    while first is not None and first.tb_frame.f_code.co_filename.startswith(package):
        first = first.tb_next
    traceback.print_exception(type(error), error, first or error.__traceback__)


# --- The function ------------------------------------------------------------------------------------


def find(where: str) -> Callable[[Any], Any]:
    """The function that `package.module:function` names.

    Raises:
        UsageError: There is none.
    """
    from importlib import import_module

    module_name, colon, path = where.partition(":")
    if not (module_name and colon and path):
        raise UsageError(f"{where!r} does not name a function: write package.module:function")
    try:
        found: Any = import_module(module_name)
    except (Exception, SystemExit) as error:
        file = module_name.endswith(".py")
        hint = f"; name the module, not its file: {module_name[:-3]}:{path}" if file else ""
        raise UsageError(
            f"cannot import {module_name!r} ({type(error).__name__}: {error}){hint}"
        ) from None
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise UsageError(_absent(module_name, path, found, name)) from None
    if not callable(found):
        raise UsageError(f"{where} is not a function but {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _absent(module: str, path: str, where: object, name: str) -> str:
    import difflib

    names = [known for known in dir(where) if callable(getattr(where, known, None))]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{module!r} has no {path!r}{hint}"


def _encoded(fn: Callable[..., Any], *, star: bool = False) -> Encoded:
    from .._function import Star, is_async, undecorated

    plain = undecorated(fn)
    call = Star(plain) if star else plain
    return EncodedAsync(call) if is_async(plain) else Encoded(call)
