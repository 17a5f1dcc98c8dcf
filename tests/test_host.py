"""Facts about the machine, and what stands in for them where a system does not tell."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec import (
    NoWorkers,
    ProcessPoolExecutor,
    RunAborted,
    _children,
    _host,
    _place,
    _proc,
    run_parallel,
)
from autoexec._call import is_runnable, queued_ns, queued_ns_of, times_blocked
from autoexec._cgroup import read_quota
from autoexec._host import (
    COSTS,
    cores,
    read_host,
    read_memory,
    reimporting_main,
    remember_process_start,
)
from autoexec._types import Held

V1 = "sys/fs/cgroup/cpu"


def tree(root: Path, files: dict[str, str]) -> str:
    """Files as a system would have them below its root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return str(root)


# --- CPU quotas of cgroups -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        pytest.param({}, None, id="no proc at all"),
        pytest.param({"proc/self/cgroup": ""}, None, id="no cgroup"),
        pytest.param({"proc/self/cgroup": "0::/\n"}, None, id="v2 without a limit file"),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"},
            1.5,
            id="v2 in a container",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
            None,
            id="v2 without a limit",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
            },
            2.0,
            id="v2 with a tighter limit above",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/cpu.max": "50000 100000\n",
            },
            0.5,
            id="v2 with the only limit above",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/a\n",
                "sys/fs/cgroup/b/cpu.max": "100000 100000\n",
            },
            None,
            id="v2 with a limit of somebody else's",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:memory:/a\n3:cpu,cpuacct:/a\n",
                f"{V1}/a/cpu.cfs_quota_us": "300000\n",
                f"{V1}/a/cpu.cfs_period_us": "100000\n",
            },
            3.0,
            id="v1",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/a\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
            },
            3.0,
            id="v1 mounted by its full name",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "3:cpu:/docker/5f3a\n",
                f"{V1}/cpu.cfs_quota_us": "100000\n",
                f"{V1}/cpu.cfs_period_us": "100000\n",
            },
            1.0,
            id="v1 in a container, which sees its own group as the root",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "3:cpu:/a\n",
                f"{V1}/a/cpu.cfs_quota_us": "-1\n",
                f"{V1}/a/cpu.cfs_period_us": "100000\n",
            },
            None,
            id="v1 without a limit",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "3:cpu:/a/b\n",
                f"{V1}/a/b/cpu.cfs_quota_us": "300000\n",
                f"{V1}/a/b/cpu.cfs_period_us": "100000\n",
                f"{V1}/a/cpu.cfs_quota_us": "250000\n",
                f"{V1}/a/cpu.cfs_period_us": "100000\n",
            },
            2.5,
            id="v1 with a tighter limit above",
        ),
        pytest.param(
            {"proc/self/cgroup": "3:cpu:/a\n", f"{V1}/a/cpu.cfs_quota_us": "100000\n"},
            None,
            id="v1 without a period",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:cpuset,memory:/a\n",
                f"{V1}/a/cpu.cfs_quota_us": "100000\n",
                f"{V1}/a/cpu.cfs_period_us": "100000\n",
            },
            None,
            id="v1 with other controllers only",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "3:cpu:/a\n0::/a\n",
                f"{V1}/a/cpu.cfs_quota_us": "200000\n",
                f"{V1}/a/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/a/cpu.max": "max 100000\n",
            },
            2.0,
            id="both versions at once",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/a:b\n", "sys/fs/cgroup/a:b/cpu.max": "100000 100000\n"},
            1.0,
            id="a colon in the name",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/tâche\n", "sys/fs/cgroup/tâche/cpu.max": "100000 100000\n"},
            1.0,
            id="a name beyond ASCII",
        ),
    ],
)
def test_quota(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert read_quota(tree(tmp_path, files)) == quota


@pytest.mark.parametrize("text", ["", "100000", "nonsense", "0 0", "100000 0"])
def test_a_limit_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": text}
    assert read_quota(tree(tmp_path, files)) is None


# --- Memory ----------------------------------------------------------------------------------------

STATUS = "Name:\tpython3\nVmPeak:\t  90000 kB\nVmHWM:\t   30000 kB\nVmRSS:\t   20000 kB\n"
MACHINE = {
    "proc/meminfo": "MemTotal:  8000000 kB\nMemFree:  1 kB\nMemAvailable:  6000000 kB\n",
    "proc/self/status": STATUS,
}
OLD = "sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("files", "total", "free"),
    [
        pytest.param({}, 8000000 << 10, 6000000 << 10, id="no cgroup"),
        pytest.param(
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/memory.max": "4000000000\n",
                "sys/fs/cgroup/a/memory.high": "max\n",
                "sys/fs/cgroup/a/memory.current": "3000000000\n",
                "sys/fs/cgroup/a/memory.stat": "anon 5\ninactive_file 500000000\nactive_file 7\n",
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/a/b/memory.current": "100\n",
            },
            4000000000,
            1500000000,
            id="v2 with a limit above",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": "4000000000\n",
                "sys/fs/cgroup/memory.high": "2000000000\n",
                "sys/fs/cgroup/memory.current": "2100000000\n",
            },
            2000000000,
            0,
            id="v2 in a container that is slowed down before it is full",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:memory:/a\n3:cpu:/b\n",
                f"{OLD}/memory.limit_in_bytes": "9223372036854771712\n",
                f"{OLD}/memory.usage_in_bytes": "5\n",
                f"{OLD}/a/memory.limit_in_bytes": "1000000000\n",
                f"{OLD}/a/memory.usage_in_bytes": "700000000\n",
                f"{OLD}/a/memory.stat": "inactive_file 1\ntotal_inactive_file 200000000\n",
            },
            1000000000,
            500000000,
            id="v1",
        ),
    ],
)
def test_memory_is_that_of_the_machine_or_of_the_cgroup(
    files: dict[str, str], total: int, free: int, tmp_path: Path
) -> None:
    memory = read_memory(tree(tmp_path, MACHINE | files))
    assert memory is not None
    assert (memory.total_bytes, memory.free_bytes) == (total, free)
    assert memory.here == Held(20000 << 10, 30000 << 10)


