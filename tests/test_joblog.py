"""A line for each item that was called, with what came of it."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from disks import full_after

from autoexec import RunAborted, iter_parallel, run_parallel
from autoexec._joblog import HEADER, JobLog
from autoexec._types import Settled


def rows(path: Path) -> list[dict[str, str]]:
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    assert header == "\t".join(HEADER)
    return [dict(zip(HEADER, line.split("\t"), strict=True)) for line in lines]


def by_item(path: Path) -> dict[int, dict[str, str]]:
    found = {int(row["Seq"]): row for row in rows(path)}
    assert len(found) == len(rows(path))
    return found


def fragile(x: int) -> int:
    time.sleep(0.002)
    if x == 2:
        raise ValueError("two\tlines\nof it")
    return x


def fatal(x: int) -> int:
    if x == 1:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    return x


@pytest.mark.parametrize("backend", ["auto", "inline", "threads", "processes", "hybrid"])
def test_each_item_has_a_line(backend: Any, tmp_path: Path) -> None:
    log, before = tmp_path / "run.log", time.time()
    run_parallel(fragile, range(20), backend=backend, joblog=log, on_error="skip")
    found = by_item(log)
    assert sorted(found) == list(range(20))
    assert [row["Exitval"] for _, row in sorted(found.items())] == ["0", "0", "1", *["0"] * 17]
    assert found[2]["Outcome"] == "ValueError: two lines of it"
    assert found[3]["Outcome"] == "ok"
    for row in found.values():
        assert before - 1 < float(row["Starttime"]) < time.time() + 1
        assert 0 < float(row["JobRuntime"]) < 60
    if backend in ("processes", "hybrid"):
        assert found[5]["Host"].startswith(f"{backend}:")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def speechless(x: int) -> int:
    raise Unspeakable


def test_an_error_without_a_text_is_one_of_its_item(tmp_path: Path) -> None:
    results = run_parallel(speechless, [1, 2], on_error="return", joblog=tmp_path / "log")
    assert len(results.failures) == 2
    said = [row["Outcome"] for row in rows(tmp_path / "log")]
    assert said == ["Unspeakable: (its text could not be made)"] * 2


def test_what_comes_from_a_journal_has_no_second_line(tmp_path: Path) -> None:
    log, journal = tmp_path / "run.log", tmp_path / "run.db"
    run_parallel(abs, range(5), joblog=log, resume=journal)
    list(iter_parallel(abs, iter(range(8)), joblog=str(log), resume=journal))
    assert sorted(by_item(log)) == list(range(8))


def test_an_item_that_is_retried_has_one_line(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    run_parallel(fragile, [2], joblog=log, retries=2, on_error="skip")
    assert [row["Exitval"] for row in rows(log)] == ["1"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_the_signal_that_ended_a_worker_is_there(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    run_parallel(fatal, range(3), backend="processes", joblog=log, on_error="skip")
    row = by_item(log)[1]
    assert (row["Exitval"], row["Signal"]) == ("1", str(int(signal.SIGTERM)))
    assert row["Outcome"].startswith("WorkerDied: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_disk_that_is_full_is_an_error_that_names_the_log() -> None:
    with pytest.raises(RunAborted, match="job log /dev/full cannot be written any more"):
        run_parallel(abs, [1], joblog="/dev/full")


@pytest.mark.parametrize("backend", ["inline", "threads"])
def test_a_disk_that_fills_up_costs_no_result(backend: Any, tmp_path: Path) -> None:
    with full_after(300), pytest.raises(RunAborted, match="be written any more") as caught:
        run_parallel(abs, range(20), backend=backend, chunksize=1, joblog=tmp_path / "run.log")
    assert caught.value.finished
    assert all(index == value for index, value in caught.value.finished.items())


def test_an_iterator_gives_what_it_has_before_it_tells_of_a_full_disk(
    tmp_path: Path,
) -> None:
    given: list[int] = []
    results = iter_parallel(abs, range(20), joblog=tmp_path / "run.log")
    with full_after(300), pytest.raises(RunAborted, match="be written any more") as caught:
        given.extend(results)
    assert given
    assert given == list(range(len(given)))
    assert not caught.value.finished.keys() & set(given)


def test_what_ends_after_the_disk_was_full_is_no_second_error(
    tmp_path: Path,
) -> None:
    log = JobLog(str(tmp_path / "run.log"))
    with full_after(100), pytest.raises(RunAborted, match="be written any more"):
        log.add(Settled(0, [1, 2]), 0.0)
    log.add(Settled(2, [3]), 0.0)  # though there is room again: what came before is not there
    assert "\n2\t" not in (tmp_path / "run.log").read_text(encoding="utf-8")


def test_a_log_that_is_the_journal_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "run.db"
    with pytest.raises(ValueError, match="give the journal and the job log a file each"):
        run_parallel(abs, [1], resume=journal, joblog=tmp_path / "." / "run.db")
    assert not journal.exists()


def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunAborted, match=r"job log .* cannot be written"):
        run_parallel(abs, [1], joblog=tmp_path / "absent" / "run.log")
