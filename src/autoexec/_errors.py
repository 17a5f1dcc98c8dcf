"""The errors that are autoexec's own. What a function raises is passed on as it is, with a note."""

from __future__ import annotations

import reprlib

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any


class AutoexecError(Exception):
    """Base class of the errors that autoexec itself raises while it runs items."""


class WorkerDied(AutoexecError):
    """A worker process ended while an item was with it."""


class ItemTimeout(AutoexecError, TimeoutError):
    """The call of an item took longer than `timeout`."""


class RunAborted(AutoexecError):
    """A run ended before all of its items were done, for a reason that is none of theirs.

    Attributes:
        finished: What was done by then: index of the item -> result.
    """

    finished: dict[int, Any]

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.finished = {}


class DeadlineExceeded(RunAborted, TimeoutError):
    """A run was not over by its `deadline`."""


class NotPicklable(AutoexecError):
    """An item, a result or the function cannot travel to or from a worker process."""


class NotSent(NotPicklable):
    """An item could not be pickled, so it never was with a worker process.

    The difference matters to the scheduler; whoever reads or pickles it has a `NotPicklable`.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return NotPicklable, self.args, self.__dict__


class FunctionNotSent(NotPicklable, RunAborted):
    """The function cannot travel to where it was to run, so no item can: that ends the run.

    Whoever reads or pickles it has a `NotPicklable`, with what was done in its `finished`.
    """

    __reduce__ = NotSent.__reduce__


for _private in (NotSent, FunctionNotSent):
    _private.__name__ = _private.__qualname__ = "NotPicklable"


class JournalError(RunAborted):
    """The journal of `resume` cannot be used: it belongs to other items or another function, another run
    holds it, others could write to it, or it cannot be read or written."""


class RemoteTraceback(Exception):
    """The text of a traceback in a worker process, attached as the cause of what came home."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class RemoteError(AutoexecError):
    """Stands in for an exception that could not be pickled; its text names the original type."""


# A traceback names the module of an error: the one that it is imported from.
for _public in (
    AutoexecError,
    WorkerDied,
    ItemTimeout,
    RunAborted,
    DeadlineExceeded,
    NotPicklable,
    NotSent,
    FunctionNotSent,
    JournalError,
    RemoteTraceback,
    RemoteError,
):
    _public.__module__ = "autoexec"

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60
_repr.maxlevel = 3


def short_repr(value: object) -> str:
    """A repr of at most about sixty characters, whatever the value does in its own `__repr__`."""
    try:
        return _repr.repr(value)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a repr is the user's code; the message that wants it must still be made
        return f"<{type(value).__name__}>"


def text_of(error: BaseException) -> str:
    """What an error says, whatever it does in its own `__str__`."""
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return "(its text could not be made)"


def text_of_cause(error: BaseException) -> str:
    """What the cause of an error says, or if it has none, what it says itself."""
    return text_of(error if error.__cause__ is None else error.__cause__)


def star_hint(error: BaseException, item: object) -> str:
    """What to add to the error of a call that had too few arguments, though its item holds several."""
    if not isinstance(error, TypeError) or type(item) not in _SEVERAL:
        return ""
    text = text_of(error)
    few = "missing" in text and "argument" in text
    return " To unpack each item pass star=True." if few else ""


_SEVERAL = (tuple, list, dict)


def for_iterators(error: BaseException) -> BaseException:
    """What an iterator raises instead: two exceptions would be taken for its end (PEP 479)."""
    if not isinstance(error, (StopIteration, StopAsyncIteration)):
        return error
    instead = RuntimeError(
        f"A call or the input raised {type(error).__name__}, which would have ended this iterator as if"
        " there were no more results: catch it where it is raised, or give `next` a default."
    )
    instead.__cause__ = error
    for note in getattr(error, "__notes__", ()):
        annotate(instead, note)
    return instead


def with_traceback(error: BaseException, traceback: TracebackType | None) -> BaseException:
    """The error with this traceback, without asking its class: one whose own method returned None had no error
    at all, and its item was called again, without end."""
    BaseException.with_traceback(error, traceback)
    return error


def attach_traceback(error: BaseException, text: str) -> None:
    """Attach a traceback from elsewhere as the cause, unless the error forbids it."""
    try:
        error.__cause__ = RemoteTraceback(text)
    except BaseException:  # as below, from a class of the user's that may do anything
        return


def annotate(error: BaseException, note: str) -> None:
    """Attach a note, once; some exceptions forbid new attributes and then stay as they are."""
    try:
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    except KeyboardInterrupt:
        raise
    except BaseException:  # e.g. `__setattr__` that raises: the error itself matters more.
        return
