"""A server with latency, run as a process of its own: `python server.py` prints its two ports.

By HTTP every path is answered after 20 ms, `/text` with 60 kB; the other port speaks lines. It ends
when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import StreamReader, StreamWriter

LATENCY_S = 0.02
TEXT = b"the quick brown fox jumps over the lazy dog and on it goes " * 1500


async def answer_http(reader: StreamReader, writer: StreamWriter) -> None:
    """One request, one answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(LATENCY_S)
    body = TEXT if head.startswith(b"GET /text") else b"x" * 512
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
    writer.write(body)
    await writer.drain()
    writer.close()


async def answer_line(reader: StreamReader, writer: StreamWriter) -> None:
    """One line, one answer."""
    line = await reader.readline()
    await asyncio.sleep(LATENCY_S)
    writer.write(line.upper())
    await writer.drain()
    writer.close()


async def main() -> None:
    """Serve until standard input ends."""
    http = await asyncio.start_server(answer_http, "127.0.0.1", 0, backlog=512)
    lines = await asyncio.start_server(answer_line, "127.0.0.1", 0, backlog=512)
    print(*(server.sockets[0].getsockname()[1] for server in (http, lines)), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
