"""The command from start to end: input, server, measurements, table."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TextIO

from .._host import read_host
from .charts import charts
from .files import pick_files
from .measure import Row, measure
from .server import LATENCY_MS, serving
from .table import render
from .tasks import FULL, QUICK, make_tasks

REPEAT_S = {True: 0.1, False: 1.0}
"""By `quick`: what takes less than this is run several times, and the fastest run counts."""
LOADED = (
    "autoexec._collect",
    "autoexec.executors.threads",
    "autoexec.executors.processes",
    "autoexec.executors.loop",
    "cloudpickle",
)
"""What runs import when they first need it. Here that comes before the first, as it is no part of what a way costs.
A Ctrl-C in the midst of an import may be lost, besides: one in 150 was, by a callback of the import system. And Python
ends as by the signal, not with our exit code, if it came while a named tuple was made."""


def compare(*, quick: bool, out: TextIO, log: TextIO, page: Path | None = None) -> int:
    """Run every task in every way and print the table.

    Args:
        quick: Take less input.
        out: Where the table goes.
        log: Where lines about the progress go.
        page: Where a page with charts goes, if one is wanted.

    Returns:
        The exit code: 0, or 1 if results differed or a way could not run.

    Raises:
        AutoexecError: There is no input here, or the server did not start.
    """
    sizes = QUICK if quick else FULL
    files = pick_files(sizes.files)
    setting = _setting(len(files))
    print(setting, file=out, flush=True)
    for name in LOADED:
        import_module(name)
    with serving(sizes.files) as server:
        print(f"server: {server.url}, process {server.pid}", file=log, flush=True)
        paths = [str(path) for path in files.values()]
        urls = [f"{server.url}/{name}" for name in files]
        tasks = make_tasks(paths, urls, sizes)
        rows = [measure(task, REPEAT_S[quick], log) for task in tasks]
    print("\n" + render(rows), end="", file=out, flush=True)
    if page is not None:
        page.write_text(charts(setting, rows), encoding="utf-8")
    return _exit_code(rows)


def _setting(files: int) -> str:
    host = read_host()
    gil = "with the GIL" if host.gil else "without the GIL"
    least, most = LATENCY_MS
    return (
        f"Python {platform.python_version()} {gil}, {host.cores} cores, {platform.system()}.\n"
        f"Input: {files} source files of the standard library, read from disk or fetched from a\n"
        f"local server that takes {least} to {most} ms to answer."
    )


def _exit_code(rows: Sequence[Row]) -> int:
    return int(any(row.differing or row.failures for row in rows))
