"""For how long the call runs that a chunk is in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec._chunk import Chunk
from autoexec._types import Running
from autoexec._watched import Progress

MS = 1e-3
US = 1e-6


class Watch:
    """A chunk of many calls, and who looks at how far it has come."""

    def __init__(self, count: int = 10_000) -> None:
        self.chunk = Chunk(0, [None] * count, "threads", "threads")
        self.progress = Progress()

    def look(
        self, elapsed_s: float, begun: int, *, wall_s: float, cpu: float = 1.0
    ) -> tuple[float, float]:
        """So many calls were begun within a time, for which a share was computed.

        Args:
            elapsed_s: Since the first.
            begun: Calls.
            wall_s: What one of them was expected to take.
            cpu: Share of the time, of the calls and what was expected of them.

        Returns:
            Seconds that the last of them has run for, and computed.
        """
        self.chunk.partial = [None] * (begun - 1)
        now = Running(self.chunk, elapsed_s, cpu * elapsed_s, 0.0, False)
        last = self.progress.last_call(now, wall_s, cpu * wall_s)
        return last.elapsed_s, last.cpu_s


def test_the_first_call_has_run_since_the_begin() -> None:
    watch = Watch()
    assert watch.look(3 * MS, 1, wall_s=5 * US) == (3 * MS, 3 * MS)
    assert watch.look(9 * MS, 1, wall_s=5 * US) == (9 * MS, 9 * MS)


def test_calls_that_are_longer_than_was_expected_are_not_one_that_takes_all_the_rest() -> None:
    watch = Watch()
    for beat in range(1, 20):  # calls of 12 us, of which 5 were expected
        elapsed_s, cpu_s = watch.look(beat * 6 * MS, beat * 500, wall_s=5 * US)
        assert elapsed_s == pytest.approx(12 * US)
        assert cpu_s == pytest.approx(12 * US)


def test_one_that_goes_on_is_seen_from_the_second_look_on() -> None:
    watch = Watch()
    watch.look(5 * MS, 1000, wall_s=5 * US)
    assert watch.look(6 * MS, 1101, wall_s=5 * US)[0] < 0.1 * MS
    assert watch.look(7 * MS, 1101, wall_s=5 * US)[0] == pytest.approx(1.01 * MS, rel=0.01)
    assert watch.look(27 * MS, 1101, wall_s=5 * US)[0] == pytest.approx(21.01 * MS, rel=0.01)


def test_it_has_run_for_no_longer_than_since_others_were_seen_to() -> None:
    watch = Watch()
    watch.look(10 * MS, 1000, wall_s=5 * US)  # which took twice as long as was expected
    watch.look(11 * MS, 1002, wall_s=5 * US)
    assert watch.look(21 * MS, 1002, wall_s=5 * US)[0] == pytest.approx(10.5 * MS)


def test_after_a_moment_without_progress_they_are_no_single_call_either() -> None:
    watch = Watch()
    watch.look(5 * MS, 400, wall_s=5 * US)
    watch.look(6 * MS, 480, wall_s=5 * US)
    # Its thread had no core for a moment, which is not what the call computed.
    _, cpu_s = watch.look(7 * MS, 480, wall_s=5 * US, cpu=6 / 7)
    assert cpu_s < 0.02 * MS


def test_calls_whose_outcome_was_announced_are_before_it_as_well() -> None:
    watch = Watch()
    watch.chunk.arrived = 10
    assert watch.look(50 * MS, 2, wall_s=4 * MS)[0] == pytest.approx(50 * MS / 12)
    watch.chunk.partial = None  # one more is about to be
    now = Running(watch.chunk, 51 * MS, 51 * MS, 0.0, False)
    assert watch.progress.last_call(now, 4 * MS, 4 * MS).elapsed_s <= 51 * MS - 40 * MS


def test_another_chunk_begins_anew() -> None:
    watch = Watch()
    watch.look(10 * MS, 1000, wall_s=5 * US)
    watch.chunk = Chunk(5000, [None] * 100, "threads", "threads")
    assert watch.look(4 * MS, 2, wall_s=1 * MS)[0] == pytest.approx(2 * MS)
    assert watch.look(5 * MS, 2, wall_s=1 * MS)[0] == pytest.approx(3 * MS)


@given(
    st.lists(st.tuples(st.floats(1e-5, 1.0), st.integers(0, 200)), min_size=1, max_size=20),
    st.floats(0.0, 0.1),
    st.floats(0.0, 1.0),
)
def test_it_has_not_computed_for_longer_than_it_has_run_nor_run_for_longer_than_the_chunk(
    looks: list[tuple[float, int]], wall_s: float, cpu: float
) -> None:
    watch, elapsed_s, begun = Watch(), 0.0, 1
    for seconds, more in looks:
        elapsed_s, begun = elapsed_s + seconds, begun + more
        last_s, cpu_s = watch.look(elapsed_s, begun, wall_s=wall_s, cpu=cpu)
        assert 0.0 <= cpu_s <= last_s <= elapsed_s
