"""What it would take to run a function in another process: sizes and times of pickling."""

from __future__ import annotations

import sys
import time
from typing import Any

from ._errors import NotPicklable, text_of_cause
from ._pickling import Packed, dumps, size_of
from ._types import Payload

SMALL_BYTES = 1 << 20
"""Above this an item is not pickled just to see what it costs: its size says enough."""
QUICK_S = 1e-3
REPEATS = 3
"""What takes less than `QUICK_S` is pickled so many times more: of an integer the first time was
seen to take 24 µs, the others 1."""
BYTES_PER_S = 1e9
"""What pickle moves for plain bytes; used only where nothing was pickled."""


def weigh(fn: Packed, item: Any, result: Any) -> Payload:
    """Find what it takes to run a function on such an item in another process.

    Args:
        fn: Pickled whole, since each worker will need it once.
        item: A sample; not pickled if it is plainly large.
        result: A sample of what `fn` returns, or None before there is one.
    """
    try:
        fn_bytes = size_of(fn.wire())
    except NotPicklable as exc:
        return Payload(0, 0, 0, 0.0, f"the function cannot be pickled ({text_of_cause(exc)})")
    sizes: list[int] = []
    seconds = 0.0
    for what, value in (("an item", item), ("a result", result)):
        try:
            size, spent = _size(value)
        except NotPicklable as exc:
            return Payload(fn_bytes, 0, 0, 0.0, f"{what} cannot be pickled ({text_of_cause(exc)})")
        sizes.append(size)
        seconds += spent
    return Payload(fn_bytes, sizes[0], sizes[1], seconds, None)


def _size(value: Any) -> tuple[int, float]:
    """Pickled bytes of a value, and the seconds to pickle it and read it back."""
    plain = _plain_size(value)
    if plain > SMALL_BYTES:
        return plain, 2 * plain / BYTES_PER_S
    size, spent = _pickle(value)
    for _ in range(REPEATS):
        if spent < QUICK_S:
            spent = min(spent, _pickle(value)[1])
    # Reading back costs about as much as writing; it is not tried, since it would run user code
    # that the caller's process may never need to run.
    return size, 2 * spent


def _pickle(value: Any) -> tuple[int, float]:
    """Pickled bytes of a value, and this thread's CPU seconds for it: beside calls that hold the
    GIL, a wall clock shows how long that was waited for."""
    before = time.thread_time()
    size = len(dumps(value))
    return size, time.thread_time() - before


def _plain_size(value: Any) -> int:
    """Bytes of a value that is one buffer, without copying it; 0 for anything else."""
    if isinstance(value, (bytes, bytearray, str)):
        return len(value)
    try:
        nbytes = getattr(value, "nbytes", 0)  # NumPy arrays, memoryviews, pandas
    except Exception:  # a property is user code, and this is only an estimate
        return 0
    return nbytes if isinstance(nbytes, int) else sys.getsizeof(value, 0)
