"""A server that serves so many at a time: one line in, one line out, after a wait. Lines that begin with `alone` are
served one at a time, and sooner.

`python -m benchmarks.arena.server` listens on a free port of 127.0.0.1, writes the number of the port
as its first line, and ends when its standard input does: it cannot outlive who started it.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from contextlib import suppress

AT_ONCE = 16
"""Requests that are served at the same time; all others wait for their turn."""
SERVICE_S = 0.02
"""What serving one takes: that of a query to a database nearby. Chosen, not measured."""
ALONE_S = 0.004
"""The same of one that is served alone, as where others wait for a lock."""
BACKLOG = 1024
"""Connections that may wait to be accepted. Beyond the default of 100 they would be dropped, and tried
again a second later."""


async def serve() -> None:
    """Serve until standard input ends."""
    turns, turn = asyncio.Semaphore(AT_ONCE), asyncio.Lock()

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        # A client that was given up hangs up: its own affair.
        with suppress(OSError, asyncio.CancelledError):
            line = await reader.readline()
            alone = line.startswith(b"alone")
            async with turn if alone else turns:
                await asyncio.sleep(ALONE_S if alone else SERVICE_S)
            writer.write(line[::-1].strip() + b"\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)
    server.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve())
