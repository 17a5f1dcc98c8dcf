"""Outcomes as a journal keeps them: JSON where that is exact, else a pickle. Pure.

Each row bears a mark, a digest of all that is in it: SQLite sees that a page is damaged only if its
structure is, so that a result could otherwise come back changed.
"""

from __future__ import annotations

import json
import math
import pickle
import re
from hashlib import blake2b
from typing import Any, NamedTuple

from ._errors import NotPicklable, RemoteError
from ._pickling import PROTOCOL, dumps, loads

MARK_BYTES = 8


class Row(NamedTuple):
    """The outcome of an item: one of `json` and `pickle`, or `failed` and perhaps a pickle."""

    item_index: int
    item_digest: bytes
    json: str | None
    pickle: bytes | None
    """The result, or the exception."""
    failed: str | None
    """`module.Type: text` of the exception."""
    seconds: float
    """How long the call ran, or the mean of those that were timed together."""

    @property
    def mark(self) -> bytes:
        """The digest of all of it."""
        made = blake2b(digest_size=MARK_BYTES)
        made.update(repr((*self[:3], self.failed, self.seconds)).encode())
        made.update(self.pickle or b"")
        return made.digest()


def row_of_value(index: int, item: bytes, value: Any, seconds: float) -> Row:
    """A result as it is kept.

    Raises:
        NotPicklable: It cannot be.
    """
    if _is_json(value):
        try:
            return Row(index, item, json.dumps(value), None, None, seconds)
        except (ValueError, RecursionError):  # digits without end; a list that holds itself
            pass
    return Row(index, item, None, _pickled(value), None, seconds)


def row_of_error(index: int, item: bytes, error: Exception, seconds: float) -> Row:
    """A failure as it is kept: its type, its text, and itself if it can be."""
    kind = type(error)
    try:
        text = f"{kind.__module__}.{kind.__qualname__}: {error}"
    except Exception:  # `__str__` is user code
        text = f"{kind.__module__}.{kind.__qualname__}"
    try:
        data = _pickled(error)
    except NotPicklable:
        data = None
    return Row(index, item, None, data, text.encode("utf-8", "replace").decode(), seconds)


def value_of(row: Row) -> Any:
    """The result again.

    Raises:
        Exception: Whatever the classes of a pickled result raise, or that they are not there.
    """
    return pickle.loads(row.pickle) if row.json is None else json.loads(row.json)  # type: ignore[arg-type]


def error_of(row: Row) -> Exception:
    """The exception again; if it cannot be made, one that says what it was."""
    if row.pickle is not None:
        try:
            error = loads(row.pickle)
        except Exception:  # its class is gone, or takes other arguments
            error = None
        if isinstance(error, Exception):
            return error
    return RemoteError(row.failed or "an error of which nothing is known")


def _pickled(value: Any) -> bytes:
    # By reference wherever that goes: the next process runs the same program, so what it reads back
    # should be of its own classes.
    try:
        return pickle.dumps(value, PROTOCOL)
    except Exception:  # whatever its class raises: cloudpickle can do more
        return dumps(value)


_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def _is_text(value: str) -> bool:
    """Whether it has no two halves of a surrogate pair, which JSON reads as one character."""
    if value.isascii():
        return True
    return not _PAIR.search(value)


def _is_json(value: Any) -> bool:
    """Whether JSON gives back the very same: types, not equality."""
    kind = type(value)
    if kind is str:
        return _is_text(value)
    if kind is int or kind is bool or value is None:
        return True
    if kind is float:
        return math.isfinite(value)
    try:
        if kind is list:
            return all(map(_is_json, value))
        if kind is dict:
            keys_too = all(type(key) is str and _is_text(key) for key in value)
            return keys_too and all(map(_is_json, value.values()))
    except RecursionError:
        return False
    return False
