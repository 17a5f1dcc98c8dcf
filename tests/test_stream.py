"""Results one by one: order, laziness, bounds, errors, and what is left when the caller leaves."""

from __future__ import annotations

import concurrent.futures
import gc
import itertools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from functions import double, double_later, fail_on_seven
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec import DeadlineExceeded, Failure, Report, iter_parallel, run_parallel
from autoexec._stream import Portions, ResultIterator

BACKENDS = ["auto", "inline", "threads", "processes", "hybrid", "dask", "ray"]


class Counted:
    """An input that counts what was taken from it."""

    def __init__(self, items: Iterator[Any] | None = None) -> None:
        self.items = itertools.count() if items is None else items
        self.pulled = 0

    def __iter__(self) -> Iterator[Any]:
        for item in self.items:
            self.pulled += 1
            yield item


def first_positive(numbers: list[int]) -> int:
    return next(number for number in numbers if number > 0)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what is going to be so, for ten seconds."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to be so")


def own_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name in ("autoexec-thread", "autoexec-loop")]


# --- The same results --------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
class TestEveryBackend:
    def test_results_come_in_the_order_of_the_items(self, backend: Any) -> None:
        results = iter_parallel(double, range(300), backend=backend)
        assert list(results) == [2 * i for i in range(300)]

    def test_unordered_ones_come_all_and_once(self, backend: Any) -> None:
        results = iter_parallel(double, range(300), backend=backend, ordered=False)
        assert sorted(results) == [2 * i for i in range(300)]

    def test_an_input_without_end_can_be_left(self, backend: Any) -> None:
        with iter_parallel(double, itertools.count(), backend=backend) as results:
            assert list(itertools.islice(results, 20)) == [2 * i for i in range(20)]
        with pytest.raises(ValueError, match="closed before its end"):
            next(results)

    def test_never_more_than_the_buffer_is_between(self, backend: Any) -> None:
        source = Counted()
        with iter_parallel(double, source, backend=backend, buffersize=7) as results:
            for handed in range(1, 100):
                next(results)
                assert source.pulled - handed < 7

    def test_an_error_comes_in_the_place_of_its_result(self, backend: Any) -> None:
        results = iter_parallel(fail_on_seven, itertools.count(), backend=backend)
        assert [next(results) for _ in range(7)] == list(range(7))
        with pytest.raises(ValueError, match="seven") as caught:
            next(results)
        assert "item 7, 7" in caught.value.__notes__[0]
        assert list(results) == []

    def test_one_goes_on_past_failures_that_are_returned(self, backend: Any) -> None:
        results = list(iter_parallel(fail_on_seven, range(20), backend=backend, on_error="return"))
        assert isinstance(results[7], Failure)
        assert [x for x in results if x is not results[7]] == [*range(7), *range(8, 20)]

    def test_failures_that_are_skipped_make_room_for_others(self, backend: Any) -> None:
        results = iter_parallel(
            fail_on_seven, [7] * 30 + [1], backend=backend, on_error="skip", buffersize=2
        )
        assert list(results) == [1]
        assert results.report.skipped == 30

    def test_the_inputs_own_error_follows_the_results_before_it(self, backend: Any) -> None:
        def source() -> Iterator[int]:
            yield from range(10)
            raise OSError("torn")

        results = iter_parallel(double, source(), backend=backend)
        assert [next(results) for _ in range(10)] == [2 * i for i in range(10)]
        with pytest.raises(OSError, match="torn"):
            next(results)

    def test_an_error_that_would_end_the_iterator_is_raised_as_another(self, backend: Any) -> None:
        results = iter_parallel(first_positive, [[1], [0, 2], [0], [3]], backend=backend)
        assert [next(results), next(results)] == [1, 2]
        with pytest.raises(RuntimeError, match="raised StopIteration") as caught:
            next(results)
        assert isinstance(caught.value.__cause__, StopIteration)
        assert "item 2, [0]" in caught.value.__notes__[0]
        assert list(results) == []

    def test_nothing_in_nothing_out(self, backend: Any) -> None:
        assert list(iter_parallel(double, [], backend=backend)) == []
        assert list(iter_parallel(double, iter(()), backend=backend)) == []


