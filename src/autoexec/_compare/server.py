"""A local HTTP server with latency: the process it is, and how to start it.

`python -m autoexec._compare.server COUNT` serves `COUNT` files of the standard library on a free
port of 127.0.0.1, writes the number of the port as its first line, and ends when its standard
input does. That is a pipe from its parent, so it cannot outlive the parent, however that ends.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import zlib
from asyncio import StreamReader, StreamWriter
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple

from .._errors import AutoexecError
from .files import pick_files

LATENCY_MS = (20, 30)
"""What a server on the same continent takes to answer."""
AT_ONCE = 64
"""Requests that are answered at the same time; the others wait their turn, as on a real server."""
BACKLOG = 1024
"""Connections that may wait to be accepted: with the default of 100, the system drops those of an
event loop that opens them all at once, and each is tried again a second later."""
STOP_S = 5.0
"""Time for the server to end by itself. It takes a few milliseconds."""


# --- Starting it ------------------------------------------------------------------------------------


class Server(NamedTuple):
    """A server that is running."""

    url: str
    pid: int


@contextmanager
def serving(count: int) -> Generator[Server, None, None]:
    """A server of `pick_files(count)` that is gone when the context is left.

    Raises:
        AutoexecError: It did not start.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us; the server goes when we let go of the pipe
    )
    with process:
        try:
            yield Server(f"http://127.0.0.1:{_port(process)}", process.pid)
        finally:
            _stop(process)


def _port(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AutoexecError(f"The local server ended with code {process.wait()} as it started.")
    return int(line)


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()


# --- Being it ---------------------------------------------------------------------------------------


class Pages:
    """Answers requests for pages, each after the latency that belongs to it."""

    def __init__(self, pages: Mapping[str, bytes]) -> None:
        self._pages = pages
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer one request and close the connection."""
        # A client that hangs up is its own affair. Being cancelled happens only at the end, and
        # asyncio 3.11 would print it.
        with suppress(OSError, EOFError, ValueError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            name = head.split(None, 2)[1].decode("ascii").removeprefix("/")
            async with self._turns:
                await asyncio.sleep(latency_s(name))
                writer.write(self._response(name))
                await writer.drain()
        writer.close()

    def _response(self, name: str) -> bytes:
        page = self._pages.get(name)
        status, body = ("404 Not Found", b"") if page is None else ("200 OK", page)
        head = f"HTTP/1.0 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        return head.encode("ascii") + body


def latency_s(name: str) -> float:
    """How long the answer for a page takes: not the same for all, but the same each time."""
    least, most = LATENCY_MS
    return (least + zlib.crc32(name.encode()) % (most - least + 1)) / 1000


async def serve(pages: Mapping[str, bytes]) -> None:
    """Serve the pages until standard input ends."""
    server = await asyncio.start_server(Pages(pages).answer, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)
    server.close()


def main() -> None:
    """What the server's process does."""
    pages = {name: path.read_bytes() for name, path in pick_files(int(sys.argv[1])).items()}
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(pages))


if __name__ == "__main__":
    main()
