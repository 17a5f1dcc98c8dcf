"""The functions that are called. Each takes one item that is no tuple and no list, since some
contenders unpack those, and returns a value that tells whether it was called rightly.

What only some of them need is imported within them, so that the others' processes do without.
"""

from __future__ import annotations

import asyncio
import bz2
import json
import re
import socket
import sqlite3
import subprocess
import sys
import time
import zlib
from importlib import import_module

TIMEOUT_S = 60.0
"""For the server's answer: a contender that asks 400 at once waits for half a second."""
WAIT_S = 0.015
WAIT_STEPS = 27_000
"""Of a mixed call: about 4 ms of Python on the machine where this was written."""
FIELD = re.compile(r"(\w+)=(?:\"([^\"]*)\"|(\S+))")


def collatz(steps: int) -> int:
    """Python arithmetic: so many steps of Collatz sequences, one start after another. Returns the
    highest number that was met. 0.15 ms per thousand steps."""
    start, value, highest = 27, 27, 27
    for _ in range(steps):
        value = value // 2 if value % 2 == 0 else 3 * value + 1
        if value > highest:
            highest = value
        if value == 1:
            start += 2
            value = start
    return highest


def slug(title: str) -> str:
    """About the least that anybody would map over."""
    return title.strip().lower().replace(" ", "-")


def compressed_size(data: bytes) -> int:
    """Compress a large text: C code that lets go of the GIL."""
    return len(bz2.compress(data))


def small_arrays(seed: int) -> float:
    """Hundreds of operations on short arrays, each of which takes a microsecond: NumPy, yet the
    interpreter between the operations holds the GIL."""
    np = import_module("numpy")  # by name: type checkers need not have it

    point = np.arange(16, dtype=float) + seed % 7
    for _ in range(600):
        point = np.cos(point) + 0.5 * point / (1.0 + point * point)
    return float(point.sum())


def large_array(seed: int) -> float:
    """A few operations on a long array, which let go of the GIL."""
    np = import_module("numpy")

    values = np.linspace(0.0, 1.0 + seed % 5, 200_000)
    return float(np.sqrt(np.sin(values) ** 2 + np.exp(-values)).sum())


def count_fields(log: str) -> int:
    """One pass of a regular expression: a single long call that holds the GIL."""
    return len(FIELD.findall(log))


def round_trip(document: str) -> int:
    """Parse a document and write it again: two calls that hold the GIL."""
    return len(json.dumps(json.loads(document), sort_keys=True))


def pause(milliseconds: int) -> int:
    """Wait, as for something far away that has room for everybody."""
    time.sleep(milliseconds / 1000)
    return milliseconds


def ask(address: str) -> str:
    """Ask the server. The address is `port/question`."""
    port, question = address.split("/")
    with socket.create_connection(("127.0.0.1", int(port)), TIMEOUT_S) as line:
        line.sendall(question.encode() + b"\n")
        return line.makefile("r").readline().strip()


def file_checksum(path: str) -> int:
    """Read a small file that the system has in memory."""
    with open(path, "rb") as file:
        return zlib.adler32(file.read())


def wait_and_compute(number: int) -> int:
    """A mixed call: a wait and then Python, as of a page that is fetched and parsed."""
    time.sleep(WAIT_S)
    return collatz(WAIT_STEPS) + number


async def wait_and_compute_async(number: int) -> int:
    """The same as a coroutine."""
    await asyncio.sleep(WAIT_S)
    return collatz(WAIT_STEPS) + number


def wait_or_compute(code: int) -> int:
    """Wait so many milliseconds if the code is negative, else compute so many steps."""
    return pause(-code) if code < 0 else collatz(code)


def child_process(number: int) -> str:
    """Have a program do something, and wait for what it prints."""
    code = f"print(sum(i * i for i in range(150_000)) + {number})"
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return done.stdout.decode().strip()


def thumbnail(shade: int) -> int:
    """Shrink a picture: C code that lets go of the GIL."""
    image = import_module("PIL.Image")  # by name, as above

    picture = image.new("RGB", (900, 900), (shade % 256, 7, 200))
    return int(picture.resize((300, 300), image.Resampling.LANCZOS).getpixel((9, 9))[0])


def query(limit: int) -> int:
    """Ask a database in memory, over a connection of its own: C code that lets go of the GIL for each row, and
    shares the locks of its allocator."""
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT sum(i % 7) FROM n"
    connection = sqlite3.connect(":memory:")
    try:
        return int(connection.execute(sql, (limit,)).fetchone()[0])
    finally:
        connection.close()


async def compute_async(number: int) -> int:
    """A coroutine that only computes, for 3 ms: no other can run meanwhile."""
    return collatz(20_000) + number


class Model:
    """An object with much in it, one of whose methods is called.

    Args:
        size_bytes: How much.
    """

    def __init__(self, size_bytes: int) -> None:
        self.weights = b"0123456789abcdef" * (size_bytes // 16)

    def score(self, number: int) -> int:
        """Compute for some milliseconds, and look at a place of the weights."""
        return collatz(25_000) + self.weights[number * 997 % len(self.weights)]


def handle(number: int) -> int:
    """A small part of answering a request: a look-up that takes two milliseconds to come back."""
    time.sleep(0.002)
    return number * number
