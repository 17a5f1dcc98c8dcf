"""A run says how far it has come: on the caller's thread, not too often, and at the end."""

from __future__ import annotations

import subprocess
import sys
import threading
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec import run_parallel
from autoexec._options import BackendName
from autoexec._progress import EVERY_S, Meter, meter


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.01, 0.1])), max_size=50))
@examples(60)
def test_it_is_told_at_most_every_so_often_and_last_of_all_at_the_end(
    steps: list[tuple[int, float]],
) -> None:
    told: list[tuple[float, int]] = []
    done, now = 0, 1.0
    one = Meter(lambda done, total: told.append((now, done)), None)
    for more, passed in steps:
        done, now = done + more, now + passed
        one.look(done, now)
    in_time = len(told)
    one.end(done)
    assert told[-1][1] == done
    assert len(told) - in_time <= 1
    assert len({number for _, number in told}) == len(told)
    times = [at for at, _ in told[:in_time]]
    assert all(b - a >= EVERY_S - 1e-9 for a, b in pairwise(times))


@pytest.mark.parametrize("backend", ["auto", "inline", "threads", "processes", "asyncio", "hybrid"])
@pytest.mark.parametrize("lazy", [False, True])
def test_every_backend_tells_of_all_items(backend: BackendName, lazy: bool) -> None:
    told: list[tuple[int, int | None]] = []
    threads: set[int] = set()

    def tell(done: int, total: int | None) -> None:
        told.append((done, total))
        threads.add(threading.get_ident())

    items = (i for i in range(30)) if lazy else range(30)
    run_parallel(abs, items, backend=backend, progress=tell)
    assert told[-1] == (30, None if lazy else 30)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert threads == {threading.get_ident()}


def test_an_item_that_is_tried_again_is_not_done_yet() -> None:
    told: list[int] = []
    tries: list[int] = []

    def fn(x: int) -> None:
        tries.append(x)
        if len(tries) < 9:
            raise ValueError(x)

    run_parallel(fn, [1, 2], retries=9, progress=lambda done, total: told.append(done))
    assert told[-1] == 2
    assert told == sorted(told)


def test_no_items_are_all_done() -> None:
    told: list[tuple[int, int | None]] = []
    run_parallel(abs, [], progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 0)]


def test_what_it_raises_is_logged_once_and_the_results_are_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[int] = []

    def tell(done: int, total: int | None) -> None:
        told.append(done)
        raise KeyError("enough")

    assert run_parallel(abs, range(1000), backend="threads", progress=tell) == list(range(1000))
    assert len(told) == 1
    (record,) = caplog.records
    assert "progress" in record.message
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


class Bar:
    made: list[Bar]

    def __init__(self, total: int | None, desc: str) -> None:
        self.total, self.desc, self.n, self.closed = total, desc, 0, False
        self.made.append(self)

    def update(self, more: int) -> None:
        self.n += more

    def refresh(self) -> None:
        assert not self.closed

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    module: Any = type(sys)("tqdm.auto")
    module.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", type(sys)("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", module)
    Bar.made = []
    return Bar.made


def test_true_is_a_bar_with_the_name_of_the_function(bars: list[Bar]) -> None:
    run_parallel(abs, range(7), progress=True)
    (bar,) = bars
    assert (bar.total, bar.desc, bar.n, bar.closed) == (7, "abs", 7, True)


def test_the_bar_is_closed_after_an_error_too(bars: list[Bar]) -> None:
    with pytest.raises(ValueError):
        run_parallel(int, ["x"], progress=True)
    assert bars[0].closed


def test_without_tqdm_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    called: list[int] = []
    with pytest.raises(Exception, match="pip install tqdm"):
        run_parallel(called.append, [1], progress=True)
    assert called == []


def test_false_asks_for_nothing() -> None:
    assert meter(False, "f", 1) is None
    code = "import sys, autoexec; autoexec.run_parallel(abs, [1]); print('tqdm' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
