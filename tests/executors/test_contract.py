"""What every executor behind the seam must do, whatever it runs calls on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

import clusters
import pytest

from autoexec import executors
from autoexec._chunk import Block, Chunk
from autoexec._options import Settings
from autoexec._pickling import Packed
from autoexec._routes import REMOTE
from autoexec._types import Broken, Event, Executor, Lane, Ready

DEADLINE_S = 60

KINDS = [
    "inline",
    "threads",
    "processes",
    "asyncio",
    "hybrid",
    "hybrid-async",
    "external-threads",
    "external-processes",
    "dask",
    "ray",
]
PARALLEL = [kind for kind in KINDS if kind != "inline"]
ASYNC = ["asyncio", "hybrid-async"]
ELSEWHERE = ["external-threads", "external-processes", "dask", "ray"]
STOPPABLE = [kind for kind in PARALLEL if kind not in ELSEWHERE]
"""Executors that know which of the items of a chunk is being called."""


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
        if kind in REMOTE:
            settings = Settings(backend=clusters.backend(kind))
        self.executor: Executor = executors.make(self.lane, Packed(fn), self.events.put, settings)
        self.executor.open(2)
        if kind in REMOTE:
            assert isinstance(self.events.get(timeout=DEADLINE_S), Ready)

    def chunk(self, first: int, items: list[Any]) -> Chunk:
        return Chunk(first, items, self.lane, self.lane)

    def run(self, *chunks: Chunk) -> list[Block]:
        """Submit the chunks and collect blocks until each has said that it is done."""
        self.executor.submit(chunks)
        return self.hear(*chunks)

    def hear(self, *chunks: Chunk) -> list[Block]:
        """Collect blocks until each of the chunks has said that it is done."""
        blocks: list[Block] = []
        while not {block.chunk for block in blocks if block.last} >= set(chunks):
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
        made.append(Bench(kind, coroutine if kind in ASYNC else fn))
        return made[-1]

    yield make
    for one in made:
        one.close()


def outcomes(blocks: list[Block], chunk: Chunk) -> list[Any]:
    """The outcomes of one chunk in the order of its items, as far as there are any."""
    found: dict[int, Any] = {}
    for block in blocks:
        if block.chunk is chunk:
            first = len(found) if block.position is None else block.position
            raised = [] if block.error is None else [block.error]
            for position, outcome in enumerate([*block.values, *raised], first):
                assert position not in found, f"two outcomes of item {position} of a chunk"
                found[position] = outcome
    return [found[position] for position in sorted(found)]


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
    if kind in ASYNC and isinstance(error, StopIteration):
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


@pytest.mark.parametrize("kind", ["threads", "asyncio", "hybrid", "hybrid-async"])
def test_one_that_is_opened_wider_runs_as_many_at_the_same_time(kind: str, bench: Any) -> None:
    one = bench(kind, meet_at_port, meet_at_port_later)
    with Meeting(2) as port:  # so that both workers are there, and have heard of the first width
        one.run(one.chunk(0, [port]), one.chunk(1, [port]))
    one.executor.open(8)
    with Meeting(8) as port:
        chunks = [one.chunk(i, [port]) for i in range(8)]
        blocks = one.run(*chunks)
    assert [outcomes(blocks, chunk) for chunk in chunks] == [["met"]] * 8


@pytest.mark.parametrize("kind", ASYNC)
def test_the_tasks_of_a_chunk_run_side_by_side(kind: str, bench: Any) -> None:
    one = bench(kind, meet_at_port, meet_at_port_later)
    with Meeting(2) as port:
        chunk = one.chunk(0, [port, port])
        blocks = one.run(chunk)
    assert outcomes(blocks, chunk) == ["met", "met"]


@pytest.mark.parametrize("kind", STOPPABLE)
def test_nothing_is_left_after_close(kind: str) -> None:
    before = set(threading.enumerate())
    one = Bench(kind, double_later if kind in ASYNC else double)
    chunk = one.chunk(0, [1])
    one.run(chunk)
    one.close()
    # Threads and workers without work wait a moment for the next run.
    until = time.monotonic() + DEADLINE_S
    while left := set(threading.enumerate()) - before:
        assert time.monotonic() < until, left
        time.sleep(0.01)


def test_an_external_executor_is_not_shut_down() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        events: SimpleQueue[Event] = SimpleQueue()
        one = executors.make("external", Packed(double), events.put, Settings(backend=pool))
        one.close(abandon=True)
        assert pool.submit(double, 4).result(timeout=DEADLINE_S) == 8


# --- Giving up a call --------------------------------------------------------------------------------


class Gate:
    """Calls that wait at it, by files, so that they may be in other processes."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.gate = folder / "gate"

    def item(self, text: str) -> tuple[str, str, str]:
        return text, str(self.log), str(self.gate)

    def called(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    def wait_for(self, *texts: str) -> None:
        """Until these have been called."""
        until = time.monotonic() + DEADLINE_S
        while not set(texts) <= set(self.called()):
            assert time.monotonic() < until
            time.sleep(0.005)

    def open(self) -> None:
        self.gate.touch()


def pass_gate(item: tuple[str, str, str]) -> str:
    text, log, gate = item
    with open(log, "a") as file:
        file.write(f"{text}\n")
    while text.startswith("wait") and not os.path.exists(gate):
        time.sleep(0.005)
    return text


async def pass_gate_later(item: tuple[str, str, str]) -> str:
    text, log, gate = item
    with open(log, "a") as file:
        file.write(f"{text}\n")
    while text.startswith("wait") and not os.path.exists(gate):
        try:
            await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            if text != "wait-stubbornly":
                raise
    return text


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.open()  # so that calls that were left behind end


@pytest.mark.parametrize("kind", STOPPABLE)
def test_the_call_that_a_chunk_is_in_is_given_up_and_the_rest_comes_back(
    kind: str, bench: Any, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A worker that answers late would be ended, and what it has not told yet would be lost.
    monkeypatch.setattr("autoexec._pool.worker.FAREWELL_S", 10.0)
    one = bench(kind, pass_gate, pass_gate_later)
    # The tasks of a chunk begin together: one that may be given up is alone in its chunk.
    texts = ["wait"] if kind in ASYNC else ["a", "b", "wait", "c", "d"]
    chunk = one.chunk(0, [gate.item(text) for text in texts])
    error = TimeoutError("enough")
    one.executor.submit([chunk])
    gate.wait_for("wait")
    one.executor.stop(chunk, error)
    blocks = one.hear(chunk)
    assert outcomes(blocks, chunk) == [*texts[: texts.index("wait")], error]
    assert "c" not in gate.called()
    assert "d" not in gate.called()


@pytest.mark.parametrize("kind", STOPPABLE)
@pytest.mark.parametrize("text", ["wait", "wait-stubbornly"])
def test_what_a_given_up_call_comes_to_is_dropped(
    kind: str, text: str, bench: Any, gate: Gate
) -> None:
    one = bench(kind, pass_gate, pass_gate_later)
    chunk = one.chunk(0, [gate.item(text)] if kind in ASYNC else [gate.item(text), gate.item("c")])
    error = TimeoutError("enough")
    one.executor.submit([chunk])
    gate.wait_for(text)
    one.executor.stop(chunk, error)
    assert outcomes(one.hear(chunk), chunk) == [error]
    gate.open()
    # What follows runs as ever, though the call of before may just be ending.
    others = [one.chunk(i, [gate.item(f"after-{i}")]) for i in range(20)]
    blocks = one.run(*others)
    assert [outcomes(blocks, other) for other in others] == [[f"after-{i}"] for i in range(20)]
    assert outcomes(blocks, chunk) == []
    assert "c" not in gate.called()


@pytest.mark.parametrize("kind", STOPPABLE)
def test_calls_beside_one_that_is_given_up_go_on(kind: str, bench: Any, gate: Gate) -> None:
    one = bench(kind, pass_gate, pass_gate_later)
    stopped, going = (one.chunk(i, [gate.item(f"wait-{i}")]) for i in range(2))
    error = TimeoutError("enough")
    one.executor.submit([stopped, going])
    gate.wait_for("wait-0", "wait-1")
    one.executor.stop(stopped, error)
    assert outcomes(one.hear(stopped), stopped) == [error]
    gate.open()
    assert outcomes(one.hear(going), going) == ["wait-1"]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_happens_to_a_call_that_has_ended(kind: str, bench: Any) -> None:
    one = bench(kind, double, double_later)
    for first in range(3):
        chunk = one.chunk(first, [first])
        assert outcomes(one.run(chunk), chunk) == [first * 2]
        one.executor.stop(chunk, TimeoutError("too late"))
    chunk = one.chunk(3, [3])
    blocks = one.run(chunk)
    assert [block.chunk for block in blocks] == [chunk]
    assert outcomes(blocks, chunk) == [6]


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_every_item_of_a_chunk_fails_where_nobody_knows_which_was_called(
    kind: str, bench: Any, gate: Gate
) -> None:
    one = bench(kind, pass_gate, pass_gate_later)
    chunk = one.chunk(0, [gate.item(text) for text in ("a", "wait", "c")])
    error = TimeoutError("enough")
    one.executor.submit([chunk])
    gate.wait_for("wait")
    one.executor.stop(chunk, error)
    assert outcomes(one.hear(chunk), chunk) == [error] * 3
    gate.open()
    other = one.chunk(3, [gate.item("after")])
    blocks = one.run(other)
    assert outcomes(blocks, other) == ["after"]
    assert outcomes(blocks, chunk) == []


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
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    text = (await reader.read(16)).decode()
    writer.close()
    await writer.wait_closed()
    return text
