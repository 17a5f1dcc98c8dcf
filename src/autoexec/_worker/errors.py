"""Exceptions on their way home: the traceback as text, and a stand-in for what cannot travel."""

from __future__ import annotations

import pickle

from .._errors import RemoteError
from .._pickling import dumps


def portable_error(error: BaseException) -> tuple[BaseException, str]:
    """An exception that survives pickling, and the text of its traceback.

    Reading it back is tried here, where a failure costs nothing: an exception class whose
    `__init__` takes two arguments pickles well and then cannot be made again.
    """
    import traceback  # 4 ms, which only workers whose calls fail should pay

    text = "".join(traceback.format_exception(error)).rstrip()
    try:
        again = pickle.loads(dumps(error))
        if type(again).__name__ == type(error).__name__:
            return error.with_traceback(None), text
    except Exception:  # Whatever its pickling raises, the stand-in below says what happened.
        pass
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    return RemoteError(f"{kind}: {_text(error)}"), text


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # `__str__` is user code
        return "(its text could not be made)"
