"""Exceptions on their way home: the traceback as text, and a stand-in for what cannot travel."""

from __future__ import annotations

from .._errors import RemoteError
from .._pickling import dumps, loads


def pack_error(error: BaseException) -> tuple[bytes, str]:
    """An exception, pickled so that it can be read back, and the text of its traceback.

    Reading it back is tried here, where a failure costs nothing: an exception class whose
    `__init__` takes two arguments pickles well and then cannot be made again.
    """
    text = _formatted(error)
    return _packed(error) or dumps(_stand_in(error)), text


def portable_error(error: BaseException) -> tuple[BaseException, str]:
    """The same for an executor that does its own pickling, or none: an exception that survives it."""
    text = _formatted(error)
    return error.with_traceback(None) if _packed(error) else _stand_in(error), text


def _formatted(error: BaseException) -> str:
    import traceback  # 4 ms, which only workers whose calls fail should pay

    try:
        return "".join(traceback.format_exception(error)).rstrip()
    except BaseException:  # a SyntaxError whose line of code is a number, say
        return str(_stand_in(error))


def _packed(error: BaseException) -> bytes | None:
    """The pickled exception, or None if it cannot be pickled and read back."""
    try:
        data = dumps(error)
        return data if type(loads(data)).__name__ == type(error).__name__ else None
    except BaseException:  # whatever its pickling raises
        return None


def _stand_in(error: BaseException) -> RemoteError:
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    return RemoteError(f"{kind}: {_text(error)}")


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # also a KeyboardInterrupt, unlike `text_of`: here it is no Ctrl-C
        return "(its text could not be made)"
