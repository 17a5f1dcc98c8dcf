"""Real workers: who gets which chunk, and what becomes of it when they end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from autoexec import _children, _host
from autoexec._chunk import Block, Chunk
from autoexec._errors import NotSent, WorkerDied
from autoexec._pickling import Packed, pack
from autoexec._pool import idling
from autoexec._pool import pool as pools
from autoexec._pool.job import TRIES, Job
from autoexec._pool.pool import Initializer, Pool
from autoexec._pool.surroundings import surroundings
from autoexec._pool.worker import Worker
from autoexec._types import Broken, Event, Held, Memory, Ready
from autoexec._worker.notes import SLOTS
from autoexec.executors.threads import ThreadsExecutor

from .calls import (
    Deadly,
    Dear,
    Unloadable,
    Unpicklable,
    Unprintable,
    dying,
    failing,
    forking,
    giver,
    killer,
    lines,
    little_memory,
    process_of,
    stubborn,
    writer,
)

DEADLINE_S = 60

posix_only = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


class Given:
    """A job, the chunks that it was given, and what was heard of them."""

    def __init__(self, pool: Pool, fn: Callable[[Any], Any], **options: Any) -> None:
        self.pool = pool
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.job = Job(Packed(fn), self.events.put, "processes", **options)
        self.blocks: list[Block] = []
        self.broken: list[Broken] = []
        self.ready = 0
        self.submitted = 0
        self.heed = threading.Event()

    def begin(self, workers: int) -> Given:
        """Begin, and wait until all workers are there."""
        self.pool.begin(self.job, workers)
        self.hear_until(lambda: self.ready >= workers)
        return self

    def submit(self, *chunks: list[Any]) -> list[Chunk]:
        made = []
        for items in chunks:
            made.append(Chunk(self.submitted, items, "processes", "processes"))
            self.submitted += len(items)
        self.pool.submit(self.job, made)
        return made

    def hear_until(self, true: Callable[[], bool]) -> None:
        """Take in what is said until something is the case."""
        until = time.monotonic() + DEADLINE_S
        while not true():
            event = self.events.get(timeout=max(0.0, until - time.monotonic()))
            match event:
                case Ready():
                    self.ready = event.workers
                case Broken():
                    self.broken.append(event)
                case blocks:
                    self.blocks += blocks

    def end(self) -> None:
        self.pool.finish(self.job, abandon=False)

    def over(self, chunk: Chunk) -> bool:
        return any(block.last for block in self.blocks if block.chunk is chunk)

    def finish(self, *chunks: Chunk) -> None:
        self.hear_until(lambda: all(map(self.over, chunks)))

    def outcomes(self, chunk: Chunk) -> list[Any]:
        """Values, and errors in their places."""
        found: list[Any] = []
        for block in self.blocks:
            if block.chunk is chunk:
                found += block.values
                found += [] if block.error is None else [block.error]
        return found


def names(outcomes: list[Any]) -> list[str]:
    """Outcomes of `writer` in words."""
    return [
        outcome[0] if isinstance(outcome, tuple) else type(outcome).__name__ for outcome in outcomes
    ]


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(idle_s=None)
    yield made
    made.shutdown()


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


# --- Dealing -------------------------------------------------------------------------------------------


def test_two_jobs_share_a_worker_chunk_by_chunk(pool: Pool, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    one = Given(pool, writer(log, gate)).begin(1)
    other = Given(pool, writer(log, gate)).begin(1)
    first = one.submit(["wait"], *([f"one-{i}"] for i in range(8)))
    second = other.submit(*([f"other-{i}"] for i in range(4)))
    gate.touch()
    one.finish(*first)
    other.finish(*second)
    served = [line.partition("-")[0] for line in lines(log)]
    assert served == ["wait", *["other", "one"] * 4, *["one"] * 4]
    pids = {pid for job in (one, other) for block in job.blocks for _, pid in block.values}
    assert len(pids) == 1


def test_a_job_that_comes_later_is_not_kept_waiting_by_a_long_one(
    pool: Pool, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    long = Given(pool, writer(log, gate)).begin(2)
    waiting = long.submit(["wait"], *([f"long-{i}"] for i in range(200)))
    late = Given(pool, writer(log, gate))
    pool.begin(late.job, 2)
    chunks = late.submit(["late"])
    late.finish(*chunks)  # on the other worker, in its turn
    gate.touch()
    long.finish(*waiting)
    assert Counter(lines(log)) == Counter(["wait", "late", *(f"long-{i}" for i in range(200))])


def test_chunks_are_spread_over_the_workers(pool: Pool, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    given = Given(pool, writer(log, gate)).begin(3)
    chunks = given.submit(*[["wait"]] * 3)
    wait_until(lambda: len(lines(log)) == 3)  # all at once, or this would never be
    gate.touch()
    given.finish(*chunks)
    assert len({pid for block in given.blocks for _, pid in block.values}) == 3


def test_what_is_not_admitted_is_dropped(pool: Pool, tmp_path: Path) -> None:
    log = tmp_path / "log"
    given = Given(pool, writer(log), admit=lambda chunk: chunk.items != ["no"]).begin(1)
    _, yes = given.submit(["no"], ["yes"])
    given.finish(yes)
    assert lines(log) == ["yes"]


def test_an_item_that_cannot_travel_is_the_error_of_its_chunk_alone(
    pool: Pool, tmp_path: Path
) -> None:
    stuck = Unpicklable()
    given = Given(pool, writer(tmp_path / "log")).begin(1)
    chunks = given.submit([1, 2, stuck, 4], [stuck, 5], [6])
    given.finish(*chunks)
    first, second, third = map(given.outcomes, chunks)
    assert [value for value, _ in first] == [1, 2]  # the rest of it comes back
    (error,) = second
    assert isinstance(error, NotSent)
    assert "not for sale" in str(error)
    assert [value for value, _ in third] == [6]


def test_nothing_is_left_of_a_job_that_is_over(pool: Pool, tmp_path: Path) -> None:
    given = Given(pool, writer(tmp_path / "log")).begin(2)
    given.finish(*given.submit([1], [2]))
    pool.finish(given.job, abandon=False)
    again = Given(pool, process_of).begin(2)
    pids = {pid for block in given.blocks for _, pid in block.values}
    chunks = again.submit(*[["x"]] * 6)
    again.finish(*chunks)
    assert {again.outcomes(chunk)[0] for chunk in chunks} >= pids  # the same workers
    assert pool.ready() == 2


def test_abandoned_calls_end_with_their_workers(pool: Pool, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    given = Given(pool, writer(log, gate)).begin(2)
    given.submit(["wait"], ["wait"])
    wait_until(lambda: len(lines(log)) == 2)
    pool.finish(given.job, abandon=True)
    wait_until(lambda: pool.ready() == 0)


def test_a_call_does_not_share_the_fate_of_another_job_s_worker(pool: Pool, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    one, other = (Given(pool, writer(log, gate), depth=2).begin(1) for _ in range(2))
    (kept,) = one.submit(["wait"])
    wait_until(lambda: lines(log) == ["wait"])
    (left,) = other.submit(["left"])
    pool.finish(other.job, abandon=True)  # none of its calls runs, so there is nothing to end
    gate.touch()
    one.finish(kept)
    assert names(one.outcomes(kept)) == ["wait"]
    assert lines(log) == ["wait"]
    assert not other.over(left)


def test_calls_side_by_side_and_one_at_a_time_have_workers_of_their_own(
    pool: Pool, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    beside = Given(pool, writer(log, gate), host=ThreadsExecutor, depth=4)
    beside.job.width = 4
    beside.begin(2)
    single = Given(pool, writer(log, gate)).begin(2)
    chunks = [*beside.submit(*[["wait"]] * 4)]
    others = [*single.submit(*[["wait"]] * 2)]
    wait_until(lambda: len(lines(log)) == 6)
    gate.touch()
    beside.finish(*chunks)
    single.finish(*others)
    pids = [
        {pid for block in given.blocks for _, pid in block.values} for given in (beside, single)
    ]
    assert len(pids[0]) == len(pids[1]) == 2
    assert pids[0].isdisjoint(pids[1])


def test_calls_beside_those_of_an_abandoned_job_go_on(pool: Pool, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    both = [Given(pool, writer(log, gate), host=ThreadsExecutor, depth=4) for _ in range(2)]
    for given in both:
        given.job.width = 4
        given.begin(1)
    one, other = both
    one.submit(["wait"])
    (kept,) = other.submit(["wait"])
    wait_until(lambda: len(lines(log)) == 2)
    pool.finish(one.job, abandon=True)
    (later,) = other.submit(["later"])  # on another worker
    other.finish(later)
    gate.touch()
    other.finish(kept)
    assert names(other.outcomes(kept)) == ["wait"]
    pids = [other.outcomes(chunk)[0][1] for chunk in (kept, later)]
    assert pids[0] != pids[1]
    wait_until(lambda: pids[0] not in [worker.pid for worker in pool._workers])


def test_what_a_call_of_another_job_does_to_its_worker_is_no_fault_of_a_function(
    pool: Pool,
) -> None:
    deadly = Given(pool, dying).begin(TRIES + 1)
    deadly.submit(*[[1]] * (TRIES + 1))
    given = Given(pool, process_of)
    pool.begin(given.job, TRIES + 1)  # each is told the function while it is in one of those calls
    (chunk,) = given.submit([1])
    given.finish(chunk)
    assert not given.broken
    assert len(given.outcomes(chunk)) == 1


@posix_only
def test_the_death_of_a_worker_is_heard_of_though_what_it_has_forked_lives_on(pool: Pool) -> None:
    given = Given(pool, forking).begin(1)
    (chunk,) = given.submit([1])
    given.finish(chunk)
    assert names(given.outcomes(chunk)) == ["WorkerDied"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory of Linux")
def test_an_item_that_no_worker_can_receive_is_the_only_one_to_fail() -> None:
    first = Initializer(pack(little_memory), pack(()))
    pool = Pool(idle_s=None, initializer=first)
    try:
        given = Given(pool, len).begin(1)
        chunk = given.submit([b"12"], [b"x" * 300_000_000], [b"123"])
        for one in chunk:
            while not given.outcomes(one):  # what comes back is sent again, as a run does it
                given.finish(one)
                if not given.outcomes(one):
                    given.blocks = [block for block in given.blocks if block.chunk is not one]
                    pool.submit(given.job, [one])
        found = [given.outcomes(one)[0] for one in chunk]
        assert (found[0], found[2]) == (2, 3)
        assert isinstance(found[1], WorkerDied)
        assert "as they received item 1" in str(found[1])
    finally:
        pool.shutdown()


def test_an_item_whose_error_cannot_be_told_is_the_error_of_its_chunk_alone(pool: Pool) -> None:
    given = Given(pool, process_of).begin(1)
    chunks = given.submit([1], [Unprintable()], [2])
    given.finish(*chunks)
    kinds = [[type(found) for found in given.outcomes(chunk)] for chunk in chunks]
    assert kinds == [[int], [NotSent], [int]]


# --- Functions that no worker can load -------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("fn", "words"),
    [(Unloadable(), "could not be loaded"), (Deadly(), "exited with code 9 as it loaded")],
)
def test_a_function_that_cannot_be_loaded_is_said_once_to_be_so(
    fn: Callable[[Any], Any], words: str, workers: int, pool: Pool
) -> None:
    given = Given(pool, fn)
    pool.begin(given.job, workers)
    chunks = given.submit([1, 2], [3])
    given.hear_until(lambda: bool(given.broken))
    given.finish(*chunks)
    # Another job on the same workers: what they had to say of the first has been said by then.
    Given(pool, process_of).begin(workers)
    given.hear_until(given.events.empty)
    assert [words in broken.reason for broken in given.broken] == [True]
    assert [given.outcomes(chunk) for chunk in chunks] == [[], []]
    assert not given.broken[0].harmless


def test_a_function_that_cannot_be_pickled_starts_with_an_answer(pool: Pool) -> None:
    stuck = Unpicklable()
    given = Given(pool, lambda item: stuck)
    pool.begin(given.job, 2)
    chunks = given.submit([1])
    given.hear_until(lambda: bool(given.broken))
    given.finish(*chunks)
    assert "not for sale" in given.broken[0].reason


def test_what_is_submitted_when_no_worker_is_left_comes_back(pool: Pool) -> None:
    given = Given(pool, Unloadable())
    pool.begin(given.job, 1)
    given.hear_until(lambda: bool(given.broken))
    # The driver may not have heard of it yet.
    (chunk,) = given.submit([1, 2])
    given.finish(chunk)
    assert given.outcomes(chunk) == []


class Oops(Exception):
    """Of something that nobody thought of, which cannot even say so."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def fail_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what workers are told fail after so many times."""
    rest = count(calls, -1)

    def tell(*arguments: Any) -> Any:
        if next(rest) <= 0:
            raise Oops
        return surroundings(*arguments)

    monkeypatch.setattr(pools, "surroundings", tell)


