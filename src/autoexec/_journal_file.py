"""The file of a journal: whether it may be used, whether it is whole, and what is left of it if not."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from ._errors import JournalError
from ._stored import Row

if TYPE_CHECKING:
    import sqlite3

APPLICATION = 0x61757458
"""In the header of the file: SQLite's place for telling whose a database is."""
VERSION = 1
CHECKPOINT_PAGES = 4000
"""Pages of 4 kB in the write-ahead log at which it is merged into the file: 16 MB, every few seconds at
most. Not tuned: SQLite's own 1,000 wait for the disk four times as often."""
BESIDE = ("-wal", "-journal", "-shm")
"""What SQLite reads beside a database of its name."""


def hold(path: str) -> sqlite3.Connection:
    """Open the file for this process alone; it is made if it is not there.

    Raises:
        JournalError: Somebody else holds it, could write to it, or it cannot be opened.
    """
    try:
        import sqlite3
    except ImportError as error:  # some builds are without it
        raise JournalError(
            "resume= keeps its journal in SQLite, but this Python has no module sqlite3."
        ) from error
    _make(path)
    before = check(path)
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        # Exclusive: held until it is closed or this process ends, however that ends. It must be said
        # first: then there is no file of shared memory either.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Else SQLite refuses to read a file that was cut short at all. No schema is written here.
        connection.execute("PRAGMA writable_schema = ON")
        _refuse_others(connection, path)  # before anything in it is changed
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
        # Again, now that it is open: it is the file that was looked at, and so is its log.
        if check(path) != before:
            raise JournalError(f"The journal {path} was replaced while it was opened.")
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise refusal(path, error) from error
        raise
    return connection


def _make(path: str) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        # Not opened to look at it: as POSIX has it, closing it again would end the hold that
        # another run of this process may have on it.
        return
    except OSError as error:
        raise JournalError(
            f"The journal {path} cannot be made ({error.strerror}): name a file in a directory that"
            " is there, and that you may write to."
        ) from error


def check(path: str) -> tuple[int, int]:
    """Refuse a file that somebody else may have written to: what is in it is unpickled, so it could
    make this process do anything.

    On Windows only links are refused: who may write to the file is for its directory to say.

    Returns:
        What tells the file from others.

    Raises:
        JournalError: It is no regular file of this user's that nobody else can write to.
    """
    found = os.lstat(path)
    for name, status in [(path, found), *_beside(path)]:
        if not stat.S_ISREG(status.st_mode):
            raise JournalError(f"The journal {name} is not a regular file: name the file itself.")
        if sys.platform == "win32":
            continue
        if status.st_uid != os.geteuid():
            raise JournalError(
                f"The journal {name} belongs to user {status.st_uid}, and this is user"
                f" {os.geteuid()}: results are read back only from a file of your own."
            )
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise JournalError(
                f"The journal {name} can be written by others (mode {stat.S_IMODE(status.st_mode):o}),"
                " who could have results in it run anything when they are read back. If you trust"
                " what is in it: chmod 600."
            )
    return found.st_dev, found.st_ino


def _beside(path: str) -> Iterator[tuple[str, os.stat_result]]:
    for end in BESIDE:
        with suppress(FileNotFoundError):
            yield path + end, os.lstat(path + end)


def refusal(path: str, error: Exception) -> JournalError:
    """An error of SQLite's, in words for those who know nothing of it."""
    text = str(error)
    if "locked" in text or "busy" in text:
        return JournalError(
            f"The journal {path} is in use by another run, here or in another process: wait until"
            " that has ended, or give this one a file of its own."
        )
    if "not a database" in text:
        return _not_a_journal(path)
    return JournalError(f"The journal {path} cannot be used ({error}).")


def _not_a_journal(path: str) -> JournalError:
    return JournalError(
        f"{path} is no journal of autoexec, or its beginning is damaged, so it was left as it is:"
        " name another file, or move it away to begin anew."
    )


def _refuse_others(connection: sqlite3.Connection, path: str) -> None:
    """Refuse a database of something else, or of a later version."""
    if is_new(connection):
        return
    if _read(connection, "PRAGMA application_id") != APPLICATION:
        raise _not_a_journal(path)
    version = _read(connection, "PRAGMA user_version")
    if version != VERSION:
        raise JournalError(
            f"The journal {path} is of version {version}, and this autoexec writes {VERSION}: use"
            " the autoexec that wrote it, or another file."
        )


def is_new(connection: sqlite3.Connection) -> bool:
    """Whether nothing has been written to it yet."""
    if _read(connection, "PRAGMA application_id"):
        return False
    return not _read(connection, "SELECT count(*) FROM sqlite_master")


def is_damaged(connection: sqlite3.Connection) -> bool:
    """Whether some of it cannot be read."""
    try:
        if _read(connection, "PRAGMA quick_check(1)") != "ok":
            return True
        connection.execute("PRAGMA writable_schema = OFF")
        return False
    except connection.DatabaseError:
        return True


def _read(connection: sqlite3.Connection, statement: str) -> Any:
    return connection.execute(statement).fetchone()[0]


# --- What is left of a damaged one ---------------------------------------------------------------------


def salvage(
    damaged: sqlite3.Connection, path: str, tables: Iterable[str], insert: str
) -> sqlite3.Connection:
    """Put what can be read of a damaged journal into a new one, keep the damaged one, and say so.

    Raises:
        JournalError: Not even what it belongs to can be read.
    """
    made = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(made)
    with closing(damaged):
        about = _readable(damaged, "about", "name")
        rows = [
            row
            for row in _readable(damaged, "outcomes", "item_index")
            if Row(*row[:-1]).mark == row[-1]
        ]
    if not about:
        raise _not_a_journal(path)
    _make(made)
    with closing(hold(made)) as fresh:
        fresh.execute("BEGIN")
        for statement in tables:
            fresh.execute(statement)
        fresh.executemany("INSERT INTO about VALUES (?, ?)", about)
        fresh.executemany(insert, rows)
        fresh.execute("COMMIT")
        fresh.execute("PRAGMA journal_mode = DELETE")  # all of it in one file
    kept = _keep(path)
    os.replace(made, path)
    warnings.warn(
        f"The journal {path} is damaged: {len(rows):,} outcomes could be read, the other items are"
        f" called again. The damaged file is kept as {kept}.",
        RuntimeWarning,
        stacklevel=2,
    )
    return hold(path)


def _keep(path: str) -> str:
    """Copy the damaged file away, and its log, which must not be taken for that of the new one."""
    number = 1
    while os.path.lexists(kept := f"{path}.damaged-{number}"):
        number += 1
    for end in ("", *BESIDE):
        if os.path.lexists(path + end):
            _make(kept + end)
            shutil.copyfile(path + end, kept + end, follow_symlinks=False)
    for end in BESIDE:
        with suppress(FileNotFoundError):
            os.unlink(path + end)
    return kept


def _readable(damaged: sqlite3.Connection, table: str, key: str) -> list[Any]:
    """The rows that can be read from either end, up to where it is damaged."""
    found: dict[Any, Any] = {}
    for order in ("ASC", "DESC"):
        try:
            for row in damaged.execute(f"SELECT * FROM {table} ORDER BY {key} {order}"):
                if row[0] in found:
                    break
                found[row[0]] = row
        except damaged.DatabaseError:
            continue
    return list(found.values())
