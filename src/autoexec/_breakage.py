"""What ends a run whose lane cannot be used any more: an error that says why, and what to do. Pure."""

from __future__ import annotations

from ._errors import FunctionNotSent, NotPicklable, RunAborted, short_repr, text_of_cause
from ._routes import PROCESSES
from ._types import Broken


def error_of(event: Broken, name: str) -> RunAborted:
    """The error for calls that cannot run anywhere else.

    Args:
        event: What broke, and by what.
        name: Of the function.
    """
    kind = RunAborted
    if event.initializing:
        text = (
            f"The initializer raised {short_repr(event.error)} in a worker process, so none can"
            " run the items. Its traceback there is above, as the cause."
        )
    elif isinstance(event.error, NotPicklable):
        kind = FunctionNotSent
        text = (
            f"{name} cannot travel to a worker process, where backend={event.lane!r} runs it:"
            f" {text_of_cause(event.error)}. Have it make such objects itself, or use backend='auto'"
            " or 'threads'."
        )
    elif event.lane == "external":
        text = f"No call can run: {event.reason}. Pass one that is open and not broken."
    else:
        hint = " Use backend='auto' or 'threads'." if event.lane in PROCESSES else ""
        text = f"backend={event.lane!r} cannot run here: {event.reason}.{hint}"
    error = kind(text)
    error.__cause__ = event.error
    return error
