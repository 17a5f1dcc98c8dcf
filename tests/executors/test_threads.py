"""Threads beyond the contract of all executors: how they are started."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

import pytest

from autoexec import _thread_cache
from autoexec._chunk import Chunk
from autoexec.executors import threads
from autoexec.executors.threads import ThreadsExecutor


@pytest.mark.timeout(30)
def test_each_thread_starts_the_next_when_the_driver_has_other_things_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "START_S", 0.0)
    calls = 24
    barrier, starters = threading.Barrier(calls), SimpleQueue[threading.Thread]()
    start = _thread_cache.start

    def start_and_tell(job: object, name: str) -> None:
        if name == "autoexec-thread":  # not what other runs have left to do
            starters.put(threading.current_thread())
        start(job, name)  # type: ignore[arg-type]

    monkeypatch.setattr(_thread_cache, "start", start_and_tell)
    blocks: SimpleQueue[Any] = SimpleQueue()
    executor = ThreadsExecutor(lambda _: barrier.wait(20), blocks.put)
    executor.open(calls)
    executor.submit([Chunk(i, [i], "threads", "threads") for i in range(calls)])
    try:
        assert sorted(blocks.get(timeout=20)[0].values[0] for _ in range(calls)) == list(
            range(calls)
        )
    finally:
        executor.close(abandon=False)
    by = [starters.get() for _ in range(calls)]
    assert by[0] is threading.main_thread()
    assert by.count(threading.main_thread()) == 1


@pytest.mark.timeout(30)
def test_none_is_started_beyond_the_limit() -> None:
    threads_seen: set[int] = set()
    blocks: SimpleQueue[Any] = SimpleQueue()
    executor = ThreadsExecutor(lambda _: threads_seen.add(threading.get_ident()), blocks.put)
    executor.open(3)
    for first in range(0, 60, 20):
        executor.submit([Chunk(first + i, [i], "threads", "threads") for i in range(20)])
    for _ in range(60):
        assert blocks.get(timeout=20)[0].error is None
    executor.close(abandon=False)
    assert len(threads_seen) <= 3
