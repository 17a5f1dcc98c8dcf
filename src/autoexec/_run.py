"""One run, driven by the caller's thread: the only place that composes the other parts.

The scheduler says what to do next; this does it. The wait for outcomes is the heartbeat of the
GIL: a wait of 1 ms that ends 5 ms late found somebody holding it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any

from . import _host, _priors, executors
from ._actions import Done, Open, Progress, Recall, Send, Stop, Take, Wait, Weigh
from ._bytecode import effect_in_code, may_change_objects
from ._call import is_runnable, queued_ns, queued_ns_of
from ._chunk import Block, Chunk
from ._decide import classify
from ._effects import difference, snapshot
from ._errors import AutoexecError, DeadlineExceeded, annotate
from ._function import RunCoroutine, Star, is_async, name_of, undecorated
from ._options import Settings
from ._payload import weigh
from ._pickling import Packed
from ._progress import meter
from ._report import Report, Results
from ._scheduler import Scheduler
from ._seed import Seeded, SeededTask
from ._types import Broken, Event, Executor, Lane, Ready, Running

PULL_S = 0.005
"""Seconds after which what came from the input goes on its way, though more was asked for."""


LOOK_S = 0.005
"""Between looks at the process as a whole while calls run here, once single calls are no longer
watched: a look takes 10 µs."""


class Source:
    """The input. Only the caller's thread takes from it."""

    def __init__(self, items: Iterable[Any], iterator: Iterator[Any]) -> None:
        self._list: list[Any] | None = items if type(items) is list else None
        self._iterator = iterator
        self.length = len(items) if isinstance(items, Sized) else None

    def take(self, count: int) -> tuple[list[Any], bool, BaseException | None]:
        """Up to `count` items, whether these are the last, and what the input raised."""
        if self._list is not None:
            # All at once: a copy, since the caller may change the list meanwhile, but only one.
            return self._list.copy(), True, None
        return self._pull(count)

    def _pull(self, count: int) -> tuple[list[Any], bool, BaseException | None]:
        items: list[Any] = []
        until = time.perf_counter() + PULL_S
        step = 1
        try:
            while len(items) < count and (step == 1 or time.perf_counter() < until):
                wanted = len(items) + min(step, count - len(items))
                items.extend(islice(self._iterator, wanted - len(items)))
                if len(items) < wanted:
                    return items, True, None
                step *= 2
        except Exception as error:  # the input's own error: it follows the results before it
            return items, True, error
        return items, False, None


def one_call(
    fn: Callable[..., Any], settings: Settings, asynchronous: bool, awaited: bool
) -> Callable[[Any], Any]:
    """What executors call with each item."""
    call = Star(fn) if settings.star else fn
    if asynchronous and not awaited:
        call = RunCoroutine(call)
    if settings.seed is not None:
        seeded = SeededTask if awaited or settings.route == "asyncio" else Seeded
        call = seeded(call, settings.seed)
    return call


