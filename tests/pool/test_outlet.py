"""Frames into a pipe: all of them arrive in order, and whoever sends never waits for the reader."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._pool import outlet as outlets
from autoexec._pool.outlet import Outlet
from autoexec._worker.frames import frame, read_frame

DEADLINE_S = 60
LARGE = 3_000_000
"""More bytes than any pipe here holds."""


class Pipe:
    """An outlet, and the other end of its pipe."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.end: IO[bytes] = os.fdopen(self.reading, "rb")
        self.outlet = Outlet(self.writing)
        self._identity = os.fstat(self.writing)

    def send(self, *message: Any) -> None:
        self.outlet.send(frame(message))

    def read(self) -> Any:
        return read_frame(self.end)

    def writable(self) -> bool:
        """Whether the descriptor is still that of the pipe."""
        try:
            return os.path.samestat(os.fstat(self.writing), self._identity)
        except OSError:
            return False

    def close(self) -> None:
        self.outlet.close()
        self.end.close()
        wait_until(lambda: not self.writable())


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < until
        time.sleep(0.001)


@pytest.fixture(params=[True, False], ids=["nonblocking", "blocking"])
def pipe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """One that is written without waiting where the system can do that, and one by a thread."""
    if request.param and not outlets.NONBLOCKING:
        pytest.skip("this system has no pipes that can be written without waiting")
    monkeypatch.setattr(outlets, "NONBLOCKING", request.param)
    made = Pipe()
    yield made
    made.close()


def test_a_small_frame_arrives(pipe: Pipe) -> None:
    pipe.send("hello", 1)
    assert pipe.read() == ("hello", 1)


