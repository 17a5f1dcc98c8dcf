"""Outcomes of a run in a SQLite file, so that the next run need not make its calls again.

    run -> add -> rows in hand -> commit -> write-ahead log -> file

What is committed survives the end of this process, `kill -9` included, since the system has it then. The
disk has it when SQLite merges its write-ahead log into the file, or when the system sees fit, so a power
cut may cost what came after that; it damages nothing that was there.

A commit takes 50 µs where the file is on a local disk. It is made as soon as the run has nothing better
to do, unless commits have taken more than their share of the time; then outcomes wait for the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import _journal_file as files
from ._errors import JournalError
from ._stored import Row

if TYPE_CHECKING:
    import sqlite3

SHARE = 0.02
"""Commits may take this share of the time. Beside calls of 5 ms, two at a time, most outcomes
are committed by themselves, 50 µs each."""
BURST_S = 0.05
"""Time without commits that may be made up for, so that the first outcomes after a pause go at once."""
LATEST_S = 0.5
"""No outcome waits for longer, however slow the disk. Not measured."""
COLUMNS = "item_index, item_digest, json, pickle, failed, seconds, mark"
_INSERT = f"INSERT OR REPLACE INTO outcomes ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
_SELECT = f"SELECT {COLUMNS} FROM outcomes WHERE item_index >= ? AND item_index < ?"
_TABLES = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE outcomes (item_index INTEGER PRIMARY KEY, item_digest BLOB NOT NULL, json TEXT,"
    " pickle BLOB, failed TEXT, seconds REAL NOT NULL, mark BLOB NOT NULL)",
    f"PRAGMA application_id = {files.APPLICATION}",
    f"PRAGMA user_version = {files.VERSION}",
)


class Journal:
    """The file, held for this run alone until it is closed.

    Args:
        path: Made with access for its owner only if it is not there.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self.torn = False
        """The run before did not close it: it was killed, or the machine went down."""
        self.damaged = 0
        """Rows that were not as they had been written, and were left out."""
        self._lock = threading.Lock()
        self._rows: dict[int, Row] = {}
        self._oldest_s = 0.0
        self._allowed_s = 0.0
        self._last = -1
        """The index of the last item of the runs before."""
        self._connection: sqlite3.Connection | None = None

    def open(self, about: Mapping[str, Any]) -> None:
        """Take hold of the file, for a run of what is told in `about`.

        Raises:
            JournalError: It is in use, is no journal, may be written by others, is damaged beyond
                reading, belongs to something else, or cannot be written.
        """
        try:
            with self._in_words():
                self._open(about)
        except BaseException:
            self._let_go()
            raise

    def _open(self, about: Mapping[str, Any]) -> None:
        self._connection = files.hold(self.path)
        if files.is_new(self._connection):
            self._in_one(_TABLES)
        elif files.is_damaged(self._connection):
            self._connection = files.salvage(self._connection, self.path, _TABLES, _INSERT)
        known = dict(self._execute("SELECT name, value FROM about"))
        if "run" in known:
            self._compare(json.loads(known["run"]), about)
        last = "SELECT coalesce(max(item_index), -1) FROM outcomes"
        [(self._last,)] = self._execute(last)
        self.torn = known.get("open") == "yes"
        self._note(run=json.dumps(about), open="yes")

    def _in_one(self, statements: Iterable[str]) -> None:
        self._execute("BEGIN IMMEDIATE")
        for statement in statements:
            self._execute(statement)
        self._execute("COMMIT")

    def _note(self, **values: str) -> None:
        assert self._connection is not None
        self._connection.executemany(
            "INSERT OR REPLACE INTO about (name, value) VALUES (?, ?)", values.items()
        )

    def _compare(self, known: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        if known == about:
            return
        differ = sorted(name for name in {*known, *about} if known.get(name) != about.get(name))
        raise JournalError(
            f"The journal {self.path} belongs to another function, {known.get('name')}:"
            f" {', '.join(differ)} differ{'s' if len(differ) == 1 else ''} from {about['name']} as it"
            " is now. Give this run a file of its own, or delete that one to begin anew."
        )

    # --- Reading ----------------------------------------------------------------------------------

    def rows(self, first: int, count: int) -> list[Row]:
        """What is known of the items from an index on, in their order."""
        found: list[Row] = []
        if first > self._last:  # a stream that is past its end: 10 µs less for each item
            return found
        with self._in_words():
            for *values, mark in self._execute(_SELECT, (first, first + count)):
                row = Row(*values)
                if row.mark == mark:
                    found.append(row)
                else:
                    self.damaged += 1
        return found

    # --- Writing ----------------------------------------------------------------------------------

    def add(self, row: Row) -> None:
        """Keep an outcome with the next commit."""
        with self._lock:
            if not self._rows:
                self._oldest_s = time.perf_counter()
            self._rows[row.item_index] = row

    def due_s(self) -> float | None:
        """Seconds until what is in hand should be committed; None if there is nothing."""
        if not self._rows:
            return None
        now = time.perf_counter()
        return max(0.0, min(self._allowed_s, self._oldest_s + LATEST_S) - now)

    def commit(self) -> None:
        """Commit what is in hand.

        Raises:
            JournalError: It could not be written.
        """
        with self._lock:
            if not self._rows or self._connection is None:
                return
            before = time.perf_counter()
            try:
                self._write()
            except self._connection.Error as error:
                raise JournalError(
                    f"{len(self._rows):,} outcomes could not be written to the journal {self.path}"
                    f" ({error}). What it had before is kept: make room, then start again."
                ) from error
            now = time.perf_counter()
            self._allowed_s = max(self._allowed_s, before - BURST_S) + (now - before) / SHARE

    def _write(self) -> None:
        assert self._connection is not None
        rows = [(*row, row.mark) for row in self._rows.values()]
        if len(rows) == 1:  # a transaction by itself, in a third of the time
            self._connection.execute(_INSERT, rows[0])
        else:
            if not self._connection.in_transaction:  # a Ctrl-C may have come in between
                self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_INSERT, rows)
            self._connection.execute("COMMIT")
        # Not before: what a Ctrl-C has interrupted is written again when the journal is closed.
        self._rows = {}

    def close(self) -> None:
        """Commit what is in hand, and let go of the file.

        Raises:
            JournalError: It could not be written.
        """
        try:
            self.commit()
            if self._connection is not None:
                with self._in_words():
                    self._note(open="no")
        finally:
            self._let_go()

    def _let_go(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        """Errors of SQLite are told as those of the journal."""
        try:
            yield
        except Exception as error:
            if self._connection is None or not isinstance(error, self._connection.Error):
                raise
            raise files.refusal(self.path, error) from error

    def _execute(self, statement: str, values: tuple[Any, ...] = ()) -> Iterable[Any]:
        assert self._connection is not None
        return self._connection.execute(statement, values)
