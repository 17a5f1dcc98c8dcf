"""Bytes of functions, items and results, as they travel to and from worker processes."""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Callable
from typing import Any

from ._errors import NotPicklable, short_repr
from ._types import Payload

PROTOCOL = 5
SMALL_BYTES = 1 << 20
"""Above this an item is not pickled just to see what it costs: its size says enough."""
BYTES_PER_S = 1e9
"""What pickle moves for plain bytes; used only where nothing was pickled."""


def dumps(value: Any) -> bytes:
    """Pickle a value so that any fresh interpreter with the same modules can read it.

    The C pickler is tried first, since it is several times as fast as cloudpickle's; but what it
    refers to in `__main__` does not exist in a worker, so that goes by value.

    Raises:
        NotPicklable: With the type that could not be pickled and what to do.
    """
    try:
        data = pickle.dumps(value, PROTOCOL)
        if b"__main__" not in data:
            return data
    except Exception:  # Any class may raise anything here; cloudpickle can do more, so it is tried.
        pass
    import cloudpickle  # type: ignore[import-untyped]  # 20 ms, which runs without processes should not pay

    try:
        by_value: bytes = cloudpickle.dumps(value, PROTOCOL)
    except Exception as exc:
        raise NotPicklable(
            f"{short_repr(value)} of type {type(value).__name__} cannot travel to or from a"
            f" process: {exc}. Pass or return something that can be pickled, or use"
            " backend='threads'."
        ) from exc
    return by_value


def loads(data: bytes) -> Any:
    """The value again."""
    return pickle.loads(data)


def weigh(fn: Callable[..., Any], item: Any, result: Any) -> Payload:
    """Find what it takes to run `fn` on such an item in another process.

    Args:
        fn: Pickled whole, since each worker will need it once.
        item: A sample; not pickled if it is plainly large.
        result: A sample of what `fn` returns, or None before there is one.
    """
    try:
        fn_bytes = len(dumps(fn))
    except NotPicklable as exc:
        return Payload(0, 0, 0, 0.0, f"the function cannot be pickled ({exc.__cause__})")
    sizes: list[int] = []
    seconds = 0.0
    for what, value in (("an item", item), ("a result", result)):
        try:
            size, spent = _size(value)
        except NotPicklable as exc:
            return Payload(fn_bytes, 0, 0, 0.0, f"{what} cannot be pickled ({exc.__cause__})")
        sizes.append(size)
        seconds += spent
    return Payload(fn_bytes, sizes[0], sizes[1], seconds, None)


def _size(value: Any) -> tuple[int, float]:
    """Pickled bytes of a value, and the seconds to pickle it and read it back."""
    plain = _plain_size(value)
    if plain > SMALL_BYTES:
        return plain, 2 * plain / BYTES_PER_S
    before = time.perf_counter()
    size = len(dumps(value))
    # Reading back costs about as much as writing; it is not tried, since it would run user code
    # that the caller's process may never need to run.
    return size, 2 * (time.perf_counter() - before)


def _plain_size(value: Any) -> int:
    """Bytes of a value that is one buffer, without copying it; 0 for anything else."""
    if isinstance(value, (bytes, bytearray, str)):
        return len(value)
    try:
        nbytes = getattr(value, "nbytes", 0)  # NumPy arrays, memoryviews, pandas
    except Exception:  # a property is user code, and this is only an estimate
        return 0
    return nbytes if isinstance(nbytes, int) else sys.getsizeof(value, 0)


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
