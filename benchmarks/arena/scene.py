"""What calls need of the outside: a folder of files, and a server. Both are gone afterwards."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

FILES = 400
FILE_BYTES = 20_000
STOP_S = 5.0
"""For such a program to end by itself, which takes milliseconds."""
SPIN = """
import os, sys, threading

def end_with_parent():
    sys.stdin.read()
    os._exit(0)

threading.Thread(target=end_with_parent, daemon=True).start()
print("spinning", flush=True)
while True:
    pass
"""


class Scene(NamedTuple):
    """Where it all is."""

    folder: Path
    """Holds `FILES` files, which `file` names."""
    port: int
    """The server's, on 127.0.0.1."""

    def file(self, number: int) -> str:
        """A path; the numbers go round."""
        return str(self.folder / f"{number % FILES}.bin")


@contextmanager
def scene() -> Generator[Scene, None, None]:
    """Set it up, and clear it away when the context is left.

    Raises:
        RuntimeError: The server did not start.
    """
    with tempfile.TemporaryDirectory(prefix="arena-") as name, _server() as port:
        here = Scene(Path(name), port)
        chance = random.Random(20)
        for number in range(FILES):
            Path(here.file(number)).write_bytes(chance.randbytes(FILE_BYTES))
        yield here


@contextmanager
def neighbour() -> Generator[None, None, None]:
    """A program beside ours that never lets go of a core."""
    with _program("-c", SPIN):
        yield


@contextmanager
def _server() -> Generator[int, None, None]:
    with _program("-m", "benchmarks.arena.server") as line:
        yield int(line)


@contextmanager
def _program(*arguments: str) -> Generator[str, None, None]:
    """One that ends when its input does; gives the first line that it prints."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent.parent,
        start_new_session=True,  # Ctrl-C is for us; it goes when we let go of its input
    )
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{arguments} ended with code {process.wait()} as it started.")
            yield line.decode()
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
