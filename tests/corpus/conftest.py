"""What the corpus needs around it: a server with latency, a folder, a busy neighbour."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .tasks import Site, Task

# Worker processes are told this path, and find the functions of the corpus by it.
sys.path.append(str(Path(__file__).parent.parent))

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


@contextmanager
def beside(*arguments: str) -> Generator[str, None, None]:
    """Another Python process, until its input is closed; gives the first line that it prints."""
    command = [sys.executable, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline()
        process.stdin.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server and a folder for the tasks."""
    with beside(str(Path(__file__).with_name("server.py"))) as ports:
        http_port, line_port = map(int, ports.split())
        yield Site(http_port, line_port, tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session", params=["quiet", "busy"])
def machine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The machine as it is, and with a process beside us that never lets go of a core."""
    name: str = request.param
    if name == "quiet":
        yield name
    elif not Path("/proc/thread-self/schedstat").exists():
        pytest.skip("this system does not tell waiting for a core from waiting for something else")
    else:
        with beside("-c", SPIN):
            yield name


@pytest.fixture(scope="session")
def plain(site: Site) -> Callable[[Task], list[Any]]:
    """What a plain loop makes of a task; equal items are called once, to save time."""
    known: dict[tuple[str, str], Any] = {}

    def result(task: Task, item: Any) -> Any:
        key = task.name, repr(item)
        if key not in known:
            known[key] = _call(task.fn, item)
        return known[key]

    return lambda task: [result(task, item) for item in task.items(site)]


def _call(fn: Callable[[Any], Any], item: Any) -> Any:
    outcome = fn(item)
    return asyncio.run(outcome) if inspect.iscoroutine(outcome) else outcome
