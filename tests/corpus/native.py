"""Tasks whose work is done in C, most of them without the GIL."""

from __future__ import annotations

import bz2
import functools
import hashlib
import importlib
import io
import lzma
import random
import sqlite3
import zlib
from typing import Any


@functools.cache
def noise(size: int) -> bytes:
    """Bytes that cannot be compressed, the same ones every time."""
    return random.Random(size).randbytes(size)


def digest(seed: int) -> str:
    """SHA-256 of 8 MB."""
    return hashlib.sha256(noise(8_000_000)).hexdigest() + str(seed)


def stretch_password(password: str) -> str:
    """A password made slow to guess."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt" * 4, 20_000).hex()


def deflate(level: int) -> int:
    """Compressed size of 400 kB."""
    return len(zlib.compress(noise(400_000), level))


def compress_bz2(seed: int) -> int:
    """Compressed size of 100 kB."""
    return len(bz2.compress(noise(100_000))) + seed


def compress_lzma(seed: int) -> int:
    """Compressed size of 100 kB."""
    return len(lzma.compress(noise(100_000), preset=1)) + seed


_COUNT = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 40000)
    SELECT sum(n * n % 7) FROM numbers
"""


def aggregate(seed: int) -> int:
    """A query that computes: SQLite lets go of the GIL for each step, and this is one."""
    connection = sqlite3.connect(":memory:")
    try:
        (total,) = connection.execute(_COUNT).fetchone()
    finally:
        connection.close()
    return int(total) + seed


def read_file(path: str) -> int:
    """Size of a file by reading it."""
    with open(path, "rb") as file:
        return len(file.read())


# --- With libraries that may not be installed -------------------------------------------------------


@functools.cache
def photograph() -> Any:
    """An image of 1.4 million pixels."""
    return _module("PIL.Image").effect_noise((1200, 1200), 50)


@functools.cache
def numbers(count: int) -> Any:
    """An array of numbers in no order."""
    return _module("numpy").random.default_rng(count).random(count)


def resize(width: int) -> tuple[int, int]:
    """An image made smaller."""
    size: tuple[int, int] = photograph().resize((width, width), resample=1).size
    return size


def make_noise(side: int) -> tuple[int, int]:
    """A noise image. Pillow lets go of the GIL to filter and resize, but not for this."""
    size: tuple[int, int] = _module("PIL.Image").effect_noise((side, side), 50).size
    return size


def sort_array(count: int) -> float:
    """The median of a large array, by sorting it."""
    return float(_module("numpy").sort(numbers(count))[count // 2])


def small_arrays(seed: int) -> float:
    """Many operations on arrays of eight numbers: all call overhead, and that holds the GIL."""
    array, total = numbers(8), 0.0
    for _ in range(2_000):
        total += float((array * 2 + seed).sum())
    return total


def encrypt_bytes(seed: int) -> str:
    """AES-GCM over 8 MB by OpenSSL."""
    cipher = _module("cryptography.hazmat.primitives.ciphers.aead").AESGCM(b"k" * 32)
    sealed: bytes = cipher.encrypt(seed.to_bytes(12, "big"), noise(8_000_000), None)
    return sealed[-16:].hex()


def thumbnail(side: int) -> int:
    """An image made small and packed as PNG."""
    file = io.BytesIO()
    photograph().resize((side, side), resample=1).save(file, "PNG")
    return file.getbuffer().nbytes


def _module(name: str) -> Any:
    return importlib.import_module(name)
