"""How many items may be between the input and the caller."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from strategies import durations, examples

from autoexec._buffer import LARGEST, Buffer
from autoexec._options import Settings

sizes = st.integers(1, 10**6)
slots = st.integers(1, 10**4)


@given(sizes, slots, durations(), st.integers(1, 10**6))
@examples(200)
def test_a_bound_that_was_given_is_kept_and_shared_out(
    size: int, slots: int, wall_s: float, given: int
) -> None:
    buffer = Buffer(Settings(buffersize=given))
    chunk = buffer.chunk(size, slots, wall_s)
    assert buffer.bound(chunk, slots) == given
    assert 1 <= chunk <= size
    assert chunk == 1 or 2 * slots * chunk <= given


@given(sizes, slots, durations())
@examples(200)
def test_without_one_the_workers_are_busy_and_memory_is_bounded(
    size: int, slots: int, wall_s: float
) -> None:
    buffer = Buffer(Settings())
    chunk = buffer.chunk(size, slots, wall_s)
    assert slots * chunk <= buffer.bound(chunk, slots) <= max(LARGEST, slots)


@given(sizes, slots, durations())
@examples(200)
def test_a_chunksize_that_was_given_is_kept_unless_the_bound_is_too(
    size: int, slots: int, wall_s: float
) -> None:
    buffer = Buffer(Settings(chunksize=size))
    assert buffer.chunk(size, slots, wall_s) == size
    assert buffer.bound(size, slots) >= 2 * size * slots


def test_calls_one_after_another_go_in_short_blocks() -> None:
    buffer = Buffer(Settings())
    assert buffer.chunk(10**6, 1, 1e-6) == 3000
    assert buffer.chunk(10**6, 1, 1.0) == 1
