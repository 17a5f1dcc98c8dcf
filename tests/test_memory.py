"""No more calls at once than memory has room for: in a world of numbers, then with real processes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from functions import double
from hypothesis import given
from hypothesis import strategies as st
from strategies import HOST, examples

from autoexec import _host, iter_parallel, run_parallel
from autoexec._chunk import Chunk
from autoexec._lanes import Lanes
from autoexec._memory import ALONE, MemoryWatch, in_flight
from autoexec._room import SAFE, SPARE, Calls, Learned, budget, learn, room
from autoexec._routes import PROCESSES, Lane
from autoexec._types import Held, Host, Memory

GB = 10**9
MB = 10**6
ROUTES: tuple[Lane, ...] = ("threads", "processes", "hybrid")


def memory(here: int, workers: Mapping[int, int] | None = None, free: int = 100 * GB) -> Memory:
    """A look at processes that never held more than now."""
    held = {pid: Held(now, now) for pid, now in (workers or {}).items()}
    return Memory(200 * GB, free, Held(here, here), held)


# --- What may be held ------------------------------------------------------------------------------


def test_bytes_a_share_or_a_safe_share_may_be_held() -> None:
    seen = memory(GB, {1: GB}, free=198 * GB)
    assert budget(seen, 5 * GB) == 5 * GB
    assert budget(seen, 0.5) == 100 * GB
    assert budget(seen, None) == SAFE * 200 * GB


def test_no_more_may_be_held_than_is_left_whatever_was_asked_for() -> None:
    seen = memory(GB, {1: GB}, free=30 * GB)
    for limit in (200 * GB, 1.0, None):
        assert budget(seen, limit) == 2 * GB + 30 * GB - SPARE * 200 * GB


# --- What a call takes -----------------------------------------------------------------------------


def test_what_stays_after_the_first_call_is_no_part_of_the_next() -> None:
    one, none = Calls(1, Counter()), Calls(0, Counter())
    before, amid, after = memory(100 * MB), memory(380 * MB), memory(350 * MB)
    learned = learn(Learned(100 * MB), before, amid, one, one, first=True)
    assert (learned.base, learned.call) == (100 * MB, 0)
    learned = learn(learned, amid, after, one, none, first=True)
    assert (learned.base, learned.call) == (350 * MB, 30 * MB)


def test_what_stays_after_others_is_a_result() -> None:
    one, none = Calls(1, Counter()), Calls(0, Counter())
    learned = learn(Learned(100 * MB), memory(100 * MB), memory(130 * MB), one, none)
    assert (learned.base, learned.call) == (130 * MB, 30 * MB)


def test_calls_that_take_next_to_nothing_are_not_held_back_unless_that_was_asked_for() -> None:
    seen = memory(190 * GB, free=GB)  # all memory is taken for other reasons
    learned = Learned(190 * GB, call=10 * MB)
    crowd = Calls(8, Counter())
    assert room(learned, seen, crowd, budget(seen, None)).here == 0
    assert room(learned, seen, crowd, budget(seen, None), free=GB).here == 100
    for limit, more in ((None, 8), (0.5, 0)):
        watch = MemoryWatch(limit, 0.0, HOST)
        for lanes in (lanes_with({"threads": 1}), lanes_with({"threads": 2})):
            watch.gauged(seen, lanes, 0.0)
            watch.ended(lanes.chunks()[0], 2)
        assert watch.most("threads", 8, lanes_with({"threads": 1})) == more


def test_growth_is_shared_out_among_the_calls() -> None:
    before, after = memory(100 * MB), memory(500 * MB)
    learned = learn(Learned(100 * MB), before, after, Calls(4, Counter()), Calls(2, Counter()))
    assert learned.call == 100 * MB


def test_what_was_held_earlier_hides_nothing_that_is_held_now() -> None:
    before = Memory(GB, GB, Held(100 * MB, 900 * MB), {})
    after = Memory(GB, GB, Held(300 * MB, 900 * MB), {})
    assert (
        learn(Learned(100 * MB), before, after, Calls(1, Counter()), Calls(1, Counter())).call
        == 200 * MB
    )


def test_this_process_takes_something_for_each_call_in_a_worker() -> None:
    learned = Learned(50 * MB, floors={1: 20 * MB, 2: 20 * MB}, worker_call=30 * MB)
    calls = Calls(0, Counter([1]))
    before = memory(50 * MB, {1: 20 * MB, 2: 20 * MB})
    after = before._replace(here=Held(50 * MB, 250 * MB))  # a result that was handed on
    learned = learn(learned, before, after, calls, calls)
    assert learned.payload == 200 * MB
    # 90 are held; each call takes 30 there, and 200 here.
    assert room(learned, after, calls, 549 * MB).workers == 1
    assert room(learned, after, calls, 550 * MB).workers == math.inf


def test_a_worker_that_came_with_its_first_call_held_no_more_than_the_others_before() -> None:
    learned = Learned(0, floors={1: 20 * MB})
    after = memory(0, {1: 20 * MB, 2: 220 * MB})
    learned = learn(learned, memory(0, {1: 20 * MB}), after, *[Calls(0, Counter([2]))] * 2)
    assert learned.worker_call == 200 * MB


def test_a_worker_that_kept_what_its_call_took_needs_nothing_for_the_next() -> None:
    learned = Learned(0, floors={1: 20 * MB, 2: 20 * MB}, worker_call=200 * MB)
    seen = memory(0, {1: 220 * MB, 2: 20 * MB})
    assert room(learned, seen, Calls(0, Counter([2])), 440 * MB).workers == math.inf
    assert room(learned, seen, Calls(0, Counter([1])), 439 * MB).workers == 1


# --- A world of numbers ----------------------------------------------------------------------------


class World:
    """Processes that hold so much, and calls that each come to take so much more."""

    def __init__(self, lane: Lane, base: int, workers: int, call: int) -> None:
        self.lane: Lane = lane
        self.base = base
        self.call = call
        self.lanes = Lanes()
        self.pids = list(range(1, workers + 1)) if lane in PROCESSES else []
        self.lanes[lane].workers = len(self.pids)
        self.taken: dict[Chunk, float] = {}  # share of what it will take
        self.peaks = {pid: self.now(pid) for pid in [0, *self.pids]}

    def now(self, pid: int) -> int:
        return self.base + sum(
            int(self.call * share) for chunk, share in self.taken.items() if chunk.pid == pid
        )

    def send(self) -> None:
        chunk = Chunk(0, [0], self.lane, self.lane)
        if self.pids:
            load = Counter(chunk.pid for chunk in self.taken)
            chunk.pid = min(self.pids, key=lambda pid: load[pid])
        self.taken[chunk] = 0.0
        self.lanes.add(chunk)

    def go_on(self, at: int, share: float) -> None:
        """A call takes more, or all that it will."""
        chunk = list(self.taken)[at % len(self.taken)]
        self.taken[chunk] = max(self.taken[chunk], share)
        self.peaks[chunk.pid] = max(self.peaks[chunk.pid], self.now(chunk.pid))

    def end(self, at: int) -> Chunk:
        chunk = list(self.taken)[at % len(self.taken)]
        self.go_on(at, 1.0)
        del self.taken[chunk]
        self.lanes.remove(chunk)
        return chunk

    def look(self) -> Memory:
        held = {pid: Held(self.now(pid), self.peaks[pid]) for pid in [0, *self.pids]}
        return Memory(200 * GB, 100 * GB, held.pop(0), held)

    @property
    def fits(self) -> int:
        """Calls at once that never exceed 1 GB."""
        free = GB - self.base * (1 + len(self.pids))
        most = free // self.call
        return max(1, min(most, len(self.pids)) if self.lane == "processes" else most)


@given(
    st.sampled_from(ROUTES),
    st.integers(1, 300),
    st.integers(1, 6),
    st.integers(20, 1500),
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from([0.1, 0.5, 1.0, 2.0])), min_size=1),
)
@examples(150)
def test_calls_that_all_take_the_same_never_exceed_the_limit_and_use_it_up(
    lane: Lane, base: int, workers: int, call: int, steps: list[tuple[int, float]]
) -> None:
    world = World(lane, base * MB, workers, call * MB)
    watch, now, ended = MemoryWatch(GB, 0.0, HOST), 0.0, 0
    for at, share in [(0, 2.0)] * (ALONE + 1) + steps:
        now = max(now, watch.look_at)
        watch.gauged(world.look(), world.lanes, now)
        wanted = (len(world.pids) if lane == "processes" else 100) - len(world.taken)
        for _ in range(watch.most(lane, wanted, world.lanes) if watch.bounds else wanted):
            world.send()
        if ended >= ALONE:
            assert len(world.taken) == min(world.fits, 100)  # no fewer, no more, at any time
        if share > 1:
            chunk = world.end(at)
            watch.ended(chunk, 1)
            ended += 1
        else:
            world.go_on(at, share)
        assert len(world.taken) <= 1 or world.look().used_bytes <= GB
    assert (watch.use() or pytest.fail()).exceeded <= (world.fits == 1)


def memories() -> st.SearchStrategy[Memory]:
    """Anything that a system could say."""
    sizes = st.sampled_from([0, 1, 50 * MB, 300 * MB, GB, 90 * GB])
    held = st.builds(lambda now, more: Held(now, now + more), sizes, sizes)
    workers = st.dictionaries(st.integers(1, 3), held, max_size=3)
    return st.builds(Memory, st.sampled_from([GB, 100 * GB]), sizes, held, workers)


def lanes_with(counts: Mapping[Lane, int]) -> Lanes:
    """So many chunks in flight on each lane; those of workers with the first three."""
    lanes = Lanes()
    for lane, count in counts.items():
        for i in range(count):
            chunk = Chunk(0, [0], lane, lane)
            chunk.pid = i % 4 if lane in PROCESSES else 0
            lanes.add(chunk)
    return lanes


def crowds() -> st.SearchStrategy[Mapping[Lane, int]]:
    return st.dictionaries(st.sampled_from(ROUTES), st.integers(0, 5), max_size=3)


@given(
    st.sampled_from([None, 1.0, 0.01, GB, 1 << 20]),
    st.lists(st.tuples(memories(), crowds(), st.integers(0, 2)), max_size=6),
    st.sampled_from(ROUTES),
)
@examples(150)
def test_whatever_the_system_says_one_call_may_be_in_flight(
    limit: int | float | None, looks: list[tuple[Memory, Mapping[Lane, int], int]], lane: Lane
) -> None:
    watch = MemoryWatch(limit, 0.0, HOST)
    for now, (seen, counts, ended) in enumerate(looks):
        lanes = lanes_with(counts)
        watch.gauged(seen, lanes, float(now))
        assert now < watch.look_at < now + 1
        for name in ROUTES:
            more = watch.most(name, 4, lanes)
            assert (0 if lanes.count else 1) <= more <= 4
        watch.ended(Chunk(0, [0], lane, lane), ended)
    assert watch.most(lane, 4, Lanes()) >= 1


@given(memories(), memories(), crowds(), st.integers(0, 10 * GB), st.integers(0, 10 * GB))
@examples(150)
def test_more_free_memory_never_means_fewer_calls(
    last: Memory, seen: Memory, counts: Mapping[Lane, int], allowed: int, more: int
) -> None:
    calls = in_flight(lanes_with(counts))
    learned = learn(Learned(last.here.now_bytes), last, seen, calls, calls)
    few = room(learned, seen, calls, allowed)
    many = room(learned, seen, calls, allowed + more)
    assert few.here <= many.here
    assert few.workers <= many.workers
    freer = seen._replace(free_bytes=seen.free_bytes + more)
    assert budget(seen, 0.9) <= budget(freer, 0.9)


def test_what_two_take_that_were_sent_and_one_of_which_ended_between_two_looks_is_not_that_of_one() -> (
    None
):
    watch = MemoryWatch(GB, 0.0, HOST)
    for lanes, held in ((Lanes(), 50), (lanes_with({"threads": 1}), 150), (Lanes(), 50)):
        watch.gauged(memory(held * MB), lanes, 0.0)
        for chunk in lanes.chunks():
            watch.ended(chunk, 1, here=1)
    both = lanes_with({"threads": 2})
    watch.ended(both.chunks()[0], 1, here=2)  # it was alone when it was sent
    both.remove(both.chunks()[0])
    watch.gauged(memory(250 * MB), both, 0.1)
    use = watch.use()
    assert use is not None
    assert use.call_bytes == 100 * MB


def test_where_nothing_is_told_nothing_is_held_back() -> None:
    watch = MemoryWatch(1 << 20, 0.0, HOST)
    watch.gauged(None, Lanes(), 0.0)
    assert (watch.bounds, watch.look_at, watch.use()) == (False, math.inf, None)


def test_a_first_call_in_a_worker_waits_for_the_first_here_to_tell_what_it_takes() -> None:
    watch, lanes = MemoryWatch(GB, 0.0, HOST), lanes_with({"threads": 1})
    watch.gauged(memory(50 * MB), lanes, 0.0)
    assert watch.most("processes", 2, lanes) == 0
    watch.ended(lanes.chunks()[0], 1)
    watch.gauged(memory(50 * MB, {1: 20 * MB}), lanes, 0.1)
    assert watch.most("processes", 2, lanes) == 1


PLENTY_FREE = HOST._replace(free_bytes=64 * GB)


def looks(
    watch: MemoryWatch, lanes: Lanes, seconds: float, free: int, *, costly: bool = True
) -> list[float]:
    """When a run looks at memory, of which always as much is free."""
    times, step = list[float](), 0.01
    for now in (step * i for i in range(round(seconds / step) + 1)):
        if watch.due(now, lanes, costly=costly):
            times.append(now)
            watch.gauged(memory(50 * MB, free=free), lanes, now)
    return times


def test_few_calls_far_from_full_memory_are_left_alone() -> None:
    few = lanes_with({"threads": 1, "processes": 3})
    watch = MemoryWatch(None, 0.0, PLENTY_FREE)
    assert looks(watch, few, 3.0, free=64 * GB) == pytest.approx([1.0, 2.0, 3.0], abs=0.02)


def test_as_memory_fills_looks_are_closer() -> None:
    few = lanes_with({"threads": 1})
    watch = MemoryWatch(None, 0.0, PLENTY_FREE)
    (first,) = looks(watch, few, 1.0, free=20 * GB)
    assert first == pytest.approx(1.0, abs=0.02)
    # Four cores fill half of what may still be held, which is 10 GB, in 0.31 s.
    assert not watch.due(first + 0.2, few, costly=True)
    assert watch.due(first + 0.32, few, costly=True)


@pytest.mark.parametrize(
    ("limit", "host", "calls", "free", "costly"),
    [
        (None, PLENTY_FREE, 5, 64 * GB, True),  # more calls than cores
        (None, HOST, 1, GB, True),  # next to nothing is left
        (None, PLENTY_FREE, 1, 64 * GB, False),
        (GB, PLENTY_FREE, 1, 64 * GB, True),
    ],
)
def test_others_are_looked_at_all_the_time(
    limit: int | None, host: Host, calls: int, free: int, costly: bool
) -> None:
    watch = MemoryWatch(limit, 0.0, host)
    lanes = lanes_with({"threads": calls})
    assert len(looks(watch, lanes, 1.0, free, costly=costly)) >= 9


# --- Real processes --------------------------------------------------------------------------------

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process holds")

PROGRAM = """
import json, sys, time
from autoexec import iter_parallel, run_parallel

