"""The one code path by which an item is run."""

from __future__ import annotations

import functools
import gc
import inspect
import os
import subprocess
import sys
import threading
import time
import weakref
from collections import ChainMap, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._call import KEPT_OPEN, queued_ns, run_chunk, without_this_frame
from autoexec._chunk import Block, Chunk
from autoexec._function import RunCoroutine, Star, is_async, name_of


def chunk_of(items: Sequence[Any], start: int = 0) -> Chunk:
    return Chunk(100, items, "threads", "threads", start)


def run(fn: Callable[[Any], Any], chunk: Chunk) -> list[Block]:
    blocks: list[Block] = []
    run_chunk(fn, chunk, blocks.append)
    return blocks


def outcomes(blocks: list[Block]) -> list[Any]:
    """Values and errors in the order in which they came."""
    found: list[Any] = []
    for block in blocks:
        found += block.values
        found += [block.error] if block.error is not None else []
    return found


# --- Values and errors -------------------------------------------------------------------------------


def test_values_come_in_one_block() -> None:
    chunk = chunk_of([1, 2, 3])
    (block,) = run(str, chunk)
    assert (block.chunk, block.values, block.error, block.last) == (
        chunk,
        ["1", "2", "3"],
        None,
        True,
    )


def test_an_error_ends_a_block_and_the_next_goes_on_behind_it() -> None:
    blocks = run(lambda item: 6 // item, chunk_of([1, 2, 0, 3]))
    assert [block.values for block in blocks] == [[6, 3], [2]]
    assert isinstance(blocks[0].error, ZeroDivisionError)
    assert [block.last for block in blocks] == [False, True]


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 12))
@examples(100)
def test_every_item_has_its_outcome_in_order(fails: list[bool], start: int) -> None:
    calls: list[int] = []

    def fn(item: int) -> int:
        calls.append(item)
        if fails[item]:
            raise ValueError(item)
        return item

    start = min(start, len(fails))
    blocks = run(fn, chunk_of(list(range(len(fails))), start))
    found = [one.args[0] if isinstance(one, ValueError) else one for one in outcomes(blocks)]
    assert found == calls == list(range(start, len(fails)))
    assert [block.last for block in blocks] == [False] * (len(blocks) - 1) + [True]


@pytest.mark.parametrize(
    "error",
    [
        StopIteration,
        StopAsyncIteration,
        SystemExit,
        KeyboardInterrupt,
        GeneratorExit,
        MemoryError,
        BaseExceptionGroup("several", [ValueError()]),
    ],
)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_whatever_a_call_raises_is_the_outcome_of_its_item(
    error: type[BaseException] | BaseException, position: int
) -> None:
    def fn(item: int) -> int:
        if item == position:
            raise error
        return item

    found = outcomes(run(fn, chunk_of([0, 1, 2])))
    assert len(found) == 3
    assert isinstance(found.pop(position), error if isinstance(error, type) else type(error))
    assert found == [item for item in range(3) if item != position]


def test_a_chunk_without_items_has_a_last_block() -> None:
    (block,) = run(str, chunk_of([]))
    assert (block.values, block.error, block.last) == ([], None, True)


