"""What a run leaves behind: the journal that the next one goes on from, and the job log.

    items    -> known -> those that have an outcome already, which nobody calls
    outcomes -> add   -> rows, lines

Items are told apart when they come, since a call may change the object that it is given.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from ._digest import digest, identity
from ._errors import JournalError, NotPicklable, annotate, short_repr, text_of, text_of_cause
from ._joblog import JobLog, is_file
from ._journal import Journal
from ._options import Settings
from ._stored import Row, error_of, row_of_error, row_of_value, value_of
from ._types import Settled


class Records:
    """The journal and the job log of one run, as far as they were asked for.

    Raises:
        ValueError: They are one file.
    """

    def __init__(self, fn: Callable[..., Any], settings: Settings) -> None:
        if settings.resume and settings.joblog and is_file(settings.joblog, settings.resume):
            raise ValueError(
                f"resume and joblog both name {settings.resume!r}: give the journal and the job log a file"
                " each."
            )
        self._about = _about(fn, settings) if settings.resume is not None else {}
        self.journal = Journal(settings.resume) if settings.resume is not None else None
        self._log: JobLog | None = None
        self._joblog = settings.joblog
        self._retry_failed = settings.resume_failed
        self._digests: dict[int, bytes] = {}

    def open(self) -> None:
        """Take hold of the files.

        Raises:
            JournalError: The journal cannot be used for this run.
            RunAborted: The job log cannot be written.
        """
        if self.journal is not None:
            self.journal.open(self._about)
        if self._joblog is not None:
            self._log = JobLog(self._joblog)

    def known(self, first: int, items: Sequence[Any]) -> Sequence[Settled]:
        """What the journal has of items that came from the input; it will keep what becomes of the
        others.

        Raises:
            JournalError: It has another item in the place of one of them.
            NotPicklable: One cannot be told from others.
        """
        if self.journal is None or not items:
            return ()
        digests = {first + i: _digest_of(first + i, item) for i, item in enumerate(items)}
        found: list[Settled] = []
        for row in self.journal.rows(first, len(items)):
            if row.item_digest != digests[row.item_index]:
                raise self._other_item(row.item_index, items[row.item_index - first])
            if row.failed is None or not self._retry_failed:
                self._append(found, row)
                del digests[row.item_index]
        self._digests |= digests
        return found

    def _append(self, found: list[Settled], row: Row) -> None:
        """Add an outcome to the last of those before it, if it is the next one's."""
        if row.failed is not None:
            found.append(Settled(row.item_index, (), self._noted(row), row.seconds))
            return
        value = self._read(row)
        if (
            found
            and found[-1].error is None
            and found[-1].first + found[-1].covers == row.item_index
        ):
            found[-1].values.append(value)  # type: ignore[attr-defined]
        else:
            found.append(Settled(row.item_index, [value]))

    def _read(self, row: Row) -> Any:
        assert self.journal is not None
        try:
            return value_of(row)
        except Exception as error:  # whatever the classes of a result raise
            raise JournalError(
                f"The result of item {row.item_index} cannot be read back from the journal"
                f" {self.journal.path} ({type(error).__name__}: {text_of(error)}): is the module of its class"
                " still there, and the same?"
            ) from error

    def _noted(self, row: Row) -> Exception:
        assert self.journal is not None
        error = error_of(row)
        annotate(
            error,
            f"Item {row.item_index} failed in an earlier run, as the journal {self.journal.path} has it,"
            " and was not called again: pass resume_failed=True for that.",
        )
        return error

    def _other_item(self, index: int, item: Any) -> JournalError:
        assert self.journal is not None
        return JournalError(
            f"The journal {self.journal.path} belongs to other items: item {index} was another than"
            f" {short_repr(item)} when it was written. Give this run a file of its own, or delete"
            " that one to begin anew."
        )

    def add(self, settled: Settled, now: float) -> None:
        """Items have their outcome. Added again, since a Ctrl-C came meanwhile, they are kept once.

        Raises:
            JournalError: A result cannot be kept.
            RunAborted: The job log cannot be written any more.
        """
        refused: JournalError | None = None  # which costs those beside it nothing
        if self.journal is not None:
            seconds = settled.wall_s / max(1, settled.covers)
            for index, value in enumerate(settled.values, settled.first):
                try:
                    self._keep(index, value, seconds)
                except JournalError as error:
                    refused = refused or error
            if settled.error is not None:
                self._keep_error(settled.first + len(settled.values), settled.error, seconds)
        if self._log is not None and settled.covers:  # last, since it may fail for good
            self._log.add(settled, now)
        try:
            if refused is not None:
                raise refused
        finally:
            del refused  # its traceback holds this frame, which would be a cycle

    def _keep(self, index: int, value: Any, seconds: float) -> None:
        assert self.journal is not None
        if (item := self._digests.get(index)) is None:
            return  # it was kept, before a Ctrl-C came
        try:
            row = row_of_value(index, item, value, seconds)
        except NotPicklable as error:
            raise JournalError(
                f"The result of item {index}, {short_repr(value)}, cannot be kept in the journal"
                f" {self.journal.path} ({text_of_cause(error)}): return plain data, or leave out resume=."
            ) from error
        self.journal.add(row)
        del self._digests[index]

    def _keep_error(self, index: int, error: BaseException, seconds: float) -> None:
        """Keep a failure that is the item's: not Ctrl-C or `sys.exit`, which are meant for the program,
        nor what could not be sent to where it was to run, which is a matter of the backend."""
        assert self.journal is not None
        item = self._digests.get(index)
        if item is None:
            return  # as above
        if isinstance(error, Exception) and not isinstance(error, NotPicklable):
            self.journal.add(row_of_error(index, item, error, seconds))
        del self._digests[index]

    def due_s(self) -> float | None:
        """Seconds until something should be committed; None if there is nothing."""
        return None if self.journal is None else self.journal.due_s()

    def commit(self) -> None:
        """Have what was added survive the end of this process.

        Raises:
            JournalError: It could not be written.
        """
        if self.journal is not None:
            self.journal.commit()

    def close(self) -> None:
        """The same, and let go of the files.

        Raises:
            JournalError: It could not be written.
        """
        if self._log is not None:
            self._log.close()
        if self.journal is not None:
            self.journal.close()

    def told(self) -> str:
        """The journal for the report: its name, and what was wrong with it."""
        if self.journal is None:
            return ""
        text = self.journal.path
        if self.journal.torn:
            text += (
                ", which the run before had no time to close: what ended in its last moment was"
                " called again"
            )
        if self.journal.damaged:
            text += f"; {self.journal.damaged:,} damaged outcomes were left out"
        return text


def _about(fn: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    """What a journal belongs to: the function, and what else decides what a call returns."""
    version = ".".join(map(str, sys.version_info[:2]))  # byte code is of one version
    return identity(fn) | {"Python": version, "star": settings.star, "seed": settings.seed}


def _digest_of(index: int, item: Any) -> bytes:
    try:
        return digest(item)
    except NotPicklable as error:
        raise NotPicklable(
            f"Item {index}: {error} A run with resume= tells its items apart by what they are: pass"
            " plain data, or leave it out."
        ) from error