def take(item):
    data = bytearray(b"x") * item  # so that each page is there
    time.sleep(0.05)
    return len(data), item

backend, limit, size, count = sys.argv[1], *map(int, sys.argv[2:])
items = [size + i for i in range(count)]
form = iter_parallel if backend == "auto" else run_parallel
results = form(take, items, backend=backend, max_workers=4, memory_limit=limit)
right = list(results) == [(item, item) for item in items]
print(json.dumps({"right": right, **results.report.to_dict()["memory"]}))
print(results.report, file=sys.stderr)
"""


def held_bytes(pid: int) -> int:
    """What a process and its children hold."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = " ".join((task / "children").read_text() for task in tasks).split()
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(held_bytes(int(child)) for child in children)


def play(backend: str, limit: int, size: int, count: int) -> tuple[dict[str, Any], str, int]:
    """Run the program. Returns what it says, its report, and the most that it was seen to hold."""
    line = [sys.executable, "-c", PROGRAM, backend, str(limit), str(size), str(count)]
    pipe = subprocess.PIPE
    most = 0
    with subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True) as process:
        until = time.monotonic() + 60
        while process.poll() is None:
            assert time.monotonic() < until
            most = max(most, held_bytes(process.pid))
            time.sleep(0.002)
        out, report = process.communicate()
    assert process.returncode == 0, report
    return json.loads(out), report, most


