"""Telling how far a run has come: to a function of the caller's, or on a bar of tqdm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._errors import AutoexecError
from ._options import Progress

EVERY_S = 0.05
"""At most twenty times a second: more cannot be seen, and a notebook's bar takes 1 ms to draw."""


class Meter:
    """Says how many items are done, now and then and at the end.

    Args:
        tell: Called with the items done and with all items, None if that is not known.
        total: All items.
        close: Called when the run is over, however it ended.
    """

    def __init__(
        self,
        tell: Callable[[int, int | None], object],
        total: int | None,
        close: Callable[[], object] = lambda: None,
    ) -> None:
        self._tell = tell
        self._total = total
        self._told: int | None = None
        self._next_at = 0.0
        self._failed = False
        self.close = close

    def look(self, done: int, now: float) -> None:
        """Tell, if there is anything new and it is time."""
        if done != self._told and now >= self._next_at:
            self._next_at = now + EVERY_S
            self._say(done)

    def end(self, done: int) -> None:
        """Tell of the last, unless that was told already."""
        if done != self._told:
            self._say(done)

    def _say(self, done: int) -> None:
        self._told = done
        if self._failed:
            return
        try:
            self._tell(done, self._total)
        except Exception:  # the results matter more than who is told of them
            import logging  # 10 ms, which only those should pay whose function fails

            self._failed = True
            logging.getLogger("autoexec").warning(
                "The progress function failed and is not called any more; the run goes on.",
                exc_info=True,
            )


def meter(progress: Progress, name: str, total: int | None) -> Meter | None:
    """The meter of a run, if one was asked for.

    Raises:
        AutoexecError: tqdm is wanted but not installed.
    """
    if progress is False:
        return None
    if progress is not True:
        return Meter(progress, total)
    return _bar(name, total)


def _bar(name: str, total: int | None) -> Meter:
    try:
        # A widget in a notebook, a line in a terminal.
        from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise AutoexecError(
            "progress=True needs tqdm, which is not installed: pip install tqdm, or pass a function"
            " (done, total)."
        ) from error
    bar: Any = tqdm(total=total, desc=name)

    def tell(done: int, total: int | None) -> None:
        bar.update(done - bar.n)
        bar.refresh()

    return Meter(tell, total, bar.close)
