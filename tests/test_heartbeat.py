"""The GIL heartbeat: the next beat, and what the beats tell of calls under way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import magnitudes, profile

from autoexec._chunk import Block, Chunk
from autoexec._classify import LETS_GO
from autoexec._evidence import BEAT_S, SPINNING_S
from autoexec._heartbeat import FIRST_BEATS, FIRST_BLOCKS, SHORT_S, SLOW_BEAT_S, Heartbeat
from autoexec._types import Look, Running

MS = 1e-3


class Beating:
    """A heartbeat, and one call that computes through the beats."""

    def __init__(self, heartbeat: Heartbeat | None = None) -> None:
        self.heartbeat = heartbeat or Heartbeat(None)
        self.chunk = Chunk(0, [None], "threads", "threads")
        self.now_s = self.cpu_s = self.others_s = 0.0

    def beat(self, *, taken: bool, cores: float = 0.0, computing: float = 1.0) -> None:
        """One more.

        Args:
            taken: Somebody had the GIL as it ended.
            cores: CPU seconds per second of other threads.
            computing: Share of the time for which the call had a core.
        """
        self.now_s += BEAT_S
        self.cpu_s += computing * BEAT_S
        self.others_s += cores * BEAT_S
        running = Running(self.chunk, self.now_s, self.cpu_s, 0.0, False)
        cpu_s = self.cpu_s + self.others_s
        look = Look(self.now_s, 0.0, [running], cpu_s, 0.0, False, 0, gil_taken=taken)
        self.heartbeat.look(look, 1, 0)


@pytest.mark.parametrize("taken", [False, True])
def test_beats_that_agree_tell_whether_calls_let_go_of_the_gil(*, taken: bool) -> None:
    beating = Beating()
    assert (beating.heartbeat.gil_share, beating.heartbeat.let_go) == (None, None)
    for _ in range(5):
        beating.beat(taken=taken)
    assert beating.heartbeat.gil_share == float(taken)
    assert beating.heartbeat.let_go is not taken
    assert beating.heartbeat.is_clear


def test_beats_in_which_nothing_was_computed_tell_nothing() -> None:
    beating = Beating()
    for _ in range(50):
        beating.beat(taken=True, computing=0.0)
    assert beating.heartbeat.gil_share is None


@given(st.floats(0, 1))
def test_what_an_earlier_run_has_shown_holds_until_there_is_a_gil_where_there_was_none(
    share: float,
) -> None:
    heartbeat = Heartbeat(profile(MS, MS, gil_share=share))
    assert heartbeat.gil_share == pytest.approx(share)
    assert heartbeat.let_go is (share < LETS_GO)
    heartbeat.gil_is_on()
    assert heartbeat.gil_share is None


def test_a_chunk_that_has_ended_is_not_taken_for_one_that_goes_on() -> None:
    beating = Beating()
    long = Running(beating.chunk, 1.0, 1.0, 0.0, False)
    beating.heartbeat.look(Look(0.0, None, [long], 1.0, 0.0, False, 0), 1, 0)
    beating.heartbeat.ended(Block(beating.chunk, [0], None, 1.0, 1.0, 0.0, last=True))
    for _ in range(5):
        beating.beat(taken=True)
    assert beating.heartbeat.gil_share == 1.0, "it has computed less than it had"


@given(call_s=magnitudes(-7, 0), blocks=st.integers(0, 9), block_s=magnitudes(-4, 0))
def test_the_first_beats_are_short_and_so_are_all_that_tell_of_single_calls(
    call_s: float, blocks: int, block_s: float
) -> None:
    beating = Beating()
    for _ in range(FIRST_BEATS):
        assert beating.heartbeat.next_s(call_s, blocks=blocks, block_s=block_s) == BEAT_S
        beating.beat(taken=False)
    slow = beating.heartbeat.next_s(call_s, blocks=blocks, block_s=block_s) == SLOW_BEAT_S
    assert slow is (call_s < SHORT_S)


def test_beats_are_slow_where_only_threads_that_may_pass_are_left_to_see() -> None:
    beating = Beating()
    for _ in range(50):
        beating.beat(taken=False, cores=1.0)
    heartbeat = beating.heartbeat
    assert heartbeat.inner == pytest.approx(1.0)
    assert not heartbeat.is_clear
    assert heartbeat.next_s(20 * MS, blocks=FIRST_BLOCKS, block_s=20 * MS) == SLOW_BEAT_S
    assert heartbeat.next_s(20 * MS, blocks=FIRST_BLOCKS - 1, block_s=20 * MS) == BEAT_S
    assert heartbeat.next_s(3 * MS, blocks=FIRST_BLOCKS, block_s=3 * MS) == BEAT_S
    while beating.now_s < SPINNING_S + 0.01:
        beating.beat(taken=False, cores=1.0)
    assert heartbeat.is_clear, "these stay"
