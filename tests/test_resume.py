"""Runs that go on where one before them ended: killed, refused, damaged, or failed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import programs_resume
import pytest
from disks import full_after

from autoexec import (
    Failure,
    JournalError,
    NotPicklable,
    RemoteError,
    Results,
    aiter_parallel,
    arun_parallel,
    iter_parallel,
    run_parallel,
)
from autoexec._journal import Journal

BACKENDS = ["auto", "inline", "threads", "processes", "asyncio", "hybrid"]
PATIENCE_S = 60.0
KILLS = 20 if os.environ.get("FAULTS_FULL") else 8
"""Of one journal: the random moments of the first eight hit each backend at least twice."""
POSIX = sys.platform != "win32"


class Counting:
    """Squares, and remembers of what."""

    def __init__(self, failing: tuple[int, ...] = ()) -> None:
        self.called: list[int] = []
        self.failing = failing

    def __reduce__(self) -> tuple[Any, ...]:
        return Counting, ()  # what it remembers makes it no other function

    def __call__(self, x: int) -> int:
        self.called.append(x)
        if x in self.failing:
            raise LookupError(f"no {x}")
        return x * x


def make_odd() -> Exception:
    raise TypeError("it cannot be made again")


class Odd(Exception):
    """Cannot be made again of what is in its pickle."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(a + b)

    def __reduce__(self) -> Any:
        # Without it tblib, which Dask brings along, makes one without calling `__init__`.
        return make_odd, ()


def square(x: int) -> int:
    return x * x


async def square_later(x: int) -> int:
    await asyncio.sleep(0)
    return x * x


def pair(x: int) -> tuple[int, set[int]]:
    return x, {x}


def generate(x: int) -> Iterator[int]:
    yield x


def long_text(x: int) -> str:
    return f"{x:03}" * 400


def long_text_or_none(x: int) -> str:
    if x == 250:
        raise LookupError(f"no item {x}")
    return long_text(x)


def raise_odd(x: int) -> int:
    raise Odd(x, 1)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


SQUARES = [x * x for x in range(60)]

# --- Going on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_done_is_not_called_again_and_what_is_new_is(backend: Any, journal: Path) -> None:
    first = run_parallel(square, range(40), backend=backend, resume=journal)
    again = run_parallel(square, list(range(60)), backend=backend, resume=str(journal))
    assert (first, again) == (SQUARES[:40], SQUARES)
    assert (again.report.resumed, again.report.items) == (40, 60)
    assert sum(again.report.ran.values()) == 20
    assert f"40 items from {journal}" in str(again.report)


def test_nothing_is_left_to_do(journal: Path) -> None:
    fn = Counting()
    for _ in range(2):
        assert run_parallel(fn, range(60), resume=journal) == SQUARES
    assert sorted(fn.called) == list(range(60))


def test_what_is_missing_in_the_middle_is_called(journal: Path) -> None:
    run_parallel(square, range(60), resume=journal)
    with closing(sqlite3.connect(journal)) as db, db:
        db.execute("DELETE FROM outcomes WHERE item_index % 7 = 3")
    fn = Counting()
    with closing(sqlite3.connect(journal)) as db, db:
        db.execute("DELETE FROM about")  # it is another function, but none the worse for that
    assert run_parallel(fn, range(60), resume=journal) == SQUARES
    assert sorted(fn.called) == [x for x in range(60) if x % 7 == 3]


@pytest.mark.parametrize("ordered", [True, False])
def test_streams_of_unknown_length(ordered: bool, journal: Path) -> None:
    def stream(count: int) -> Iterator[int]:
        yield from range(count)

    for count, resumed in ((30, 0), (60, 30), (60, 60)):
        results = iter_parallel(square, stream(count), resume=journal, ordered=ordered)
        assert sorted(results) == SQUARES[:count]
        assert results.report.resumed == resumed


def test_a_stream_that_is_left_goes_on_there(journal: Path) -> None:
    with iter_parallel(square, iter(range(60)), resume=journal, buffersize=4) as results:
        handed = [next(results) for _ in range(10)]
    again = iter_parallel(square, iter(range(60)), resume=journal)
    assert handed + list(again)[10:] == SQUARES
    assert 10 <= again.report.resumed <= 14


