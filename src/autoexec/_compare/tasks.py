"""The tasks: functions that worker processes can import, and the input of each.

What only some of the functions need is imported inside them, so that the worker processes of the
others do not pay for it.
"""

from __future__ import annotations

import dis
import hashlib
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from types import CodeType
from typing import Any, Literal

Way = Literal["serial", "threads", "processes", "asyncio", "auto"]
PLAIN: tuple[Way, ...] = ("serial", "threads", "processes", "auto")
COROUTINES: tuple[Way, ...] = ("serial", "asyncio", "auto")

BUFFER_BYTES = 1 << 20
"""Large enough that the hash runs without the GIL nearly all of the time."""
HASHES = 8
"""Times that each buffer is hashed: with 1 to 2 ms for each, a call takes about 10 ms."""
TIMEOUT_S = 30.0
"""For one answer of the local server. Far more than it takes: a stuck server must not hang us."""


def compile_file(path: str) -> int:
    """Compile a source file. Returns the number of instructions that it comes to."""
    return _instructions(Path(path).read_bytes(), path)


def _instructions(source: bytes, name: str) -> int:
    # Without syntax trees as Python objects: where several threads make them, CPython 3.11 now and
    # then takes their depths for one (gh-106905) and raises SystemError.
    count = 0
    todo = [compile(source, name, "exec", dont_inherit=True)]
    while todo:
        code = todo.pop()
        count += sum(1 for _ in dis.get_instructions(code))
        todo += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return count


def checksum(path: str) -> str:
    """Hash a file's content, repeated to fill a large buffer, several times over."""
    content = Path(path).read_bytes()
    buffer = content * (BUFFER_BYTES // len(content) + 1)
    # The same algorithm in C everywhere. SHA-256 takes from 0.5 to 4 ms, by what the CPU offers.
    state = hashlib.blake2b()
    for _ in range(HASHES):
        state.update(buffer)
    return state.hexdigest()


def fetch(url: str) -> int:
    """Fetch a page and wait for it. Returns the checksum of its bytes."""
    return zlib.crc32(_get(url))


def _get(url: str) -> bytes:
    import http.client
    from urllib.parse import urlsplit

    # Not `urllib.request`: that would ask a proxy for the page, where one is configured.
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    _check_status(url, response.status)
    return body


async def fetch_async(url: str) -> int:
    """Fetch a page without blocking the event loop. Returns the checksum of its bytes."""
    import asyncio

    return zlib.crc32(await asyncio.wait_for(_get_async(url), TIMEOUT_S))


async def _get_async(url: str) -> bytes:
    import asyncio
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET {parts.path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode("ascii"))
        # In HTTP/1.0 the end of the connection is the end of the page.
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    _check_status(url, int(head.split(None, 2)[1]))
    return body


def _check_status(url: str, status: int) -> None:
    if status != 200:
        raise OSError(f"The server answered {url} with status {status}.")


def path_length(path: str) -> int:
    """The length of a text: about the least that a call can do."""
    return len(path)


def fetch_and_compile(url: str) -> int:
    """Fetch a source file, then compile it. Returns the number of instructions."""
    return _instructions(_get(url), url)


@dataclass(frozen=True, slots=True)
class Task:
    """A function, its input, and the ways to run it that are compared."""

    name: str
    what: str
    """What one call does, in words."""
    fn: Callable[[str], Any]
    """May be `async def`."""
    items: list[str]
    ways: tuple[Way, ...] = PLAIN


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much input there is."""

    files: int
    """Different files. Where a task makes more calls than that, it goes round again."""
    compile: int
    hash: int
    fetch: int
    mixed: int
    tiny: int


QUICK = Sizes(files=60, compile=60, hash=40, fetch=20, mixed=20, tiny=50_000)
FULL = Sizes(files=150, compile=300, hash=250, fetch=150, mixed=150, tiny=200_000)
"""Every way takes a few seconds at most, on two cores."""


def make_tasks(paths: Iterable[str], urls: Iterable[str], sizes: Sizes) -> list[Task]:
    """The tasks over these files and the pages with the same content."""
    paths, urls = list(paths), list(urls)
    sources, buffers = _round(paths, sizes.compile), _round(paths, sizes.hash)
    pages, mixed = _round(urls, sizes.fetch), _round(urls, sizes.mixed)
    return [
        Task("compile", "compiles a file and walks through the result", compile_file, sources),
        Task("hash", "hashes a file's content in large buffers", checksum, buffers),
        Task("fetch", "fetches a page and blocks its thread meanwhile", fetch, pages),
        Task("fetch async", "fetches a page as a coroutine", fetch_async, pages, COROUTINES),
        Task(
            "fetch+compile",
            "fetches a file, then compiles it like the first task",
            fetch_and_compile,
            mixed,
        ),
        Task("tiny", "takes the length of a short text", path_length, _round(paths, sizes.tiny)),
    ]


def _round(values: list[str], count: int) -> list[str]:
    return list(islice(cycle(values), count))
