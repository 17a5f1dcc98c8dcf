"""Calls in a worker side by side. The real thing is in the contract of the executors."""

from __future__ import annotations

import mmap
import os
from typing import Any

import pytest

from autoexec._chunk import Block, Chunk
from autoexec._types import Broken
from autoexec._worker import hosted
from autoexec._worker.hosted import Hosted
from autoexec._worker.notes import SIZE, Notes
from autoexec._worker.outlet import Outlet


class Host:
    """An executor that does not keep to its contract: it hands over what nobody has given it."""

    def __init__(self, calls: Any, sink: Any) -> None:
        self._sink = sink

    def open(self, width: int) -> None:
        """Nothing to start."""

    def submit(self, chunks: list[Chunk]) -> None:
        unknown = Chunk(0, [1], "threads", "threads")
        self._sink([Block(unknown, [b"1"], None, 0.0, 0.0, 0.0, True)])

    def close(self, *, abandon: bool) -> None:
        """Nothing is open."""


class Broke(Host):
    """One that cannot start."""

    def open(self, width: int) -> None:
        self._sink(Broken("asyncio", "there is no event loop"))


def test_an_outcome_that_cannot_be_passed_on_ends_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the parent would wait for it for ever."""
    ends: list[int] = []
    monkeypatch.setattr(hosted, "end_group", lambda: ends.append(os.getpid()))
    into, out = os.pipe()
    made = Hosted(abs, Outlet(out), Notes(mmap.mmap(-1, SIZE)), Host, 1)
    try:
        made.run(1, 0, 0.0, [b""])
    finally:
        made.close()
        os.close(into)
        os.close(out)
    assert ends == [os.getpid()]


def test_an_executor_that_cannot_start_refuses_the_function_with_its_reason() -> None:
    into, out = os.pipe()
    with pytest.raises(RuntimeError, match="there is no event loop"):
        Hosted(abs, Outlet(out), Notes(mmap.mmap(-1, SIZE)), Broke, 1)
    os.close(into)
    os.close(out)
