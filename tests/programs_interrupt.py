"""A program that a Ctrl-C reaches between the end of a call and its place among what was done. It prints which calls had
ended by then, which of them the error has, and which were called again by a run that went on from its journal."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from typing import Any

from autoexec import run_parallel
from autoexec._actions import Send
from autoexec._run import Run
from autoexec._watching import Watcher

calls: Counter[int] = Counter()
ended: list[int] = []
"""Calls that had ended as the Ctrl-C came."""


def interrupt() -> None:
    if not ended:
        ended.extend(sorted(calls))
        signal.raise_signal(signal.SIGINT)


class Large:
    """A result whose pickling takes a while."""

    def __reduce__(self) -> tuple[Any, ...]:
        interrupt()
        return Large, ()


def while_a_result_is_pickled() -> None:
    """Nothing more: the results see to it."""


def while_the_clocks_are_read() -> None:
    waited = Watcher.waited

    def wait(watcher: Watcher, *what: Any, cut_short: bool) -> None:
        if (
            cut_short and len(calls) >= 20
        ):  # that of the twentieth may have been heard without a wait
            interrupt()
        waited(watcher, *what, cut_short=cut_short)

    patched: Any = Watcher
    patched.waited = wait


def while_outcomes_wait() -> None:
    do = Run._do

    def send_and_wait(run: Run, action: Any) -> None:
        do(run, action)
        if isinstance(action, Send) and len(calls) >= 20 and not ended:
            until = time.monotonic() + 60
            while run._inbox.empty():  # its only call has not ended
                assert time.monotonic() < until
                time.sleep(0.001)
            interrupt()

    patched: Any = Run
    patched._do = send_and_wait


def fn(item: int) -> Any:
    calls[item] += 1
    time.sleep(0.002)
    return Large() if item == 20 and when is while_a_result_is_pickled else item


if __name__ == "__main__":
    when, journal = globals()[sys.argv[1]], sys.argv[2]
    when()
    options: dict[str, Any] = {"backend": "threads", "max_workers": 1, "chunksize": 1}
    if when is not while_outcomes_wait:  # all that wait are heard where there is a journal
        options["resume"] = journal
    finished: list[int] = []
    try:
        run_parallel(fn, range(100), **options)
    except KeyboardInterrupt as error:
        finished = sorted(error.finished)  # type: ignore[attr-defined]
    if when is not while_outcomes_wait:
        run_parallel(fn, range(100), **options)
    again = sorted(item for item in ended if calls[item] > 1)
    print(json.dumps([ended, finished, again]))
