"""Items from lines of text, results as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .._errors import AutoexecError, short_repr, text_of

Format = str
FORMATS = ("auto", "json", "lines")
STARTS = tuple('{["')
"""What a first line that is JSON begins with. A number alone may as well be plain text."""


def read(lines: Iterable[str], how: Format) -> Iterator[Any]:
    """The items, one a line; blank lines are left out.

    Args:
        lines: With or without their line ends.
        how: `json`, `lines` (the text itself), or `auto`: JSON if the first line is an object, an
            array or a string in JSON.

    Raises:
        AutoexecError: A line is not JSON.
    """
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        if how == "auto":
            how = "json" if text.lstrip().startswith(STARTS) and _is_json(text) else "lines"
        yield _parsed(text, number) if how == "json" else text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def is_number(text: str) -> bool:
    """Whether a line might be meant as one."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parsed(text: str, number: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AutoexecError(
            f"Line {number} of the input is not JSON ({error}): {short_repr(text)}. For lines of"
            " plain text pass --input lines."
        ) from None


class Encoded:
    """Calls a function and gives its result as JSON.

    Encoding is a part of the call, so it runs where the call does, beside others, and a result that
    is not JSON is an error of its item, for `--on-error` to deal with.
    """

    def __init__(self, fn: Callable[[Any], Any]) -> None:
        self.fn = fn
        self.__wrapped__ = fn  # so that reports and the analysis of its code see through it

    def __call__(self, item: Any) -> str:
        return encode(self.fn(item))


class EncodedAsync(Encoded):
    """The same for a coroutine function."""

    async def __call__(self, item: Any) -> str:  # type: ignore[override]
        return encode(await self.fn(item))


def encode(result: Any) -> str:
    """A result as a line of JSON.

    Raises:
        TypeError: It is none.
    """
    try:
        return _dumped(result)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"The result {short_repr(result)} cannot be written as JSON ({error}): return numbers,"
            " texts, lists, dicts, True, False or None."
        ) from None


def failure_line(index: int, error: BaseException) -> str:
    """The line in the place of a result that there is none of: `{"index", "error", "type"}`."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    return _dumped({"index": index, "error": text_of(error), "type": name})


def _dumped(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, or bytes that were no UTF-8
        return json.dumps(value, allow_nan=False)
    return text
