"""Exceptions on their way home: the traceback as text, and a copy or a stand-in for what cannot travel."""

from __future__ import annotations

import types

from .._errors import RemoteError, annotate, with_traceback
from .._pickling import dumps, loads

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


def pack_error(error: BaseException) -> tuple[bytes, str]:
    """An exception, pickled so that it can be read back, and the text of its traceback.

    Reading it back is tried here, where a failure costs nothing: an exception class whose `__init__` takes
    two arguments pickles well and then cannot be made again, or not with the same text. Such a one is copied
    without asking its class, so that `except` and `retries` see the type that they would see on a thread.
    """
    pickled, same = _packed(error, error)
    if not same:
        copied, same = _packed(_Copied(error), error)
        # One whose text has an address in it never has the same.
        pickled = copied if same else pickled or copied
    return pickled or dumps(_stand_in(error)), _formatted(error)


def portable_error(error: BaseException) -> tuple[BaseException, str]:
    """The same for an executor that does its own pickling, or none: an exception that survives it."""
    text = _formatted(error)
    pickled, _ = _packed(error, error)
    return _stand_in(error) if pickled is None else with_traceback(error, None), text


def _formatted(error: BaseException) -> str:
    import traceback  # 4 ms, which only workers whose calls fail should pay

    try:
        return "".join(traceback.format_exception(error)).rstrip()
    except BaseException:  # a SyntaxError whose line of code is a number, say
        return str(_stand_in(error))


def _packed(value: BaseException | _Copied, error: BaseException) -> tuple[bytes | None, bool]:
    """The pickled value, or None if nothing of the error's class can be made from it; and whether that has the
    same text."""
    try:
        data = dumps(value)
        again = loads(data)
        if type(again).__name__ != type(error).__name__:
            return None, False
        return data, _text(again) == _text(error)
    except BaseException:  # whatever its pickling raises
        return None, False


class _Copied:
    """An exception on its way, with what of its state can travel."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Callable[..., BaseException], tuple[Any, ...]]:
        error = self._error
        kept = {name: value for name, value in _state_of(error) if _travels(value)}
        lost = [name for name, _ in _state_of(error) if name not in kept]
        args = error.args if _travels(error.args) else (_text(error),)
        return _make, (type(error), args, kept, lost)


def _make(
    kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any], lost: list[str]
) -> BaseException:
    """An exception of that class, made without its `__init__`."""
    builtin: Any = next(one for one in kind.__mro__ if one.__module__ == "builtins")
    error: BaseException = builtin.__new__(kind, *args)
    BaseException.args.__set__(error, args)  # type: ignore[attr-defined]  # a class may forbid it
    members = dict(_members(kind))
    for name, value in state.items():
        if name in members:
            members[name].__set__(error, value)
        else:
            error.__dict__[name] = value
    if lost:
        names = ", ".join(f".{name}" for name in lost)
        annotate(error, f"It has lost {names} on its way from a worker process.")
    return error


def _state_of(error: BaseException) -> Iterator[tuple[str, Any]]:
    """What an exception holds beside its `args`, without running any code of its class."""
    yield from error.__dict__.items()
    for name, member in _members(type(error)):
        try:
            value = member.__get__(error)
        except AttributeError:  # a slot that was never set
            continue
        if value is not None:
            yield name, value


def _members(kind: type) -> Iterator[tuple[str, types.MemberDescriptorType]]:
    """The slots of a class, such as `OSError.filename`."""
    for one in kind.__mro__:
        for name, member in vars(one).items():
            if isinstance(member, types.MemberDescriptorType) and not name.startswith("__"):
                yield name, member


def _travels(value: object) -> bool:
    try:
        loads(dumps(value))
    except BaseException:  # whatever its pickling raises
        return False
    return True


def _stand_in(error: BaseException) -> RemoteError:
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    return RemoteError(f"{kind}: {_text(error)}")


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # also a KeyboardInterrupt, unlike `text_of`: here it is no Ctrl-C
        return "(its text could not be made)"
