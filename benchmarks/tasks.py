"""Tasks of one clear kind each, large enough that the right choice shows."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import math
import random
import time


def count_primes(limit: int) -> int:
    """Primes below a limit, by trial division: Python code, which holds the GIL."""
    return sum(
        all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
        for number in range(2, limit)
    )


def wait(seconds: float) -> float:
    """A wait, as for an answer from the network."""
    time.sleep(seconds)
    return seconds


@functools.cache
def data(size: int) -> bytes:
    """Random bytes, the same ones every time."""
    return random.Random(size).randbytes(size)


def digest(size: int) -> str:
    """SHA-256 of much data, for which `hashlib` lets go of the GIL."""
    return hashlib.sha256(data(size)).hexdigest()


async def async_wait(seconds: float) -> float:
    """The wait on an event loop."""
    await asyncio.sleep(seconds)
    return seconds


def square(x: int) -> int:
    """A call that takes less than handing it to anybody."""
    return x * x