def test_the_last_item_may_fail() -> None:
    (block,) = run(lambda item: 6 // item, chunk_of([1, 0]))
    assert block.last
    assert isinstance(block.error, ZeroDivisionError)


def test_times_are_never_negative() -> None:
    chunk = chunk_of([1, 2])
    chunk.watched = True
    (block,) = run(str, chunk)
    assert block.wall_s >= 0
    assert block.cpu_s >= 0
    assert block.queued_s >= 0


@pytest.mark.skipif(sys.platform != "linux", reason="nobody tells how often a thread was blocked")
def test_how_often_calls_waited_is_counted_where_the_system_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = run(time.sleep, chunk_of([1e-3] * 5))
    assert waiting[0].blocked >= 5
    monkeypatch.setattr("autoexec._call.times_blocked", lambda: -1)
    assert run(time.sleep, chunk_of([1e-3] * 5))[0].blocked == 0


def test_a_watched_chunk_says_who_runs_it() -> None:
    chunk = chunk_of([1])
    chunk.watched = True
    run(str, chunk)
    assert chunk.native_id == threading.get_native_id()
    assert chunk.began is not None


def test_a_chunk_that_is_not_watched_can_be_looked_at_all_the_same() -> None:
    chunk = chunk_of([1])
    chunk.expected_s = 0.0
    run(str, chunk)
    assert chunk.native_id == threading.get_native_id()
    assert chunk.began is not None
    assert 0 <= chunk.began.queued_ns <= queued_ns()  # what was read last


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a clock of the run queue")
def test_many_threads_do_not_all_read_the_run_queue() -> None:
    def read() -> None:
        queued_ns()
        barrier.wait(30)
        barrier.wait(30)

    before, calls = len(os.listdir("/proc/self/fd")), 3 * KEPT_OPEN
    barrier = threading.Barrier(calls + 1)
    threads = [threading.Thread(target=read) for _ in range(calls)]
    for thread in threads:
        thread.start()
    barrier.wait(30)
    found = len(os.listdir("/proc/self/fd"))
    barrier.wait(30)
    for thread in threads:
        thread.join()
    assert found <= before + KEPT_OPEN


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a clock of the run queue")
def test_where_descriptors_are_scarce_they_are_left_to_the_calls() -> None:
    import resource

    def call() -> None:
        try:
            queued_ns()
            barrier.wait(30)  # all have one, as far as they take any
            files.append(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            errors.append(error)
        barrier.wait(30)

    files: list[int] = []
    errors: list[OSError] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    calls = 12
    barrier = threading.Barrier(calls)
    threads = [threading.Thread(target=call) for _ in range(calls)]
    highest = max(map(int, os.listdir("/proc/self/fd")))
    gaps = [os.open(os.devnull, os.O_RDONLY)]
    while gaps[-1] < highest:
        gaps.append(os.open(os.devnull, os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (gaps[-1] + 1 + calls + calls // 2, hard))
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in files + gaps:
            os.close(fd)
    assert not errors


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a clock of the run queue")
def test_a_call_with_a_long_gap_has_its_queue_read_though_it_is_not_watched() -> None:
    core = min(os.sched_getaffinity(0))
    there = [*os.sched_getaffinity(0)]
    command = f"import os; os.sched_setaffinity(0, [{core}])\nprint(flush=True)\nwhile True: pass"
    neighbour = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE)

    def compute(seconds: float) -> None:
        time.sleep(0.001)  # or it was never blocked, and the gap can be nothing but the queue
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass

    try:
        assert neighbour.stdout is not None
        neighbour.stdout.readline()
        os.sched_setaffinity(0, [core])
        chunk = chunk_of([0.1])
        chunk.expected_s = 0.0
        (block,) = run(compute, chunk)
    finally:
        os.sched_setaffinity(0, there)
        neighbour.kill()
        neighbour.communicate()
    assert block.queued_s > (block.wall_s - block.cpu_s) / 4


def test_the_traceback_starts_in_the_function() -> None:
    def fails(item: int) -> None:
        raise ValueError(item)

    (block,) = run(fails, chunk_of([1]))
    assert block.error is not None
    assert block.error.__traceback__ is not None
    assert block.error.__traceback__.tb_frame.f_code is fails.__code__


def test_an_error_without_a_traceback_can_be_cut() -> None:
    error = ValueError()
    assert without_this_frame(error) is error


def test_an_error_is_freed_as_soon_as_nobody_has_its_block() -> None:
    class Freed(Exception):
        pass

    def fails(item: int) -> None:
        raise Freed

    errors: list[weakref.ref[BaseException]] = []

    def emit(block: Block) -> None:
        assert block.error is not None
        errors.append(weakref.ref(block.error))

    gc.disable()  # what is freed now is freed by its count, not found in a cycle
    try:
        run_chunk(fails, chunk_of([1, 2]), emit)
        assert [error() for error in errors] == [None, None]
    finally:
        gc.enable()


# --- Recalling what has not started ------------------------------------------------------------------


class Gate:
    """A function that waits at one item until it is let through."""

    def __init__(self, at: int, *, fails: bool = False) -> None:
        self.at = at
        self.fails = fails
        self.calls: list[int] = []
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, item: int) -> int:
        self.calls.append(item)
        if item == self.at:
            self.reached.set()
            assert self.opened.wait(timeout=30)
            if self.fails:
                raise ValueError(item)
        return item


@pytest.mark.parametrize("kind", [list, tuple, range])
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(("start", "at"), [(0, 0), (0, 3), (0, 9), (4, 6)])
def test_a_recalled_chunk_stops_after_the_item_that_is_running(
    start: int, at: int, fails: bool, kind: type[Any]
) -> None:
    gate = Gate(at, fails=fails)
    chunk = chunk_of(range(10) if kind is range else kind(range(10)), start)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, gate, chunk)
        assert gate.reached.wait(timeout=30)
        chunk.recall()
        gate.opened.set()
        blocks = running.result()
    assert chunk.recalled
    assert gate.calls == list(range(start, at + 1))
    assert len(outcomes(blocks)) == len(gate.calls)
    assert [block.last for block in blocks] == [False] * (len(blocks) - 1) + [True]


@pytest.mark.parametrize("first", [0, 10**30])
@pytest.mark.parametrize("start", [0, 3, 99])
def test_a_chunk_of_a_range_begins_where_it_should(first: int, start: int) -> None:
    items = range(first, first + 300, 3)
    chunk = chunk_of(items, start)
    assert (chunk.count, chunk.items) == (100 - start, list(items)[start:])
    assert outcomes(run(abs, chunk)) == list(items)[start:]


def test_a_chunk_recalled_before_it_started_runs_nothing() -> None:
    gate = Gate(-1)
    chunk = chunk_of([1, 2])
    chunk.recall()
    (block,) = run(gate, chunk)
    assert (block.values, block.error, block.last, gate.calls) == ([], None, True, [])


def test_a_chunk_recalled_after_it_ended_stays_as_it_is() -> None:
    chunk = chunk_of([1, 2])
    (block,) = run(str, chunk)
    chunk.recall()
    assert block.values == ["1", "2"]
    assert run(str, chunk)[0].values == []


def test_a_chunk_knows_its_items_by_position() -> None:
    chunk = chunk_of([10, 11, 12, 13], start=1)
    assert chunk.count == 3
    assert chunk.items == [11, 12, 13]
    assert [chunk.item(position) for position in range(3)] == [11, 12, 13]


# --- Items that are unpacked ---------------------------------------------------------------------------


def show(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


UNPACKED: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
    ((1, 2), (1, 2), {}),
    ([1, 2], (1, 2), {}),
    ("ab", ("a", "b"), {}),
    (range(3), (0, 1, 2), {}),
    ({"a": 1, "b": 2}, (), {"a": 1, "b": 2}),
    ({}, (), {}),
    (OrderedDict(a=1), (), {"a": 1}),
    (MappingProxyType({"a": 1}), (), {"a": 1}),
    (ChainMap({"a": 1}, {"b": 2}), (), {"a": 1, "b": 2}),
]


@pytest.mark.parametrize(("item", "args", "kwargs"), UNPACKED)
def test_mappings_become_keywords_and_other_iterables_positions(
    item: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    assert Star(show)(item) == (args, kwargs)


def test_a_generator_can_be_unpacked() -> None:
    def numbers() -> Iterator[int]:
        yield from (1, 2)

    assert Star(show)(numbers()) == ((1, 2), {})


def test_an_item_that_cannot_be_unpacked_is_an_error_of_that_item() -> None:
    first, second, third = outcomes(run(Star(pow), chunk_of([(2, 3), 5, (3, 2)])))
    assert (first, third) == (8, 9)
    assert isinstance(second, TypeError)


def test_the_function_can_be_seen_through_what_unpacks_for_it() -> None:
    assert inspect.unwrap(Star(show)) is show
    assert inspect.signature(Star(show)) == inspect.signature(show)
    assert name_of(Star(show)) == "show"


# --- Coroutines ------------------------------------------------------------------------------------


def outer() -> Callable[[Any], Any]:
    def inner(item: Any) -> Any:
        return item

    return inner


async def twice(item: int) -> int:
    return item * 2


class AsyncCallable:
    """Calling an instance gives a coroutine."""

    async def __call__(self, item: int) -> int:
        return item * 2


class AsyncMethods:
    """Has a method that gives one."""

    async def method(self, item: int) -> int:
        return item * 2

    @classmethod
    async def of_class(cls, item: int) -> int:
        return item * 2

    @staticmethod
    async def of_none(item: int) -> int:
        return item * 2


@pytest.mark.parametrize(
    "fn",
    [
        twice,
        functools.partial(twice),
        functools.partial(functools.partial(twice), 1),
        AsyncCallable(),
        AsyncMethods().method,
        AsyncMethods.of_class,
        AsyncMethods.of_none,
        functools.partial(AsyncCallable()),
    ],
)
def test_async_functions_are_known_as_such(fn: Callable[..., Any]) -> None:
    assert is_async(fn)


async def _generates(item: int) -> Any:
    yield item


@pytest.mark.parametrize(
    "fn",
    [
        len,
        show,
        str,
        outer(),
        functools.partial(show),
        Star(show),
        _generates,
        AsyncMethods,
        AsyncCallable,
    ],
)
def test_other_callables_are_not(fn: Callable[..., Any]) -> None:
    assert not is_async(fn)


def test_a_coroutine_is_run_where_there_is_no_loop() -> None:
    fn = RunCoroutine(twice)
    assert outcomes(run(fn, chunk_of([1, 2]))) == [2, 4]
    assert name_of(fn) == "twice"


def test_what_a_coroutine_raises_is_the_outcome_of_its_item() -> None:
    async def fails(item: int) -> None:
        raise ValueError(item)

    (error,) = outcomes(run(RunCoroutine(fails), chunk_of([1])))
    assert isinstance(error, ValueError)


# --- Names -----------------------------------------------------------------------------------------


class Endless:
    """Has every attribute, as mocks and proxies of remote objects do."""

    def __init__(self, depth: int = 0) -> None:
        assert depth < 100, "one attribute after another was looked up a hundred times"
        self.depth = depth

    def __getattr__(self, name: str) -> Endless:
        return Endless(self.depth + 1)

    def __call__(self, item: Any) -> Any:
        return item


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (show, "show"),
        (len, "len"),
        (AsyncMethods().method, "AsyncMethods.method"),
        (AsyncMethods, "AsyncMethods"),
        (AsyncCallable(), "AsyncCallable"),
        (functools.partial(show, 1), "show"),
        (functools.partial(functools.partial(show)), "show"),
        (functools.partial(AsyncCallable()), "AsyncCallable"),
        (functools.lru_cache(show), "show"),
        (Star(functools.partial(show)), "show"),
        (outer(), "outer.<locals>.inner"),
    ],
)
def test_a_function_goes_by_the_name_it_was_defined_with(fn: Callable[..., Any], name: str) -> None:
    assert name_of(fn) == name


def test_an_object_that_has_every_attribute_has_a_name() -> None:
    assert name_of(Endless())


@pytest.mark.parametrize("items", [list(range(10)), tuple(range(10)), range(10)])
def test_what_a_recalled_chunk_has_not_started_can_be_had_before_its_call_ends(
    items: Sequence[int],
) -> None:
    chunk, regained = Chunk(0, items, "threads", "threads", 2), list[Any]()

    def call(item: int) -> int:
        if item == 5:
            chunk.recall()
            regained.extend(chunk.cut())
        return item

    blocks: list[Block] = []
    run_chunk(call, chunk, blocks.append)
    assert (blocks[0].values, regained) == ([2, 3, 4, 5], [6, 7, 8, 9])
    assert chunk.items == [2, 3, 4, 5]
    chunk.done = 4
    assert not chunk.cut()
    assert not chunk.rest()
