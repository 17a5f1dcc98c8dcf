"""What is made of blocks and looks, fed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PAYLOAD, durations, examples, magnitudes, profile

from autoexec._call_times import BELOW
from autoexec._chunk import Block, Chunk
from autoexec._classify import BLOCKED, HOLDS, LETS_GO, USED
from autoexec._evidence import BEAT_S, SPINNING_S
from autoexec._gain import TURNS
from autoexec._heartbeat import FIRST_BEATS, FIRST_BLOCKS, SHORT_S, SLOW_BEAT_S
from autoexec._means import MEMORY_BLOCKS
from autoexec._profile import Profiler
from autoexec._side_by_side import BESIDE
from autoexec._start_cost import COLD
from autoexec._types import Look, Profile, Running

MS = 1e-3
ON_TIME_S = 0.1 * MS
LATE_S = 5.2 * MS


def chunk_of(count: int, *, watched: bool = True) -> Chunk:
    chunk = Chunk(0, [None] * count, "threads", "threads")
    chunk.watched = watched
    return chunk


class Watch:
    """Feeds a profiler: keeps the clocks that its looks show."""

    def __init__(self, prior: Profile | None = None) -> None:
        self.profiler = Profiler(is_async=False, prior=prior)
        self.now_s = self.process_cpu_s = self.child_cpu_s = 0.0
        self.watched = chunk_of(1)

    def ran(
        self,
        wall_s: float,
        cpu_s: float = 0.0,
        *,
        calls: int = 1,
        queued_s: float = 0.0,
        error: BaseException | None = None,
        local: bool = True,
        crowd: int = 1,
        watched: bool = False,
        pid: int = 0,
        blocked: int = 0,
    ) -> None:
        """Calls returned that took this long together.

        Args:
            wall_s: Seconds from the first to the last.
            cpu_s: CPU seconds of all.
            calls: How many returned a value.
            queued_s: Seconds without a core.
            error: What one more call raised.
            local: They ran in this process.
            crowd: Dispatches in flight in this process.
            watched: It is the call that went through the beats.
            pid: Of the worker process that ran them.
            blocked: How often they waited for something.
        """
        chunk = self.watched if watched else chunk_of(calls + (error is not None))
        block = Block(chunk, [None] * calls, error, wall_s, cpu_s, queued_s, last=True)
        block.pid, block.blocked = pid, blocked
        chunk.lane = "processes" if pid else chunk.lane
        self.profiler.add(block, local=local, crowd=crowd)

    def look(
        self,
        running: Sequence[Running] = (),
        *,
        late_s: float | None = None,
        chunks: int = 1,
        returned: int = 0,
        new_child: bool = False,
        spent_s: float = 0.0,
        gil_taken: bool | None = None,
    ) -> None:
        """A look at what runs, by the clocks as they are."""
        seen = Look(
            self.now_s,
            late_s,
            running,
            self.process_cpu_s,
            self.child_cpu_s,
            new_child,
            returned,
            spent_s,
            gil_taken=gil_taken,
        )
        self.profiler.look(seen, chunks)

    def beats(
        self,
        count: int,
        late_s: float = ON_TIME_S,
        *,
        computing: float = 1.0,
        queued: float = 0.0,
        runnable: bool = False,
    ) -> float:
        """One call runs through that many beats, all as late.

        Args:
            count: How many beats.
            late_s: How late each is.
            computing: The share of the time for which it has a core.
            queued: The share for which it is known to have waited for one.
            runnable: It wants a core at the end of each beat.

        Returns:
            How long it has been running.
        """
        self.watched, elapsed_s = chunk_of(1), 0.0
        for beat in range(1, count + 1):
            elapsed_s = beat * (BEAT_S + late_s)
            self.look(
                [
                    Running(
                        self.watched,
                        elapsed_s,
                        computing * elapsed_s,
                        queued * elapsed_s,
                        runnable,
                    )
                ],
                late_s=late_s,
            )
        return elapsed_s

    def overlapped(self, seconds: float, cpus: float, child_cpus: float = 0.0) -> None:
        """Two calls ran side by side, with so much CPU a second."""
        self.look(chunks=2)
        self.now_s += seconds
        self.process_cpu_s += cpus * seconds
        self.child_cpu_s += child_cpus * seconds
        self.look(chunks=2)

    @property
    def profile(self) -> Profile:
        return self.profiler.profile(remaining=None, processes_ready=False)


@pytest.fixture
def watch() -> Watch:
    return Watch()


# --- How long calls take -----------------------------------------------------------------------------


def test_nothing_seen_is_nothing_claimed(watch: Watch) -> None:
    profile = watch.profile
    assert (profile.calls, profile.done, profile.elapsed_s, profile.wall_s) == (0, 0, 0.0, 0.0)
    assert (profile.gil_share, profile.overlap, profile.spread) == (None, None, 0.0)


def test_a_call_that_runs_already_tells_how_long_it_takes(watch: Watch) -> None:
    elapsed_s = watch.beats(20, computing=0.25)
    profile = watch.profile
    assert (profile.calls, profile.done) == (0, 0)
    assert profile.wall_s == profile.elapsed_s == pytest.approx(elapsed_s)
    assert profile.cpu_s == pytest.approx(0.25 * elapsed_s)


def test_a_call_that_returned_is_no_longer_running(watch: Watch) -> None:
    elapsed_s = watch.beats(20)
    watch.ran(elapsed_s, elapsed_s, watched=True)
    assert watch.profile.wall_s == watch.profile.elapsed_s == pytest.approx(elapsed_s)


def test_time_in_the_run_queue_is_not_the_calls_own(watch: Watch) -> None:
    elapsed_s = watch.beats(20, computing=0.25, queued=0.5)
    assert watch.profile.wall_s == pytest.approx(0.5 * elapsed_s)
    watch.ran(40 * MS, 10 * MS, queued_s=20 * MS)
    assert watch.profile.wall_s == pytest.approx(20 * MS)


def test_a_call_that_wants_a_core_is_not_waiting(watch: Watch) -> None:
    elapsed_s = watch.beats(20, computing=0.25, runnable=True)
    assert watch.profile.wall_s == watch.profile.cpu_s == pytest.approx(0.25 * elapsed_s)


def test_a_beat_says_nothing_of_the_waiting_before_a_late_one(watch: Watch) -> None:
    chunk = chunk_of(1)
    watch.look([Running(chunk, 5 * MS, 5 * MS, 0.0, runnable=True)], late_s=LATE_S * 9)
    watch.look([Running(chunk, 50 * MS, 5 * MS, 0.0, runnable=False)], late_s=ON_TIME_S)
    assert watch.profile.wall_s == pytest.approx(5 * MS + BEAT_S + ON_TIME_S)


def test_what_made_a_beat_late_is_not_time_that_the_call_waited(watch: Watch) -> None:
    # The host took the cores for 20 ms before the wait began, and had given them back when it ended late,
    # which was the call's own doing.
    computes = [Running(watch.watched, 26 * MS, 6 * MS, 0.0, runnable=False)]
    watch.look(computes, late_s=5 * MS)
    assert watch.profile.wall_s == pytest.approx(6 * MS + BEAT_S)
    # Others had the GIL, and the call, which has computed nothing, waits for something or for that.
    other = [Running(chunk_of(1), 26 * MS, 0.0, 0.0, runnable=False)]
    watch = Watch()
    watch.look(other, late_s=5 * MS)
    assert watch.profile.wall_s == pytest.approx(5 * MS + BEAT_S)


def test_while_the_machine_had_no_core_for_this_process_no_call_waited(watch: Watch) -> None:
    watch.watched.away_s = 20 * MS
    watch.ran(28 * MS, 8 * MS, watched=True)
    assert watch.profile.wall_s == pytest.approx(8 * MS)
    for _ in range(3):
        watch.watched = chunk_of(1)
        watch.watched.away_s = 5 * MS
        watch.ran(28 * MS, 8 * MS, watched=True)
    assert watch.profile.wall_s == pytest.approx(23 * MS)


def test_that_is_no_excuse_in_a_crowd_where_others_were_there_to_compute(watch: Watch) -> None:
    watch.overlapped(500 * MS, cpus=0.6)
    watch.watched.away_s = 50 * MS
    watch.ran(570 * MS, 18 * MS, watched=True, crowd=40)
    assert watch.profile.wall_s > 50 * MS


def test_a_call_never_takes_less_than_it_computes(watch: Watch) -> None:
    watch.ran(40 * MS, 30 * MS, queued_s=35 * MS)
    assert watch.profile.wall_s == watch.profile.cpu_s == pytest.approx(30 * MS)


def test_calls_in_a_block_share_its_time(watch: Watch) -> None:
    watch.ran(20 * MS, 10 * MS, calls=10)
    assert (watch.profile.calls, watch.profile.done) == (10, 10)
    assert watch.profile.wall_s == pytest.approx(2 * MS)
    assert watch.profile.cpu_s == pytest.approx(1 * MS)


def test_a_call_that_raised_was_a_call(watch: Watch) -> None:
    watch.ran(20 * MS, calls=1, error=ValueError())
    assert watch.profile.done == 2
    assert watch.profile.wall_s == pytest.approx(10 * MS)


def test_a_block_without_calls_says_nothing(watch: Watch) -> None:
    watch.ran(20 * MS)
    watch.ran(5.0, calls=0)
    assert (watch.profile.done, watch.profiler.blocks) == (1, 1)
    assert watch.profile.wall_s == pytest.approx(20 * MS)


def test_the_first_call_is_replaced_by_the_second(watch: Watch) -> None:
    watch.ran(500 * MS, 400 * MS)
    assert watch.profile.wall_s == pytest.approx(500 * MS)
    watch.ran(10 * MS, 1 * MS)
    assert watch.profile.wall_s == pytest.approx(10 * MS)
    assert watch.profile.cpu_s == pytest.approx(1 * MS)
    assert watch.profile.calls == 2


def test_calls_after_the_second_are_averaged(watch: Watch) -> None:
    for wall_s in (500 * MS, 10 * MS, 20 * MS):
        watch.ran(wall_s)
    assert watch.profile.wall_s == pytest.approx(15 * MS)
    assert watch.profile.spread == pytest.approx(1 / 3)


def test_old_calls_fade(watch: Watch) -> None:
    for wall_s in [100 * MS] * 50 + [10 * MS] * 100:
        watch.ran(wall_s)
    assert watch.profile.wall_s == pytest.approx(10 * MS, rel=0.05)


def test_the_quickest_call_is_remembered(watch: Watch) -> None:
    for wall_s in (30 * MS, 10 * MS, 20 * MS):
        watch.ran(wall_s)
    assert watch.profile.least_s == pytest.approx(10 * MS)


def test_one_long_call_is_noticed_while_it_runs(watch: Watch) -> None:
    for _ in range(5):
        watch.ran(10 * MS)
    watch.look([Running(chunk_of(1), 1.01, 1.01, 0.0, runnable=True)])
    assert watch.profile.wall_s > 100 * MS
    assert watch.profile.cpu_s > 100 * MS


def test_restart_lets_the_next_call_replace_what_was_known(watch: Watch) -> None:
    for _ in range(5):
        watch.ran(10 * MS, 10 * MS)
    watch.profiler.restart()
    assert watch.profile.wall_s == pytest.approx(10 * MS)
    watch.ran(300 * MS, 0.0)
    assert watch.profile.wall_s == pytest.approx(300 * MS)
    assert watch.profile.cpu_s == 0.0
    assert watch.profile.done == 6


def test_restart_keeps_what_is_known_of_the_gil(watch: Watch) -> None:
    watch.beats(10, LATE_S)
    watch.ran(50 * MS, 50 * MS)
    watch.profiler.restart()
    assert watch.profile.gil_share == 1.0


@given(st.lists(st.tuples(durations(), st.integers(0, 10)), min_size=1, max_size=20))
@examples(100)
def test_computing_is_part_of_the_time(calls: list[tuple[float, int]]) -> None:
    watch = Watch()
    for wall_s, tenths in calls:
        watch.ran(wall_s, wall_s * tenths / 10)
        profile = watch.profile
        assert 0 <= profile.cpu_s <= profile.wall_s
        assert profile.least_s <= profile.wall_s
        assert profile.spread >= 0
    assert watch.profile.elapsed_s == pytest.approx(sum(wall_s for wall_s, _ in calls))


# --- Calls that slow each other down -------------------------------------------------------------------


def test_calls_that_take_turns_do_not_look_as_if_they_waited(watch: Watch) -> None:
    watch.ran(10 * MS, 10 * MS)
    watch.ran(10 * MS, 10 * MS)
    watch.ran(40 * MS, 10 * MS, crowd=4)
    assert watch.profile.wall_s == pytest.approx(10 * MS)
    assert watch.profiler.unclear == 1


def test_calls_that_only_wait_beside_each_other_are_believed(watch: Watch) -> None:
    watch.ran(10 * MS)
    watch.ran(40 * MS, crowd=4)
    assert watch.profile.wall_s == pytest.approx(40 * MS)
    assert watch.profiler.unclear == 0


def test_a_run_queue_at_which_nobody_looked_is_like_that_of_others(watch: Watch) -> None:
    for _ in range(50):
        watch.ran(40 * MS, 8 * MS, queued_s=32 * MS)
        watch.ran(40 * MS, 8 * MS)
    assert watch.profile.wall_s == pytest.approx(8 * MS, rel=0.3)


@pytest.mark.parametrize(
    ("wall_s", "cpu_s", "plainly"),
    [
        (40 * MS, 1 * MS, True),
        (200 * MS, 1 * MS, True),
        (15 * MS, 1 * MS, False),  # one that runs through is quicker than one that waits
        (40 * MS, 8 * MS, False),  # they may take turns
    ],
)
def test_calls_side_by_side_may_show_that_they_wait(
    watch: Watch, wall_s: float, cpu_s: float, plainly: bool
) -> None:
    for _ in range(2):
        watch.ran(40 * MS, cpu_s)
    assert not watch.profiler.waits_plainly
    for _ in range(64):
        watch.ran(200 * MS, cpu_s, crowd=100)
    watch.ran(wall_s, cpu_s, crowd=100)
    assert watch.profiler.waits_plainly is plainly


def test_calls_that_have_computed_for_long_already_are_others(watch: Watch) -> None:
    for _ in range(2):
        watch.ran(40 * MS, 1 * MS)
    watch.ran(40 * MS, 1 * MS, crowd=100)
    found: list[tuple[float, bool]] = []
    for chunks, spent_s in ((100, 1.5 * MS), (100, 5 * MS), (1, 0.0)):
        watch.look(chunks=chunks, spent_s=spent_s)
        found.append((watch.profile.cpu_s, watch.profiler.waits_plainly))
    assert found == [(1 * MS, True), (5 * MS, False), (1 * MS, True)]


def test_so_many_calls_that_compute_a_little_get_in_each_others_way(watch: Watch) -> None:
    watch.ran(10 * MS, 1 * MS)
    watch.ran(10 * MS, 1 * MS)
    watch.ran(11 * MS, 1 * MS, crowd=4)
    assert watch.profiler.unclear == 0
    watch.ran(40 * MS, 1 * MS, crowd=32)
    assert watch.profiler.unclear == 1


def test_calls_of_others_that_fill_the_process_are_contention(watch: Watch) -> None:
    watch.ran(10 * MS)
    watch.overlapped(50 * MS, cpus=1.0)
    watch.ran(40 * MS, crowd=2)
    assert watch.profile.wall_s == pytest.approx(10 * MS)


@pytest.mark.parametrize(("child_cpus", "wall_s"), [(2.0, 10 * MS), (0.1, 40 * MS)])
def test_child_processes_that_fill_the_cores_are_contention(
    watch: Watch, child_cpus: float, wall_s: float
) -> None:
    watch.ran(10 * MS)
    watch.child_cpu_s = 100.0  # of children before
    watch.overlapped(50 * MS, cpus=0.0, child_cpus=child_cpus)
    watch.ran(40 * MS, crowd=2)
    assert watch.profile.wall_s == pytest.approx(wall_s)


def test_time_in_the_run_queue_is_no_waiting_whoever_took_the_cores(watch: Watch) -> None:
    watch.ran(8 * MS, 8 * MS)
    watch.ran(8 * MS, 8 * MS)
    watch.overlapped(100 * MS, cpus=0.2)  # the cores are busy, but not with this process
    for _ in range(20):
        watch.ran(50 * MS, 8 * MS, queued_s=40 * MS, crowd=2)
    assert watch.profile.wall_s < 15 * MS


def test_while_calls_queue_for_cores_the_rest_of_their_time_is_no_evidence(watch: Watch) -> None:
    watch.ran(8 * MS, 8 * MS)
    watch.ran(8 * MS, 8 * MS)
    watch.overlapped(100 * MS, cpus=0.2)
    for _ in range(20):  # for the GIL perhaps, of a call that has no core
        watch.ran(250 * MS, 8 * MS, queued_s=200 * MS, crowd=8)
    assert watch.profile.wall_s < 15 * MS


def test_a_first_call_that_was_in_the_way_of_others_is_put_right_by_those_that_queue(
    watch: Watch,
) -> None:
    watch.ran(97 * MS, 9 * MS)
    watch.overlapped(100 * MS, cpus=0.2)
    for _ in range(BELOW):
        watch.ran(250 * MS, 8 * MS, queued_s=240 * MS, crowd=32)
    assert watch.profile.wall_s < 15 * MS


def compute_beside_some_that_wait(
    watch: Watch, late_s: float = ON_TIME_S, *, waits: int = 2, looked_s: float = 1e-6
) -> None:
    """Calls that compute for 5 ms on both cores; of the first of those beside others, so many wait for 500 ms."""
    watch.beats(5, late_s)
    for _ in range(2):
        watch.ran(5 * MS, 5 * MS)
    watch.overlapped(100 * MS, cpus=2.0)
    for _ in range(waits):
        watch.ran(505 * MS, 5 * MS, queued_s=looked_s, crowd=4)
    for _ in range(20 * waits):
        watch.ran(9 * MS, 5 * MS, queued_s=4 * MS, crowd=4)


def test_where_some_calls_wait_and_the_others_compute_without_the_gil_all_are_believed(
    watch: Watch,
) -> None:
    compute_beside_some_that_wait(watch)
    assert watch.profiler.some_wait
    assert watch.profiler.unclear == 0
    # The first that waited was not believed yet.
    assert watch.profile.wall_s == pytest.approx((500 + 43 * 5) / 43 * MS, rel=0.1)
    for _ in range(2 * MEMORY_BLOCKS):
        watch.ran(9 * MS, 5 * MS, queued_s=4 * MS, crowd=4)
    assert watch.profile.cpu_s < 0.5 * watch.profile.wall_s, "they were forgotten"


@pytest.mark.parametrize(
    "how",
    [
        {"late_s": LATE_S},  # they wait for the GIL, perhaps
        {"waits": 1},  # the host of the machine took the core away, perhaps
        {"looked_s": 0.0},  # nobody saw how long it had no core
    ],
)
def test_where_that_is_not_certain_they_are_not(watch: Watch, how: dict[str, Any]) -> None:
    compute_beside_some_that_wait(watch, **how)
    assert not watch.profiler.some_wait
    assert watch.profile.wall_s == pytest.approx(5 * MS)


def test_calls_that_share_a_lock_do_not_wait_for_longer_than_their_neighbours_compute(
    watch: Watch,
) -> None:
    watch.beats(5)
    for _ in range(2):
        watch.ran(5 * MS, 5 * MS)
    watch.overlapped(100 * MS, cpus=2.0)
    for _ in range(20):
        watch.ran(20 * MS, 5 * MS, queued_s=1e-6, crowd=4)
    assert not watch.profiler.some_wait


def test_the_end_of_a_watched_call_may_go_unseen(watch: Watch) -> None:
    watch.beats(5, computing=1.0)
    watch.ran(13 * MS, 9 * MS, watched=True)
    assert watch.profile.wall_s < 11 * MS


def test_a_call_has_waited_for_as_long_as_it_was_seen_to(watch: Watch) -> None:
    elapsed_s = watch.beats(10, computing=0.0)
    # Its thread had no core for 42 ms between what was read before it and after it: not only in between.
    watch.ran(49 * MS, 7 * MS, queued_s=42 * MS, watched=True, crowd=30)
    assert watch.profile.wall_s == pytest.approx(7 * MS + elapsed_s)


def test_a_call_alone_is_believed_whatever_was_before(watch: Watch) -> None:
    watch.ran(10 * MS, 10 * MS)
    watch.overlapped(50 * MS, cpus=1.0)
    watch.ran(40 * MS, 10 * MS, crowd=2)
    assert watch.profiler.unclear == 1
    watch.ran(20 * MS, 20 * MS, crowd=1)
    assert watch.profile.wall_s == pytest.approx(20 * MS)
    assert watch.profiler.unclear == 0


def test_calls_elsewhere_are_not_in_the_way_of_those_here(watch: Watch) -> None:
    watch.ran(10 * MS, 10 * MS)
    watch.overlapped(50 * MS, cpus=1.0)
    watch.ran(40 * MS, 40 * MS, local=False, crowd=1)
    assert watch.profile.wall_s == pytest.approx(40 * MS)


def test_calls_that_were_never_alone_take_as_long_as_they_compute_at_least(watch: Watch) -> None:
    for _ in range(5):
        watch.ran(200 * MS, 50 * MS, crowd=4)
    assert watch.profile.wall_s >= watch.profile.cpu_s == pytest.approx(50 * MS)


def test_a_first_call_that_others_joined_took_less_than_its_wall_time(watch: Watch) -> None:
    elapsed_s = watch.beats(40, computing=0.5)
    watch.ran(5 * elapsed_s, 0.5 * elapsed_s, crowd=8, watched=True)
    assert elapsed_s <= watch.profile.wall_s < 4 * elapsed_s


@pytest.mark.parametrize(
    ("cpus", "queued_s", "took_s"),
    [
        pytest.param(0.97, 0.0, 60 * MS, id="the process was busy all the time"),
        pytest.param(0.55, 25 * MS, 60 * MS, id="it wanted to be, and others had the cores"),
        pytest.param(0.1, 0.0, 400 * MS, id="it had nothing to do: they wait"),
    ],
)
def test_first_calls_that_end_in_a_crowd_are_judged_by_how_busy_that_was(
    watch: Watch, cpus: float, queued_s: float, took_s: float
) -> None:
    watch.beats(30, computing=0.0)  # before the others begin to compute
    watch.overlapped(400 * MS, cpus)
    watch.ran(440 * MS, 15 * MS, queued_s=queued_s, crowd=24, watched=True)
    assert watch.profile.wall_s == pytest.approx(took_s, rel=0.2)


def test_calls_in_another_process_may_wait_for_their_neighbours_there(watch: Watch) -> None:
    for _ in range(2):
        watch.ran(20 * MS, 10 * MS)
    watch.overlapped(50 * MS, cpus=0.0)  # nothing is done in this one meanwhile
    for _ in range(16):  # the first ones import what they need
        watch.ran(900 * MS, 10 * MS, local=False, crowd=16)
    assert watch.profile.wall_s < 60 * MS
    watch.ran(200 * MS, 10 * MS, local=False, crowd=16)
    assert watch.profile.wall_s < 60 * MS
    watch.ran(600 * MS, 10 * MS, local=False, crowd=16)
    assert watch.profile.wall_s > 100 * MS


def test_the_first_calls_of_a_worker_tell_nothing_of_those_after_them(watch: Watch) -> None:
    for _ in range(3):
        watch.ran(1 * MS, 1 * MS)
    for pid in (7, 8):
        watch.ran(100 * MS, 100 * MS, local=False, pid=pid)  # they import what they need
        assert watch.profile.wall_s == pytest.approx(1 * MS)
    watch.ran(2 * MS, 2 * MS, local=False, pid=8)
    assert watch.profile.wall_s > 1 * MS


def test_calls_beside_others_that_neither_compute_nor_want_a_core_are_told_from_those_that_have_none(
    watch: Watch,
) -> None:
    for _ in range(3):
        watch.ran(2 * MS, 2 * MS)
    for _ in range(2 + BESIDE):  # the first on each of two threads is another matter
        assert watch.profile.used is None
        watch.ran(3 * MS, 2 * MS, queued_s=0.3 * MS, crowd=2)
        watch.ran(9 * MS, 1 * MS, local=False)
        watch.ran(3 * MS, 2 * MS, crowd=2)  # at which nobody has looked
    assert watch.profile.used == pytest.approx(2.3 / 3)
    assert watch.profile.beside_s == pytest.approx(2.7 * MS)
    for _ in range(4 * BESIDE):
        watch.ran(20 * MS, 20 * MS, crowd=2)
        watch.ran(0.6 * MS, 0.1 * MS, queued_s=0.01 * MS, crowd=2)  # short ones that wait
    assert watch.profile.used == pytest.approx(20.11 / 20.6, rel=0.01)


def test_how_often_calls_beside_others_wait_for_something_is_told_by_the_second_of_computing(
    watch: Watch,
) -> None:
    for _ in range(3):
        watch.ran(10 * MS, 10 * MS, blocked=90)  # alone
    for _ in range(2 + BESIDE):
        assert watch.profile.blocked == 0.0
        watch.ran(20 * MS, 20 * MS, crowd=2, blocked=30)
        watch.ran(20 * MS, 20 * MS, local=False, blocked=90)
    assert watch.profile.blocked == pytest.approx(1500)
    for _ in range(8 * BESIDE):
        watch.ran(10 * MS, 10 * MS, crowd=2)
    assert watch.profile.blocked < BLOCKED / 10


def test_that_they_wait_for_each_other_is_believed_for_some_runs_and_then_tried_again() -> None:
    figures, runs = profile(10 * MS, 10 * MS, gil_share=0.0, blocked=70_000.0), 0
    while figures.blocked >= BLOCKED:
        figures = figures._replace(blocked=Watch(figures).profiler.beside.later_blocked)
        runs += 1
    assert runs == 23
    seen = Watch(figures)
    for _ in range(2 + BESIDE):
        seen.ran(10 * MS, 10 * MS, crowd=2, blocked=50)
    assert seen.profiler.beside.later_blocked == 2 * BLOCKED
    seen.profiler.are_others()
    assert seen.profile.blocked == 0.0


def test_what_calls_do_beside_others_is_believed_for_some_runs_and_then_tried_again() -> None:
    figures = profile(2 * MS, 2 * MS, gil_share=0.0)
    known: float | None = 0.76
    runs = 0
    while (known or 1.0) < USED:
        known = Watch(figures._replace(used=known)).profiler.beside.later
        runs += 1
    assert runs == 16
    seen = Watch(figures._replace(used=0.76))
    for _ in range(2 + BESIDE):
        seen.ran(2 * MS, 2 * MS, crowd=2)
    assert seen.profile.used == seen.profiler.beside.later == 1.0
    seen.profiler.are_others()
    assert seen.profile.used is None


def test_a_worker_costs_its_start_and_what_its_first_calls_take_longer(watch: Watch) -> None:
    watch.ran(101 * MS, 101 * MS)
    watch.profiler.started(60 * MS)
    assert watch.profile.worker_s is None
    watch.ran(101 * MS, 101 * MS, local=False, pid=7)
    assert watch.profile.worker_s is None, "the first call here paid for the same"
    watch.ran(1 * MS, 1 * MS)
    watch.ran(50 * MS, 50 * MS, local=False, pid=7)  # a long one, not its first
    assert watch.profile.worker_s == pytest.approx(60 * MS + 101 * MS - watch.profile.wall_s)

    later = Watch(watch.profile)
    later.ran(1 * MS, 1 * MS)
    later.ran(1 * MS, 1 * MS, local=False, pid=7)  # it is up: that tells nothing of a start
    assert later.profile.worker_s == watch.profile.worker_s
    later.profiler.started(40 * MS)
    later.ran(0.1 * MS, 0.1 * MS, local=False, pid=8)
    assert later.profile.worker_s == pytest.approx(40 * MS)


def test_a_worker_that_was_there_before_tells_nothing_of_what_another_costs(watch: Watch) -> None:
    for pid in (0, 0, 7):
        watch.ran(1 * MS, 1 * MS, local=not pid, pid=pid)
    assert watch.profile.worker_s is None


def test_where_each_call_has_a_worker_of_its_own_they_are_all_there_is(watch: Watch) -> None:
    watch.ran(1 * MS, 1 * MS)
    watch.ran(1 * MS, 1 * MS)
    for pid in range(1, 2 * COLD):
        watch.ran(100 * MS, 100 * MS, local=False, pid=pid)
    assert watch.profile.wall_s == pytest.approx(100 * MS, rel=0.1)


def test_only_calls_in_this_process_weigh_as_evidence(watch: Watch) -> None:
    watch.ran(10 * MS)
    watch.ran(40 * MS, local=False, crowd=4)
    assert watch.profile.elapsed_s == pytest.approx(10 * MS)


@pytest.mark.parametrize("cpus", [0.0, 1.0, 1.9])
def test_overlap_is_cpu_a_second_while_calls_overlap(watch: Watch, cpus: float) -> None:
    watch.overlapped(50 * MS, cpus)
    assert watch.profile.overlap == pytest.approx(cpus)


@pytest.mark.parametrize(("gain", "turns"), [(0.6, True), (TURNS, False), (1.9, False)])
def test_calls_that_compute_and_gain_nothing_side_by_side_take_turns(
    watch: Watch, gain: float, turns: bool
) -> None:
    watch.ran(0.03 * MS, 0.03 * MS)
    watch.ran(0.03 * MS, 0.03 * MS)
    watch.ran(0.03 * MS, 0.03 * MS, crowd=2)
    assert Watch().profiler.turns.told is None
    assert not watch.profile.takes_turns
    watch.profiler.gained(gain)
    assert watch.profiler.turns.told is turns
    assert watch.profile.takes_turns is turns


def test_that_calls_take_turns_is_not_doubted_for_what_others_wait_for_later(watch: Watch) -> None:
    for crowd in (1, 1, 2):
        watch.ran(5 * MS, 5 * MS, crowd=crowd)
    watch.overlapped(100 * MS, 0.95)
    watch.profiler.gained(0.95)
    for _ in range(20):  # in worker processes, beside which others are busy
        watch.ran(50 * MS, 5 * MS, queued_s=45 * MS, local=False, crowd=2)
    watch.profiler.gained(0.95)
    assert watch.profile.takes_turns


@pytest.mark.parametrize(
    ("wall_s", "queued_s", "cpus"),
    [
        pytest.param(10 * MS, 0.0, 0.9, id="they wait"),
        pytest.param(10 * MS, 5 * MS, 0.9, id="they want a core"),
        pytest.param(5 * MS, 0.0, 1.9, id="they were seen to compute at the same time"),
        pytest.param(8 * MS, 3 * MS, 1.0, id="without a core for a part of the time"),
    ],
)
def test_these_do_not_take_turns(watch: Watch, wall_s: float, queued_s: float, cpus: float) -> None:
    for _ in range(3):
        watch.ran(wall_s, 5 * MS, queued_s=queued_s)
    for _ in range(3):
        watch.ran(wall_s, 5 * MS, queued_s=queued_s, crowd=2)
    watch.profiler.gained(0.6)
    assert watch.profiler.turns.told is (wall_s == 5 * MS)
    watch.overlapped(100 * MS, cpus)
    watch.profiler.gained(0.6)
    assert watch.profiler.turns.told is False


def test_what_calls_alone_had_does_not_hide_that_those_on_threads_had_half_a_core(
    watch: Watch,
) -> None:
    # Another program has one of two cores for itself.
    for _ in range(3):
        watch.ran(1.9 * MS, 1.9 * MS)
    for _ in range(3):
        watch.ran(21 * MS, 10.6 * MS, calls=6, queued_s=10.4 * MS, crowd=4)
    watch.overlapped(100 * MS, 0.89)
    watch.profiler.gained(0.79)
    assert watch.profiler.turns.told is False


def test_the_first_dispatch_after_an_overrun_does_not_say_by_itself_that_calls_take_turns() -> None:
    watch = Watch()
    watch.ran(1.9 * MS, 1.9 * MS)
    watch.ran(1.9 * MS, 1.9 * MS)
    for _ in range(5):
        watch.ran(21 * MS, 10.6 * MS, calls=6, queued_s=10.4 * MS, crowd=4)
    watch.overlapped(100 * MS, 0.9)
    watch.profiler.overran()
    watch.ran(12 * MS, 10.6 * MS, calls=6, queued_s=1.4 * MS, crowd=4)
    watch.profiler.gained(0.94)
    assert watch.profiler.turns.told is False


@pytest.mark.parametrize(("longer", "turns"), [(False, True), (True, False)])
def test_calls_that_compute_for_longer_since_they_are_others_do_not_take_turns(
    watch: Watch, longer: bool, turns: bool
) -> None:
    # Four threads keep four cores busy. Either each call computes for four times as long beside the others, or one
    # in eight has more to do.
    watch.ran(0.1 * MS, 0.1 * MS)
    watch.ran(0.1 * MS, 0.1 * MS)
    for i in range(24):
        cpu_s = (2.6 if i % 8 == 3 else 0.1) * MS if longer else 0.4 * MS
        watch.ran(cpu_s, cpu_s, crowd=4)
    watch.overlapped(100 * MS, 3.9)
    watch.profiler.gained(0.9)
    assert watch.profiler.turns.told is turns


def test_where_none_was_beside_another_it_is_not_said_what_threads_gain(watch: Watch) -> None:
    watch.ran(5 * MS, 5 * MS)
    watch.ran(5 * MS, 5 * MS)
    watch.profiler.gained(0.6)
    assert watch.profiler.turns.told is None


def test_the_want_of_cores_of_other_work_does_not_hide_that_calls_take_turns(watch: Watch) -> None:
    for _ in range(3):
        watch.ran(2000 * MS, 1000 * MS, queued_s=1000 * MS, crowd=2)
    watch.profiler.are_others()
    for _ in range(3):
        watch.ran(1 * MS, 1 * MS)
    watch.ran(1 * MS, 1 * MS, crowd=2)
    watch.profiler.gained(0.95)
    assert watch.profiler.turns.told


def test_a_block_that_was_begun_inline_does_not_hide_the_want_of_a_core_of_those_after_it() -> None:
    watch = Watch()
    watch.watched.route = "inline"
    watch.ran(1.9 * MS, 1.9 * MS)
    watch.ran(1.9 * MS, 1.9 * MS)
    watch.ran(20 * MS, 20 * MS, calls=10, crowd=2, watched=True)  # threads begin while it runs
    for _ in range(3):
        watch.ran(20 * MS, 10 * MS, calls=5, queued_s=10 * MS, crowd=3)
    watch.overlapped(100 * MS, 0.86)
    watch.profiler.gained(0.8)
    assert watch.profiler.turns.told is False


def test_what_the_first_call_computed_does_not_hide_that_those_after_it_take_turns() -> None:
    watch = Watch()
    watch.ran(100 * MS, 100 * MS)  # it imports what they need
    for crowd in (1, 1, 2):
        watch.ran(1 * MS, 1 * MS, crowd=crowd)
    watch.profiler.gained(0.95)
    assert watch.profiler.turns.told


def test_work_that_has_changed_is_tried_on_threads_anew() -> None:
    watch = Watch()
    watch.ran(1 * MS, 1 * MS)
    watch.ran(1 * MS, 1 * MS)
    watch.ran(1 * MS, 1 * MS, crowd=2)
    watch.profiler.gained(0.95)
    assert watch.profile.takes_turns
    watch.profiler.overran()
    assert not watch.profile.takes_turns


def test_a_moment_without_a_core_does_not_hide_that_calls_take_turns(watch: Watch) -> None:
    # All of the little that they do not compute is for want of a core: they compute nearly always.
    for crowd in (1, 2, 2):
        watch.ran(25 * MS, 23.5 * MS, queued_s=1.5 * MS, crowd=crowd)
    watch.overlapped(100 * MS, 0.95)
    watch.profiler.gained(0.9)
    assert watch.profiler.turns.told


@pytest.mark.parametrize(
    ("cpu_s", "queued_s", "turns"),
    [
        (5.8 * MS, 0.1 * MS, True),
        (3.1 * MS, 0.1 * MS, False),
        (5.8 * MS, 2 * MS, False),  # the machine is busy with others, who slow them down as well
    ],
)
def test_what_calls_compute_as_they_are_in_each_others_way_is_no_overlap(
    watch: Watch, cpu_s: float, queued_s: float, turns: bool
) -> None:
    # Two threads in SQLite: 1.45 cores are busy, and the calls compute for twice as long.
    watch.ran(3.1 * MS, 3.1 * MS)
    watch.ran(3.1 * MS, 3.1 * MS)
    for _ in range(20):
        watch.ran(8.0 * MS, cpu_s, queued_s=queued_s, crowd=2)
    watch.overlapped(100 * MS, 1.45)
    watch.profiler.gained(0.75)
    assert watch.profiler.turns.told == turns


@pytest.mark.parametrize(("queued_ms", "rivals"), [(1, 0.0), (5, 1.0), (20, 4.0)])
def test_how_many_compete_for_the_cores_is_told_by_how_long_calls_want_one(
    watch: Watch, queued_ms: float, rivals: float
) -> None:
    for _ in range(20):
        watch.ran((10 + queued_ms) * MS, 10 * MS, queued_s=queued_ms * MS, crowd=2)
    watch.overlapped(100 * MS, 2 * 10 / (10 + queued_ms))
    watch.profiler.see_rivals(2)
    assert watch.profile.rivals == pytest.approx(rivals)


def test_nobody_competes_with_calls_that_have_all_cores(watch: Watch) -> None:
    for _ in range(20):
        watch.ran(15 * MS, 10 * MS, queued_s=5 * MS, crowd=2)
    watch.overlapped(100 * MS, 1.95)
    watch.profiler.see_rivals(2)
    assert watch.profile.rivals == 0.0


def test_calls_that_have_the_gil_for_a_part_are_not_run_on_more_threads_than_cores(
    watch: Watch,
) -> None:
    watch.beats(2, LATE_S)
    watch.beats(16)
    assert LETS_GO < (watch.profile.gil_share or 0.0) < HOLDS
    for _ in range(20):
        watch.ran(15 * MS, 10 * MS, queued_s=5 * MS, crowd=2)
    watch.overlapped(100 * MS, 1.3)
    watch.profiler.see_rivals(2)
    assert watch.profile.rivals == 0.0


@pytest.mark.parametrize("held", [0, 2])
def test_that_calls_compute_for_longer_beside_each_other_is_no_want_of_cores_if_they_have_the_gil_for_a_part(
    watch: Watch, held: int
) -> None:
    watch.beats(held, LATE_S)
    watch.beats(16)
    watch.ran(2 * MS, 2 * MS)
    watch.ran(2 * MS, 2 * MS)
    for _ in range(20):
        watch.ran(7 * MS, 4 * MS, queued_s=2 * MS, crowd=2)
    watch.overlapped(100 * MS, 1.1)
    watch.profiler.gained(0.7)
    assert watch.profiler.turns.told is (held > 0)


def test_before_calls_ran_beside_others_none_is_seen_to_compete(watch: Watch) -> None:
    watch.ran(30 * MS, 10 * MS, queued_s=20 * MS)
    watch.profiler.see_rivals(2)
    assert watch.profile.rivals == 0.0


def test_that_calls_took_turns_is_believed_for_one_run() -> None:
    known = Watch()
    known.profiler = Profiler(False, Watch().profile._replace(takes_turns=True))
    assert known.profile.takes_turns
    assert known.profiler.turns.told is None  # which is what the next run hears of
    known.ran(0.03 * MS, 0.03 * MS)
    known.profiler.gained(1.9)
    assert not known.profile.takes_turns


def test_overlap_of_a_moment_is_no_evidence(watch: Watch) -> None:
    watch.overlapped(2 * MS, 1.9)
    assert watch.profile.overlap is None


def test_what_ran_alone_is_not_overlap(watch: Watch) -> None:
    watch.look(chunks=1)
    watch.now_s += 1.0
    watch.process_cpu_s += 1.0
    watch.look(chunks=1)
    watch.look(chunks=2)
    assert watch.profile.overlap is None


def test_new_overlap_outweighs_old(watch: Watch) -> None:
    watch.overlapped(1.0, 1.0)
    for _ in range(20):
        watch.overlapped(100 * MS, 2.0)
    assert watch.profile.overlap == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(
    ("crowded_ms", "seen_ms"),
    [
        pytest.param(18, 10, id="in a crowd everything takes longer"),
        pytest.param(40, 40, id="they are others"),
        pytest.param(1, 1, id="they do less"),
    ],
)
def test_cpu_time_in_a_crowd_is_believed_if_it_is_far_from_that_of_calls_that_ran_alone(
    watch: Watch, crowded_ms: float, seen_ms: float
) -> None:
    for _ in range(3):
        watch.ran(20 * MS, 10 * MS)
    for _ in range(60):
        watch.ran(400 * MS, crowded_ms * MS, crowd=50)
    assert watch.profiler.cpu_s == pytest.approx(seen_ms * MS, rel=0.1)


# --- The GIL ---------------------------------------------------------------------------------------


def test_late_beats_beside_a_computing_call_mean_that_it_holds_the_gil(watch: Watch) -> None:
    watch.beats(2, LATE_S)
    assert watch.profile.gil_share == 1.0
    assert watch.profile.late_ms == pytest.approx(5.2)


def test_beats_on_time_beside_a_computing_call_mean_that_it_does_not(watch: Watch) -> None:
    watch.beats(3)
    assert watch.profile.gil_share == 0.0
    assert watch.profile.late_ms == pytest.approx(0.1)


def test_two_beats_on_time_are_not_enough_to_tell(watch: Watch) -> None:
    watch.beats(2)
    assert watch.profile.gil_share is None


def test_beats_beside_a_call_that_waits_say_nothing(watch: Watch) -> None:
    watch.beats(20, LATE_S, computing=0.0)
    assert watch.profile.gil_share is None


def test_a_wait_that_was_cut_short_is_no_beat(watch: Watch) -> None:
    watch.look([Running(chunk_of(1), 50 * MS, 50 * MS, 0.0, runnable=True)], late_s=None)
    assert watch.profile.gil_share is None


def test_a_beat_says_nothing_of_what_was_computed_before_it(watch: Watch) -> None:
    # 50 ms of CPU time have passed since the last look, but the beat covers 1.1 of them.
    watch.look([Running(chunk_of(1), 50 * MS, 50 * MS, 0.0, runnable=True)], late_s=ON_TIME_S)
    assert watch.profile.gil_share is None


def test_a_beat_beside_a_call_that_has_stopped_computing_says_nothing(watch: Watch) -> None:
    chunk = chunk_of(1)
    watch.look([Running(chunk, 2 * MS, 2 * MS, 0.0, runnable=True)], late_s=ON_TIME_S)
    for beat in range(1, 100):
        elapsed_s = 2 * MS + beat * (BEAT_S + LATE_S)
        watch.look([Running(chunk, elapsed_s, 2 * MS, 0.0, runnable=False)], late_s=LATE_S)
    assert watch.profile.gil_share is None


def test_beats_that_disagree_from_the_start_need_more_of_them(watch: Watch) -> None:
    shares: list[float | None] = []
    for _ in range(8):
        watch.beats(1, LATE_S)
        watch.beats(2)
        shares.append(watch.profile.gil_share)
    assert shares[:2] == [None, None]
    assert shares[-1] == pytest.approx(0.5, abs=0.1)


def test_beats_that_come_to_disagree_leave_what_was_clear(watch: Watch) -> None:
    watch.beats(2, LATE_S)
    assert watch.profile.gil_share == 1.0
    watch.beats(2)
    assert watch.profile.gil_share == 1.0


def test_new_beats_outweigh_old(watch: Watch) -> None:
    watch.beats(10, LATE_S)
    watch.beats(300)
    assert watch.profile.gil_share == pytest.approx(0.0, abs=0.05)


@given(st.integers(2, 30), magnitudes(-2, 0))
@examples(100)
def test_the_second_call_does_not_undo_what_the_first_did_to_the_gil(
    beats: int, late_s: float
) -> None:
    watch = Watch()
    watch.beats(beats, late_s)
    assert watch.profile.gil_share == 1.0
    watch.ran(1.0, 1.0)
    watch.ran(1.0, 1.0)
    assert watch.profile.gil_share == 1.0


@pytest.mark.parametrize(
    ("taken", "late_s"),
    [
        (True, 0.25 * MS),  # beside calls that let go of the GIL for moments, and take it back
        (False, 4 * MS),  # by accident: nobody had it
    ],
)
def test_whether_the_gil_was_taken_counts_for_more_than_how_late_a_beat_is(
    watch: Watch, taken: bool, late_s: float
) -> None:
    chunk = chunk_of(1)
    for beat in range(1, 9):
        cpu_s = beat * (BEAT_S + late_s)
        running = [Running(chunk, cpu_s, cpu_s, 0.0, runnable=True)]
        watch.look(running, late_s=late_s, gil_taken=taken)
    assert watch.profile.gil_share == float(taken)


def test_a_beat_that_is_known_to_have_waited_for_the_gil_counts_for_as_long_as_it_took(
    watch: Watch,
) -> None:
    # It was let go of for three beats, and then kept for 30 ms.
    chunk, cpu_s = chunk_of(1), 0.0
    for late_s in (0.1 * MS, 0.1 * MS, 0.1 * MS, 30 * MS):
        cpu_s += BEAT_S + late_s
        running = [Running(chunk, cpu_s, cpu_s, 0.0, runnable=True)]
        watch.look(running, late_s=late_s, gil_taken=late_s > MS)
    assert watch.profile.gil_share == pytest.approx(31 / 34.3)


def test_the_second_call_soon_outvotes_the_first(watch: Watch) -> None:
    watch.beats(10, LATE_S)
    watch.ran(60 * MS, 60 * MS)
    watch.ran(60 * MS, 60 * MS)
    watch.beats(16, ON_TIME_S)
    assert watch.profile.gil_share is not None
    assert watch.profile.gil_share < 0.2


@given(st.lists(st.tuples(durations(), magnitudes(-5, 0)), min_size=1, max_size=30))
@examples(100)
def test_the_share_of_the_gil_is_a_share(beats: list[tuple[float, float]]) -> None:
    watch = Watch()
    chunk, cpu_s = chunk_of(1), 0.0
    for computed_s, late_s in beats:
        cpu_s += computed_s
        watch.look([Running(chunk, cpu_s, cpu_s, 0.0, runnable=True)], late_s=late_s)
        share = watch.profile.gil_share
        assert share is None or 0.0 <= share <= 1.0


# --- Child processes ---------------------------------------------------------------------------------


def test_child_cpu_is_the_median_of_the_looks(watch: Watch) -> None:
    watch.look()
    for child_s in (0.10, 9.0, 0.11):  # in between, somebody else's child ended
        watch.child_cpu_s += child_s
        watch.look(returned=1)
    assert watch.profile.child_s == pytest.approx(0.11)


def test_child_cpu_is_shared_by_the_calls_that_returned(watch: Watch) -> None:
    watch.look()
    watch.child_cpu_s += 0.4
    watch.look(returned=4)
    assert watch.profile.child_s == pytest.approx(0.1)


def test_child_cpu_before_the_run_is_not_counted(watch: Watch) -> None:
    watch.child_cpu_s = 100.0
    watch.look()
    watch.look(returned=1)
    assert watch.profile.child_s == 0.0


def test_child_cpu_waits_for_the_call_that_used_it(watch: Watch) -> None:
    watch.look()
    watch.child_cpu_s += 0.2
    watch.look(returned=0)
    assert watch.profile.child_s == 0.0
    watch.look(returned=1)
    assert watch.profile.child_s == pytest.approx(0.2)


@pytest.mark.parametrize("new_child", [False, True])
def test_a_child_that_appeared_is_passed_on(watch: Watch, new_child: bool) -> None:
    watch.look(new_child=new_child)
    assert watch.profile.new_child is new_child


# --- What is passed on -------------------------------------------------------------------------------


def test_what_others_found_is_passed_on() -> None:
    profiler = Profiler(is_async=True)
    travel = profiler.travel
    travel.payload, travel.effect, travel.checks = PAYLOAD, "it changes", 2
    profile = profiler.profile(remaining=7, processes_ready=True)
    assert (profile.is_async, profile.remaining, profile.processes_ready) == (True, 7, True)
    assert (profile.payload, profile.effect, profile.checks) == (PAYLOAD, "it changes", 2)


def test_what_holds_the_gil_is_not_waiting() -> None:
    watch = Watch()
    watch.ran(30 * MS, 20 * MS)
    assert watch.profile.wait_s == pytest.approx(10 * MS)
    assert watch.profile.held_s == pytest.approx(20 * MS)  # as long as nobody knows better
    watch.beats(3)
    assert watch.profile.held_s == 0.0


@pytest.mark.parametrize("ended", [False, True])
def test_what_ended_between_two_looks_is_no_thread_of_the_call_that_runs(
    watch: Watch, ended: bool
) -> None:
    for _ in range(2):  # a call that waits, while somebody computes
        watch.now_s += 0.1
        watch.process_cpu_s += 0.1
        watch.look([Running(watch.watched, watch.now_s, 0.01 * watch.now_s, 0.0, False)])
        if ended:
            watch.ran(50 * MS, 50 * MS)
    assert (watch.profile.inner > 0.5) is not ended


def threads_beside(watch: Watch, seconds: float, cores: float, *, read_late_s: float = 0.0) -> None:
    """One call computes for so long, and other threads of the process beside it.

    Args:
        watch: Sees it in looks of 1 ms.
        seconds: How long.
        cores: The CPU seconds per second of these threads.
        read_late_s: Of every second look the clock of the process is read so late.
    """
    began_s, spent_s = watch.now_s, watch.process_cpu_s
    looks = round(seconds / MS)
    for count in range(1, looks + 1):
        watch.now_s = began_s + count * MS
        late_s = read_late_s * (count % 2)
        watch.process_cpu_s = spent_s + (1 + cores) * count * MS + late_s
        own = Running(watch.watched, watch.now_s, watch.now_s, 0.0, True)
        watch.look([own], late_s=ON_TIME_S)
    watch.process_cpu_s = spent_s + (1 + cores) * looks * MS


def test_clocks_that_are_read_one_after_the_other_are_no_thread_within_a_call() -> None:
    watch = Watch()
    threads_beside(watch, 0.05, 0.0, read_late_s=0.4 * MS)
    assert watch.profile.inner < 0.05


def test_threads_that_spin_for_a_moment_are_not_those_of_a_call() -> None:
    watch = Watch()
    for _ in range(FIRST_BLOCKS):
        watch.ran(20 * MS, 20 * MS)
    threads_beside(watch, 0.1, 1.0)
    assert watch.profile.inner == pytest.approx(1.0, rel=0.05)
    assert not watch.profiler.heartbeat.is_clear, "they may be about to end"
    assert watch.profiler.beat_s == SLOW_BEAT_S
    watch.ran(3 * MS, 3 * MS)
    assert watch.profiler.beat_s == BEAT_S, "of such, each would be seen but once"
    threads_beside(watch, 0.4, 0.0)
    assert watch.profile.inner < 0.1
    assert watch.profiler.heartbeat.is_clear


def test_threads_that_stay_are_those_of_a_call() -> None:
    watch = Watch()
    threads_beside(watch, SPINNING_S + 0.01, 1.0)
    assert watch.profile.inner == pytest.approx(1.0, rel=0.05)
    assert watch.profiler.heartbeat.is_clear


def test_what_an_earlier_run_has_shown_of_threads_is_not_looked_for_for_ever() -> None:
    watch = Watch(Watch().profile._replace(inner=1.0, gil_share=0.0))
    for _ in range(FIRST_BLOCKS):
        watch.ran(5 * MS, 5 * MS)
    assert not watch.profiler.heartbeat.is_clear
    while (
        watch.now_s < SPINNING_S + 5 * MS
    ):  # others run beside each call, so nothing is seen of it
        watch.now_s += 5 * MS
        watch.look(late_s=ON_TIME_S, chunks=2)
    assert watch.profiler.heartbeat.is_clear


def test_the_heart_beats_slower_beside_calls_of_which_many_go_in_a_beat() -> None:
    short, longer = Watch(), Watch()
    for watch, call_s in ((short, SHORT_S / 2), (longer, 2 * SHORT_S)):
        watch.beats(FIRST_BEATS)
        assert watch.profiler.beat_s == BEAT_S, "nothing is known of a call yet"
        for _ in range(2):
            watch.ran(100 * call_s, 100 * call_s, calls=100)
    assert short.profiler.beat_s == SLOW_BEAT_S
    assert longer.profiler.beat_s == BEAT_S


def test_the_first_beats_are_not_slower() -> None:
    watch = Watch()
    watch.ran(50 * SHORT_S, 50 * SHORT_S, calls=100)
    assert (watch.profiler.known, watch.profiler.beat_s) == (True, BEAT_S)


def test_what_far_ones_have_taken_so_far_counts_as_often_as_there_is_one() -> None:
    watch = Watch()
    for _ in range(10):
        watch.ran(1 * MS, 1 * MS)
        watch.profiler.mixture.add(1 * MS, 10, known=False)
    assert watch.profiler.far_s([0.5]) == 0.0, "nobody knows how many there are"
    for _ in range(5):
        watch.profiler.mixture.takes_far_longer()
    most = watch.profiler.mixture.most
    assert most is not None
    assert watch.profiler.far_s([0.1, 0.5, 0.2]) == pytest.approx(0.5 / most.calls, rel=0.1)
    assert watch.profiler.far_s([]) == 0.0


def test_after_a_run_of_such_a_mixture_that_waits_its_mean_is_kept_longer() -> None:
    first = Watch()
    for number in range(60):
        far = number % 20 == 19
        first.ran(100 * MS if far else 1 * MS, 0.5 * MS)
        first.profiler.mixture.add(100 * MS if far else 1 * MS, 1, known=False)
    prior = first.profile
    assert prior.most is not None
    later = Watch(prior)
    assert not later.profiler.confirmed, "none of its own calls was seen"
    later.ran(1 * MS, 0.5 * MS)
    assert later.profile.wall_s > prior.wall_s / 2
    computes = Watch(prior._replace(cpu_s=prior.wall_s))
    computes.ran(1 * MS, 1 * MS)
    assert computes.profile.wall_s == pytest.approx(1 * MS)


# --- Coroutines --------------------------------------------------------------------------------------


def tasks_of(count: int, wall_s: float, cpu_s: float, prior: Profile | None = None) -> Profile:
    """So many that were begun together on one loop, and ended together after so long."""
    profiler = Profiler(is_async=True, prior=prior)
    for _ in range(count):
        chunk = Chunk(0, [None], "asyncio", "asyncio")
        block = Block(chunk, [None], None, wall_s, cpu_s, 0.0, last=True)
        profiler.add_tasks(block, before=count, beside=count)
    return profiler.profile(remaining=None)


def test_of_tasks_it_is_known_what_they_would_take_without_the_others_of_their_loop() -> None:
    profile = tasks_of(12, 11.2, 0.9)  # all of them compute for 10.8 s
    assert profile.alone_s == pytest.approx(11.2 - 11 * 0.9)
    assert profile.wall_s == pytest.approx(11.2)
    assert tasks_of(5, 0.03, 0.02).alone_s == pytest.approx(0.02)  # not less than they compute


def test_that_is_known_to_the_next_run() -> None:
    prior = tasks_of(12, 11.2, 0.9)
    assert Profiler(is_async=True, prior=prior).profile(remaining=12).alone_s == prior.alone_s
    assert 1.3 < tasks_of(1, 2.0, 0.02, prior).alone_s < 2.0