class Run:
    """A run: its scheduler, its executors, and the queue by which they report."""

    def __init__(self, fn: Callable[..., Any], source: Source, settings: Settings) -> None:
        self.fn, decorated = undecorated(fn), fn
        fn = self.fn
        asynchronous = is_async(fn)
        awaited = asynchronous and settings.route in ("auto", "asyncio", "hybrid")
        self._call = one_call(fn, settings, asynchronous, awaited)
        # A decorated function goes by the name of what it was decorated as.
        whole = None if decorated is fn else one_call(decorated, settings, asynchronous, awaited)
        self._packed = Packed(self._call, whole)
        warm = 0 if settings.own_workers else executors.warm_workers()
        self.host = _host.read_host(warm=warm)
        self._source = source
        self._settings = settings
        self._inbox: SimpleQueue[Event] = SimpleQueue()
        self._executors: dict[Lane, Executor] = {}
        self._before: dict[Chunk, Any] = {}
        self._returned = 0  # calls since the last look
        self._looked = 0.0
        self._clock = time.perf_counter
        self.started = self._clock()
        self.scheduler = Scheduler(
            self.host,
            settings,
            length=source.length,
            is_async=awaited,
            name=name_of(fn),
            now=self.started,
            prior=_priors.recall(fn) if settings.route == "auto" else None,
        )
        self._meter = meter(settings.progress, name_of(fn), source.length)

        self._boot_s = _host.boot_clock()
        # Where start times of processes are not known, a child that was there before tells nothing.
        self._had_children = not self._boot_s and _host.has_children()
        if settings.route == "auto" and source.length != 1:
            self._look((), None)  # what the clocks show before the first call

    def step(self) -> Done | None:
        """Do the next thing. Returns `Done` when there is nothing left to do."""
        scheduler = self.scheduler
        if self._meter is not None:
            self._meter.look(scheduler.profiler.done, self._clock())
        action = scheduler.next_action(self._clock())
        match action:
            case Take(count):
                scheduler.took(*self._source.take(count))
            case Open(lane, workers):
                self._open(lane, workers)
            case Send(lane, chunks, check):
                if check:
                    chunk = chunks[0]
                    self._before[chunk] = snapshot(self._call, chunk.item(0))
                self._executor(lane).submit(chunks)
            case Recall(chunk):
                chunk.recall()
            case Progress(chunks):
                started = [(chunk, chunk.started()) for chunk in chunks]
                scheduler.progressed(started, self._clock())
            case Stop(chunk, error):
                self._executor(chunk.lane).stop(chunk, error)
            case Weigh(item, result):
                scheduler.weighed(
                    weigh(self._packed, item, result),
                    effect_in_code(self.fn),
                    may_change=may_change_objects(self.fn),
                )
            case Wait(seconds, watch, here):
                self._wait(seconds, watch, here)
            case Done():
                if self._meter is not None:
                    self._meter.end(scheduler.profiler.done)
                return action
        return None

    def collect(self, results: Results[Any]) -> Results[Any]:
        """The results so far and those that are next in order."""
        for values in self.scheduler.window.take():
            results = results.joined(values)
        return results

    def close(self, *, abandon: bool) -> None:
        """Let go of every executor."""
        for executor in self._executors.values():
            executor.close(abandon=abandon)
        if self._meter is not None:
            self._meter.close()
        if self._settings.route == "auto":
            _priors.learn(self.fn, self.scheduler.prior())

    def _open(self, lane: Lane, workers: int) -> None:
        try:
            self._executor(lane).open(workers)
        except (OSError, ImportError) as error:
            # No descriptors left, not even to import what is needed; or this is a signal handler
            # that has interrupted that very import.
            why = f"{lane} cannot be started ({error})"
            self.scheduler.broken(Broken(lane, why, error, harmless=True))

    def _executor(self, lane: Lane) -> Executor:
        if lane not in self._executors:
            self._executors[lane] = executors.make(
                lane, self._packed, self._inbox.put, self._settings
            )
        return self._executors[lane]

    # --- Waiting is watching ------------------------------------------------------------------------

    def _wait(self, seconds: float, watched: Sequence[Chunk], here: bool) -> None:
        queued = queued_ns() if watched else 0
        before = self._clock()
        event = self._next_event(seconds)
        late = None
        if event is not None:
            self._returned += self._dispatch(event)
        elif watched:
            # Time spent ready but without a core is a busy machine, not a busy GIL.
            waiting = (queued_ns() - queued) * 1e-9
            late = max(0.0, self._clock() - before - seconds - waiting)
        if watched or (here and self._clock() > self._looked + LOOK_S):
            self._look(watched, late)

    def _next_event(self, seconds: float) -> Event | None:
        try:
            return self._inbox.get(timeout=seconds)
        except Empty:  # left at once, so that a Ctrl-C is not shown as an error within this one
            return None

    def _look(self, chunks: Sequence[Chunk], late_s: float | None) -> None:
        running = _running([chunk for chunk in chunks if not chunk.finished])
        # While the first call waits: for a child process, perhaps, which is not like waiting.
        first = bool(running) and not self.scheduler.profiler.done and not self._had_children
        new_child = first and _host.has_child_since(self._boot_s)
        self.scheduler.looked(_host.look(running, late_s, self._returned, new_child))
        self._returned = 0
        self._looked = self._clock()

    def _dispatch(self, event: Event) -> int:
        """Tell the scheduler. Returns how many calls returned."""
        match event:
            case Ready():
                if event.start_s is not None:
                    _host.remember_process_start(event.start_s)
                self.scheduler.ready(event)
            case Broken():
                self.scheduler.broken(event)
            case _:
                self._settle(event)
                return sum(len(block.values) + (block.error is not None) for block in event)
        return 0

    def _settle(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            if self._before and block.chunk in self._before:
                self._compare(block.chunk)
        self.scheduler.heard(blocks, self._clock())

    def _compare(self, chunk: Chunk) -> None:
        changed = difference(self._before.pop(chunk), snapshot(self._call, chunk.item(0)))
        self.scheduler.checked(
            changed and f"{changed} is not as it was before a call",
            of_item=changed is not None and changed.startswith("its item"),
        )


def _running(chunks: Sequence[Chunk]) -> list[Running]:
    """How long chunks have been running, and on how much CPU, by the clocks of their threads."""
    found: list[Running] = []
    for chunk in chunks:
        began = chunk.began
        if began is None:  # still in the queue
            continue
        elapsed = time.perf_counter_ns() - began.wall_ns
        cpu = None if chunk.clock_id is None else _host.thread_cpu_ns(chunk.clock_id)
        if cpu is None:
            cpu_s = (time.process_time() - chunk.process_cpu_s) / len(chunks)
        else:
            cpu_s = (cpu - began.cpu_ns) * 1e-9
        queued = queued_ns_of(chunk.native_id) - began.queued_ns if chunk.native_id else 0
        runnable = is_runnable(chunk.native_id) if chunk.native_id else False
        found.append(Running(chunk, elapsed * 1e-9, cpu_s, max(0, queued) * 1e-9, runnable))
    return found


def run(fn: Callable[..., Any], source: Source, settings: Settings) -> Results[Any]:
    """Call `fn` on every item of the source and collect the results in input order."""
    if _host.reimporting_main():
        raise AutoexecError(
            "This call ran again while a worker process imported the script: put the call under"
            " if __name__ == '__main__': so that only the script itself makes it."
        )
    current = Run(fn, source, settings)
    results: Results[Any] = Results()
    abandon = True
    try:
        while (done := current.step()) is None:
            results = current.collect(results)
        abandon = done.error is not None
    except KeyboardInterrupt as interrupt:
        finished = current.scheduler.window.finished(results)
        interrupt.finished = finished  # type: ignore[attr-defined]
        annotate(interrupt, f"{len(finished):,} items were done: see `finished` of this error.")
        raise
    finally:
        # Also on Ctrl-C, which arrives here while this thread waits.
        current.close(abandon=abandon)
    if done.error is None:
        results.report = _report(current)
    elif isinstance(done.error, DeadlineExceeded):
        done.error.finished = current.scheduler.window.finished(results)
    try:
        if done.error is not None:
            raise done.error
        return results
    finally:
        # Tracebacks hold this frame: what it still held would be in a cycle with their errors.
        del done, current, results


def _report(run: Run) -> Report:
    scheduler = run.scheduler
    profile, plan = scheduler.final_profile(), scheduler.history[-1][1]
    return Report(
        function=name_of(run.fn),
        items=scheduler.profiler.done,
        seconds=time.perf_counter() - run.started,
        calls_s=scheduler.calls_s,
        ran=dict(scheduler.ran),
        at_once=scheduler.at_once,
        failures=scheduler.window.failures,
        skipped=scheduler.window.skipped,
        kind=classify(profile, run.host),
        profile=profile,
        plan=plan,
        history=tuple(scheduler.history),
        host=run.host,
        decided_s=scheduler.decided_s,
        slowest=scheduler.ledger.slowest(),
        deaths=len(scheduler.ledger.dead),
        recording=scheduler.ledger.recorded(),
        retries=scheduler.retries.count,
        options=run.scheduler.settings.given,
    )
