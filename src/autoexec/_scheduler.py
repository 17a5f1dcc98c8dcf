"""The scheduler: a state machine without I/O, threads or clock.

A driver tells it what happened (`took`, `heard`, `looked`, `ready`, ...), each time with the time,
and asks `next_action` what to do, until that is `Done`. The data flows one way:

    items -> intake -> chunk -> lane -> block -> window -> results
                                          |
                                          +-> profile -> decide -> plan

A plan is capacities by lane. Changing one's mind is changing capacities: what has started drains,
what has not goes elsewhere, so there are no special cases for transitions.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ._actions import Action, Done, Gauge
from ._agenda import Agenda
from ._breakage import error_of
from ._chunk import Block, Chunk
from ._dealer import Dealer
from ._feed import Feed
from ._intake import Intake
from ._lanes import LOCAL, LOOPS, Lanes
from ._ledger import Ledger
from ._limits import Limits
from ._memory import MemoryWatch
from ._options import Settings
from ._outcomes import Outcomes
from ._pace import Pace
from ._planner import Planner
from ._preparing import Preparing
from ._priors import Prior
from ._profile import Profiler
from ._routes import PROCESSES
from ._types import (
    Broken,
    Host,
    Kind,
    Look,
    Memory,
    Payload,
    Plan,
    Ready,
    Running,
    Settled,
)

PAUSE_S = 2e-4
"""Outcomes of waiting calls that come within this time of each other are taken together where that is true of
several. Each by itself cost the driver 60 µs, in which no other call could end: with it, and `BETWEEN_S` of the search,
4,000 calls that wait for 1 ms took 0.08 ms each, 0.1 without."""
PAUSE_FOR = 4
"""Outcomes that are expected within it."""

LONGEST_PAUSE_S = 0.005
"""The longest wait for half of those in line to take the places of others that end, which are then heard of together:
no longer than the driver may have to wait for the GIL in any case."""


class Scheduler:
    """Decides what runs where and when. See the module's text for the flow."""

    def __init__(
        self,
        host: Host,
        settings: Settings,
        *,
        length: int | None,
        is_async: bool,
        name: str,
        now: float,
        prior: Prior | None = None,
        stream: bool = False,
    ) -> None:
        self.profiler = Profiler(is_async, prior.profile if prior else None)
        self.ran: defaultdict[str, int] = defaultdict(int)  # calls by route
        self.calls_s = 0.0
        self.ledger = Ledger(now, settings.timeout, record=settings.timeline)
        self.memory = MemoryWatch(settings.memory_limit, now, host)
        self._intake = Intake(length)
        self._name = name
        self._outcomes = Outcomes(settings, name, self._intake, stream=stream)
        self.window = self._outcomes.window
        self.retries = self._outcomes.retries
        self.settled = self._outcomes.settled
        self._heard_more = False  # calls have returned since it was looked at
        self._lanes = Lanes()
        self._limits = Limits(settings, name, now)
        self._pace = Pace(now)
        self.planner = Planner(
            host,
            settings,
            intake=self._intake,
            lanes=self._lanes,
            profiler=self.profiler,
            pace=self._pace,
            is_async=is_async,
            prior=prior,
            now=now,
        )
        may_leave = settings.route == "auto" and not host.processes_barred
        self._dealer = Dealer(
            settings,
            host,
            intake=self._intake,
            lanes=self._lanes,
            profiler=self.profiler,
            pace=self._pace,
            profile=self.planner.profile,
            may_leave=may_leave,
            stream=stream,
        )
        self.feed = Feed(
            settings,
            host,
            self._dealer,
            intake=self._intake,
            lanes=self._lanes,
            window=self.window,
            profiler=self.profiler,
            memory=self.memory,
            now=now,
            stream=stream,
        )
        self._preparing = Preparing(
            self.planner,
            self.feed,
            intake=self._intake,
            lanes=self._lanes,
            profiler=self.profiler,
            outcomes=self._outcomes,
            pace=self._pace,
            may_leave=may_leave,
        )
        self._agenda = Agenda(
            self.planner,
            self._pace,
            feed=self.feed,
            dealer=self._dealer,
            intake=self._intake,
            lanes=self._lanes,
            limits=self._limits,
            profiler=self.profiler,
            memory=self.memory,
        )

    @property
    def plan(self) -> Plan:
        """What runs where, as it is meant to be now."""
        return self.planner.plan

    # --- What happened ----------------------------------------------------------------------------

    def took(
        self,
        items: Sequence[Any],
        ended: bool,
        error: BaseException | None = None,
        known: Sequence[Settled] = (),
    ) -> None:
        """Items came from the input; `ended` if it has no more, `error` if it raised. Of those that are
        `known`, an earlier run has the outcome."""
        first = self._intake.taken
        self._intake.took(items, ended, error, [(some.first, some.covers) for some in known])
        self._outcomes.recall(known, items, first)

    def heard(self, blocks: Sequence[Block], now: float) -> None:
        """Calls have returned."""
        for block in blocks:
            self.ledger.add(block, now)  # before its items are counted as done
            self._settle(block, now)
        self.planner.forget()
        self._pace.heard(now)
        self._heard_more = True  # which is looked at once for all that are heard of together

    def _count_round(self, now: float) -> None:
        self._heard_more = False
        if self._pace.ramping(self.plan):
            self._pace.count_round(
                self.plan,
                now,
                done=self.profiler.succeeded,
                in_flight=self._lanes.begun,
                oldest_s=self._lanes.oldest_s,
                profile=self.planner.profile,
            )

    def looked(self, look: Look) -> None:
        """A wait ended, or the run begins."""
        if look.gil and not self.planner.host.gil:
            self.planner.gil_is_on()
        self.profiler.look(look, self._lanes.local)
        self._pace.fresh |= self._lanes.count > 0  # before the first call there is nothing to see

    def peeked(self, seen: Sequence[Running], now: float, cpu_s: float = 0.0) -> None:
        """So long the calls have run, and computed, that were started last, and this process in all."""
        self._pace.fresh = True
        if self.feed.peeked(seen, now, cpu_s):
            self._pace.review_soon()

    def ready(self, event: Ready) -> None:
        """A lane can be used at full width."""
        self._lanes[event.lane].workers = event.workers
        if event.start_s is not None and event.lane == "processes":
            self.profiler.started(event.start_s)
        self.memory.opened()
        self._pace.review_soon()

    def broken(self, event: Broken) -> None:
        """A lane cannot be used any more."""
        self._lanes[event.lane].workers = 0
        asked_for = self.planner.settings.route == event.lane or event.lane not in PROCESSES
        if event.initializing or (asked_for and not event.harmless):
            self._outcomes.error = error_of(event, self._name)
            return
        if asked_for:
            self.planner.go_on_here(event.reason)
        self.planner.bar_processes(event.reason)

    def progressed(self, started: Sequence[tuple[Chunk, int]], now: float) -> None:
        """So many items of chunks in flight have been started."""
        self._limits.look(now, started)

    def gauged(self, memory: Memory | None, now: float) -> None:
        """What memory is held and left; None where the system does not tell."""
        self.memory.gauged(memory, self._lanes, now)

    def inspected(self, tie: str | None, *, may_change: bool) -> None:
        """The function's code was looked at: what plainly ties it to this process, and whether it may
        change objects of the caller's besides."""
        self.profiler.travel.inspect(tie, may_change=may_change)
        self._pace.review_soon()

    def weighed(self, payload: Payload) -> None:
        """What a process would take is known."""
        self.profiler.travel.payload = payload
        self._pace.review_soon()

    def checked(self, effect: str | None, *, of_item: bool) -> None:
        """The caller's state was compared around a call."""
        if self.profiler.travel.compare(effect, of_item=of_item):
            self._pace.review_soon()

    def _settle(self, block: Block, now: float) -> None:
        chunk = block.chunk
        if not self.profiler.done and block.values and chunk.lane in LOCAL:
            self._outcomes.refuse_coroutine(block.values[0])
        again = self._outcomes.add(block, now)
        calls = block.calls
        self._lanes.ended(chunk, calls)
        self.ran[chunk.route] += calls - again
        self.calls_s += block.wall_s
        local, crowd = chunk.lane in LOCAL, self._lanes.crowd(chunk)
        self.memory.ended(chunk, calls, self._lanes.here if self.memory.bounds else 0)
        if self.profiler.is_async and chunk.lane in LOOPS:
            beside = self._lanes.most_beside(chunk, crowd)
            self.profiler.add_tasks(block, before=crowd, beside=beside)
        else:
            self.profiler.add(block, local=local, crowd=crowd)
        # Of those here, for whose sake it is asked; and not once all are sent, when those come that took longest.
        if local and block.wall_s and calls and not self._intake.over:
            self.profiler.mixture.add(block.wall_s / calls, calls, known=chunk.far)
        self.profiler.done -= again  # it was a call, but the item has no outcome yet
        if local and crowd == 1 and self._pace.probing:
            self._pace.probed()
        if block.last:
            self._lanes.remove(chunk)
            if self._lanes.local <= 1:
                self.profiler.spent.none_beside()
            if rest := chunk.rest():
                self._intake.give_back(chunk.first + chunk.done, rest)
            if chunk.recalled and self.feed.overran:
                self.feed.overran = False
                self.profiler.overran(beside=local and crowd > 1)

    # --- What to do -------------------------------------------------------------------------------

    def next_action(self, now: float) -> Action:
        """The next thing for the driver to do."""
        self.planner.forget()
        if self._heard_more or now > self._pace.trial_until(self.plan):
            self._count_round(now)
        self._pace.idle(now, 0)
        self._intake.wake(now)
        self.feed.regain()
        if self._outcomes.error is not None:
            # Given away: an inline call's traceback leads back to this object, in a cycle.
            error, self._outcomes.error = self._outcomes.error, None
            return Done(error)
        if (end := self.window.end()) is not None:
            return Done(end)
        if self._intake.over and not self._lanes.count:
            return Done(self._intake.error)
        if now >= self._limits.until:
            done = self.profiler.done + self.keep_unannounced()
            return Done(self._limits.exceeded(done, self._intake.length))
        if now >= self.planner.stalls_at():
            self.feed.see_far(now)
            if not self._intake.over:  # else no plan has anything left to do
                self.planner.review(now)  # how long those take that wait may allow more
            if self._pace.full(self.plan, self._lanes.begun):
                self._pace.stalled(self.plan, now)
        # Of a mixture no call alone stands for the others, and those under way may take very long.
        if self._pace.probing and (self.profiler.is_mixture or now >= self.planner.in_vain_at(now)):
            self._pace.probe_in_vain()
        keep_gil = self.plan.kind in (Kind.CPU_HELD, Kind.TINY) and self._lanes.local > 0
        if self.memory.due(now, self._lanes, costly=keep_gil):
            self.memory.look_at = math.inf  # until it is said
            return Gauge()
        if self.planner.due(now):
            self.planner.review(now)
        action = (
            self._limits.action(now, self._lanes.chunks)
            or self._preparing.action(now)
            or self.feed.send(self.plan, now)
            or self.feed.recall(self.plan, now)
            or self._agenda.wait(now)
        )
        self._pace.idle(now, self._empty_places(now))
        return action

    def _empty_places(self, now: float) -> int:
        """Places for waiting calls that are empty as there is nothing to send: the input is slow, or items are to
        be tried again later, or only so many may start in a second."""
        if not self._pace.ramping(self.plan) or self._intake.over:
            return 0
        if self._intake.count and self.feed.rate.allowed(now) >= 1:
            return 0
        return max(0, self._pace.limit(self.plan, self.plan.workers) - self._lanes.here)

    def keep_unannounced(self) -> int:
        """Keep what calls of chunks on threads have come to, of which nothing was announced yet. Returns how
        many these are."""
        return sum(map(self._outcomes.add_unannounced, self._lanes.on("threads")))

    # --- Figures ----------------------------------------------------------------------------------

    @property
    def last_ones(self) -> int:
        """Chunks in flight, if there is nothing to do but to wait for them; else 0."""
        return self._lanes.count if self._intake.over else 0

    @property
    def pause_s(self) -> float:
        """Seconds to wait for more outcomes after the first, as several calls end in that time; 0 if few do."""
        begun = self._lanes.begun
        if not self.plan.waiting or begun <= PAUSE_FOR:
            return 0.0
        between_s = self.profiler.wall_s / begun
        if (in_line := self._lanes.in_line) and not self._intake.over:
            return max(PAUSE_S, min(LONGEST_PAUSE_S, in_line / 2 * between_s))
        return PAUSE_S if PAUSE_S >= PAUSE_FOR * between_s else 0.0

    @property
    def taken(self) -> int:
        """Items that came from the input."""
        return self._intake.taken

    @property
    def ended(self) -> bool:
        """Whether the input has no more."""
        return self._intake.ended

    @property
    def done(self) -> int:
        """Items that have an outcome, of this run or an earlier one."""
        return self.profiler.done + self.resumed

    @property
    def resumed(self) -> int:
        """Items whose outcome is that of an earlier run."""
        return self._outcomes.resumed

    @property
    def at_once(self) -> int:
        """The most in flight at the same time: dispatches, or on an event loop calls."""
        return self._lanes.peak
