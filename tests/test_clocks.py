"""What the clocks show of calls under way."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from autoexec import _clocks
from autoexec._chunk import Chunk, Clocks
from autoexec._clocks import Beat, glance, look, thread_cpu_ns
from autoexec._types import Running


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="no clocks of threads")
def test_the_clock_of_a_thread_can_be_read_by_another() -> None:
    clock = time.pthread_getcpuclockid(threading.get_ident())
    read: list[int | None] = []
    thread = threading.Thread(target=lambda: read.append(thread_cpu_ns(clock)))
    thread.start()
    thread.join()
    assert read[0] is not None
    assert 0 < read[0] <= time.thread_time_ns()


def test_a_clock_that_is_none_shows_nothing() -> None:
    assert thread_cpu_ns(987_654) is None


def test_without_such_clocks_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "clock_gettime_ns", raising=False)
    assert thread_cpu_ns(0) is None


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="no clocks of threads")
def test_of_a_longer_chunk_the_call_that_takes_longer_than_expected_is_glanced_at() -> None:
    now_ns, cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
    single, longer, later = (Chunk(0, [0] * n, "threads", "threads") for n in (1, 8, 8))
    for chunk in (single, longer, later):
        chunk.clock_id = time.pthread_getcpuclockid(threading.get_ident())
        chunk.began = Clocks(now_ns - 50_000_000, cpu_ns - 2_000_000, 0)
    assert glance([longer]) == [], "nobody has said how long it should take"
    longer.expected_s, later.expected_s = 0.001, 60.0
    seen = glance([single, longer, later])
    assert [one.chunk for one in seen] == [single, longer]
    for one, before_s in zip(seen, (0.0, 0.001), strict=True):
        assert one.elapsed_s >= 0.05 - before_s
        assert one.cpu_s >= 0.002 - before_s


@pytest.mark.parametrize("stolen_s", [0.0, 0.01, 60.0])
def test_a_beat_that_nobody_used_to_compute_was_without_a_core_if_the_host_says_so(
    stolen_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_clocks, "newly_stolen_s", lambda: stolen_s)
    beat = Beat(0.001)
    time.sleep(0.05)
    late_s, away_s = beat.ended()
    assert min(stolen_s, 0.01) <= away_s <= min(stolen_s, late_s)


def test_a_beat_that_was_computed_through_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_clocks, "newly_stolen_s", lambda: 60.0)
    beat, before = Beat(0.0), time.process_time()
    while time.process_time() < before + 0.02:
        pass
    late_s, away_s = beat.ended()
    assert away_s <= max(0.0, late_s - 0.02) + 0.001


@pytest.mark.skipif(sys.platform != "linux", reason="nobody tells how often a thread was blocked")
def test_a_beat_tells_whether_the_gil_was_taken_as_it_ended() -> None:
    assert False in [_taken_after_a_beat() for _ in range(20)], "nobody else runs here"
    done = threading.Event()
    thread = threading.Thread(target=_compute_until, args=[done])
    thread.start()
    try:
        # On a busy machine it may be free by then, as the thread that is to have it has no core yet.
        assert True in [_taken_after_a_beat() for _ in range(20)]
    finally:
        done.set()
        thread.join()


def test_where_no_system_tells_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_clocks, "times_blocked", lambda: -1)
    assert _taken_after_a_beat() is None


def _taken_after_a_beat() -> bool | None:
    beat = Beat(0.001)
    time.sleep(0.001)
    beat.ended()
    return beat.gil_taken


def _compute_until(done: threading.Event) -> None:
    while not done.is_set():
        sum(range(100))


def test_a_wait_that_was_cut_short_was_not_late() -> None:
    assert Beat(100).ended() == (0.0, 0.0)


@pytest.mark.parametrize(("away_s", "wanting_s"), [(0.0, 0.0), (0.25, 0.25)])
def test_a_call_wanted_a_core_while_the_machine_had_none_for_this_process(
    away_s: float, wanting_s: float
) -> None:
    chunk = Chunk(0, [1], "threads", "threads")
    chunk.began = Clocks(time.perf_counter_ns(), 0, 0)
    chunk.away_s = away_s
    (running,) = _clocks.running([chunk])
    assert running.queued_s == wanting_s


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="no clocks of threads")
@pytest.mark.parametrize(("waited_s", "queued_s"), [(0.0, 0.0), (60.0, 0.5)])
def test_only_who_does_not_compute_all_the_time_is_asked_for_its_run_queue(
    waited_s: float, queued_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_clocks, "queued_ns_of", lambda thread: 500_000_000)
    clock = time.pthread_getcpuclockid(threading.get_ident())
    chunk = Chunk(0, [1], "threads", "threads")
    chunk.native_id, chunk.clock_id = threading.get_native_id(), clock
    # It has computed for a second, and begun that and what it waited for before now.
    elapsed_ns = round((1 + waited_s) * 1e9)
    chunk.began = Clocks(
        time.perf_counter_ns() - elapsed_ns, time.thread_time_ns() - 1_000_000_000, 0
    )
    (running,) = _clocks.running([chunk])
    assert running.queued_s == queued_s


@pytest.mark.parametrize("on_time", [True, False])
def test_after_a_late_wait_nobody_is_asked_whether_it_wants_a_core(
    on_time: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_clocks, "is_runnable", lambda thread: True)
    chunk = Chunk(0, [1], "threads", "threads")
    chunk.native_id, chunk.began = threading.get_native_id(), Clocks(time.perf_counter_ns(), 0, 0)
    (running,) = _clocks.running([chunk], on_time=on_time)
    assert running.runnable is on_time


def test_a_look_shows_the_clocks_of_this_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    # That of children runs on while an earlier test's are waited for.
    monkeypatch.setattr(_clocks, "child_cpu_s", lambda: 0.25)
    running = [Running(Chunk(0, [1], "threads", "threads"), 0.1, 0.05, 0.0, runnable=False)]
    before = time.perf_counter()
    seen = look(running, late_s=0.001, returned=2, new_child=True)
    assert before <= seen.now_s <= time.perf_counter()
    assert (seen.running, seen.late_s, seen.returned) == (running, 0.001, 2)
    assert seen.new_child
    assert seen.child_cpu_s == 0.25