def test_a_frame_larger_than_the_pipe_arrives_while_the_sender_goes_on(pipe: Pipe) -> None:
    data = bytes(range(256)) * (LARGE // 256)
    pipe.send("large", pickle.PickleBuffer(data), pickle.PickleBuffer(b"small"))
    pipe.send("next")  # returns though nobody has read
    name, large, small = pipe.read()
    assert (name, small) == ("large", b"small")
    assert large == data
    assert pipe.read() == ("next",)


def test_a_reader_that_is_slow_gets_everything_in_order(pipe: Pipe) -> None:
    frames = [(i, os.urandom(40_000)) for i in range(50)]
    for one in frames:
        pipe.send(*one)
    raw = b""
    while len(raw) < sum(len(b"".join(frame(one))) for one in frames):
        raw += pipe.end.raw.read(1000)  # type: ignore[attr-defined]
    assert raw == b"".join(b"".join(frame(one)) for one in frames)


def test_frames_of_many_threads_arrive_whole(pipe: Pipe) -> None:
    threads, each = 6, 20

    def send(thread: int) -> None:
        for i in range(each):
            pipe.send(thread, i, pickle.PickleBuffer(bytes([thread]) * (20_000 if i % 3 else 5)))

    senders = [threading.Thread(target=send, args=(thread,)) for thread in range(threads)]
    for sender in senders:
        sender.start()
    found = [pipe.read() for _ in range(threads * each)]
    for sender in senders:
        sender.join(DEADLINE_S)
    assert all(set(data) == {thread} for thread, _, data in found)
    for thread in range(threads):
        assert [i for its, i, _ in found if its == thread] == list(range(each))


def test_what_is_sent_after_a_pause_comes_after_what_was_sent_before_it(pipe: Pipe) -> None:
    for turn in range(20):  # the thread that writes has ended, or is about to, in between
        pipe.send(turn, b"x" * (LARGE if turn % 5 == 0 else 10))
        assert pipe.read()[0] == turn


def test_a_reader_that_is_gone_is_no_error(pipe: Pipe) -> None:
    pipe.end.close()
    for _ in range(3):
        pipe.send("nobody", b"x" * LARGE)
        pipe.send("small")


def test_a_reader_that_goes_in_the_midst_is_no_error(pipe: Pipe) -> None:
    pipe.send("half", b"x" * LARGE)
    os.read(pipe.reading, 100_000)
    pipe.end.close()
    pipe.send("more", b"x" * LARGE)
    wait_until(lambda: not pipe.outlet._writing)


def test_what_was_not_written_is_dropped_with_the_pipe(pipe: Pipe) -> None:
    pipe.send("half", b"x" * LARGE)  # all of which may come, if its writing has begun
    pipe.send("second", b"x" * LARGE)
    pipe.outlet.close()
    assert len(pipe.end.read()) < 2 * LARGE  # and then the end: nobody has it open any more
    pipe.send("late")
    pipe.outlet.close()  # a second time is nothing


def test_the_descriptor_is_closed_once(pipe: Pipe) -> None:
    pipe.send("half", b"x" * LARGE)
    pipe.outlet.close()
    pipe.end.close()
    wait_until(lambda: not pipe.writable())
    again = os.dup(0)  # most likely the same number, which is not the outlet's any more
    pipe.outlet.close()
    os.close(again)


@given(st.lists(st.integers(0, 5).map(lambda power: 17 * 10**power), max_size=8), st.booleans())
@examples(30)
def test_any_frames_arrive_in_order(sizes: list[int], blocking: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if blocking:
            patch.setattr(outlets, "NONBLOCKING", False)
        pipe = Pipe()
        try:
            for i, size in enumerate(sizes):
                pipe.send(i, pickle.PickleBuffer(bytes([i]) * size))
            assert [pipe.read() for _ in sizes] == [
                (i, bytes([i]) * size) for i, size in enumerate(sizes)
            ]
        finally:
            pipe.close()


def no_threads(*_: object) -> None:
    raise RuntimeError("can't start new thread")


def test_without_a_thread_to_write_the_rest_the_pipe_ends(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the worker does, which would wait for the rest for ever."""
    monkeypatch.setattr(outlets, "_thread_cache", SimpleNamespace(start=no_threads))
    pipe.send("large", b"x" * LARGE)
    assert not pipe.writable()
    assert len(pipe.end.read()) < LARGE  # and then the end
    pipe.send("late")
    pipe.outlet.close()  # a second time is nothing


def test_after_a_ctrl_c_in_the_midst_of_a_frame_the_pipe_ends(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes next would be taken for the rest of that frame."""

    def write(fd: int, data: Any) -> int:
        os_write(fd, data[:5])
        raise KeyboardInterrupt  # as the system call returns

    if not outlets.NONBLOCKING:
        pytest.skip("a thread writes, where no Ctrl-C arrives")
    os_write = os.write
    monkeypatch.setattr(os, "write", write)
    with pytest.raises(KeyboardInterrupt):
        pipe.send("hello")
    monkeypatch.undo()
    pipe.send("late")
    with pytest.raises(EOFError):
        pipe.read()


NO_READER = """
import os, pickle, signal, threading, time
from autoexec._pool.outlet import Outlet
from autoexec._worker.frames import frame

signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as command-line tools do
large = frame(("large", pickle.PickleBuffer(bytes(3_000_000))))
reading, writing = os.pipe()
outlet = Outlet(writing)
outlet.send(large)  # a thread writes it
os.read(reading, 100_000)
os.close(reading)
outlet.send(large)
while outlet._writing:
    time.sleep(0.001)
outlet.send(large)  # this thread does
print("still here", signal.pthread_sigmask(signal.SIG_BLOCK, []), flush=True)
reading, writing = os.pipe()
os.close(reading)
os.write(writing, b"the program's own")  # ends it, as it did before
print("not ended")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_reader_that_is_gone_does_not_end_a_program_that_leaves_sigpipe_at_its_default() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", NO_READER], stdout=subprocess.PIPE, text=True, timeout=DEADLINE_S
    )
    assert (ended.stdout, ended.returncode) == ("still here set()\n", -signal.SIGPIPE)


@pytest.mark.skipif(os.name == "nt", reason="a thread writes everything there")
def test_what_a_finalizer_sends_in_the_midst_of_a_frame_comes_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipe, write, sent = Pipe(), outlets._write, list[str]()

    def write_and_finalize(fd: int, piece: memoryview) -> int:
        count = write(fd, piece)
        if not sent:
            sent.append("inner")
            pipe.send("inner", bytes(100_000))
        return count

    monkeypatch.setattr(outlets, "_write", write_and_finalize)
    pipe.send("outer", bytes(100_000))
    pipe.send("last")
    assert [pipe.read()[0] for _ in range(3)] == ["outer", "inner", "last"]
    pipe.close()