@pytest.mark.parametrize("fn", [square, square_later])
def test_within_an_event_loop(fn: Callable[[int], Any], journal: Path) -> None:
    async def items() -> AsyncIterator[int]:
        for x in range(60):
            yield x

    async def main() -> Results[Any]:
        assert await arun_parallel(fn, range(20), resume=journal) == SQUARES[:20]
        async with aiter_parallel(fn, items(), resume=journal) as results:
            assert [result async for result in results] == SQUARES
        return await arun_parallel(fn, list(range(60)), resume=journal)

    assert asyncio.run(main()).report.resumed == 60


def test_what_ended_before_a_ctrl_c_is_kept(journal: Path) -> None:
    def interrupt(x: int) -> int:
        if x == 30 and fresh:
            raise KeyboardInterrupt
        return x * x

    fresh = [True]
    with pytest.raises(KeyboardInterrupt):
        run_parallel(interrupt, range(60), backend="inline", resume=journal, chunksize=1)
    with closing(sqlite3.connect(journal)) as db, db:
        assert db.execute("SELECT count(*) FROM outcomes").fetchone() == (30,)


def test_results_come_back_as_they_were(journal: Path) -> None:
    first = run_parallel(pair, range(20), resume=journal)
    again = run_parallel(pair, range(20), resume=journal)
    assert again == first == [(x, {x}) for x in range(20)]
    assert {type(value) for value in again} == {tuple}


def test_only_its_owner_may_look_at_it(journal: Path) -> None:
    run_parallel(square, range(3), resume=journal)
    assert os.listdir(journal.parent) == [journal.name]
    if POSIX:
        assert journal.stat().st_mode & 0o777 == 0o600


# --- Failures ----------------------------------------------------------------------------------------


def test_failures_come_back_and_are_tried_again_when_asked_for(journal: Path) -> None:
    fn = Counting(failing=(2, 5))
    run_parallel(fn, range(8), resume=journal, on_error="skip")
    failure = run_parallel(fn, range(8), resume=journal, on_error="return")[5]
    assert isinstance(failure, Failure)
    assert (failure.index, failure.item, str(failure.exception)) == (5, 5, "no 5")
    assert isinstance(failure.exception, LookupError)
    assert sorted(fn.called) == list(range(8))
    assert "pass resume_failed=True" in failure.exception.__notes__[-1]
    healed = Counting(failing=(5,))
    tried = run_parallel(
        healed, range(8), resume=journal, resume_failed=True, on_error="skip", backend="threads"
    )
    assert tried == [0, 1, 4, 9, 16, 36, 49]
    assert sorted(healed.called) == [2, 5]
    assert (tried.report.failures, tried.report.resumed) == (1, 6)


def test_a_failure_of_before_is_raised_without_a_call(journal: Path) -> None:
    fn = Counting(failing=(0,))
    for _ in range(2):
        with pytest.raises(LookupError, match="no 0"):
            run_parallel(fn, range(3), resume=journal, backend="inline", chunksize=1)
    assert fn.called == [0]
    with pytest.raises(LookupError), iter_parallel(fn, iter(range(3)), resume=journal) as results:
        next(results)


def test_an_error_that_cannot_be_made_again_comes_back_as_its_text(journal: Path) -> None:
    run_parallel(raise_odd, [1], resume=journal, on_error="skip")
    [failure] = run_parallel(raise_odd, [1], resume=journal, on_error="return")
    assert isinstance(failure, Failure)
    assert isinstance(failure.exception, RemoteError)
    assert str(failure.exception).endswith("Odd: 2")


def test_an_item_that_is_retried_has_one_outcome(journal: Path) -> None:
    fn = Counting(failing=(1,))
    run_parallel(fn, range(3), resume=journal, on_error="skip", retries=2)
    assert fn.called.count(1) == 3
    run_parallel(fn, range(3), resume=journal, on_error="skip", retries=2)
    assert fn.called.count(1) == 3


# --- Refused -----------------------------------------------------------------------------------------


