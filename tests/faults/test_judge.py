"""The judge itself: a judge that never finds anything would let every fault pass."""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import lab
import traces
from lab import FORMS, LAZY, Wrong, answer, fails, in_each, judge, note, plain, walk

from autoexec._pool import shared

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(autouse=True)
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A file of calls of its own; afterwards nothing ends this process at a deadline."""
    monkeypatch.setenv(lab.CALLS, str(tmp_path / "calls"))
    monkeypatch.setenv(traces.MARK, f"of the judge's tests {os.getpid()}")
    monkeypatch.setattr(traces, "GRACE_S", 0.1)
    lab._counter.cache_clear()
    yield
    faulthandler.cancel_dump_traceback_later()
    os.close(lab._counter())
    lab._counter.cache_clear()


def twice(index: int) -> int:
    note(index)
    return plain(index)


def never(index: int) -> int:
    return answer(index)


def wrong(index: int) -> int:
    return plain(index) + (index == 2)


def broken(index: int) -> int:
    if index == 2:
        raise ValueError("broken")
    return plain(index)


class TestItems:
    def test_all_is_right(self) -> None:
        judge(plain, range(4), "threads")
        judge(broken, range(4), "threads", {2: fails(ValueError, "broken")})
        judge(broken, range(4), "threads", maybe={2: fails(ValueError)})

    def test_a_call_made_twice(self) -> None:
        with pytest.raises(Wrong, match="item 0 was called 2 times"):
            judge(twice, range(4), "threads")

    def test_a_call_that_was_not_made(self) -> None:
        with pytest.raises(Wrong, match="item 0 was called 0 times"):
            judge(never, range(4), "threads")

    def test_a_wrong_result(self) -> None:
        with pytest.raises(Wrong, match="item 2 gave 16"):
            judge(wrong, range(4), "threads")

    def test_a_failure_that_should_not_be(self) -> None:
        with pytest.raises(Wrong, match="item 2 failed with ValueError"):
            judge(broken, range(4), "hybrid")

    def test_a_failure_that_should_be(self) -> None:
        with pytest.raises(Wrong, match="item 1 did not fail but gave 8"):
            judge(plain, range(4), "threads", {1: fails(ValueError)})

    @pytest.mark.parametrize("expected", [fails(KeyError), fails(ValueError, "another text")])
    def test_another_failure(self, expected: lab.Fails) -> None:
        with pytest.raises(Wrong, match="item 2"):
            judge(broken, range(4), "threads", {2: expected})


class TestForms:
    @pytest.mark.parametrize("form", FORMS)
    def test_all_of_them_are_judged(self, form: str) -> None:
        judge(broken, range(4), "threads", {2: fails(ValueError, "broken")}, form=form)
        with pytest.raises(Wrong, match="item 2 gave 16"):
            judge(wrong, range(4), "threads", form=form)

    @pytest.mark.parametrize("form", LAZY)
    def test_an_iterator_is_left_when_it_is_enough(self, form: str) -> None:
        found: list[int] = []

        def enough(result: int) -> bool:
            found.append(result)
            return len(found) == 3

        walk(form, plain, range(100), enough)
        assert found == [answer(index) for index in range(3)]

    def test_each_that_is_wrong_is_named(self) -> None:
        def check(form: str) -> None:
            assert form != "list"
            lab.require(form == "iterator", "not this one")

        with pytest.raises(Wrong) as raised:
            in_each(FORMS, check)
        text = str(raised.value)
        assert "async list: not this one; async iterator: not this one" in text
        assert text.startswith("list: AssertionError(") and "; iterator" not in text


class TestTraces:
    @pytest.fixture(autouse=True)
    def nothing_goes_on(self) -> None:
        """The pool of an earlier test would be let go in the midst, by threads that start for it."""
        shared.get().shutdown()
        for thread in threading.enumerate():
            if thread.name.startswith("autoexec-"):
                thread.join(timeout=5.0)

    def test_nothing_is_left(self) -> None:
        assert traces.left_since(traces.look()) == []

    def test_a_process(self) -> None:
        before = traces.look()
        with subprocess.Popen(["sleep", "60"]) as process:
            assert f"process {process.pid}: sleep 60" in traces.left_since(before)
            process.kill()

    def test_a_process_whose_parent_is_gone(self) -> None:
        before = traces.look()
        code = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=2).pid)"
        out = subprocess.run(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        pid = int(out.stdout)
        assert f"process {pid}: sleep 60" in traces.left_since(before)
        os.kill(pid, 9)

    def test_a_thread(self) -> None:
        before = traces.look()
        over = threading.Event()
        thread = threading.Thread(target=over.wait, name="waits")
        thread.start()
        assert traces.left_since(before) == [f"thread {thread.native_id}: waits"]
        over.set()
        thread.join()

    def test_a_descriptor_and_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        (tmp_path / "calls").touch()
        before = traces.look()
        with open(tmp_path / "left", "w") as file:
            path = tmp_path / "left"
            assert traces.left_since(before) == [
                f"descriptor {file.fileno()}: {path}",
                f"file {path}: left",
            ]
