"""Threads beyond the contract of all executors: how they are started."""

from __future__ import annotations

import threading
import time
import weakref
from queue import SimpleQueue
from typing import Any

import pytest

from autoexec import _thread_cache
from autoexec._chunk import Chunk
from autoexec._types import Broken
from autoexec.executors import threads
from autoexec.executors.threads import ThreadsExecutor


@pytest.mark.timeout(30)
def test_each_thread_starts_the_next_when_the_driver_has_other_things_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "START_S", 0.0)
    calls = 24
    barrier, starters = threading.Barrier(calls), SimpleQueue[threading.Thread]()
    start = _thread_cache.begin

    def start_and_tell(job: object, name: str) -> None:
        if name == "autoexec-thread":  # not what other runs have left to do
            starters.put(threading.current_thread())
        start(job, name)  # type: ignore[arg-type]

    monkeypatch.setattr(_thread_cache, "begin", start_and_tell)
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
def test_what_waits_for_a_thread_gets_one_when_more_are_allowed() -> None:
    barrier, blocks = threading.Barrier(8), SimpleQueue[Any]()
    executor = ThreadsExecutor(lambda _: barrier.wait(20), blocks.put)
    executor.open(1)
    executor.submit([Chunk(i, [i], "threads", "threads") for i in range(8)])
    executor.open(8)
    assert all(blocks.get(timeout=20)[0].error is None for _ in range(8))
    executor.close(abandon=False)


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


@pytest.mark.timeout(30)
def test_where_fewer_are_allowed_the_next_waits_until_no_more_run() -> None:
    gates = [threading.Event() for _ in range(6)]
    blocks: SimpleQueue[Any] = SimpleQueue()
    executor = ThreadsExecutor(lambda i: gates[i].wait(20), blocks.put)
    executor.open(4)
    chunks = [Chunk(i, [i], "threads", "threads") for i in range(6)]
    executor.submit(chunks[:5])
    try:
        assert all(begun(chunk) for chunk in chunks[:4])
        executor.open(2)
        for i in (0, 1):
            gates[i].set()
            assert blocks.get(timeout=20)[0].chunk is chunks[i]
            assert chunks[4].began is None
        executor.submit(chunks[5:])
        assert len(executor._todo) == 2, "though two threads have nothing to do"
        gates[2].set()
        assert begun(chunks[4])
        assert chunks[5].began is None
        executor.open(3)
        assert begun(chunks[5]), "on a thread that had nothing to do"
    finally:
        for gate in gates:
            gate.set()
        executor.close(abandon=False)


@pytest.mark.timeout(30)
def test_what_comes_after_calls_that_were_given_up_does_not_wait_for_their_threads() -> None:
    heed, blocks = threading.Event(), SimpleQueue[Any]()
    executor = ThreadsExecutor(lambda hangs: heed.wait(20) if hangs else hangs, blocks.put)
    executor.open(2)
    # Those that wait for a thread: who takes one afterwards says that it is idle all the same.
    executor.submit([Chunk(i, [False], "threads", "threads") for i in range(8)])
    for _ in range(8):
        blocks.get(timeout=20)
    hanging = [Chunk(8 + i, [True], "threads", "threads") for i in range(2)]
    executor.submit(hanging)
    try:
        until = time.monotonic() + 20
        for chunk in hanging:
            while chunk.partial is None:
                assert time.monotonic() < until
                time.sleep(0.001)
            executor.stop(chunk, TimeoutError())
            blocks.get(timeout=20)
        executor.submit([Chunk(10 + i, [False], "threads", "threads") for i in range(2)])
        for _ in range(2):
            assert blocks.get(timeout=20)[0].chunk.first >= 10
    finally:
        heed.set()
        executor.close(abandon=True)


def begun(chunk: Chunk, calls: int = 1) -> bool:
    """Wait until a thread is in so many-th call of a chunk."""
    until = time.monotonic() + 20
    while chunk.started() < calls:
        assert time.monotonic() < until
        time.sleep(0.001)
    return True


@pytest.mark.timeout(30)
def test_no_call_begins_once_it_was_abandoned() -> None:
    heed, called = threading.Event(), SimpleQueue[int]()

    def fn(item: int) -> None:
        called.put(item)
        heed.wait(20)

    blocks = SimpleQueue[Any]()
    executor = ThreadsExecutor(fn, blocks.put)
    executor.open(1)
    chunk = Chunk(0, list(range(100)), "threads", "threads")
    executor.submit([chunk])
    assert begun(chunk)
    executor.close(abandon=True)
    heed.set()
    (block,) = blocks.get(timeout=20)
    assert (block.last, len(block.values)) == (True, 1)
    assert [called.get_nowait() for _ in range(called.qsize())] == [0]