@pytest.mark.parametrize("missing", [["proc/meminfo"], ["proc/self/status"], list(MACHINE)])
def test_where_memory_is_not_told_there_are_no_facts(missing: list[str], tmp_path: Path) -> None:
    files = {name: text for name, text in MACHINE.items() if name not in missing}
    assert read_memory(tree(tmp_path, files)) is None


def test_workers_that_have_ended_hold_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_children, "ours", {17, 18})
    memory = read_memory(
        tree(tmp_path, {**MACHINE, "proc/18/status": STATUS, "proc/17/status": ""})
    )
    assert memory is not None
    assert list(memory.workers) == [18]
    assert memory.used_bytes == 40000 << 10


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_this_process_holds_is_seen() -> None:
    before = read_memory()
    data = b"x" * 50_000_000
    after = read_memory()
    assert before and after and data
    assert 40_000_000 < after.here.now_bytes - before.here.now_bytes < 60_000_000
    assert after.here.now_bytes <= after.here.peak_bytes
    assert 0 <= after.free_bytes <= after.total_bytes


# --- Cores -----------------------------------------------------------------------------------------


def test_there_is_a_core() -> None:
    assert cores() >= 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_only_cores_of_the_affinity_mask_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_the_first(pid: int) -> set[int]:
        return {0}

    monkeypatch.setattr(os, "sched_getaffinity", only_the_first)
    assert cores() == 1


def test_without_affinity_all_cores_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert cores() == 1


def test_a_system_that_does_not_count_its_cores_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


@given(affinity=st.integers(1, 256), quota=st.none() | st.floats(0.01, 1000))
@examples(50)
def test_the_quota_is_rounded_up_and_never_adds_cores(affinity: int, quota: float | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_host, "affinity", lambda: affinity)
        patch.setattr(_host, "quota", lambda: quota)
        usable = cores()
    assert 1 <= usable <= affinity
    if quota is not None:
        assert usable < quota + 1
        assert usable >= min(affinity, quota)


