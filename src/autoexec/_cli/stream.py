"""How the command line gets its results: the one place to change where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import autoexec

from .._report import Report


class Stream(Protocol):
    """Results as they come, and a report afterwards."""

    @property
    def report(self) -> Report:
        """How they were made, once all have come."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


def stream(fn: Callable[[Any], Any], items: Iterable[Any], **options: Any) -> Stream:
    """Call `fn` on every item.

    Args:
        fn: Called with one item.
        items: Taken as they are needed, if the package can do that; else all at once.
        options: As for `run_parallel`, and `ordered`.
    """
    lazily: Callable[..., Stream] | None = getattr(autoexec, "iter_parallel", None)
    if lazily is not None:
        return lazily(fn, items, **options)
    return _AtOnce(fn, items, options)


class _AtOnce:
    """All results when the last is there."""

    def __init__(
        self, fn: Callable[[Any], Any], items: Iterable[Any], options: dict[str, Any]
    ) -> None:
        self._fn = fn
        self._items = items
        self._options = options
        self.report: Report

    def __iter__(self) -> Iterator[Any]:
        try:
            results = autoexec.run_parallel(self._fn, self._items, **self._options)
        except BaseException as error:
            finished: dict[int, Any] = getattr(error, "finished", {})
            yield from (finished[i] for i in sorted(finished))
            raise
        self.report = results.report
        yield from results