@pytest.mark.timeout(30)
def test_a_call_that_has_just_ended_is_not_given_up_in_place_of_the_next() -> None:
    turns, blocks = SimpleQueue[None](), SimpleQueue[Any]()

    def fn(item: int) -> int:
        turns.get(timeout=20)
        return item

    executor = ThreadsExecutor(fn, blocks.put)
    executor.open(1)
    chunk = Chunk(0, [0, 1, 2, 3], "threads", "threads")
    executor.submit([chunk])
    assert begun(chunk)
    chunk.overdue = 1  # so it is said, but then it ends, and another has begun
    turns.put(None)
    assert begun(chunk, 2)
    executor.stop(chunk, TimeoutError())
    turns.put(None)
    (block,) = blocks.get(timeout=20)
    assert (block.values, block.error, block.last) == ([0, 1], None, True)
    executor.close(abandon=False)


@pytest.mark.timeout(30)
def test_what_was_given_up_is_forgotten_when_its_call_has_ended() -> None:
    heed, blocks = threading.Event(), SimpleQueue[Any]()
    executor = ThreadsExecutor(lambda _: heed.wait(20), blocks.put)
    executor.open(1)
    chunk = Chunk(0, [0], "threads", "threads")
    executor.submit([chunk])
    assert begun(chunk)
    executor.stop(chunk, TimeoutError())
    heed.set()
    until = time.monotonic() + 20
    while executor._given_up or executor._running:
        assert time.monotonic() < until
        time.sleep(0.001)
    executor.close(abandon=True)


@pytest.mark.timeout(30)
def test_a_thread_that_fails_beside_its_calls_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> int:
        raise MemoryError

    events = SimpleQueue[Any]()
    executor = ThreadsExecutor(str, events.put)
    executor.open(1)
    monkeypatch.setattr("autoexec._call.times_blocked", fails)
    executor.submit([Chunk(0, [0], "threads", "threads")])
    broken = events.get(timeout=20)
    executor.close(abandon=True)
    assert (type(broken), broken.lane, type(broken.error)) == (Broken, "threads", MemoryError)


@pytest.mark.timeout(30)
def test_what_no_thread_could_be_started_for_runs_on_one_that_has_become_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heed, blocks = threading.Event(), SimpleQueue[Any]()
    executor = ThreadsExecutor(lambda waits: heed.wait(20) if waits else None, blocks.put)
    executor.open(2)
    executor.submit([Chunk(0, [True], "threads", "threads")])

    def begin(job: object, name: str) -> None:
        heed.set()
        until = time.monotonic() + 20
        while not executor._idle:
            assert time.monotonic() < until
            time.sleep(0.001)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread_cache, "begin", begin)
    executor.submit([Chunk(1, [False], "threads", "threads")])
    assert sorted(blocks.get(timeout=20)[0].chunk.first for _ in range(2)) == [0, 1]
    executor.close(abandon=False)


@pytest.mark.timeout(30)
def test_a_chunk_whose_thread_has_begun_though_that_was_an_error_runs_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin, calls, blocks = _thread_cache.begin, SimpleQueue[int](), SimpleQueue[Any]()

    def begin_and_fail(job: Any, name: str) -> None:
        begin(job, name)
        blocks.get(timeout=20)
        raise RuntimeError("a signal handler's")

    monkeypatch.setattr(_thread_cache, "begin", begin_and_fail)
    executor = ThreadsExecutor(calls.put, blocks.put)
    executor.open(1)
    executor.submit([Chunk(0, [0], "threads", "threads")])
    executor.close(abandon=False)
    assert [calls.get_nowait() for _ in range(calls.qsize())] == [0]


@pytest.mark.timeout(30)
def test_threads_that_go_on_keep_no_item_alive() -> None:
    heed, blocks = threading.Event(), SimpleQueue[Any]()
    item = threading.Barrier(1)  # anything that can be referred to weakly
    known = weakref.ref(item)
    executor = ThreadsExecutor(lambda waits: heed.wait(20) if waits is True else None, blocks.put)
    executor.open(1)
    last = Chunk(1, [True], "threads", "threads")
    executor.submit([Chunk(0, [item], "threads", "threads"), last])
    del item
    assert begun(last)
    blocks.get(timeout=20)
    assert known() is None
    heed.set()
    executor.close(abandon=False)