@linux
@pytest.mark.parametrize("backend", ["processes", "threads", "hybrid", "auto"])
def test_no_more_calls_than_the_limit_has_room_for(backend: str) -> None:
    count = 20 if backend in ("processes", "hybrid") else 6  # some are left when all workers are up
    said, report, most = play(backend, limit=350 * MB, size=120 * MB, count=count)
    assert said["right"]
    assert 120 * MB < most <= 350 * MB
    assert 120 * MB <= said["call_bytes"] <= 150 * MB
    assert (said["held_back"] or backend == "auto") and not said["exceeded"]
    assert "of 350 MB by this process" in report


@linux
@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_calls_that_are_too_large_go_on_one_at_a_time(backend: str) -> None:
    said, report, most = play(backend, limit=80 * MB, size=90 * MB, count=3)
    assert said["right"] and said["exceeded"]
    assert 90 * MB < most < 180 * MB
    assert "one call at a time was too much already" in report


@linux
@pytest.mark.parametrize("backend", ["inline", "threads", "asyncio", "processes", "hybrid", "auto"])
def test_small_calls_are_not_held_back(backend: Any) -> None:
    results = run_parallel(double, range(40), backend=backend, memory_limit=0.99)
    assert results == [2 * x for x in range(40)]
    assert results.report.memory is not None
    assert not results.report.memory.exceeded
    assert not results.report.memory.held_back


def slow(x: int) -> int:
    time.sleep(0.02)
    return x


@linux
def test_every_run_that_takes_a_moment_tells_what_was_held() -> None:
    report = run_parallel(slow, range(8), backend="threads", max_workers=1).report
    assert report.memory is not None
    assert report.to_dict()["memory"]["peak_bytes"] == report.memory.peak_bytes > 5 * MB
    assert "  memory " not in str(report)


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system that does not tell what processes hold."""
    monkeypatch.setattr(_host, "read_memory", lambda: None)
    yield


@pytest.mark.usefixtures("untold")
@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_a_system_that_tells_nothing_runs_all_the_same(backend: Any) -> None:
    options: Any = {"backend": backend, "memory_limit": 1 << 20}
    results = run_parallel(double, range(40), **options)
    assert results == list(iter_parallel(double, range(40), **options))
    assert results.report.memory is None
    assert "this system does not tell what a process holds" in str(results.report)