def test_whatever_fails_in_the_background_is_said(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that nobody told would wait for ever."""
    fail_after(1, monkeypatch)  # as a worker that was started is given the function
    given = Given(pool, process_of)
    pool.begin(given.job, 1)
    (chunk,) = given.submit([1])
    given.hear_until(lambda: bool(given.broken))
    given.finish(chunk)
    assert isinstance(given.broken[0].error, Oops)


def test_whatever_fails_as_a_worker_is_replaced_is_said(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Given(pool, dying).begin(1)
    fail_after(0, monkeypatch)
    (chunk,) = given.submit([1, 2])
    given.hear_until(lambda: bool(given.broken))
    given.finish(chunk)
    assert [type(one) for one in given.outcomes(chunk)] == [WorkerDied]
    assert isinstance(given.broken[0].error, Oops)


def test_no_worker_is_started_that_cannot_be_told_anything(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_after(0, monkeypatch)
    known = set(_children.ours)
    with pytest.raises(Oops):
        pool.begin(Given(pool, process_of).job, 1)
    assert _children.ours <= known


# --- Workers that end ------------------------------------------------------------------------------------


def pid_of(given: Given) -> int:
    """The process of a job's only worker."""
    (chunk,) = given.submit(["pid"])
    given.finish(chunk)
    (outcome,) = given.outcomes(chunk)
    return int(outcome[1] if isinstance(outcome, tuple) else outcome)


@posix_only
def test_a_worker_that_is_killed_while_idle_is_replaced(pool: Pool) -> None:
    given = Given(pool, process_of).begin(1)
    before = pid_of(given)
    given.ready = 0
    os.kill(before, signal.SIGKILL)
    given.hear_until(lambda: given.ready == 1)
    assert pid_of(given) != before
    assert pool.ready() == 1


def test_workers_that_a_run_has_missed_are_kept_for_longer() -> None:
    pool = Pool(idle_s=0.01, learns=True)
    Given(pool, process_of).begin(1).end()
    wait_until(lambda: not pool.ready())
    time.sleep(0.3)
    given = Given(pool, process_of).begin(1)
    kept = pid_of(given)
    given.end()
    time.sleep(0.2)
    assert pid_of(Given(pool, process_of).begin(1)) == kept
    pool.shutdown()


@pytest.mark.parametrize("learns", [True, False])
def test_workers_that_are_costly_to_start_are_kept_for_longer_from_the_first_run_on(
    learns: bool,
) -> None:
    pool = Pool(idle_s=0.01, learns=learns)
    given = Given(pool, Dear()).begin(1)
    kept = pid_of(given)
    given.end()
    if learns:
        time.sleep(0.5)
        assert pid_of(Given(pool, process_of).begin(1)) == kept
    else:
        wait_until(lambda: not pool.ready())
    pool.shutdown()


def test_they_are_not_where_little_memory_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    little = Memory(total_bytes=100, free_bytes=9, here=Held(0, 0), workers={})
    monkeypatch.setattr(_host, "read_memory", lambda: little)
    monkeypatch.setattr(idling, "LOOK_S", 0.1)
    pool = Pool(idle_s=0.01, learns=True)
    Given(pool, Dear()).begin(1).end()
    wait_until(lambda: not pool.ready())
    pool.shutdown()


def test_nor_once_only_others_are_left_that_cost_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idling, "LOOK_S", 0.1)
    pool = Pool(idle_s=0.5, learns=True)
    given = Given(pool, Dear()).begin(1)
    given.hear_until(lambda: given.ready == 1)
    given.end()
    (worker,) = pool._workers
    worker.start_cpu_s = 0.0
    wait_until(lambda: not pool.ready())
    pool.shutdown()


