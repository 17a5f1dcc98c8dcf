"""Runs within an event loop: whose loop, what blocks it, and what is left when a task is cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import os
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from functions import double, double_later, fail_on_seven

from autoexec import (
    DeadlineExceeded,
    Failure,
    ItemTimeout,
    Report,
    Results,
    aiter_parallel,
    arun_parallel,
    run_parallel,
)

BACKENDS = ["auto", "inline", "threads", "processes", "asyncio", "hybrid"]
name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


async def asynchronous(items: Any) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


async def others_than_this() -> set[asyncio.Task[Any]]:
    """The tasks of the loop that are left after a moment, this one aside."""
    for _ in range(200):
        if asyncio.all_tasks() == {asyncio.current_task()}:
            break
        await asyncio.sleep(0.01)
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def threads_gone() -> bool:
    for _ in range(1000):
        if not [t for t in threading.enumerate() if t.name.startswith("autoexec-driver")]:
            return True
        await asyncio.sleep(0.01)
    return False


def new_uvloop() -> Any:
    return pytest.importorskip("uvloop").new_event_loop()


@pytest.fixture(params=[asyncio.new_event_loop, new_uvloop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """`asyncio.run` on either kind of loop; tasks that are left are errors."""
    with asyncio.Runner(loop_factory=request.param) as runner:

        async def alone(main: Coroutine[Any, Any, Any]) -> Any:
            result = await asyncio.wait_for(main, 60)
            assert not await others_than_this()
            return result

        yield lambda main: runner.run(alone(main))


Run = Callable[[Coroutine[Any, Any, Any]], Any]


async def collected(results: AsyncIterator[Any]) -> list[Any]:
    return [result async for result in results]


# --- The same results --------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [asyncio.new_event_loop], indirect=True, ids=["asyncio"])
@pytest.mark.parametrize("backend", BACKENDS)
class TestEveryBackend:
    @pytest.mark.parametrize("fn", [double, double_later])
    @pytest.mark.parametrize("wrap", [lambda items: items, asynchronous])
    def test_results_come_in_order(self, run: Run, backend: Any, fn: Any, wrap: Any) -> None:
        wanted = [2 * i for i in range(60)]
        results = run(arun_parallel(fn, wrap(range(60)), backend=backend))
        assert isinstance(results, Results)
        assert results == wanted
        assert results.report.items == 60
        assert run(collected(aiter_parallel(fn, wrap(range(60)), backend=backend))) == wanted

    def test_errors_name_their_item(self, run: Run, backend: Any) -> None:
        with pytest.raises(ValueError, match="seven") as caught:
            run(arun_parallel(fail_on_seven, range(20), backend=backend))
        assert "item 7, 7" in caught.value.__notes__[0]

    def test_an_error_comes_after_the_results_before_it(self, run: Run, backend: Any) -> None:
        async def main() -> list[int]:
            got: list[int] = []
            results = aiter_parallel(fail_on_seven, itertools.count(), backend=backend)
            with pytest.raises(ValueError, match="seven"):
                async for x in results:
                    got.append(x)
            assert [x async for x in results] == []
            return got

        assert run(main()) == list(range(7))

    def test_failures_can_be_returned(self, run: Run, backend: Any) -> None:
        results = run(arun_parallel(fail_on_seven, range(9), backend=backend, on_error="return"))
        assert isinstance(results[7], Failure)
        assert results[8] == 8

    def test_an_endless_input_can_be_left(self, run: Run, backend: Any) -> None:
        async def main() -> list[int]:
            got: list[int] = []
            async with aiter_parallel(double, itertools.count(), backend=backend) as results:
                async for x in results:
                    got.append(x)
                    if len(got) == 20:
                        break
            with pytest.raises(ValueError, match="closed before its end"):
                await anext(results)
            return got

        assert run(main()) == [2 * i for i in range(20)]

    def test_nothing_in_nothing_out(self, run: Run, backend: Any) -> None:
        assert run(arun_parallel(double, [], backend=backend)) == []
        assert run(arun_parallel(double, asynchronous([]), backend=backend)) == []
        assert run(collected(aiter_parallel(double, [], backend=backend))) == []


def test_unordered_results_come_as_they_are_done(run: Run) -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def call(x: int) -> int:
            if x == 0:
                await gate.wait()
            return x

        results = aiter_parallel(call, range(5), ordered=False)
        first = [await anext(results) for _ in range(4)]
        gate.set()
        assert sorted(first) == [1, 2, 3, 4]
        assert await anext(results) == 0

    run(main())


# --- Whose loop, whose thread ------------------------------------------------------------------------


def test_coroutines_run_on_the_callers_own_loop(run: Run) -> None:
    async def main() -> None:
        shared = asyncio.Semaphore(3)  # bound to the loop where it is first waited for
        here = asyncio.get_running_loop()

        async def call(x: int) -> int:
            async with shared:
                await asyncio.sleep(0.001)
                assert asyncio.get_running_loop() is here
                return x

        assert await arun_parallel(call, range(40)) == list(range(40))
        assert [x async for x in aiter_parallel(call, range(40))] == list(range(40))

    run(main())


@pytest.mark.parametrize("backend", ["auto", "inline", "threads"])
def test_other_functions_never_run_on_the_loops_thread(run: Run, backend: Any) -> None:
    async def main() -> None:
        here = threading.get_ident()
        assert here not in await arun_parallel(
            lambda x: threading.get_ident(), range(50), backend=backend
        )

    run(main())


def test_the_loop_turns_while_calls_and_inputs_block(run: Run) -> None:
    async def main() -> None:
        gate = threading.Event()
        turning = asyncio.get_running_loop().call_later(0.05, gate.set)

        def source() -> Iterator[int]:
            assert gate.wait(20)
            yield 1

        def call(x: int) -> int:
            assert gate.wait(20)
            return x

        assert await arun_parallel(call, source()) == [1]
        assert turning.when() < asyncio.get_running_loop().time()

    run(main())


@pytest.mark.parametrize("backend", ["auto", "threads"])
def test_the_callers_context_is_seen(run: Run, backend: Any) -> None:
    async def task(x: int) -> str:
        return name.get()

    async def main() -> None:
        name.set("somebody")
        assert (
            await arun_parallel(lambda x: name.get(), [1, 2], backend=backend) == ["somebody"] * 2
        )
        assert await arun_parallel(task, [1, 2]) == ["somebody"] * 2
        assert [x async for x in aiter_parallel(task, [1, 2])] == ["somebody"] * 2

    run(main())


def test_results_come_out_while_an_asynchronous_input_waits(run: Run) -> None:
    async def main() -> None:
        more: asyncio.Queue[int] = asyncio.Queue()

        async def source() -> AsyncIterator[int]:
            while True:
                yield await more.get()

        async with aiter_parallel(double, source(), backend="threads") as results:
            for i in range(5):  # each item comes only when the result before it was seen
                more.put_nowait(i)
                assert await anext(results) == 2 * i

    run(main())


def test_the_error_of_an_asynchronous_input_follows_the_results_before_it(run: Run) -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise OSError("torn")

    async def main() -> None:
        results = aiter_parallel(double, source())
        assert [await anext(results), await anext(results)] == [2, 4]
        with pytest.raises(OSError, match="torn"):
            await anext(results)
        with pytest.raises(OSError, match="torn"):
            await arun_parallel(double, source())

    run(main())


class Interrupt(BaseException):
    """No `Exception`."""


@pytest.mark.parametrize("kind", [Interrupt, GeneratorExit])
def test_whatever_an_asynchronous_input_raises_ends_the_run(run: Run, kind: Any) -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        raise kind("torn")

    async def main() -> None:
        results = aiter_parallel(double, source())
        assert await anext(results) == 2
        with pytest.raises(kind, match="torn"):
            await anext(results)
        with pytest.raises(kind, match="torn"):
            await arun_parallel(double, source())

    run(main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_is_meant_for_the_program_ends_the_loop_too(kind: Any) -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        raise kind

    async def main() -> None:
        with pytest.raises((kind, asyncio.CancelledError)):
            await arun_parallel(double, source())

    with pytest.raises(kind):
        asyncio.run(main())


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_an_error_that_would_end_the_iterator_is_raised_as_another(run: Run, kind: Any) -> None:
    def call(x: int) -> int:
        if x == 2:
            raise kind
        return x

    async def main() -> None:
        results = aiter_parallel(call, range(5), backend="threads")
        assert [await anext(results), await anext(results)] == [0, 1]
        with pytest.raises(RuntimeError, match=f"raised {kind.__name__}") as caught:
            await anext(results)
        assert isinstance(caught.value.__cause__, kind)
        assert "item 2, 2" in caught.value.__notes__[0]

    run(main())


def test_an_input_that_raises_the_end_of_another_kind_does_not_end_quietly(run: Run) -> None:
    def source() -> Iterator[int]:
        yield 1
        raise StopAsyncIteration

    async def main() -> None:
        results = aiter_parallel(double, source())
        assert await anext(results) == 2
        with pytest.raises(RuntimeError, match="raised StopAsyncIteration"):
            await anext(results)

    run(main())


class Channel:
    """Its length is that of what is waiting in it."""

    def __init__(self) -> None:
        self.waiting: list[int] = []

    def __len__(self) -> int:
        return len(self.waiting)

    async def __aiter__(self) -> AsyncIterator[int]:
        while self.waiting:
            yield self.waiting.pop(0)


def test_an_input_may_be_filled_until_it_is_pulled(run: Run) -> None:
    async def main() -> None:
        items: list[int] = []
        channel = Channel()
        results, others = aiter_parallel(double, items), aiter_parallel(double, channel)
        items += [1, 2]
        channel.waiting += [3, 4]
        assert [x async for x in results] == [2, 4]
        assert [x async for x in others] == [6, 8]

    run(main())


# --- Bounds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fn", [double, double_later])
def test_never_more_than_the_buffer_is_between(run: Run, fn: Any) -> None:
    pulled = 0

    async def source() -> AsyncIterator[int]:
        nonlocal pulled
        for i in itertools.count():
            pulled += 1
            yield i

    def plain() -> Iterator[int]:
        nonlocal pulled
        for i in itertools.count():
            pulled += 1
            yield i

    async def main(items: Any) -> None:
        nonlocal pulled
        pulled = 0
        async with aiter_parallel(fn, items, buffersize=7) as results:
            for handed in range(1, 60):
                await anext(results)
                assert pulled - handed < 7 + 1  # a pull may be under way

    run(main(source()))
    run(main(plain()))


def test_the_run_goes_on_while_the_caller_does_other_things(run: Run) -> None:
    async def main() -> None:
        called: list[int] = []
        async with aiter_parallel(called.append, itertools.count(), buffersize=20) as results:
            await anext(results)
            while len(called) < 20:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            assert len(called) <= 21

    run(main())


# --- The end -----------------------------------------------------------------------------------------


def test_cancelling_ends_the_tasks_of_the_run_and_waits_for_them(run: Run) -> None:
    async def main() -> None:
        begun = asyncio.Event()
        ended: list[int] = []

        async def call(x: int) -> None:
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0)
                ended.append(x)

        for start in (
            lambda: arun_parallel(call, itertools.count(), max_workers=5),
            lambda: collected(aiter_parallel(call, itertools.count(), max_workers=5)),
        ):
            begun.clear()
            ended.clear()
            task = asyncio.ensure_future(start())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(ended) in range(1, 6)
            assert asyncio.all_tasks() == {asyncio.current_task(), *outer()}

    def outer() -> set[asyncio.Task[Any]]:
        return {task for task in asyncio.all_tasks() if "alone" in repr(task.get_coro())}

    run(main())


def test_cancelling_leaves_threads_behind_and_ends_workers(run: Run, tmp_path: Path) -> None:
    def call(x: int) -> int:
        if x:
            (tmp_path / str(os.getpid())).touch()
            time.sleep(60)
        return os.getpid()

    async def main() -> None:
        async with aiter_parallel(call, range(9), backend="processes", chunksize=1) as results:
            worker = await anext(results)
            while not (tmp_path / str(worker)).exists():  # one without a call would stay
                await asyncio.sleep(0.01)
        for _ in range(500):
            try:
                os.kill(worker, 0)
            except ProcessLookupError:
                break
            await asyncio.sleep(0.01)
        else:
            raise AssertionError("the worker is still there")
        gate = threading.Event()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(arun_parallel(lambda x: gate.wait(60), [1, 2]), 0.1)
        gate.set()
        assert await threads_gone()

    run(main())


def test_an_asynchronous_input_is_cancelled_too(run: Run) -> None:
    async def main() -> None:
        waiting = asyncio.Event()
        cancelled = False

        async def source() -> AsyncIterator[int]:
            nonlocal cancelled
            yield 1
            try:
                waiting.set()
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled = True
                raise

        async with aiter_parallel(double, source()) as results:
            assert await anext(results) == 2
            await waiting.wait()
        assert cancelled

    run(main())


def test_a_loop_that_is_merely_left_leaves_nothing_behind(run: Run) -> None:
    async def main() -> None:
        async for _ in aiter_parallel(double_later, itertools.count()):
            break
        gc.collect()
        assert await threads_gone()

    run(main())


def test_a_limit_of_time_holds(run: Run) -> None:
    async def call(x: int) -> None:
        await asyncio.sleep(60)

    with pytest.raises(ItemTimeout):
        run(arun_parallel(call, [1], timeout=0.05))
    gate = threading.Event()
    with pytest.raises(DeadlineExceeded) as caught:
        run(arun_parallel(lambda x: x if x < 2 else gate.wait(20), range(3), deadline=2.0))
    gate.set()
    assert caught.value.finished[0] == 0


def test_two_tasks_at_once_are_told_that_this_does_not_work(run: Run) -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def call(x: int) -> int:
            await gate.wait()
            return x

        results = aiter_parallel(call, range(3))
        task = asyncio.ensure_future(collected(results))
        await asyncio.sleep(0.05)
        with pytest.raises(RuntimeError, match="another task"):
            await anext(results)
        with pytest.raises(RuntimeError, match="another task"):
            await results.aclose()
        gate.set()
        assert await task == [0, 1, 2]

    run(main())


def test_the_report_is_there_at_any_time(run: Run) -> None:
    results = aiter_parallel(double, range(50))
    assert isinstance(results.report, Report)

    async def main() -> None:
        await anext(results)
        assert results.report.items >= 1
        assert len([x async for x in results]) == 49
        assert results.report.items == 50

    run(main())


def test_what_is_never_asked_for_a_result_never_begins(run: Run, tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def main() -> None:
        async with aiter_parallel(double, [1], resume=journal) as results:
            assert results.report.items == 0
        with pytest.raises(ValueError, match="closed before its end"):
            await anext(results)
        assert not journal.exists()

    run(main())


def test_a_deadline_does_not_count_from_a_report(run: Run) -> None:
    async def main() -> None:
        results = aiter_parallel(double, range(4), deadline=1.0)
        assert results.report.items == 0
        await asyncio.sleep(1.1)
        assert [x async for x in results] == [0, 2, 4, 6]

    run(main())


def test_what_a_run_within_a_call_had_done_stays_with_its_error(run: Run) -> None:
    gate = threading.Event()

    def call(x: int) -> Any:
        return run_parallel(lambda y: gate.wait(20 * y), [0, 1], backend="threads", deadline=1.0)

    with pytest.raises(DeadlineExceeded) as caught:
        run(collected(aiter_parallel(call, [0], backend="threads")))
    gate.set()
    assert caught.value.finished == {0: False}


def test_a_loop_that_ended_is_not_waited_for() -> None:
    async def main() -> Any:
        results = aiter_parallel(double, itertools.count())
        await anext(results)
        return results

    left = asyncio.run(main())
    del left
    gc.collect()
    assert asyncio.run(threads_gone())


def test_wrong_arguments_are_refused(run: Run) -> None:
    with pytest.raises(TypeError, match="fn must be callable"):
        run(arun_parallel(3, [1]))  # type: ignore[call-overload]  # pyright: ignore
    with pytest.raises(TypeError, match="items must be iterable"):
        aiter_parallel(double, 3)  # type: ignore[call-overload]  # pyright: ignore
    with pytest.raises(TypeError, match="use arun_parallel or aiter_parallel"):
        run_parallel(double, asynchronous([1]))  # type: ignore[call-overload]  # pyright: ignore


def test_many_runs_share_a_loop(run: Run) -> None:
    async def main() -> None:
        runs = [arun_parallel(fn, range(30)) for fn in (double, double_later) * 4]
        assert await asyncio.gather(*runs) == [[2 * i for i in range(30)]] * 8

    run(main())


def test_results_come_out_while_an_input_blocks(run: Run) -> None:
    async def main() -> None:
        more: queue.SimpleQueue[int] = queue.SimpleQueue()
        threads: set[int] = set()

        def source() -> Iterator[int]:
            while (item := more.get(timeout=20)) >= 0:
                threads.add(threading.get_ident())
                yield item

        results = aiter_parallel(double, source(), backend="threads")
        for i in range(5):  # each item comes only when the result before it was seen
            more.put(i)
            assert await anext(results) == 2 * i
        more.put(-1)
        assert [x async for x in results] == []
        assert len(threads) == 1

    run(main())


@pytest.mark.parametrize("backend", ["inline", "threads"])
def test_who_is_cancelled_does_not_wait_for_calls_and_inputs_that_block(
    run: Run, backend: Any
) -> None:
    async def main() -> None:
        gate, begun = threading.Event(), threading.Event()

        def block(x: int) -> int:
            begun.set()
            assert gate.wait(20)
            return x

        def source() -> Iterator[int]:
            yield block(1)

        for start in (
            lambda: arun_parallel(block, [1], backend=backend),
            lambda: arun_parallel(double, source(), backend=backend),
            lambda: collected(aiter_parallel(block, [1, 2], backend=backend)),
        ):
            begun.clear()
            task = asyncio.ensure_future(start())
            while not begun.is_set():
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not gate.is_set()
        gate.set()
        assert await threads_gone()

    run(main())