def test_coroutine_functions_run_as_tasks() -> None:
    results = iter_parallel(double_later, range(50))
    assert list(results) == [2 * i for i in range(50)]
    assert results.report.route == "asyncio"


def test_an_executor_of_the_callers_can_be_used_and_stays_open() -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = iter_parallel(double, itertools.count(), backend=pool)
        assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
        results.close()
        assert pool.submit(double, 4).result() == 8


# --- When things happen ------------------------------------------------------------------------------


def test_nothing_is_taken_or_called_before_the_first_next() -> None:
    source = Counted()
    calls: list[int] = []
    results = iter_parallel(calls.append, source)
    assert results.report.items == 0
    assert source.pulled == 0
    next(results)
    assert calls


def test_what_is_never_asked_for_a_result_never_begins(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    told: list[int] = []
    options: Any = {"resume": journal, "progress": lambda done, total: told.append(done)}
    with iter_parallel(double, [1], **options) as results:
        given = results.report.options
        assert given["resume"][0] == str(journal)
        assert given["progress"][0]
    with pytest.raises(ValueError, match="closed before its end"):
        next(results)
    iter_parallel(double, [1], **options).close()
    assert results.report.items == 0
    assert not journal.exists()
    assert not told


def test_no_bar_is_drawn_for_a_report_before_the_first_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("tqdm")
    results = iter_parallel(double, [1], progress=True)
    assert results.report.options["progress"][0] is True
    assert capsys.readouterr().err == ""


def test_an_input_may_be_filled_until_the_first_next() -> None:
    items: list[int] = []
    results = iter_parallel(double, items)
    items += [1, 2]
    assert list(results) == [2, 4]


def test_wrong_arguments_are_refused_before_the_first_next() -> None:
    with pytest.raises(TypeError, match="fn must be callable"):
        iter_parallel(3, [1])  # type: ignore[call-overload]  # pyright: ignore
    with pytest.raises(ValueError, match="buffersize must be at least 1"):
        iter_parallel(double, [1], buffersize=0)
    with pytest.raises(TypeError, match="ordered must be True or False"):
        iter_parallel(double, [1], ordered=1)  # type: ignore[call-overload]  # pyright: ignore


def test_results_come_as_they_are_done_if_their_order_does_not_matter() -> None:
    gate = threading.Event()

    def call(x: int) -> int:
        if x == 0:
            assert gate.wait(20)
        return x

    results = iter_parallel(call, range(10), backend="threads", max_workers=4, ordered=False)
    first = [next(results) for _ in range(9)]
    gate.set()
    assert sorted(first) == list(range(1, 10))
    assert list(results) == [0]


@pytest.mark.parametrize("fn", [double, double_later])
def test_what_is_ready_comes_out_before_the_input_is_asked_for_more(fn: Any) -> None:
    out: list[int] = []

    def source() -> Iterator[int]:
        for i in range(5):
            yield i
            assert len(out) == i + 1, "the result before was held back"

    # One call at a time, so that it is ready when the next item is due.
    for x in iter_parallel(fn, source(), max_workers=1, buffersize=1):
        out.append(x)
    assert out == [0, 2, 4, 6, 8]


def test_the_caller_is_heard_between_two_calls_on_his_own_thread() -> None:
    calls: list[int] = []
    for i, _ in enumerate(iter_parallel(calls.append, range(3), backend="inline", buffersize=1)):
        assert len(calls) == i + 1


def test_threads_are_kept_busy_while_the_caller_is_not_done_with_what_is_ready() -> None:
    started: list[int] = []

    def call(x: int) -> int:
        started.append(x)
        return x

    results = iter_parallel(call, range(1000), backend="threads", max_workers=2, chunksize=10)
    next(results)
    before = len(started)
    for _ in range(50):
        next(results)
    until = time.monotonic() + 20
    while len(started) == before:  # a thread has what was sent, but perhaps not the GIL yet
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_slow_caller_slows_the_intake() -> None:
    source = Counted()
    with iter_parallel(double, source) as results:
        for _ in range(10):
            next(results)
        pulled = source.pulled
        time.sleep(0.05)
        assert source.pulled == pulled


def test_a_list_is_not_copied_whole() -> None:
    items = list(range(10_000))
    with iter_parallel(double, items, backend="threads", buffersize=10) as results:
        assert next(results) == 0
        items[5_000:] = [-1]
        assert list(results)[-1] == -2


# --- Errors ------------------------------------------------------------------------------------------


def test_the_first_error_in_order_wins_though_a_later_item_failed_before_it() -> None:
    later = threading.Event()

    def call(x: int) -> int:
        if x == 3:
            later.set()
            raise KeyError(x)
        if x == 1:
            assert later.wait(20)
            raise ValueError(x)
        return x

    results = iter_parallel(call, itertools.count(), backend="threads", max_workers=8)
    assert next(results) == 0
    with pytest.raises(ValueError, match="1"):
        next(results)


def test_without_order_an_error_is_raised_when_it_is_met() -> None:
    gate = threading.Event()

    def call(x: int) -> int:
        if x == 0:
            assert gate.wait(20)
        if x == 1:
            raise ValueError(x)
        return x

    results = iter_parallel(call, range(2), backend="threads", max_workers=2, ordered=False)
    with pytest.raises(ValueError, match="1"):
        next(results)
    gate.set()


def test_nothing_is_begun_after_an_error_but_what_comes_before_it() -> None:
    source = Counted()
    results = iter_parallel(fail_on_seven, source, backend="threads", max_workers=2, buffersize=50)
    with pytest.raises(ValueError, match="seven"):
        list(results)
    assert source.pulled <= 7 + 50


def test_a_deadline_counts_from_the_first_next_and_gives_what_was_done() -> None:
    gate = threading.Event()

    def call(x: int) -> int:
        if x == 1:
            gate.wait(20)
        return x

    results = iter_parallel(call, range(4), backend="threads", max_workers=4, deadline=2.0)
    assert results.report.items == 0  # which begins nothing
    time.sleep(2.1)
    assert next(results) == 0
    with pytest.raises(DeadlineExceeded) as caught:
        next(results)
    gate.set()
    assert caught.value.finished == {2: 2, 3: 3}


def test_what_a_run_within_a_call_had_done_stays_with_its_error() -> None:
    gate = threading.Event()

    def call(x: int) -> Any:
        return run_parallel(lambda y: gate.wait(20 * y), [0, 1], backend="threads", deadline=1.0)

    results = iter_parallel(call, [0], backend="threads")
    with pytest.raises(DeadlineExceeded) as caught:
        next(results)
    gate.set()
    assert caught.value.finished == {0: False}


class Interrupt(BaseException):
    """No `Exception`."""


@pytest.mark.parametrize("kind", [Interrupt, GeneratorExit])
def test_whatever_the_input_raises_follows_the_results_before_it(kind: Any) -> None:
    def source() -> Iterator[int]:
        yield from range(3)
        raise kind("torn")

    results = iter_parallel(double, source())
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    with pytest.raises(kind, match="torn"):
        next(results)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_is_meant_for_the_program_ends_all_at_once(kind: Any) -> None:
    def source() -> Iterator[int]:
        yield from range(3)
        raise kind

    later, ended = threading.Event(), []

    def call(x: int) -> int:  # else the first may be there before the input ends
        ended.append(later.wait(timeout=20))
        return x

    with pytest.raises(kind):
        next(iter_parallel(call, source(), backend="threads", max_workers=4, chunksize=4))
    assert not ended
    later.set()


class Mishap(Exception):
    """Other than those of C, it can be watched until it is gone."""


def test_an_error_leaves_no_cycles() -> None:
    def call(x: int) -> int:
        raise Mishap(x)

    gc.collect()
    gc.disable()
    try:
        results = iter_parallel(call, [7], backend="threads")
        seen: list[weakref.ref[Mishap]] = []
        try:
            next(results)
        except Mishap as error:
            seen.append(weakref.ref(error))
        until(lambda: seen[0]() is None)  # its thread may be about to let go of it
    finally:
        gc.enable()


# --- The end -----------------------------------------------------------------------------------------


def leave_by_close(results: Any) -> Any:
    results.close()
    results.close()  # again does nothing
    return results


def leave_by_dropping(results: Any) -> None:
    del results


@pytest.mark.parametrize("leave", [leave_by_close, leave_by_dropping])
@pytest.mark.parametrize("fn", [double, double_later])
def test_who_leaves_leaves_no_threads_behind(leave: Callable[[Any], Any], fn: Any) -> None:
    results = iter_parallel(fn, itertools.count(), backend="auto")
    next(results)
    leave(results)
    del results
    until(lambda: not own_threads())


def test_workers_in_a_call_end_when_the_iterator_is_dropped(tmp_path: Path) -> None:
    def call(x: int) -> int:
        if x:
            (tmp_path / str(os.getpid())).touch()
            time.sleep(60)
        return os.getpid()

    results = iter_parallel(call, range(10), backend="processes", max_workers=2, chunksize=1)
    worker = next(results)
    until((tmp_path / str(worker)).exists)  # one without a call would stay
    del results
    until(lambda: not alive(worker))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_items_and_results_go_when_they_were_handed_on() -> None:
    class Item:
        pass

    alive: weakref.WeakSet[Item] = weakref.WeakSet()

    def source() -> Iterator[Item]:
        for _ in range(20_000):
            item = Item()
            alive.add(item)
            yield item

    most = 0
    for _ in iter_parallel(id, source(), buffersize=100):
        most = max(most, len(alive))
    assert most <= 200


def test_memory_stays_flat_over_many_skipped_and_failed_items() -> None:
    """Nothing is kept for each item. The second half adds no more objects than the first."""
    results = iter_parallel(fail_on_seven, itertools.repeat(7), on_error="return", buffersize=50)
    counts = []
    for i, _ in enumerate(results):
        if i % 2000 == 1999:
            gc.collect()
            counts.append(len(gc.get_objects()))
        if len(counts) == 4:
            break
    results.close()
    assert counts[-1] - counts[0] < 3000  # one each would be 6000


def test_the_report_is_there_at_any_time() -> None:
    results = iter_parallel(double, range(100), backend="threads")
    assert isinstance(results.report, Report)
    next(results)
    assert 1 <= results.report.items <= 100
    list(results)
    assert results.report.items == 100
    assert results.report.ran == {"threads": 100}
    assert results.report is results.report


def test_two_threads_at_once_are_told_that_this_does_not_work() -> None:
    gate, waiting = threading.Event(), threading.Event()

    def call(x: int) -> int:
        waiting.set()
        assert gate.wait(20)
        return x

    results = iter_parallel(call, range(3), backend="threads")
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.extend(results))
    thread.start()
    assert waiting.wait(20)
    with pytest.raises(ValueError, match="another thread"):
        next(results)
    with pytest.raises(ValueError, match="another thread"):
        results.close()
    gate.set()
    thread.join()
    assert got == [0, 1, 2]


