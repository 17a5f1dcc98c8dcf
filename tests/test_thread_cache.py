"""Threads that wait a moment for more work."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from queue import SimpleQueue

import pytest

from autoexec import _clocks
from autoexec import _thread_cache as thread_cache

DEADLINE_S = 60


def run(names: SimpleQueue[threading.Thread]) -> threading.Thread:
    """The thread that ran a job."""
    thread_cache.start(lambda: names.put(threading.current_thread()), "job")
    return names.get(timeout=DEADLINE_S)


def idle(thread: threading.Thread) -> bool:
    return thread in [idler.thread for idler in thread_cache._idle]


def wait_until_idle(thread: threading.Thread) -> None:
    until = time.monotonic() + DEADLINE_S
    while not idle(thread) and thread.is_alive():  # it may have been idle, and have ended
        assert time.monotonic() < until, "the thread never became idle"
        time.sleep(0.001)


def test_an_idle_thread_takes_the_next_job() -> None:
    names: SimpleQueue[threading.Thread] = SimpleQueue()
    for _ in range(10):  # the first may end just then, or one of an earlier test become idle
        first = run(names)
        wait_until_idle(first)
        if run(names) is first:
            return
    pytest.fail("no idle thread took the next job")


def test_jobs_at_the_same_time_have_threads_of_their_own() -> None:
    together = threading.Barrier(8)
    names: SimpleQueue[int] = SimpleQueue()
    for _ in range(8):
        thread_cache.start(lambda: names.put(together.wait(timeout=DEADLINE_S)), "together")
    assert sorted(names.get(timeout=DEADLINE_S) for _ in range(8)) == list(range(8))


def test_an_idle_thread_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_cache, "IDLE_S", 0.01)
    names: SimpleQueue[threading.Thread] = SimpleQueue()
    thread = run(names)
    thread.join(timeout=DEADLINE_S)
    assert not thread.is_alive()
    assert not idle(thread)


def test_a_job_that_comes_as_a_thread_ends_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_cache, "IDLE_S", 0.0)
    names: SimpleQueue[threading.Thread] = SimpleQueue()
    for _ in range(2_000):
        run(names)


def test_a_thread_that_is_let_go_before_its_job_is_quite_over_is_there_once() -> None:
    owner, kept, over = threading.Event(), SimpleQueue[thread_cache.Thread](), threading.Event()

    def job(thread: thread_cache.Thread) -> None:
        thread.keep(owner)
        kept.put(thread)
        over.wait(timeout=DEADLINE_S)

    thread_cache.begin(job, "kept")
    thread = kept.get(timeout=DEADLINE_S)
    thread.let_go()
    over.set()
    thread.jobs.put(job)  # which it begins when that one is over
    assert kept.get(timeout=DEADLINE_S) is thread
    assert thread_cache._idle.copy().count(thread) <= 1
    thread.leave()


def test_a_thread_that_is_kept_is_not_there_for_others_until_it_is_let_go() -> None:
    owner, kept = threading.Event(), SimpleQueue[thread_cache.Thread]()

    def job(thread: thread_cache.Thread) -> None:
        thread.keep(owner)
        kept.put(thread)

    thread_cache.begin(job, "kept")
    thread = kept.get(timeout=DEADLINE_S)
    thread.jobs.put(job)
    assert kept.get(timeout=DEADLINE_S) is thread
    assert not idle(thread.thread)
    thread.let_go()
    assert idle(thread.thread) or not thread.thread.is_alive()


def test_a_thread_whose_owner_is_gone_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_cache, "KEPT_S", 0.01)
    owners, kept = [threading.Event()], SimpleQueue[thread_cache.Thread]()

    def job(thread: thread_cache.Thread) -> None:
        thread.keep(owners[0])
        kept.put(thread)

    thread_cache.begin(job, "kept")
    thread = kept.get(timeout=DEADLINE_S)
    owners.clear()
    thread.thread.join(timeout=DEADLINE_S)
    assert not thread.thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="forking beside threads warns")
def test_a_fork_starts_with_no_idle_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_cache, "IDLE_S", DEADLINE_S)
    names: SimpleQueue[threading.Thread] = SimpleQueue()
    wait_until_idle(run(names))
    child = os.fork()
    if child == 0:
        os._exit(len(thread_cache._idle))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    monkeypatch.undo()
    run(names)  # so that it ends soon


def test_a_job_that_is_shielded_has_ended_when_that_returns() -> None:
    threads: list[threading.Thread] = []
    thread_cache.shield(lambda: threads.append(threading.current_thread()))
    assert threads[0] is not threading.current_thread()


def test_what_a_shielded_job_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        thread_cache.shield(lambda: print(1 / 0))


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_ctrl_c_ends_the_wait_for_a_shielded_job_and_not_the_job() -> None:
    gate, ended = threading.Event(), threading.Event()
    main = threading.get_ident()

    def job() -> None:
        signal.pthread_kill(main, signal.SIGINT)
        gate.wait(timeout=DEADLINE_S)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        thread_cache.shield(job)
    assert not ended.is_set()
    gate.set()
    assert ended.wait(timeout=DEADLINE_S)


def test_on_another_thread_nothing_is_shielded() -> None:
    """No Ctrl-C arrives there."""
    threads: SimpleQueue[threading.Thread] = SimpleQueue()

    def job() -> None:
        thread_cache.shield(lambda: threads.put(threading.current_thread()))
        threads.put(threading.current_thread())

    thread_cache.start(job, "job")
    assert threads.get(timeout=DEADLINE_S) is threads.get(timeout=DEADLINE_S)


def spin() -> None:
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass


def test_what_a_shielded_job_computes_is_not_taken_for_the_work_of_calls() -> None:
    before_s = _clocks.process_cpu_s()
    thread_cache.shield(spin)
    assert _clocks.process_cpu_s() - before_s < 0.01


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no threads")
def test_a_shielded_job_is_bound_to_the_cores_of_its_caller() -> None:
    done = threading.Event()
    thread_cache.start(done.set, "now-idle")  # bound to all of them
    assert done.wait(30)
    cores = os.sched_getaffinity(0)
    one = {min(cores)}
    seen: list[set[int]] = []
    os.sched_setaffinity(0, one)
    try:
        thread_cache.shield(lambda: seen.append(os.sched_getaffinity(0)))
    finally:
        os.sched_setaffinity(0, cores)
    assert seen == [one]