def test_another_function_is_refused_and_what_differs_is_named(journal: Path) -> None:
    def scaled(factor: int) -> Callable[[int], int]:
        return lambda x: x * factor

    run_parallel(scaled(2), range(3), resume=journal)
    with pytest.raises(JournalError, match=r"captured 'factor' differs from"):
        run_parallel(scaled(3), range(3), resume=journal)
    with pytest.raises(JournalError, match="seed differs"):
        run_parallel(scaled(2), range(3), resume=journal, seed=1)
    with pytest.raises(JournalError, match="code, name differ"):
        next(iter_parallel(square, range(3), resume=journal))
    assert run_parallel(scaled(2), range(3), resume=journal) == [0, 2, 4]


@pytest.mark.parametrize("items", [range(1, 60), [*range(59), -1]], ids=["all", "the last"])
def test_other_items_are_refused_before_any_call(items: Any, journal: Path) -> None:
    fn = Counting()
    run_parallel(fn, range(60), resume=journal)
    fn.called.clear()
    with pytest.raises(JournalError, match=r"belongs to other items: item (0|59) was another"):
        run_parallel(fn, items, resume=journal, backend="processes")
    assert fn.called == []


def test_a_stream_is_refused_at_the_first_other_item(journal: Path) -> None:
    run_parallel(square, range(60), resume=journal)
    results = iter_parallel(square, iter([*range(30), -1]), resume=journal, buffersize=1)
    with pytest.raises(JournalError, match="item 30 was another than -1"):
        for value in results:
            assert value in SQUARES


def test_items_and_results_that_cannot_be_kept_are_refused(journal: Path) -> None:
    with pytest.raises(NotPicklable, match="Item 1:"):
        run_parallel(id, [1, threading.Lock()], resume=journal)
    with pytest.raises(JournalError, match="result of item 0, <generator"):
        run_parallel(lambda x: generate(x), [1], resume=journal.with_name("2"))


@pytest.mark.parametrize("backend", ["inline", "threads", "auto"])
def test_a_result_that_cannot_be_kept_costs_those_beside_it_nothing(
    backend: Any, journal: Path
) -> None:
    called: list[int] = []

    def fn(x: int) -> Any:
        called.append(x)
        return generate(x) if x == 5 else x

    with pytest.raises(JournalError, match="result of item 5"):
        run_parallel(fn, range(200), resume=journal, backend=backend)
    with closing(sqlite3.connect(journal)) as file:
        kept = {index for (index,) in file.execute("SELECT item_index FROM outcomes")}
    assert kept == {*called} - {5}


