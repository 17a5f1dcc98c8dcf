"""Bytes of functions, items and results, as they travel to and from worker processes.

A pickled value on its way is a `Wire`: mostly just bytes. Large buffers, such as those of arrays,
are not copied into the pickle but go beside it (protocol 5, out of band): the pipe is written from
the very memory of the sender's object and read into what becomes the receiver's, which may
therefore be written to. Worker processes import this at their start, so it imports little.
"""

from __future__ import annotations

import pickle

from ._errors import NotPicklable, short_repr

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from typing import Any

    Wire = bytes | tuple[Any, ...]

PROTOCOL = 5
LARGE_BYTES = 1 << 16
"""A buffer of this size or more is not copied: one more buffer costs 5 µs, as copying 64 kB does."""


def pack(value: Any) -> Wire:
    """Pickle a value so that any fresh interpreter with the same modules can read it.

    Returns:
        The pickle, or if there is anything large in it: the pickle, then its buffers. A large
        bytes object is a buffer by itself, in the place of the pickle None.

    Raises:
        NotPicklable: With the type that could not be pickled and what to do.
    """
    if type(value) is bytes and len(value) >= LARGE_BYTES:
        return None, pickle.PickleBuffer(value)
    buffers: list[pickle.PickleBuffer] = []
    data = _dumps(value, buffers)
    if not buffers and len(data) < LARGE_BYTES:
        return data
    return pickle.PickleBuffer(data), *buffers


def unpack(wire: Wire) -> Any:
    """The value again. It may use the very memory of the wire."""
    if isinstance(wire, bytes):
        return pickle.loads(wire)
    data, *buffers = wire
    return bytes(buffers[0]) if data is None else pickle.loads(data, buffers=buffers)


def dumps(value: Any) -> bytes:
    """Pickle a value into one piece of bytes; see `pack`."""
    return _dumps(value, None)


def loads(data: bytes) -> Any:
    """The value again."""
    return pickle.loads(data)


def _dumps(value: Any, buffers: list[pickle.PickleBuffer] | None) -> bytes:
    """The pickle. Large buffers are appended to the list, if there is one.

    The C pickler is tried first, since it is several times as fast as cloudpickle's; but what it
    refers to in `__main__` does not exist in a worker, so that goes by value.
    """

    def stays(buffer: pickle.PickleBuffer) -> bool:
        with buffer.raw() as raw:
            small = raw.nbytes < LARGE_BYTES
        if not small:
            assert buffers is not None
            buffers.append(buffer)
        return small

    aside = None if buffers is None else stays
    try:
        data = pickle.dumps(value, PROTOCOL, buffer_callback=aside)
        if b"__main__" not in data:
            return data
    except BaseException as exc:
        # Any class may raise anything here; cloudpickle can do more, so it is tried.
        if isinstance(exc, KeyboardInterrupt):  # the user's, not the item's
            raise
    import cloudpickle  # type: ignore[import-untyped]  # 20 ms, which runs without processes should not pay

    if buffers:
        buffers.clear()
    try:
        by_value: bytes = cloudpickle.dumps(value, PROTOCOL, buffer_callback=aside)
    except BaseException as exc:
        if isinstance(exc, KeyboardInterrupt):
            raise
        raise NotPicklable(
            f"{short_repr(value)} of type {type(value).__name__} cannot travel to or from a"
            f" process: {exc or type(exc).__name__}. Pass or return something that can be pickled,"
            " or use backend='threads'."
        ) from exc
    return by_value


class Portable:
    """Carries a value to an executor that may pickle it or not.

    In a thread the value arrives as the very object; in a process by the pickling of this module.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self._data: bytes | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self._data is None:
            self._data = dumps(self.value)
        return _unpack, (self._data,)


def _unpack(data: bytes) -> Portable:
    return Portable(loads(data))
