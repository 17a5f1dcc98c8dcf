"""The way out of a worker."""

from __future__ import annotations

import io
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO

import pytest

from autoexec._worker.frames import read_frame
from autoexec._worker.outlet import Outlet, joined

DEADLINE_S = 60
LARGE = b"x" * 100_000
HUGE = b"x" * 3_000_000
"""More bytes than any pipe here holds."""


class Pipe:
    """An outlet, and the other end of its pipe."""

    def __init__(self) -> None:
        into, self.out = os.pipe()
        self.end: IO[bytes] = os.fdopen(into, "rb")
        self.outlet = Outlet(self.out)

    def send_elsewhere(self, *messages: tuple[object, ...]) -> threading.Thread:
        """Send messages from another thread."""
        thread = threading.Thread(target=self.outlet.send, args=messages, daemon=True)
        thread.start()
        return thread

    def writes(self) -> bool:
        """Whether a thread is writing, and so has the lock."""
        if self.outlet._lock.acquire(blocking=False):
            self.outlet._lock.release()
            return False
        return True


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.end.close()
    os.close(made.out)


def wait_until(true: Callable[[], object]) -> None:
    until = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_small_pieces_are_written_together_and_large_ones_not_copied() -> None:
    large = memoryview(LARGE)
    pieces = joined([b"a", b"b", large, b"c", b"d"])
    assert pieces == [b"ab", large, b"cd"]
    assert pieces[1] is large


def test_messages_that_are_sent_together_arrive_one_by_one() -> None:
    into, out = os.pipe()
    messages = [("one", 1), ("two", pickle.PickleBuffer(b"y" * 100)), ("three", [3])]
    Outlet(out).send(*messages)
    os.close(out)
    with os.fdopen(into, "rb") as pipe:
        read = io.BytesIO(pipe.read())
    assert [read_frame(read) for _ in messages] == [("one", 1), ("two", b"y" * 100), ("three", [3])]


@pytest.mark.timeout(20)
def test_what_is_sent_in_the_midst_of_a_frame_by_the_same_thread_comes_after_it(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finalizer may log at any point of `send`."""
    write, depth = os.write, 0

    def write_and_finalize(fd: int, data: memoryview) -> int:
        nonlocal depth
        depth += 1
        if depth <= 3:
            pipe.outlet.send(("said", depth))
        return write(fd, data[:1000])

    monkeypatch.setattr(os, "write", write_and_finalize)
    pipe.outlet.send(("outcomes", pickle.PickleBuffer(LARGE[:5000])))
    assert read_frame(pipe.end) == ("outcomes", LARGE[:5000])
    assert [read_frame(pipe.end) for _ in range(3)] == [("said", i) for i in (1, 2, 3)]


@pytest.mark.timeout(20)
def test_what_is_sent_as_a_frame_has_just_been_written_does_not_wait_for_the_next(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lock:
        """Lets a finalizer run just before it is released."""

        def __init__(self) -> None:
            self._lock = pipe.outlet._lock
            self._said = False
            self._is_owned = self._lock._is_owned
            self.acquire = self._lock.acquire

        def release(self) -> None:
            if not self._said:
                self._said = True
                pipe.outlet.send(("said", 1))
            self._lock.release()

    monkeypatch.setattr(pipe.outlet, "_lock", Lock())
    pipe.outlet.send(("outcomes", 1))
    assert read_frame(pipe.end) == ("outcomes", 1)
    assert read_frame(pipe.end) == ("said", 1)


@pytest.mark.timeout(60)
def test_what_is_said_does_not_wait_for_a_thread_that_writes(pipe: Pipe) -> None:
    """That may be about to log, for which it needs the lock of whoever says something here."""
    writer = pipe.send_elsewhere(("outcomes", HUGE))
    wait_until(pipe.writes)
    pipe.outlet.send(("said", 1))
    assert writer.is_alive()
    assert read_frame(pipe.end) == ("outcomes", HUGE)
    assert read_frame(pipe.end) == ("said", 1)
    writer.join(DEADLINE_S)


@pytest.mark.timeout(60)
def test_memory_may_be_written_to_once_it_was_sent(pipe: Pipe) -> None:
    first = pipe.send_elsewhere(("outcomes", HUGE))
    wait_until(pipe.writes)
    memory = bytearray(HUGE)

    def send_then_write_to_it() -> None:
        pipe.outlet.send(("outcomes", pickle.PickleBuffer(memory)))
        memory[:] = bytes(len(memory))

    second = threading.Thread(target=send_then_write_to_it, daemon=True)
    second.start()
    wait_until(lambda: pipe.outlet._waiting)
    assert [read_frame(pipe.end) for _ in range(2)] == [("outcomes", HUGE)] * 2
    for thread in (first, second):
        thread.join(DEADLINE_S)


@pytest.mark.timeout(60)
def test_messages_of_many_threads_arrive_whole_and_in_the_order_of_each(pipe: Pipe) -> None:
    threads, each = 6, 100

    def send(thread: int) -> None:
        for i in range(each):
            name = "said" if i % 3 else "outcomes"
            pipe.outlet.send((name, thread, i, bytes([thread]) * (i % 7 * 3000)))

    senders = [threading.Thread(target=send, args=(thread,)) for thread in range(threads)]
    for sender in senders:
        sender.start()
    found = [read_frame(pipe.end) for _ in range(threads * each)]
    for sender in senders:
        sender.join(DEADLINE_S)
    assert all(set(data) <= {thread} for _, thread, _, data in found)
    for thread in range(threads):
        assert [i for _, its, i, _ in found if its == thread] == list(range(each))