def test_what_runs_inline_is_kept_on_the_way(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []  # rows in each
    commit = Journal.commit

    def count(self: Journal) -> None:
        commits.append(len(self._rows))
        commit(self)

    monkeypatch.setattr(Journal, "commit", count)

    def fn(x: int) -> int:
        time.sleep(0.02)
        return sum(map(bool, commits))

    assert run_parallel(fn, range(50), resume=journal, backend="inline")[-1] > 0


def test_two_runs_at_once_are_refused(journal: Path) -> None:
    def nested(x: int) -> list[int]:
        return run_parallel(square, [x], resume=journal)

    with pytest.raises(JournalError, match="in use by another run"):
        run_parallel(nested, [1], resume=journal)
    held = Journal(str(journal.with_name("held")))
    held.open({"name": "x"})
    code = f"from autoexec import run_parallel; run_parallel(abs, [1], resume={held.path!r})"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    held.close()
    assert "JournalError" in other.stderr
    assert "in use by another run" in other.stderr


@pytest.mark.skipif(not POSIX, reason="permissions are POSIX's")
@pytest.mark.parametrize("name", ["run.db", "run.db-wal"])
def test_a_file_that_others_can_write_to_is_refused(name: str, journal: Path) -> None:
    run_parallel(square, range(3), resume=journal)
    path = journal.with_name(name)
    path.touch()
    path.chmod(0o620)
    with pytest.raises(JournalError, match=r"can be written by others \(mode 620\)"):
        run_parallel(square, range(3), resume=journal)


@pytest.mark.skipif(not POSIX or os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(journal: Path) -> None:
    run_parallel(square, range(3), resume=journal)
    os.chown(journal, 12345, -1)
    with pytest.raises(JournalError, match="belongs to user 12345"):
        run_parallel(square, range(3), resume=journal)


@pytest.mark.skipif(not POSIX, reason="links need rights on Windows")
def test_a_link_is_refused(journal: Path, tmp_path: Path) -> None:
    run_parallel(square, range(3), resume=tmp_path / "real")
    for target in (tmp_path / "real", tmp_path / "absent"):
        journal.symlink_to(target)
        with pytest.raises(JournalError, match="not a regular file"):
            run_parallel(square, range(3), resume=journal)
        journal.unlink()
    assert not (tmp_path / "absent").exists()


def test_what_is_no_journal_is_left_as_it_is(journal: Path) -> None:
    journal.write_text("name,age\n" * 1000)
    journal.chmod(0o600)
    with pytest.raises(JournalError, match="is no journal of autoexec"):
        run_parallel(square, range(3), resume=journal)
    assert journal.read_text() == "name,age\n" * 1000
    other = journal.with_name("other.db")
    with closing(sqlite3.connect(other)) as db, db:
        db.execute("CREATE TABLE people (name)")
    other.chmod(0o600)
    before = other.read_bytes()
    with pytest.raises(JournalError, match="is no journal of autoexec"):
        run_parallel(square, range(3), resume=other)
    assert other.read_bytes() == before


@pytest.mark.parametrize(("where", "says"), [("absent/run.db", "cannot be made"), (".", "regular")])
def test_a_place_where_no_file_can_be_is_refused(where: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=says):
        run_parallel(square, range(3), resume=tmp_path / where)


def test_a_journal_of_a_later_version_is_refused(journal: Path) -> None:
    run_parallel(square, range(3), resume=journal)
    with closing(sqlite3.connect(journal)) as db, db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(JournalError, match="of version 9"):
        run_parallel(square, range(3), resume=journal)


@pytest.mark.parametrize("limit", [10_000, 100_000, 200_000])
@pytest.mark.parametrize("backend", ["inline", "threads", "processes"])
def test_a_disk_that_fills_up_costs_no_result(backend: Any, limit: int, journal: Path) -> None:
    """Whether that shows before the first call, after some, or when the last have been made."""
    expected = [long_text(x) for x in range(300)]
    with full_after(limit), pytest.raises(JournalError, match="disk") as caught:
        run_parallel(long_text, range(300), backend=backend, chunksize=1, resume=journal)
    finished = caught.value.finished
    assert bool(finished) == (limit >= 100_000)
    assert finished == {i: expected[i] for i in finished}
    assert run_parallel(long_text, range(300), resume=journal) == expected


def test_an_iterator_gives_what_it_has_before_it_tells_of_a_full_disk(journal: Path) -> None:
    given: list[str] = []
    results = iter_parallel(long_text, range(300), resume=journal)
    with full_after(100_000), pytest.raises(JournalError, match="be written to the jou") as caught:
        given.extend(results)
    assert given
    assert given == [long_text(x) for x in range(len(given))]
    assert not caught.value.finished.keys() & set(range(len(given)))


def test_an_error_of_a_call_is_told_though_the_disk_is_full(journal: Path) -> None:
    with full_after(100_000), pytest.raises(LookupError, match="no item 250"):
        run_parallel(long_text_or_none, range(300), backend="inline", chunksize=300, resume=journal)


# --- Damaged -----------------------------------------------------------------------------------------

PAGE = 4096


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - PAGE)


def cut_within(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def overwrite_end(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-PAGE, os.SEEK_END)
        file.write(b"\xa5" * PAGE)


@pytest.mark.parametrize("damage", [cut, cut_within, overwrite_end])
def test_a_damaged_file_loses_what_is_damaged_and_says_so(
    damage: Callable[[Path], None], journal: Path
) -> None:
    fn = Counting()
    expected = run_parallel(fn, range(3000), resume=journal)
    fn.called.clear()
    damage(journal)
    with pytest.warns(RuntimeWarning, match=r"is damaged: 2,[0-9]* outcomes could be read"):
        assert run_parallel(fn, range(3000), resume=journal) == expected
    assert 0 < len(fn.called) < 200
    assert min(fn.called) > 2700
    assert journal.with_name("run.db.damaged-1").exists()
    fn.called.clear()
    assert run_parallel(fn, range(3000), resume=journal) == expected
    assert fn.called == []


def test_a_changed_result_is_seen_and_called_again(journal: Path) -> None:
    fn = Counting()
    run_parallel(fn, range(5000, 5100), resume=journal)
    data = journal.read_bytes()
    digits = str(5050 * 5050).encode()
    assert data.count(digits) == 1
    journal.write_bytes(data.replace(digits, b"1" + digits[1:].replace(b"0", b"7")))
    fn.called.clear()
    results = run_parallel(fn, range(5000, 5100), resume=journal)
    assert results == [x * x for x in range(5000, 5100)]
    assert fn.called == [5050]
    assert "1 damaged outcomes were left out" in results.report.journal


def test_an_empty_file_is_a_new_one(journal: Path) -> None:
    journal.touch(0o600)
    assert run_parallel(square, range(3), resume=journal) == [0, 1, 4]


# --- Killed ------------------------------------------------------------------------------------------


def lines(path: Path) -> list[int]:
    """The whole lines of a log."""
    text = path.read_bytes() if path.exists() else b""
    return [int(line) for line in text[: text.rfind(b"\n") + 1].split()]


def count(path: Path) -> int:
    """How many whole lines a log has."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kept(journal: Path, folder: Path) -> set[int]:
    """What a journal has, by a copy, so that it is left as the killed run left it."""
    folder.mkdir()
    for path in journal.parent.glob("run.db*"):
        shutil.copy(path, folder)
    with closing(sqlite3.connect(folder / journal.name)) as db:
        try:
            return {index for (index,) in db.execute("SELECT item_index FROM outcomes")}
        except sqlite3.OperationalError:  # it was killed before there was a table
            return set()


class Program:
    """The program, its journal and its logs."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "run.db"
        self.calls = folder / "calls"
        self.results = folder / "results"

    def start(self, backend: str) -> subprocess.Popen[str]:
        command = [sys.executable, programs_resume.__file__, backend]
        files = map(str, (self.journal, self.calls, self.results))
        return subprocess.Popen([*command, *files], stdout=subprocess.PIPE, text=True)

    def kill(self, backend: str, calls: int) -> None:
        """Start it, and kill it after so many calls."""
        before = count(self.calls)
        with self.start(backend) as process:
            until = time.monotonic() + PATIENCE_S
            while count(self.calls) < before + calls and process.poll() is None:
                assert time.monotonic() < until
                time.sleep(0.001)
            process.kill()


@pytest.mark.timeout(300)  # 21 starts of an interpreter, on a busy machine perhaps
def test_no_finished_item_is_called_again_after_many_kills(tmp_path: Path) -> None:
    program, moments = Program(tmp_path), random.Random(6)
    ends: list[tuple[int, set[int]]] = []
    for kill in range(KILLS):
        backend = moments.choice(["threads", "processes", "auto"])
        program.kill(backend, moments.randrange(1, 90))
        finished = kept(program.journal, tmp_path / str(kill))
        assert finished >= set(lines(program.results)), "a result was handed on, but not kept"
        ends.append((len(lines(program.calls)), finished))
    before = len(lines(program.results))
    with program.start("threads") as last:
        out, _ = last.communicate(timeout=PATIENCE_S)
    called = lines(program.calls)
    assert int(out) == len(ends[-1][1])
    assert lines(program.results)[before:] == list(range(programs_resume.ITEMS))
    assert set(called) == set(range(programs_resume.ITEMS))
    for end, finished in ends:
        assert not finished & set(called[end:])


def test_a_torn_log_loses_its_end_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(programs_resume.CALL_S, "0.02")  # it must not end before it is killed
    program = Program(tmp_path)
    program.kill("threads", 100)
    log = program.journal.with_name("run.db-wal")
    os.truncate(log, log.stat().st_size - 100)
    finished = kept(program.journal, tmp_path / "copy")
    assert len(finished) > 50
    journal = Journal(str(program.journal))
    with closing(sqlite3.connect(tmp_path / "copy" / "run.db")) as db:
        about = dict(db.execute("SELECT name, value FROM about"))
    journal.open(json.loads(about["run"]))
    assert journal.torn
    assert {row.item_index for row in journal.rows(0, programs_resume.ITEMS)} == finished
    journal.close()
