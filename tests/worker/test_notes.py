"""The notes of a worker, as its parent reads them: at any moment, since any may be its last."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._worker.notes import SIZE, SLOTS, Notes


def pair() -> tuple[Notes, Notes]:
    """The notes as a worker has it, and as its parent does."""
    memory = mmap.mmap(-1, SIZE)
    return Notes(memory), Notes(memory)


# --- What was started --------------------------------------------------------------------------------

slots = st.integers(0, 5) | st.integers(SLOTS - 2, SLOTS - 1)


@given(st.lists(st.tuples(slots, st.integers(1, 9), st.integers(1, 2**31 - 1)), max_size=30))
@examples(100)
def test_the_last_start_in_each_slot_is_known(starts: list[tuple[int, int, int]]) -> None:
    worker, parent = pair()
    expected: dict[int, tuple[int, int]] = {}
    for slot, number, started in starts:
        worker.start(slot, number, started)
        expected[slot] = number, started
        for its, (of, count) in expected.items():
            assert parent.started(its, of) == count
            assert parent.started(its, of + 10) == 0  # a chunk that has the slot after it


def test_a_slot_that_was_never_used_has_nothing_started() -> None:
    _, parent = pair()
    assert parent.started(3, 1) == 0


def test_once_it_is_closed_nothing_is_started() -> None:
    notes = Notes(mmap.mmap(-1, SIZE))
    notes.start(0, 1, 5)
    notes.close()
    assert (notes.started(0, 1), notes.running(0, 1)) == (0, 0)


WRITER = """
import mmap, sys
from autoexec._worker.notes import SIZE, Notes
with open(sys.argv[1], "r+b") as file:
    notes = Notes(mmap.mmap(file.fileno(), SIZE))
notes.start(3, 7, 1)
print("there", flush=True)
while True:
    for count in range(1, 1000):
        notes.start(3, 7, count)
        notes.end(3, 7, count)
"""


def test_at_no_moment_is_a_note_half_written(tmp_path: Path) -> None:
    # A worker may be killed at any, and what its parent then reads is what it goes by.
    shared = tmp_path / "notes"
    shared.write_bytes(bytes(SIZE))
    command = [sys.executable, "-c", WRITER, str(shared)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker, shared.open("r+b") as file:
        assert worker.stdout is not None
        assert worker.stdout.readline().split() == [b"there"]
        parent = Notes(mmap.mmap(file.fileno(), SIZE))
        seen = {parent.started(3, 7) for _ in range(200_000)}
        worker.kill()
    assert seen <= set(range(1, 1000))


# --- What was finished -------------------------------------------------------------------------------


class Keep(NamedTuple):
    """The result of an item."""

    position: int
    result: bytes


results = st.binary(max_size=50) | st.integers(0, SIZE).map(lambda size: b"x" * size)
notes = st.lists(st.none() | st.builds(Keep, st.integers(0, 10**6), results), max_size=30)


@given(notes)
@examples(200)
def test_what_was_kept_since_the_last_message_is_there(steps: list[Keep | None]) -> None:
    worker, parent = pair()
    message, kept = 0, list[Keep]()
    for step in steps:
        if step is None:
            worker.sent()
            message, kept = message + 1, []
        elif worker.keep(*step):
            kept.append(step)
        assert parent.kept(message) == kept
        assert parent.kept(message + 1) == []
        if message:  # that one has come, so what went with it is known
            assert parent.kept(message - 1) == []


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=20))
@examples(50)
def test_what_does_not_fit_is_refused_and_leaves_the_rest_alone(several: list[bytes]) -> None:
    worker, parent = pair()
    kept = [Keep(position, result) for position, result in enumerate(several)]
    assert all(worker.keep(*one) for one in kept)
    assert not worker.keep(99, b"x" * SIZE)
    assert parent.kept(0) == kept


def test_there_is_room_again_after_a_message() -> None:
    worker, parent = pair()
    result = b"r" * 1000
    for message in range(3):
        count = 0
        while worker.keep(count, result):
            count += 1
        assert count > 30  # most of the memory is for results
        assert parent.kept(message) == [(position, result) for position in range(count)]
        worker.sent()


def test_results_never_run_into_the_starts_or_out_of_the_memory() -> None:
    worker, parent = pair()
    for slot in range(SLOTS):
        worker.start(slot, slot + 1, 7)
    position = 0
    while worker.keep(position, b"\xff" * 61):
        position += 1
    assert all(parent.started(slot, slot + 1) == 7 for slot in range(SLOTS))
    assert len(parent.kept(0)) == position
