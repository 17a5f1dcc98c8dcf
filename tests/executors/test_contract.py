"""What every executor behind the seam must do, whatever it runs calls on."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, cast

import pytest

from autoexec import executors
from autoexec._chunk import Block, Chunk
from autoexec._options import Settings
from autoexec._pickling import Packed
from autoexec._types import Broken, Event, Executor, Lane, Ready

DEADLINE_S = 60

KINDS = ["inline", "threads", "processes", "asyncio", "external-threads", "external-processes"]
PARALLEL = [kind for kind in KINDS if kind != "inline"]


def double(x: Any) -> Any:
    return x * 2


async def double_later(x: Any) -> Any:
    return x * 2


def fail_on_odd(x: int) -> int:
    if x % 2:
        raise ValueError(f"odd {x}")
    return x


async def fail_on_odd_later(x: int) -> int:
    return fail_on_odd(x)


def raise_it(error: BaseException) -> None:
    raise error


async def raise_it_later(error: BaseException) -> None:
    raise error


class Bench:
    """An executor with a queue for what it announces."""

    def __init__(self, kind: str, fn: Callable[[Any], Any]) -> None:
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.pool: concurrent.futures.Executor | None = None
        if kind == "external-threads":
            self.pool = concurrent.futures.ThreadPoolExecutor(2)
        elif kind == "external-processes":
            context = multiprocessing.get_context("spawn")
            self.pool = concurrent.futures.ProcessPoolExecutor(2, mp_context=context)
        self.lane: Lane = cast("Any", kind.partition("-")[0])
        settings = Settings(backend=self.pool) if self.pool else Settings()
        self.executor: Executor = executors.make(self.lane, Packed(fn), self.events.put, settings)
        self.executor.open(2)

    def chunk(self, first: int, items: list[Any]) -> Chunk:
        return Chunk(first, items, self.lane, self.lane)

    def run(self, *chunks: Chunk) -> list[Block]:
        """Submit the chunks and collect blocks until each has said that it is done."""
        self.executor.submit(chunks)
        blocks: list[Block] = []
        while sum(block.last for block in blocks) < len(chunks):
            event = self.events.get(timeout=DEADLINE_S)
            if isinstance(event, Broken):
                pytest.fail(event.reason)
            if not isinstance(event, Ready):
                blocks += event
        return blocks

    def close(self) -> None:
        self.executor.close(abandon=False)
        if self.pool is not None:
            self.pool.shutdown()


@pytest.fixture
def bench() -> Iterator[Callable[[str, Callable[[Any], Any], Callable[[Any], Any]], Bench]]:
    made: list[Bench] = []

    def make(kind: str, fn: Callable[[Any], Any], coroutine: Callable[[Any], Any]) -> Bench:
        made.append(Bench(kind, coroutine if kind == "asyncio" else fn))
        return made[-1]

    yield make
    for one in made:
        one.close()


def outcomes(blocks: list[Block], chunk: Chunk) -> list[Any]:
    """The outcomes of one chunk in the order in which they were announced."""
    found: list[Any] = []
    for block in blocks:
        if block.chunk is chunk:
            found += block.values
            if block.error is not None:
                found.append(block.error)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each_item_has_one_outcome_in_the_order_of_its_chunk(kind: str, bench: Any) -> None:
    one = bench(kind, double, double_later)
    chunks = [one.chunk(i * 7, list(range(i * 7, i * 7 + 7))) for i in range(9)]
    blocks = one.run(*chunks)
    for chunk in chunks:
        assert outcomes(blocks, chunk) == [x * 2 for x in chunk.items]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_covers_its_item_and_the_next_ones_go_on(kind: str, bench: Any) -> None:
    one = bench(kind, fail_on_odd, fail_on_odd_later)
    chunk = one.chunk(0, [0, 1, 2, 3, 4])
    found = outcomes(one.run(chunk), chunk)
    assert [x for x in found if isinstance(x, int)] == [0, 2, 4]
    assert [(i, str(x)) for i, x in enumerate(found) if isinstance(x, ValueError)] == [
        (1, "odd 1"),
        (3, "odd 3"),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_block_of_a_chunk_is_marked_once_and_comes_last(kind: str, bench: Any) -> None:
    one = bench(kind, fail_on_odd, fail_on_odd_later)
    chunks = [one.chunk(0, [1]), one.chunk(1, [2]), one.chunk(2, [4, 5]), one.chunk(4, [7, 8])]
    blocks = one.run(*chunks)
    for chunk in chunks:
        marks = [block.last for block in blocks if block.chunk is chunk]
        assert marks == [False] * (len(marks) - 1) + [True]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), StopIteration("x")])
def test_whatever_a_call_raises_is_its_outcome(kind: str, error: BaseException, bench: Any) -> None:
    if kind == "asyncio" and isinstance(error, StopIteration):
        pytest.skip("Python itself turns StopIteration in a coroutine into RuntimeError")
    one = bench(kind, raise_it, raise_it_later)
    chunk = one.chunk(0, [error, error])
    found = outcomes(one.run(chunk), chunk)
    assert [type(x) for x in found] == [type(error)] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_an_executor_can_be_used_again_after_it_was_idle(kind: str, bench: Any) -> None:
    one = bench(kind, double, double_later)
    for first in range(3):
        chunk = one.chunk(first, [first])
        assert outcomes(one.run(chunk), chunk) == [first * 2]


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_carry_the_seconds_of_their_calls(kind: str, bench: Any) -> None:
    one = bench(kind, double, double_later)
    blocks = one.run(one.chunk(0, [1, 2, 3]))
    assert all(block.wall_s >= 0 and block.cpu_s >= 0 for block in blocks)
    assert sum(block.wall_s for block in blocks) > 0


@pytest.mark.parametrize("kind", PARALLEL)
def test_two_chunks_run_at_the_same_time(kind: str, bench: Any) -> None:
    one = bench(kind, meet_at_port, meet_at_port_later)
    with Meeting(2) as port:
        chunks = [one.chunk(0, [port]), one.chunk(1, [port])]
        blocks = one.run(*chunks)
    assert [outcomes(blocks, chunk) for chunk in chunks] == [["met"], ["met"]]


@pytest.mark.parametrize("kind", ["threads", "processes", "asyncio"])
def test_nothing_is_left_after_close(kind: str) -> None:
    before = set(threading.enumerate())
    one = Bench(kind, double_later if kind == "asyncio" else double)
    chunk = one.chunk(0, [1])
    one.run(chunk)
    one.close()
    left = [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]
    assert left == []


def test_an_external_executor_is_not_shut_down() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        events: SimpleQueue[Event] = SimpleQueue()
        one = executors.make("external", Packed(double), events.put, Settings(backend=pool))
        one.close(abandon=True)
        assert pool.submit(double, 4).result(timeout=DEADLINE_S) == 8


# --- Two calls that only end if both are running ----------------------------------------------------


class Meeting:
    """A port at which a given number of calls must be connected before any gets an answer."""

    def __init__(self, parties: int) -> None:
        import socket

        self._server = socket.create_server(("127.0.0.1", 0))
        self._parties = parties
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        guests = [self._server.accept()[0] for _ in range(self._parties)]
        for guest in guests:
            guest.sendall(b"met")
            guest.close()

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._server.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._thread.join(timeout=DEADLINE_S)
        self._server.close()


def meet_at_port(port: int) -> str:
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as guest:
        return guest.recv(16).decode()


async def meet_at_port_later(port: int) -> str:
    import asyncio

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    text = (await reader.read(16)).decode()
    writer.close()
    await writer.wait_closed()
    return text
