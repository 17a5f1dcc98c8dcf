"""Child processes: what is seen of them, and what stands in for it where a system does not tell."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from autoexec import _children, _proc
from autoexec._children import boot_clock, child_cpu_s, has_child_since, has_children


def test_cpu_time_of_children_never_runs_backwards() -> None:
    until = time.monotonic() + 60
    while _children.ours:  # of other tests: what they used is left out a moment after their end
        assert time.monotonic() < until
        time.sleep(0.01)
    before = child_cpu_s()
    assert before >= 0.0
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert child_cpu_s() >= before


def test_without_such_a_counter_children_used_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert child_cpu_s() == 0.0


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="this system does not tell")
def test_a_child_is_seen_and_not_taken_away() -> None:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.exit(7)"]) as child:
        assert has_children()
    assert child.returncode == 7


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A child process that lives as long as the test."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="this system does not tell")
def test_a_child_counts_only_if_it_is_younger_than_the_run() -> None:
    began = boot_clock()

    def seen(since: float) -> bool:
        with subprocess.Popen([sys.executable, "-c", ""]):
            return has_child_since(since)

    # Only the newest processes are looked at, and others may start many before that.
    assert any(seen(began) for _ in range(20))
    assert not seen(boot_clock() + 3600)


def test_where_ages_are_not_told_any_child_counts(
    monkeypatch: pytest.MonkeyPatch, child: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr(_proc, "read", lambda path, most_bytes: b"")
    assert has_child_since(boot_clock() + 3600) is has_children()


def test_without_children_none_is_young(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "waitid", raising=False)
    assert has_child_since(0.0) is False


def test_a_system_without_such_a_clock_has_always_just_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    assert boot_clock() == 0.0


def test_without_a_way_to_look_there_are_no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "waitid", raising=False)
    assert has_children() is False


def test_no_children_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*args: object) -> None:
        raise ChildProcessError

    monkeypatch.setattr(os, "waitid", none_left, raising=False)
    assert has_children() is False


FORKED = """
import os
from autoexec import _children, run_parallel
def spin(_):
    return sum(range(100_000))
def seen():
    return len(_children.ours), _children.child_cpu_s() >= 0
run_parallel(spin, range(40), backend="processes", max_workers=2)
print(*seen(), flush=True)
if (child := os.fork()) == 0:
    print(*seen(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_of_this_process_has_no_workers() -> None:
    """A server that forks after a run would count its workers in each process."""
    line = [sys.executable, "-W", "ignore", "-c", FORKED]
    out = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout
    assert out.splitlines() == ["2 True", "0 True"]
