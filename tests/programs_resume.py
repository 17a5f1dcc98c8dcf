"""A program that is killed: 2,000 items, each call and each result that it was handed in a log."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from typing import Any

from autoexec import Failure, iter_parallel

ITEMS = 2_000
CALL_S = "PROGRAM_CALL_S"
"""Environment variable with what a call takes."""


def note(path: str, index: int) -> None:
    """Append a line, in one piece."""
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, b"%d\n" % index)
    os.close(log)


def work(calls: str, index: int) -> tuple[int, str]:
    note(calls, index)
    time.sleep(float(os.environ.get(CALL_S, "0.001")))
    return index, "x" * (index % 50)


def main(backend: str, journal: str, calls: str, results: str) -> None:
    options: dict[str, Any] = {"backend": backend, "max_workers": 2, "resume": journal}
    with iter_parallel(partial(work, calls), range(ITEMS), **options) as stream:
        for result in stream:
            assert not isinstance(result, Failure)
            index, text = result
            assert text == "x" * (index % 50)
            note(results, index)
    print(stream.report.resumed)


if __name__ == "__main__":
    main(*sys.argv[1:])
