"""Tasks that wait: for time, for the network, for a lock, for other processes."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request

from .computing import compute, count_words
from .native import digest

LOCKED_S = 0.1
"""Of twenty that wait at once beside a busy core each may compute for 8 ms on a slow machine, one after the other: of
50 ms of waiting nothing was left to see."""


def pause(seconds: float) -> float:
    """Sleep."""
    time.sleep(seconds)
    return seconds


def fetch(url: str) -> int:
    """Download a page."""
    with urllib.request.urlopen(url) as response:
        return len(response.read())


def ask(port: int) -> bytes:
    """Wait for the answer on a socket."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"hello\n")
        return connection.recv(64)


def poll(seconds: float) -> list[object]:
    """Wait for a socket that stays silent."""
    one, other = socket.socketpair()
    with one, other:
        return list(select.select([one], [], [], seconds)[0])


def read_pipe(text: str) -> bytes:
    """Read from a pipe whose writer is slow."""
    reader, writer = os.pipe()
    late = threading.Timer(LOCKED_S, os.write, (writer, text.encode()))
    late.start()
    try:
        return os.read(reader, 64)
    finally:
        late.join()
        os.close(reader)
        os.close(writer)


def wait_for_lock(path: str) -> int:
    """Wait until another connection lets go of a database."""
    holder = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(LOCKED_S, holder.execute, ("ROLLBACK",))
    release.start()
    try:
        waiter = sqlite3.connect(path, timeout=10, isolation_level=None)
        waiter.execute("BEGIN IMMEDIATE")
        (answer,) = waiter.execute("SELECT 6 * 7").fetchone()
        waiter.close()
    finally:
        release.join()
        holder.close()
    return int(answer)


def wait_for_event(seconds: float) -> bool:
    """Wait for something that does not happen."""
    return threading.Event().wait(seconds)


# --- Child processes --------------------------------------------------------------------------------


def _python(code: str, data: str = "") -> str:
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(command, input=data, capture_output=True, check=True, text=True).stdout


def run_child(rounds: int) -> str:
    """A child process that computes."""
    return _python(f"total = 0\nfor i in range({rounds}): total += i * i\nprint(total)")


def convert_in_child(text: str) -> str:
    """A child process that computes on what it is sent, as an external converter does."""
    code = "import sys; text = sys.stdin.read(); print(sum(len(text) for _ in range(500000)))"
    return _python(code, text)


def run_sleeping_child(seconds: float) -> str:
    """A child process that waits."""
    return _python(f"import time\ntime.sleep({seconds})\nprint('done')")


# --- Coroutines -------------------------------------------------------------------------------------


async def async_pause(seconds: float) -> float:
    """Sleep on the event loop."""
    await asyncio.sleep(seconds)
    return seconds


async def async_ask(port: int) -> bytes:
    """Wait for the answer on a socket, on the event loop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello\n")
    answer = await reader.read(64)
    writer.close()
    await writer.wait_closed()
    return answer


async def async_compute(rounds: int) -> float:
    """A coroutine that computes."""
    await asyncio.sleep(0)
    return compute(rounds)


# --- Waiting and computing --------------------------------------------------------------------------


def pause_and_compute(rounds: int) -> float:
    """Sleep, then compute in Python for about as long."""
    time.sleep(0.03)
    return compute(rounds)


def fetch_and_count(url: str) -> int:
    """Download a text, then count its words, which takes about as long."""
    with urllib.request.urlopen(url) as response:
        return count_words(3 * response.read().decode())


def pause_and_digest(seed: int) -> str:
    """Sleep, then compute without the GIL for a third of that or more."""
    time.sleep(0.015)
    return digest(seed)
