"""Frames: what is written at one side of a pipe is what is read at the other, or nothing is."""

from __future__ import annotations

import io
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._worker.frames import frame, read_frame

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(max_size=100),
    lambda parts: st.lists(parts, max_size=3) | st.tuples(parts, parts),
    max_leaves=8,
)
buffers = st.lists(st.builds(bytearray, st.binary(max_size=3000)), max_size=4)


def written(message: object) -> bytes:
    """What goes through the pipe."""
    return b"".join(frame(message))


class Dripping(io.BytesIO):
    """A pipe that gives no more than a few bytes to who reads into memory of his own."""

    def readinto(self, buffer: Any, /) -> int:
        return super().readinto(memoryview(buffer)[:7])


@given(plain)
@examples(100)
def test_a_message_comes_back_the_same(message: object) -> None:
    assert read_frame(io.BytesIO(written(message))) == message


@given(plain)
@examples(20)
def test_a_message_without_buffers_is_one_piece(message: object) -> None:
    assert len(frame(message)) == 1


@given(plain, buffers)
@examples(100)
def test_buffers_arrive_as_bytearrays_in_their_places(
    message: object, several: list[bytearray]
) -> None:
    sent = (message, [pickle.PickleBuffer(one) for one in several], "end")
    for pipe in (io.BytesIO(written(sent)), Dripping(written(sent))):
        first, arrived, last = read_frame(pipe)
        assert (first, last) == (message, "end")
        assert [type(one) for one in arrived] == [bytearray] * len(several)
        assert arrived == several


@given(st.lists(st.tuples(plain, buffers), max_size=4))
@examples(50)
def test_frames_do_not_run_into_each_other(messages: list[tuple[object, list[bytearray]]]) -> None:
    pipe = io.BytesIO(
        b"".join(
            written((message, [pickle.PickleBuffer(one) for one in several]))
            for message, several in messages
        )
    )
    assert [read_frame(pipe) for _ in messages] == messages
    with pytest.raises(EOFError):
        read_frame(pipe)


@given(plain, buffers, st.data())
@examples(200)
def test_a_frame_that_is_cut_short_is_the_end(
    message: object, several: list[bytearray], data: st.DataObject
) -> None:
    whole = written((message, [pickle.PickleBuffer(one) for one in several]))
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(EOFError):
        read_frame(io.BytesIO(whole[:cut]))


def test_every_cut_is_the_end() -> None:
    whole = written(("name", pickle.PickleBuffer(b"12345"), pickle.PickleBuffer(b"")))
    for cut in range(len(whole)):
        with pytest.raises(EOFError):
            read_frame(io.BytesIO(whole[:cut]))


def test_buffers_are_not_copied_on_their_way_out() -> None:
    memory = bytearray(b"before")
    pieces = frame(["message", pickle.PickleBuffer(memory)])
    memory[:] = b"behind"
    assert bytes(pieces[1]) == b"behind"
    assert read_frame(io.BytesIO(b"".join(pieces))) == ["message", b"behind"]


def test_a_buffer_of_many_dimensions_arrives_flat() -> None:
    grid = memoryview(bytes(range(24))).cast("B", (2, 3, 4))
    (arrived,) = read_frame(io.BytesIO(written([pickle.PickleBuffer(grid)])))
    assert arrived == bytearray(range(24))
