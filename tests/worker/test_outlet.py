"""The way out of a worker."""

from __future__ import annotations

import io
import os
import pickle

from autoexec._worker.frames import read_frame
from autoexec._worker.outlet import Outlet, joined

LARGE = b"x" * 100_000


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
