"""The scheduler of an iterator, against the same driver without a clock as that of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples
from test_scheduler import ACTIONS, COSTS, Call, Play, cache

from autoexec._actions import Action, Done, Gauge, Send, Take, Wait
from autoexec._buffer import AHEAD
from autoexec._checks import validate
from autoexec._chunk import Block, Chunk
from autoexec._failure import Failure
from autoexec._ramp import Ramp
from autoexec._scheduler import Scheduler
from autoexec._types import Host


@dataclass
class Stream(Play):
    """The caller takes results one by one, each in no time, and what is ready before more is done."""

    most_between: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.scheduler = streaming(self.options, len(self.calls) if self.known_length else None)

    def run(self) -> Stream:
        for _ in range(ACTIONS):
            action = self.scheduler.next_action(self.now)
            if isinstance(action, Done):
                self.error = action.error
                return self
            self.do(action)
            self.most_between = max(self.most_between, self.taken - self.scheduler.window.passed)
            for values in self.scheduler.window.take():
                self.results += values
        raise AssertionError("the run does not end")


def streaming(options: dict[str, Any], length: int | None) -> Scheduler:
    return Scheduler(
        Host(2, True, False, False, None, COSTS),
        validate(options),
        length=length,
        is_async=False,
        name="play",
        now=0.0,
        stream=True,
    )


def act(scheduler: Scheduler, now: float) -> Action:
    """The next action but looks at memory, which tell nothing here."""
    action = scheduler.next_action(now)
    return scheduler.next_action(now) if isinstance(action, Gauge) else action


def test_no_result_of_a_stream_waits_for_a_call_behind_it_that_takes_far_longer() -> None:
    play = Stream(cache(600, 1e-4)).run()
    assert play.called == [1] * 600
    assert play.scheduler.profiler.mixture.most is not None
    on_threads = play.sizes[-300:]
    assert max(on_threads) == 1


calls = st.lists(
    st.builds(
        Call,
        wait_s=st.sampled_from([0.0, 0.0, 0.01, 0.5]),
        cpu_s=st.sampled_from([1e-7, 1e-4, 0.01]),
        fails=st.integers(0, 9).map(lambda n: n == 0),
    ),
    max_size=60,
)


@given(
    calls,
    st.sampled_from(["auto", "inline", "threads", "processes"]),
    st.integers(1, 30),
    st.booleans(),
    st.booleans(),
)
@examples(150)
def test_a_bound_is_never_exceeded_and_nothing_is_lost(
    calls: list[Call], backend: str, bound: int, ordered: bool, known: bool
) -> None:
    options = {"backend": backend, "buffersize": bound, "ordered": ordered, "on_error": "return"}
    played = Stream(calls, options, known_length=known).run()
    assert played.error is None
    assert played.most_between <= bound
    assert played.called == [1] * len(calls)
    indices = [x.index if isinstance(x, Failure) else x for x in played.results]
    assert (indices if ordered else sorted(indices)) == list(range(len(calls)))


@given(calls, st.sampled_from(["auto", "inline", "threads", "processes"]))
@examples(150)
def test_results_come_up_to_the_first_error_in_order(calls: list[Call], backend: str) -> None:
    played = Stream(calls, {"backend": backend}).run()
    first = next((i for i, call in enumerate(calls) if call.fails), len(calls))
    assert played.results == list(range(first))
    assert (played.error is None) == (first == len(calls))
    assert max(played.called, default=0) <= 1


MISSES = [Call(wait_s=0.1) if i % 20 == 7 else Call(cpu_s=5e-5) for i in range(1500)]
"""One call in twenty is slow."""


@pytest.mark.parametrize("known_length", [True, False])
def test_behind_slow_calls_that_the_caller_waits_for_the_others_go_on(known_length: bool) -> None:
    played = Stream(MISSES, known_length=known_length).run()
    assert played.results == list(range(1500))
    assert played.now < 0.25  # 7.5 one after another
    assert played.most_between <= AHEAD * 256


def test_more_is_taken_behind_a_slow_call_only_while_the_caller_waits() -> None:
    for held, most in ((0, AHEAD * 256), (1, AHEAD * 8)):
        played = Stream([Call(wait_s=5.0 if i == 100 else 0.02) for i in range(5000)])
        scheduler, pace = played.scheduler, played.scheduler._pace
        scheduler.feed.held = held
        while played.now < 4.0:
            played.do(scheduler.next_action(played.now))
            scheduler.window.take()
            if pace._ramp is not None and played.now < 0.1:  # as of a server that serves eight
                pace._ramp = Ramp(8, "settled", best=8, rate=1.0, probe_at=10**9)
        assert most / 2 < played.taken - scheduler.window.passed <= most


def test_after_a_slow_pull_what_is_in_flight_is_waited_for_but_not_for_long() -> None:
    scheduler = streaming({"backend": "threads", "max_workers": 4}, None)
    action = act(scheduler, 0.0)
    while not isinstance(action, Take):
        action = act(scheduler, 0.0)
    scheduler.took(["item"], ended=False)
    scheduler.feed.pulled(2.0, 2.0)  # it took two seconds, and it is two o'clock
    assert isinstance(act(scheduler, 2.0), Send)
    wait = act(scheduler, 2.0)
    assert isinstance(wait, Wait)
    assert wait.seconds <= 0.2
    assert isinstance(act(scheduler, 2.21), Take)


def test_it_asks_for_no_items_while_some_are_on_their_way() -> None:
    scheduler = streaming({"backend": "threads"}, None)
    scheduler.feed.taking = True
    actions = [act(scheduler, 0.0) for _ in range(3)]
    assert isinstance(actions[-1], Wait)
    scheduler.feed.taking = False
    assert isinstance(act(scheduler, 0.0), Take)


def test_results_that_the_caller_has_yet_to_take_count() -> None:
    scheduler = streaming({"backend": "threads", "max_workers": 1, "buffersize": 2}, None)
    while not isinstance(act(scheduler, 0.0), Take):
        pass
    scheduler.took([1], ended=False)
    send = act(scheduler, 0.0)
    assert isinstance(send, Send)
    scheduler.heard([Block(send.chunks[0], [1], None, 0.01, 0.0, 0.0, True)], 0.01)
    scheduler.window.take()
    scheduler.feed.held = 2
    assert isinstance(act(scheduler, 0.02), Wait)
    scheduler.feed.held = 1
    assert act(scheduler, 0.02) == Take(1)


def test_an_item_that_the_error_makes_needless_is_in_nobodys_way() -> None:
    def patience(error: Exception, attempt: int) -> float | None:
        return None if error.args == (1,) else 1.0

    options = {"backend": "threads", "max_workers": 3, "chunksize": 1, "retries": patience}
    scheduler = streaming(options, 3)
    while not isinstance(act(scheduler, 0.0), Take):
        pass
    scheduler.took([0, 1, 2], ended=True)
    chunks: list[Chunk] = []
    while len(chunks) < 3:
        send = act(scheduler, 0.0)
        assert isinstance(send, Send)
        chunks += send.chunks
    # The last ends the stream behind the first, which is to be tried again, as the third is.
    for chunk in (chunks[0], chunks[2], chunks[1]):
        scheduler.heard([Block(chunk, [], ValueError(chunk.first), 0.01, 0.0, 0.0, True)], 0.01)
    again = act(scheduler, 2.0)
    assert isinstance(again, Send)
    assert [chunk.first for chunk in again.chunks] == [0]
    scheduler.heard([Block(again.chunks[0], ["zero"], None, 0.01, 0.0, 0.0, True)], 2.01)
    assert scheduler.window.take() == [["zero"]]
    done = act(scheduler, 2.02)
    assert isinstance(done, Done) and isinstance(done.error, ValueError)
    assert done.error.args == (1,)