# --- The process -------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _as_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undoes, after each test, what is remembered for the rest of the process."""
    monkeypatch.setattr(_place, "is_worker", False)
    monkeypatch.setattr(_place, "cores", None)
    monkeypatch.setattr(_host, "_process_starts_s", deque[float](maxlen=8))


def test_the_host_as_it_is() -> None:
    host = read_host()
    assert host.cores == cores()
    assert host.main_waits
    assert not host.warm
    assert host.costs == COSTS
    assert host.processes_barred is None


def test_the_gil_is_there_unless_the_interpreter_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert read_host().gil is False
    monkeypatch.delattr(sys, "_is_gil_enabled")
    assert read_host().gil is True


def test_a_call_from_another_thread_leaves_the_main_thread_to_its_work() -> None:
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(read_host().main_waits))
    thread.start()
    thread.join()
    assert seen == [False]


def test_workers_enough_for_every_core_are_warm() -> None:
    assert read_host(warm=cores()).warm
    assert not read_host(warm=cores() - 1).warm


def test_a_worker_process_starts_no_others() -> None:
    _place.is_worker = True
    assert read_host().processes_barred == "this is a worker process already"


def test_a_worker_process_uses_its_share_of_the_cores() -> None:
    _place.cores = 1
    assert cores() == 1


def test_the_quickest_start_that_was_seen_replaces_the_usual_figure() -> None:
    for seconds in (0.7, 0.5, 0.9):
        remember_process_start(seconds)
    assert read_host().costs == COSTS._replace(process_start_s=0.5)


def test_starts_of_long_ago_are_forgotten() -> None:
    for seconds in (0.001, *[0.5] * 20):
        remember_process_start(seconds)
    assert read_host().costs.process_start_s == 0.5


def as_process(monkeypatch: pytest.MonkeyPatch, **attributes: object) -> None:
    """Have `multiprocessing` say this of the current process."""
    module = SimpleNamespace(current_process=lambda: SimpleNamespace(**attributes))
    monkeypatch.setitem(sys.modules, "multiprocessing.process", module)


def test_daemonic_processes_start_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    as_process(monkeypatch, daemon=True)
    assert read_host().processes_barred == "daemonic processes cannot start processes"


@pytest.mark.parametrize("platform", ["emscripten", "wasi"])
def test_some_systems_have_no_processes(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert read_host().processes_barred == "this system has no processes"


def test_without_an_executable_there_is_nothing_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    assert "executable" in (read_host().processes_barred or "")


@pytest.mark.parametrize("importing", [True, False])
def test_a_spawned_process_that_imports_the_main_module_is_known(
    monkeypatch: pytest.MonkeyPatch, importing: bool
) -> None:
    as_process(monkeypatch, daemon=False, _inheriting=importing)
    assert reimporting_main() is importing


def test_multiprocessing_is_not_imported_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "multiprocessing.process", raising=False)
    assert reimporting_main() is False
    assert read_host().processes_barred is None
    assert "multiprocessing.process" not in sys.modules


HALF_IMPORTED = [
    "",
    "def current_process(): return _current_process",  # which is assigned at the end of that module
]


