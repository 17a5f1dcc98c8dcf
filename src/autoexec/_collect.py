"""A run to its end, and the results in a list, in the order of the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._account import report_of
from ._errors import DeadlineExceeded, RunAborted, annotate
from ._options import Settings
from ._report import Results
from ._run import Run, refuse_second_import
from ._source import Source


def run(fn: Callable[..., Any], source: Source, settings: Settings) -> Results[Any]:
    """Call `fn` on every item of the source and collect the results in input order."""
    refuse_second_import()
    return complete(Run(fn, source, settings))


def complete(current: Run) -> Results[Any]:
    """Drive a run to its end and collect the results in input order."""
    try:
        return _complete(current)
    except BaseException:
        current.close(abandon=True)  # a Ctrl-C may have come just as that was begun
        raise
    finally:
        del current  # as below


def _complete(current: Run) -> Results[Any]:
    results: Results[Any] = Results()
    abandon = True
    try:
        current.begin()
        results = current.collect(results)  # a journal may have had them all
        while (done := current.step()) is None:
            results = current.collect(results)
        results = current.collect(results)
        abandon = done.error is not None
    except (
        KeyboardInterrupt,
        RunAborted,
    ) as error:  # the latter of a journal that is not this run's
        _hand_over(error, current, results)
        raise
    finally:
        # Also on Ctrl-C, which arrives here while this thread waits.
        current.close(abandon=abandon)
    if done.error is None:
        results.report = report_of(current)
    elif isinstance(done.error, RunAborted):
        _hand_over(done.error, current, results)
    try:
        if done.error is not None:
            raise done.error
        return results
    finally:
        # Tracebacks hold this frame: what it still held would be in a cycle with their errors.
        del done, current, results


def _hand_over(error: KeyboardInterrupt | RunAborted, run: Run, results: Results[Any]) -> None:
    """Give an error that ends a run what was done."""
    if getattr(error, "finished", None):
        return  # it comes from a run within this one
    if not isinstance(error, DeadlineExceeded):  # for which that was done
        run.last_words()
    error.finished = finished = run.scheduler.window.finished(results)  # type: ignore[union-attr]
    if finished and not isinstance(error, DeadlineExceeded):  # which says so itself
        annotate(error, f"{len(finished):,} items were done: see `finished` of this error.")