def test_another_thread_may_ask_at_any_line() -> None:
    """It gets a result, or is told that this does not work, and nobody that there are no more."""
    results = iter_parallel(double, range(100), backend="inline", buffersize=1)
    got: list[int] = []
    ended: list[StopIteration] = []

    def ask() -> None:
        try:
            got.append(next(results))
        except StopIteration as error:
            ended.append(error)
        except ValueError as error:
            assert "another thread" in str(error)

    def in_a_thread(call: Callable[[], None]) -> None:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code is not ResultIterator._more.__code__:
            return None
        if event == "line":
            in_a_thread(ask)
        return trace

    def ask_slowly() -> None:
        sys.settrace(trace)
        ask()

    in_a_thread(ask_slowly)
    assert not ended
    assert sorted([*got, *results]) == [2 * i for i in range(100)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_is_told_so_and_does_no_harm() -> None:
    results = iter_parallel(double, range(100), backend="threads", buffersize=5)
    next(results)
    child = os.fork()
    if not child:
        code = 1
        try:
            results._more()
        except RuntimeError as error:
            code = 0 if "forked" in str(error) else 2
        finally:
            results.close()
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(results) == [2 * i for i in range(1, 100)]


def test_one_iterator_can_feed_another() -> None:
    inner = iter_parallel(double, itertools.count(), backend="threads", buffersize=10)
    with inner, iter_parallel(double, inner, backend="threads", buffersize=10) as outer:
        assert [next(outer) for _ in range(50)] == [4 * i for i in range(50)]


def test_an_iterator_within_the_calls_of_another() -> None:
    def call(x: int) -> int:
        return sum(iter_parallel(double, range(x)))

    assert list(iter_parallel(call, range(20), backend="threads")) == [
        i * (i - 1) for i in range(20)
    ]


# --- Portions ----------------------------------------------------------------------------------------


@given(
    st.lists(st.lists(st.integers(), max_size=40), max_size=20),
    st.lists(st.floats(0, 0.01), min_size=1, max_size=20),
)
@examples(200)
def test_portions_are_all_that_came_in_order_whatever_the_pace(
    lists: list[list[int]], paces: list[float]
) -> None:
    portions = Portions()
    out: list[int] = []
    now = 0.0
    pace = itertools.cycle(paces)
    for values in lists:
        portions.add([list(values)])
        now += next(pace)
        portions.used_up(now)
        out += portions.next(now)
    while portions.count:
        portion = portions.next(now)
        assert portion
        out += portion
    assert out == [value for values in lists for value in values]
    assert portions.next(now) == []


def test_portions_grow_for_a_quick_caller_and_shrink_for_a_slow_one() -> None:
    portions = Portions()
    portions.add([list(range(100_000))])
    sizes = []
    for took in [1e-4] * 8 + [1.0] * 3:
        sizes.append(len(portions.next(0.0)))
        portions.used_up(took)
    assert sizes == [1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 128]


# --- Against a loop ----------------------------------------------------------------------------------


@given(
    st.integers(0, 60),
    st.sets(st.integers(0, 59)),
    st.sampled_from(["auto", "inline", "threads"]),
    st.sampled_from(["return", "skip"]),
    st.one_of(st.none(), st.integers(1, 20)),
    st.booleans(),
)
@examples(60)
def test_it_does_what_a_loop_does(
    count: int, bad: set[int], backend: Any, on_error: Any, buffersize: int | None, ordered: bool
) -> None:
    calls: list[int] = []

    def call(x: int) -> int:
        calls.append(x)
        if x in bad:
            raise ValueError(x)
        return x

    source = Counted(iter(range(count)))
    got: list[Any] = []
    for result in iter_parallel(
        call,
        source,
        backend=backend,
        on_error=on_error,
        buffersize=buffersize,
        ordered=ordered,
    ):
        got.append(result)
        if buffersize is not None and on_error == "return":
            assert source.pulled - len(got) < buffersize
    found = [-1 - x.index if isinstance(x, Failure) else x for x in got]
    wanted = [
        -1 - x if x in bad else x for x in range(count) if x not in bad or on_error == "return"
    ]
    assert sorted(calls) == list(range(count))
    assert (found if ordered else sorted(found)) == (wanted if ordered else sorted(wanted))


def test_a_list_of_results_takes_no_notice_of_a_bound() -> None:
    options: Any = {"buffersize": 1, "ordered": False}
    assert run_parallel(double, range(100), **options) == [2 * i for i in range(100)]