def test_workers_are_let_go_in_time_where_that_was_said() -> None:
    pool = Pool(idle_s=0.01)
    for _ in range(2):
        Given(pool, process_of).begin(1).end()
        wait_until(lambda: not pool.ready())
    pool.shutdown()


class FreedFirst(dict[int, Any]):
    """The chunks of a worker: sees to it that a slot is free before its load says so."""

    def __init__(self, worker: Worker, seen: list[int]) -> None:
        super().__init__()
        self.worker, self.seen = worker, seen

    def pop(self, *number: Any) -> Any:
        given = super().pop(*number)
        self.seen.append(self.worker.load() + len(self.worker._slots))
        return given


def test_a_worker_that_has_room_by_its_load_has_a_slot(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    init = Worker.__init__

    def made(worker: Worker, *arguments: Any) -> None:
        init(worker, *arguments)
        worker._given = FreedFirst(worker, seen)

    monkeypatch.setattr(Worker, "__init__", made)
    given = Given(pool, process_of).begin(1)
    given.finish(*given.submit([1, 2, 3], [4]))
    assert seen == [SLOTS, SLOTS]


@posix_only
def test_a_chunk_that_is_sent_to_a_worker_as_it_dies_is_run_or_comes_back(pool: Pool) -> None:
    given = Given(pool, process_of).begin(1)
    for _ in range(5):
        killed = pid_of(given)
        os.kill(killed, signal.SIGKILL)
        (chunk,) = given.submit([1, 2, 3])
        given.finish(chunk)
        found = given.outcomes(chunk)  # none, unless another had taken its place by then
        assert found == [] or (len(found) == 3 and killed not in found)


@posix_only
def test_what_was_not_started_comes_back(pool: Pool, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    given = Given(pool, writer(log, gate), depth=2).begin(1)
    pid = pid_of(given)
    first, second = given.submit(["a", "wait", "b", "c"], ["d"])
    wait_until(lambda: "wait" in lines(log))
    os.kill(pid, signal.SIGKILL)
    given.finish(first, second)
    (value, _), error = given.outcomes(first)
    assert value == "a"
    assert isinstance(error, WorkerDied)
    assert "killed by SIGKILL" in str(error)
    assert given.outcomes(second) == []
    assert not {"b", "c", "d"} & set(lines(log))


COUNT, LAST = 200, 150


def die_and_go_on(given: Given, log: Path) -> None:
    """Run a chunk that kills its worker, then what came back of it, and see that each item was
    called once, and that the one that did it has the blame."""
    (chunk,) = given.submit(list(range(COUNT)))
    given.finish(chunk)
    *values, error = given.outcomes(chunk)
    assert isinstance(error, WorkerDied)
    assert values == [item * 2 for item in range(LAST)]
    (rest,) = given.submit(chunk.items[LAST + 1 :])
    given.finish(rest)
    assert given.outcomes(rest) == [item * 2 for item in range(LAST + 1, COUNT)]
    assert list(map(int, lines(log))) == list(range(COUNT))


@posix_only
def test_results_that_were_not_announced_survive_their_worker(pool: Pool, tmp_path: Path) -> None:
    log = tmp_path / "log"
    die_and_go_on(Given(pool, killer(log, LAST)).begin(1), log)


@posix_only
def test_they_survive_in_a_worker_that_has_served_others_before(pool: Pool, tmp_path: Path) -> None:
    for options in ({}, {"host": ThreadsExecutor}):
        before = Given(pool, process_of, **options).begin(1)
        before.finish(*before.submit([1, 2, 3], [4]))
        pool.finish(before.job, abandon=False)
    log = tmp_path / "log"
    die_and_go_on(Given(pool, killer(log, LAST)).begin(1), log)


@posix_only
def test_results_of_any_size_survive_their_worker(pool: Pool, tmp_path: Path) -> None:
    log = tmp_path / "log"

    sizes = [0, 1, 60_000, 10_000, 70_000, 65_536, 3, 200_000, 5, 50_000, 20_000, 7]
    given = Given(pool, giver(log)).begin(1)
    for end in range(1, len(sizes) + 1):
        log.unlink(missing_ok=True)
        items = [*sizes[:end], -1, 1, 2]
        (chunk,) = given.submit(items)
        given.finish(chunk)
        *values, error = given.outcomes(chunk)
        assert [len(value) for value in values] == sizes[:end]
        assert isinstance(error, WorkerDied)
        assert list(map(int, lines(log))) == [*sizes[:end], -1]


# --- Giving up a call ------------------------------------------------------------------------------------


@posix_only
def test_a_call_that_is_given_up_has_the_error_and_the_rest_comes_back(
    pool: Pool, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    given = Given(pool, writer(log, gate), depth=2).begin(1)
    before = pid_of(given)
    first, second = given.submit(["a", "wait", "b"], ["c"])
    wait_until(lambda: "wait" in lines(log))
    error = TimeoutError("enough")
    given.ready = 0
    pool.stop(given.job, first, error)
    given.finish(first)
    (value, _), found = given.outcomes(first)
    assert value == "a"
    assert found is error
    given.finish(second)
    assert given.outcomes(second) == []
    assert lines(log) == ["pid", "a", "wait"]
    given.hear_until(lambda: given.ready == 1)
    assert pid_of(given) != before


@posix_only
def test_the_call_of_another_job_goes_on(pool: Pool, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    one, other = (Given(pool, writer(log, gate)).begin(2) for _ in range(2))
    (stopped,) = one.submit(["wait"])
    (going,) = other.submit(["wait"])
    wait_until(lambda: len(lines(log)) == 2)
    error = TimeoutError()
    pool.stop(one.job, stopped, error)
    one.finish(stopped)
    gate.touch()
    other.finish(going)
    assert one.outcomes(stopped) == [error]
    assert [value for value, _ in other.outcomes(going)] == ["wait"]


@posix_only
@pytest.mark.parametrize("turn", range(10))
def test_no_later_call_is_ended_when_one_ends_by_itself_just_then(
    turn: int, pool: Pool, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    given = Given(pool, failing(log)).begin(1)
    (chunk,) = given.submit(list(range(400)))
    errors: list[BaseException] = []
    heard = 0
    while not given.over(chunk):
        given.hear_until(lambda: len(given.blocks) > heard or given.over(chunk))
        heard = len(given.blocks)
        errors.append(TimeoutError(heard))
        pool.stop(given.job, chunk, errors[-1])
    found = given.outcomes(chunk)
    # Each outcome is that of its item, and each item that was called has one. A call that is
    # given up as it begins has not come to note itself.
    called = len(lines(log))
    assert list(map(int, lines(log))) == list(range(called))
    assert called in (len(found), len(found) - isinstance(found[-1], TimeoutError))
    for item, outcome in enumerate(found):
        if isinstance(outcome, TimeoutError):
            assert any(outcome is error for error in errors)
        elif item % 2:
            assert isinstance(outcome, ValueError)
            assert outcome.args == (item,)
        else:
            assert outcome == item


@pytest.fixture
def late(pool: Pool, tmp_path: Path) -> Iterator[Given]:
    """A job with one worker, whose reader waits in its first outcome until `heed` is set."""
    given = Given(pool, writer(tmp_path / "log", tmp_path / "gate"), depth=3)

    def sink(event: Event) -> None:
        if not isinstance(event, Ready | Broken):
            given.heed.wait(DEADLINE_S)
        given.events.put(event)

    given.job.sink = sink
    yield given.begin(1)
    given.heed.set()


@posix_only
def test_what_was_over_before_it_is_stopped_costs_no_other_call(
    pool: Pool, late: Given, tmp_path: Path
) -> None:
    first, over, running = late.submit(["first"], ["over"], ["wait"])
    wait_until(lambda: "wait" in lines(tmp_path / "log"))
    pool.stop(late.job, over, TimeoutError("too late"))
    late.heed.set()
    (tmp_path / "gate").touch()
    late.finish(first, over, running)
    found = [late.outcomes(chunk) for chunk in (first, over, running)]
    assert list(map(names, found)) == [["first"], ["over"], ["wait"]]


@posix_only
def test_an_earlier_call_keeps_its_own_error(pool: Pool, late: Given, tmp_path: Path) -> None:
    (chunk,) = late.submit(["fail", "fail", "wait", "behind"])
    wait_until(lambda: "wait" in lines(tmp_path / "log"))
    error = TimeoutError("enough")
    pool.stop(late.job, chunk, error)
    late.heed.set()
    late.finish(chunk)
    found = late.outcomes(chunk)
    assert names(found) == ["ValueError", "ValueError", "TimeoutError"]
    assert found[2] is error


@posix_only
def test_what_has_not_begun_cannot_be_stopped(pool: Pool, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    given = Given(pool, writer(log, gate), depth=2).begin(1)
    running, behind = given.submit(["wait"], ["behind"])
    wait_until(lambda: lines(log) == ["wait"])
    pool.stop(given.job, behind, TimeoutError("too early"))
    gate.touch()
    given.finish(running, behind)
    assert names(given.outcomes(running)) == ["wait"]
    assert names(given.outcomes(behind)) in ([], ["behind"])


@posix_only
def test_a_call_that_handles_the_request_to_end_is_the_only_one_to_end(
    pool: Pool, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    given = Given(pool, stubborn(log, gate)).begin(1)
    (chunk,) = given.submit(["wait", "wait", "wait"])
    wait_until(lambda: lines(log) == ["wait"])
    error = TimeoutError("enough")
    pool.stop(given.job, chunk, error)
    given.finish(chunk)
    assert given.outcomes(chunk) == [error]


# --- Replacing -------------------------------------------------------------------------------------------


def test_workers_are_replaced_after_so_many_calls() -> None:
    pool = Pool(idle_s=None, max_calls=3)
    try:
        given = Given(pool, process_of).begin(2)
        chunks = given.submit(*([i] for i in range(20)))
        given.finish(*chunks)
        served = Counter(given.outcomes(chunk)[0] for chunk in chunks)
        assert served.total() == 20
        assert max(served.values()) <= 3
    finally:
        pool.shutdown()


def test_those_that_are_to_be_replaced_count_until_their_last_call_has_ended(
    tmp_path: Path,
) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    pool = Pool(idle_s=None, max_calls=1)
    try:
        given = Given(pool, writer(log, gate)).begin(2)
        chunks = given.submit(*[["wait"]] * 6)
        given.hear_until(lambda: given.ready >= 2 and len(lines(log)) >= 2)
        wait_until(lambda: pool.ready() >= 4)  # those that will take their places are there
        time.sleep(0.1)  # in which they would begin
        assert len(lines(log)) == 2
        gate.touch()
        given.finish(*chunks)
        assert len({given.outcomes(chunk)[0][1] for chunk in chunks}) == 6
    finally:
        gate.touch()
        pool.shutdown()


@posix_only
def test_the_call_of_a_worker_that_was_replaced_can_be_given_up(tmp_path: Path) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    pool = Pool(idle_s=None, max_calls=1)
    try:
        given = Given(pool, writer(log, gate)).begin(1)
        (chunk,) = given.submit(["wait"])
        wait_until(lambda: lines(log) == ["wait"])
        error = TimeoutError("enough")
        pool.stop(given.job, chunk, error)
        gate_after = time.monotonic() + 5
        while not given.over(chunk):
            if time.monotonic() > gate_after:
                gate.touch()  # it goes on, so let it end
            if not given.events.empty():
                given.hear_until(given.events.empty)
            time.sleep(0.01)
        assert given.outcomes(chunk) == [error]
    finally:
        gate.touch()
        pool.shutdown()
