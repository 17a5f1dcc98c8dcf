"""Writes down what becomes of items as a run goes on, if that was asked for, and keeps why it could not be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ._errors import RunAborted
from ._options import Settings
from ._types import Settled

if TYPE_CHECKING:
    from ._records import Records


class Recorder:
    """The journal and the job log of a run, if there are to be any.

    Args:
        fn: The function.
        settings: What is to be kept.

    Raises:
        ValueError: They are one file.
    """

    def __init__(self, fn: Callable[..., Any], settings: Settings) -> None:
        self._records: Records | None = None
        self._failure: RunAborted | None = None
        if settings.recorded:
            from ._records import Records  # and SQLite, which only those should pay who use it

            self._records = Records(fn, settings)

    @property
    def keeps(self) -> bool:
        """Whether anything is to be written down."""
        return self._records is not None

    def open(self) -> None:
        """Take hold of the files.

        Raises:
            JournalError: The journal cannot be used for this run.
            RunAborted: The job log cannot be written.
        """
        if self._records is not None:
            self._records.open()

    def known(self, first: int, items: Sequence[Any]) -> Sequence[Settled]:
        """What the journal has of items that came from the input.

        Raises:
            JournalError: It has another item in the place of one of them.
            NotPicklable: One cannot be told from others.
        """
        return () if self._records is None else self._records.known(first, items)

    def write(self, settled: list[Settled] | None, now: float) -> None:
        """Put down what has become of items, which are then no longer in the list; None if nobody keeps one.

        Not before: what a Ctrl-C interrupts, while a large result is pickled, say, is put down at the end.
        """
        while self._records is not None and settled:
            self._keep(partial(self._records.add, settled[0], now))
            del settled[0]

    def due_s(self) -> float | None:
        """Seconds until something should be committed; None if there is nothing."""
        return None if self._records is None else self._records.due_s()

    def commit(self) -> None:
        """Have the outcomes so far survive the end of this process."""
        if self._records is not None:
            self._keep(self._records.commit)

    def _keep(self, write: Callable[[], None]) -> None:
        try:
            write()
        except RunAborted as error:
            self._failure = self._failure or error

    def take_failure(self) -> RunAborted | None:
        """Why what was kept is not whole, if nobody was told of that yet."""
        failed, self._failure = self._failure, None
        return failed

    def close(self) -> None:
        """Let go of the files.

        Raises:
            RunAborted: What was added last could not be written.
        """
        if self._records is not None:
            self._records.close()

    def told(self) -> str:
        """What the report says of the journal."""
        return "" if self._records is None else self._records.told()
