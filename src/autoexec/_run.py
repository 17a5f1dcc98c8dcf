"""One run, driven by the caller's thread: the only place that composes the other parts.

The scheduler says what to do next; this does it. To wait is to watch: see `_watching`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from . import _clocks, _host, _priors, executors
from ._actions import (
    Action,
    Done,
    Gauge,
    Inspect,
    Open,
    Peek,
    Poll,
    Recall,
    Send,
    Stop,
    Take,
    Wait,
    Weigh,
)
from ._callee import Callee
from ._chunk import Block, Chunk
from ._crew import Crew
from ._errors import AutoexecError, DeadlineExceeded, RunAborted
from ._options import Settings
from ._progress import meter
from ._recorder import Recorder
from ._report import Results
from ._scheduler import Scheduler
from ._source import Pulled, Source
from ._types import Broken, Event, Ready
from ._watching import Watcher

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

TOGETHER_S = 1e-4
"""Outcomes that follow each other so closely are taken together once nothing is left to send: working out
what to do after each one took 60 µs, during which other calls that had ended waited for the GIL."""


class Run:
    """A run: its scheduler, its executors, and the queue by which they report.

    Args:
        fn: Called with one item, or with what `star` makes of it.
        source: The input.
        settings: The options.
        stream: Results are handed on one by one, so what is between input and caller is bounded.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        source: Source,
        settings: Settings,
        *,
        stream: bool = False,
    ) -> None:
        callee = self.callee = Callee(fn, settings)
        self.left = False
        """Nobody waits for the results any more."""
        self.closing = False
        """It is letting go of everything, or has."""
        self._stream = stream
        warm = 0 if settings.own_workers else executors.warm_workers()
        # Between results the caller of an iterator has work of its own.
        host = _host.read_host(warm=warm, waits=not stream)
        self._source = source
        self._settings = settings
        # Of a single item nothing is seen.
        self._learns = settings.route == "auto" and source.length != 1
        self._inbox: SimpleQueue[Event | Pulled] = SimpleQueue()
        self._crew = Crew(callee, self._inbox.put, settings)
        self.started = time.perf_counter()
        self.scheduler = Scheduler(
            host,
            settings,
            length=source.length,
            is_async=callee.awaited,
            name=callee.name,
            now=self.started,
            prior=_priors.recall(callee.fn) if self._learns else None,
            stream=stream,
        )
        self._meter = meter(settings.progress, callee.name, source.length)
        self._deaf = False
        """What is heard from now on is too late."""
        self.recorder = Recorder(callee.fn, settings)
        self._watcher = Watcher(self.scheduler)

    def belong_to(self, loop: AbstractEventLoop) -> None:
        """Coroutines run on this loop, which another thread than the one that drives the run is in;
        else on one of their own."""
        self._crew.loop = loop
        self.scheduler.planner.main_goes_on()
        if self.callee.awaited:
            self.scheduler.planner.stay_here("coroutines run on the event loop of the caller")
        self._source.belong_to(loop, self._inbox.put)

    def begin(self) -> None:
        """Open the journal and take the first items; then, before the first call, look at what the clocks show.
        On the thread that drives the run."""
        if self.recorder.keeps:
            self.recorder.open()
            self._take_all()
        elif self._source.length and not self._stream:
            self.perform(Take(1))  # which would be asked for in any case
        if self._learns:
            self._watcher.look()

    def _take_all(self) -> None:
        """Take the whole of an input whose results will all be held anyway: whether a journal belongs
        to it is to be known before anything starts."""
        length = self._source.length
        while not (
            self._stream or length is None or self.scheduler.feed.taking or self.scheduler.ended
        ):
            self.perform(Take(length))

    def step(self) -> Done | None:
        """Do the next thing, waiting for it if need be. Returns `Done` when nothing is left to do."""
        action = self.act()
        try:
            if isinstance(action, Done):
                return action
            self.perform(action)
            return None
        finally:
            del action  # its error's traceback may lead to this frame, which would be a cycle

    def act(self) -> Take | Wait | Done:
        """Do what needs no waiting, except for calls on this very thread. Returns what comes then."""
        while not self.left:
            if not self._stream:  # whose caller gets the first results before there are more
                self.hear()  # calls on this very thread have ended when they are sent
            if self._meter is not None:
                self._meter.look(self.scheduler.done, time.perf_counter())
            action = self._next_action()
            if isinstance(action, Done):
                if self._meter is not None:
                    self._meter.end(self.scheduler.done)
                self._deaf = isinstance(action.error, DeadlineExceeded)
            try:
                if isinstance(action, (Take, Wait, Done)):
                    return action
                self._do(action)
                if self.recorder.due_s() == 0:
                    self.recorder.commit()  # calls on this very thread leave no time in which it waits
            finally:
                del action  # as in `step`
        return Done(Left())

    def _next_action(self) -> Action:
        """What the scheduler wants, or the end if what has become of items cannot be written down."""
        action = self.scheduler.next_action(time.perf_counter())
        if isinstance(action, Done):
            self._write_down()
            self.recorder.commit()
        failed = self.recorder.take_failure()
        ends = isinstance(action, Done) and action.error is not None
        return action if failed is None or ends else Done(failed)

    def perform(self, action: Take | Wait) -> None:
        """Take from the input, or wait for an event, however long that may be."""
        if isinstance(action, Wait):
            self._wait(*action)
            return
        before = time.perf_counter()
        taken = self._source.take(action.most)
        if taken is None:
            self.scheduler.feed.taking = True
            return
        self._took(*taken)
        if self._stream and self.may_block:
            now = time.perf_counter()
            self.scheduler.feed.pulled(now, now - before)

    def _took(self, items: Sequence[Any], ended: bool, error: BaseException | None) -> None:
        known = self.recorder.known(self.scheduler.taken, items)
        self.scheduler.took(items, ended, error, known)

    def _do(
        self, action: Inspect | Open | Send | Recall | Poll | Gauge | Peek | Stop | Weigh
    ) -> None:
        scheduler = self.scheduler
        match action:
            case Open(lane, workers):
                if (broken := self._crew.open(lane, workers)) is not None:
                    scheduler.broken(broken)
            case Send(lane, chunks, check):
                if check:
                    self.callee.note_before(chunks[0])
                self._crew.submit(lane, chunks)
            case Recall(chunk):
                chunk.recall()
            case Poll(chunks):
                started = [(chunk, chunk.started()) for chunk in chunks]
                scheduler.progressed(started, time.perf_counter())
            case Gauge():
                scheduler.gauged(_host.read_memory(), time.perf_counter())
            case Peek(chunks):
                cpu_s = _clocks.process_cpu_s()
                scheduler.peeked(_clocks.glance(chunks), time.perf_counter(), cpu_s)
            case Stop(chunk, error):
                self._crew.stop(chunk, error)
            case Inspect(loop_bound):
                tie = self.callee.tie(loop_bound=loop_bound)
                scheduler.inspected(tie, may_change=self.callee.may_change())
            case Weigh(item, result):
                scheduler.weighed(self.callee.weigh(item, result))

    def hear(self) -> None:
        """Take note of what has happened so far."""
        if not self._inbox.empty():
            self._watcher.look_now_and_then()
        for _ in range(self._inbox.qsize()):  # and no more: those that end meanwhile may not cease
            event = self._inbox.get()
            self._dispatch(event)  # at once, so that a Ctrl-C does not come in between
            self._watcher.heard(event)

    def last_words(self) -> None:
        """Take what calls have come to of which nobody has heard yet; nothing is heard any more."""
        if not self._deaf:
            self.hear()
        self.scheduler.keep_unannounced()
        self._deaf = True
        self._write_down()

    def leave(self) -> None:
        """From any thread: the results are not wanted any more."""
        self.left = True
        self.poke()

    def poke(self) -> None:
        """From any thread: end the wait that the run is in."""
        self._inbox.put(())

    @property
    def may_block(self) -> bool:
        """Whether taking from the input may take as long as it likes."""
        return self._source.may_block

    @property
    def calls_here(self) -> bool:
        """Whether calls are made on the thread that drives the run."""
        return "inline" in self.scheduler.plan.capacities

    def hand_over(self, error: BaseException | None) -> None:
        """Give an error that ends the run the results that wait, unless it has those of a run within this
        one."""
        if isinstance(error, RunAborted) and not error.finished:
            error.finished = self.scheduler.window.waiting()

    def collect(self, results: Results[Any]) -> Results[Any]:
        """The results so far and those that are next in order."""
        for values in self.scheduler.window.take():
            results = results.joined(values)
        return results

    def close(self, *, abandon: bool) -> None:
        """Let go of every executor. Where that was done in place of a driver that was held up, what it
        has opened and sent since is let go of by its own close."""
        if self.closing:
            if self.left:
                self._crew.let_go(abandon=True)
            return
        try:
            self.closing = True
            self._close(abandon=abandon)
        except BaseException:
            # A Ctrl-C, perhaps, before it had let go of them, or just then.
            self._crew.let_go(abandon=True)
            raise
        if self._learns:
            _priors.learn(self.callee.fn, self.scheduler.planner.prior())

    def _close(self, *, abandon: bool) -> None:
        try:
            if self.recorder.keeps and not (self.left or self._deaf):
                self.hear()  # what has ended before a Ctrl-C need not be called again
                self._write_down()
        finally:
            self._source.close()
            self._crew.let_go(abandon=abandon)
            if self._meter is not None:
                self._meter.close()
            with contextlib.suppress(RunAborted):  # it was said, or something else ended the run
                self.recorder.close()

    # --- Waiting ------------------------------------------------------------------------------------

    def _wait(self, seconds: float, watched: Sequence[Chunk], here: Sequence[Chunk]) -> None:
        if (due := self.recorder.due_s()) is not None:
            if not due:  # what can be sent was sent: the calls go on meanwhile
                self.recorder.commit()
            else:
                seconds = min(seconds, due)
        beat = _clocks.Beat(seconds) if watched else None
        until = time.perf_counter() + seconds
        event = self._next_event(seconds)
        try:
            if isinstance(event, list) and beat is None:
                self._let_more_end(event, until)
            # Before what has happened is told: how busy the process was says how to take a call's time.
            if event is not None:
                self._watcher.heard(event)
            self._watcher.waited(beat, watched, here, cut_short=event is not None)
        finally:  # also on Ctrl-C
            if isinstance(event, list) and not self._stream and (last := self.scheduler.last_ones):
                event = self._settle_last(event, last)
            if event is not None:
                self._dispatch(event)

    def _let_more_end(self, blocks: Sequence[Block], until: float) -> None:
        """Pause for more outcomes, which are heard right after these, until something is due at the latest.
        Not where results leave one by one, or one of these may end the run."""
        if self._stream or any(map(_failed, blocks)) or not (pause_s := self.scheduler.pause_s):
            return
        if (left_s := until - time.perf_counter()) > 0:
            time.sleep(min(pause_s, left_s))

    def _settle_last(self, blocks: list[Block], chunks: int) -> Event | Pulled | None:
        """Settle outcomes together with those that come right after them, where nothing is done but to
        wait for so many chunks. Returns what has come instead of an outcome."""
        event: Event | Pulled | None = None
        try:
            while sum(block.last for block in blocks) < chunks and not any(map(_failed, blocks)):
                event = self._next_event(TOGETHER_S)
                if not isinstance(event, list):
                    return event
                self._watcher.heard(event)
                blocks += event
            return None
        finally:  # also on Ctrl-C
            self._settle(blocks)

    def _next_event(self, seconds: float) -> Event | Pulled | None:
        try:
            return self._inbox.get(timeout=seconds)
        except Empty:  # left at once, so that a Ctrl-C is not shown as an error within this one
            return None

    def _dispatch(self, event: Event | Pulled) -> None:
        """Tell the scheduler."""
        match event:
            case Ready():
                if event.start_s is not None:
                    _host.remember_process_start(event.start_s)
                self.scheduler.ready(event)
            case Broken():
                self.scheduler.broken(event)
            case Pulled():
                # First, since it may end meanwhile.
                self.scheduler.feed.taking = self._source.pulling
                self._took(*self._source.collected())
            case _:
                self._settle(event)

    def _settle(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            if self.callee.was_noted(block.chunk):
                self._compare(block.chunk)
        self.scheduler.heard(blocks, time.perf_counter())
        self._write_down()

    def _write_down(self) -> None:
        """Put down what has become of items, before the lists of results are joined."""
        if self.recorder.keeps:
            self.recorder.write(self.scheduler.settled, time.perf_counter())

    def _compare(self, chunk: Chunk) -> None:
        changed = self.callee.changed_by(chunk)
        self.scheduler.checked(
            changed and f"{changed} is not as it was before a call",
            of_item=changed is not None and changed.startswith("its item"),
        )


def _failed(block: Block) -> bool:
    return block.error is not None


class Left(BaseException):
    """The end of a run whose results nobody waits for."""


def refuse_second_import() -> None:
    """Raise if this is a worker process that imports a script without a guard."""
    if _host.reimporting_main():
        raise AutoexecError(
            "This call ran again while a worker process imported the script: put the call under"
            " if __name__ == '__main__': so that only the script itself makes it."
        )
