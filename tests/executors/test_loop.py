"""What becomes of tasks that end together."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

from autoexec import ItemTimeout, RunAborted, WorkerDied, run_parallel
from autoexec._chunk import Chunk
from autoexec.executors.loop import Ended, LoopExecutor, blocks_of


def ended(chunk: Chunk, position: int, error: BaseException | None = None) -> Ended:
    values = [chunk.item(position)] if error is None else []
    return chunk, position, values, error, 1.0 + position, 0.5


def test_neighbours_that_have_ended_one_after_another_are_one_block() -> None:
    chunk = Chunk(0, list("abcdef"), "asyncio", "asyncio")
    failure = ValueError("d")
    told = [ended(chunk, i) for i in (2, 5, 0, 1)] + [ended(chunk, 3, failure), ended(chunk, 4)]
    blocks = blocks_of(told, 0.1)
    found = [(block.at, block.values, block.error, block.last) for block in blocks]
    assert found == [
        (2, ["c"], None, False),
        (5, ["f"], None, False),
        (0, ["a", "b"], None, False),
        (3, [], failure, False),
        (4, ["e"], None, True),
    ]


def test_an_error_is_the_end_of_a_block() -> None:
    chunk, failure = Chunk(0, list("abc"), "asyncio", "asyncio"), ValueError("b")
    blocks = blocks_of([ended(chunk, 0), ended(chunk, 1, failure), ended(chunk, 2)], 0.1)
    found = [(block.at, block.values, block.error, block.last) for block in blocks]
    assert found == [(0, ["a"], failure, False), (2, ["c"], None, True)]
    assert [block.calls for block in blocks] == [2, 1]
    assert [(block.wall_s, block.cpu_s, block.began_s) for block in blocks] == [
        (1.0, 0.2, 1.0),
        (0.5, 0.1, 3.0),
    ]


def test_so_is_one_that_is_false() -> None:
    class Empty(Exception):
        def __len__(self) -> int:
            return 0

    chunk = Chunk(0, list("ab"), "asyncio", "asyncio")
    blocks = blocks_of([ended(chunk, 0, Empty()), ended(chunk, 1)], 0.1)
    assert [(block.at, block.values) for block in blocks] == [(0, []), (1, ["b"])]


def test_calls_of_two_chunks_are_told_apart() -> None:
    one, other = Chunk(0, [0, 1], "asyncio", "asyncio"), Chunk(2, [2, 3], "asyncio", "asyncio")
    blocks = blocks_of([ended(one, 0), ended(other, 1), ended(one, 1)], 0.1)
    assert [(block.chunk, block.at, block.last) for block in blocks] == [
        (one, 0, False),
        (other, 1, False),
        (one, 1, True),
    ]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("fails", [False, True])
def test_a_call_that_blocks_the_loop_beyond_its_time_is_given_up_though_it_ends(
    fails: bool,
) -> None:
    begun, end = threading.Event(), threading.Event()
    events: SimpleQueue[Any] = SimpleQueue()

    async def fn(item: int) -> int:
        if item == 0:
            begun.set()
            assert end.wait(20)
            return 1 // item if fails else item
        return item

    executor = LoopExecutor(fn, events.put)
    executor.open(2)
    blocking, other = (Chunk(i, [i], "asyncio", "asyncio") for i in range(2))
    try:
        executor.submit([blocking, other])
        assert begun.wait(20)
        late = TimeoutError("late")
        executor.stop(blocking, late)
        end.set()
        blocks = [*events.get(timeout=20)]
        while len(blocks) < 2:
            blocks += events.get(timeout=20)
        found = [(block.chunk, block.values, block.error, block.last) for block in blocks]
        assert found == [(blocking, [], late, True), (other, [1], None, True)]
        executor.stop(other, late)  # it has ended before that
        executor.submit([last := Chunk(2, [2], "asyncio", "asyncio")])
        assert [block.chunk for block in events.get(timeout=20)] == [last]
        assert not executor._late
    finally:
        executor.close(abandon=True)


def leave() -> None:
    sys.exit(3)


def stop_loop() -> None:
    asyncio.get_running_loop().stop()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("backend", ["asyncio", "hybrid"])
@pytest.mark.parametrize("act", [leave, stop_loop])
def test_what_a_task_of_a_call_does_to_the_loop_costs_no_other_call(
    backend: Any, act: Callable[[], None]
) -> None:
    async def part(item: int) -> int:
        await asyncio.sleep(0)
        if item == 3:
            act()
        return item

    async def fn(item: int) -> int:
        (found,) = await asyncio.gather(part(item))
        return found

    results = run_parallel(fn, range(40), backend=backend, on_error="return", max_workers=8)
    errors = {failure.index: failure.exception for failure in results.failures}
    if act is leave:
        assert list(map(repr, errors.values())) == ["SystemExit(3)"]
        assert list(errors) == [3]
    else:
        assert not errors
    assert [value for value in results if type(value) is int] == [
        x for x in range(40) if x not in errors
    ]


@pytest.mark.timeout(60)
@pytest.mark.skipif(sys.platform == "win32", reason="loops have no selector there")
@pytest.mark.parametrize("backend", ["asyncio", "hybrid"])
def test_a_loop_that_cannot_go_on_is_heard_of(backend: Any) -> None:
    async def fn(item: int) -> int:
        if item == 3:
            selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]

            def lose_descriptor(timeout: float) -> None:
                del selector.select
                raise OSError("bad descriptor")

            selector.select = lose_descriptor
            await asyncio.sleep(60)
        return item

    with pytest.raises(RunAborted if backend == "asyncio" else WorkerDied) as caught:
        run_parallel(fn, range(8), backend=backend, max_workers=4)
    assert backend == "hybrid" or "the event loop failed (OSError" in str(caught.value)


@pytest.mark.timeout(30)
def test_a_run_does_not_wait_for_a_task_that_refuses_to_be_cancelled() -> None:
    heed = threading.Event()

    async def fn(item: int) -> int:
        while item == 1 and not heed.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        return item

    results = run_parallel(fn, range(4), timeout=0.1, on_error="return")
    assert not heed.is_set()
    heed.set()
    assert [value for value in results if type(value) is int] == [0, 2, 3]
    assert [type(failure.exception) for failure in results.failures] == [ItemTimeout]


@pytest.mark.timeout(30)
def test_nor_for_a_thread_that_a_cancelled_one_waited_for() -> None:
    heed = threading.Event()

    async def fn(item: int) -> int:
        if item == 1:
            await asyncio.to_thread(heed.wait, 60)
        return item

    results = run_parallel(fn, range(4), timeout=0.1, on_error="return")
    assert not heed.is_set()
    heed.set()
    assert [type(failure.exception) for failure in results.failures] == [ItemTimeout]
