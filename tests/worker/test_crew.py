"""The items of a batch side by side, and against the clock."""

from __future__ import annotations

import threading

import pytest

from autoexec._worker.crew import Crew
from autoexec.executors.threads import ThreadsExecutor


@pytest.mark.timeout(20)
@pytest.mark.parametrize("width", [1, 2])
def test_what_waits_behind_calls_that_take_too_long_still_runs(width: int) -> None:
    over = threading.Event()

    def call(item: int) -> int:
        if item < 3:
            over.wait()
        return item

    crew = Crew(ThreadsExecutor, call, list(range(5)), width=width, wanted=None)
    late = TimeoutError()
    try:
        blocks = crew.run(0.5, late)
    finally:
        over.set()
    assert [block.error for block in blocks] == [late, late, late, None, None]
    assert [block.values for block in blocks] == [[], [], [], [3], [4]]