@pytest.mark.parametrize("source", HALF_IMPORTED)
def test_multiprocessing_may_be_imported_just_now(
    monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    module = ModuleType("multiprocessing.process")
    exec(source, module.__dict__)
    monkeypatch.setitem(sys.modules, "multiprocessing.process", module)
    assert reimporting_main() is False
    assert read_host().processes_barred is None


def test_a_frozen_program_would_start_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert "frozen" in (read_host().processes_barred or "")


@pytest.mark.parametrize("backend", ["processes", "hybrid"])
def test_it_starts_no_worker_where_that_was_asked_for_either(
    monkeypatch: pytest.MonkeyPatch, backend: Any
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(RunAborted, match=r"frozen.* Use backend='auto' or 'threads'"):
        run_parallel(abs, range(9), backend=backend, max_workers=4)
    with ProcessPoolExecutor(1) as executor, pytest.raises(NoWorkers, match="frozen"):
        executor.submit(abs, 1).result(timeout=60)
    assert run_parallel(abs, range(9)) == list(range(9))


# --- Clocks and counters, and their absence --------------------------------------------------------


def test_what_the_host_took_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([100, 100, 130, 130])
    tick_s = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.0

    def read(path: str, most_bytes: int) -> bytes:
        assert path == "/proc/stat"
        return b"cpu  9 8 7 6 5 4 3 %d 2 1\ncpu0 1 1 1 1 1 1 1 1 1 1\n" % next(ticks)

    monkeypatch.setattr(_proc, "read", read)
    _host.newly_stolen_s()
    told = [_host.newly_stolen_s() for _ in range(3)]
    assert told == [0.0, pytest.approx(30 * tick_s), 0.0]


@pytest.mark.parametrize("text", [b"", b"cpu  1 2 3 4\n", b"cpu  1 2 3 4 5 6 7 none 9 10\n"])
def test_a_system_without_a_host_has_nothing_taken(
    text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_proc, "read", lambda path, most_bytes: text)
    _host.newly_stolen_s()
    assert _host.newly_stolen_s() == _host.newly_stolen_s() == 0.0


def test_limits_that_could_not_be_read_are_read_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setattr(_proc, "read", lambda path, most_bytes: b"")
        assert _host.memory_limits(str(tmp_path)) == (None, ())
    assert _host.memory_limits(tree(tmp_path, MACHINE)) == (8000000 << 10, [])


# --- The run queue -----------------------------------------------------------------------------------


def on_a_thread(monkeypatch: pytest.MonkeyPatch, name: str, replacement: object) -> int:
    """What a new thread reads from its run queue where a function of `os` is replaced."""
    found: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, name, replacement)
        thread = threading.Thread(target=lambda: found.append(queued_ns()))
        thread.start()
        thread.join()
    return found[0]


def test_time_in_the_run_queue_never_runs_backwards() -> None:
    first = queued_ns()
    assert 0 <= first <= queued_ns()


def test_without_proc_no_time_was_spent_in_the_run_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: object) -> int:
        raise FileNotFoundError

    assert on_a_thread(monkeypatch, "open", missing) == 0


@pytest.mark.skipif(not hasattr(os, "pread"), reason="this system has no pread")
@pytest.mark.parametrize("text", [b"", b"12", b"no numbers here"])
def test_a_run_queue_that_cannot_be_understood_is_empty(
    monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    def read(*args: int) -> bytes:
        return text

    assert on_a_thread(monkeypatch, "pread", read) == 0


@pytest.mark.skipif(not hasattr(os, "pread"), reason="this system has no pread")
def test_a_run_queue_that_cannot_be_read_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> bytes:
        raise OSError

    assert on_a_thread(monkeypatch, "pread", broken) == 0


def test_a_thread_that_does_not_exist_has_no_run_queue() -> None:
    assert queued_ns_of(2**30) == 0


def test_the_run_queue_of_this_thread_by_its_number() -> None:
    assert queued_ns() <= queued_ns_of(threading.get_native_id()) + 1


def test_a_thread_that_does_not_exist_is_not_runnable() -> None:
    assert is_runnable(2**30) is False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="this system does not tell")
def test_a_thread_that_runs_is_runnable_and_one_that_waits_is_not() -> None:
    assert is_runnable(threading.get_native_id())
    waiting = threading.get_native_id()
    blocked = threading.Event()

    def watch() -> None:
        while is_runnable(waiting):  # until it has come to wait for us
            pass
        blocked.set()

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join(timeout=60)
    assert blocked.is_set()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="this system does not tell")
def test_a_thread_that_waits_is_blocked_once_more() -> None:
    before = times_blocked()
    assert before >= 0
    for _ in range(20):  # a child may have ended before it is waited for
        subprocess.run([sys.executable, "-c", ""], check=True)
        if times_blocked() > before:
            return
    pytest.fail("it never was")


def test_elsewhere_it_is_not_known_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert times_blocked() == -1
