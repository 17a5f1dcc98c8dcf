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
from operator import itemgetter
from typing import Any

from . import _control
from ._actions import Action, Done, Gauge, Inspect, Open, Peek, Recall, Send, Take, Wait, Weigh
from ._buffer import PATIENCE, Buffer
from ._chunk import Block, Chunk
from ._dealer import WATCHED, Dealer
from ._decide import FIRST_LOOK_S, decide, opening
from ._errors import short_repr
from ._evidence import Gain
from ._intake import Intake
from ._lanes import LOCAL, Lanes
from ._launch import Launch
from ._ledger import Ledger
from ._limits import Limits
from ._memory import Watch
from ._options import BackendName, Settings
from ._outcomes import Outcomes
from ._pace import Pace
from ._priors import Prior
from ._profile import BEAT_S, Profiler
from ._rate import Rate
from ._routes import REMOTE
from ._types import (
    Broken,
    Host,
    Kind,
    Lane,
    Look,
    Memory,
    Payload,
    Plan,
    Profile,
    Ready,
    Running,
    Settled,
)

LONGEST_WAIT_S = 0.5
FIRST_WATCH_S = 0.25
"""A first call is watched no longer than this once it was judged: what it waits for is clear."""
_PROCESSES: tuple[Lane, ...] = ("processes", "hybrid")
FAMILIAR_S = 0.005
"""A call of which an earlier run has shown that it waits is watched once it takes longer: to look at one
costs 0.1 ms when it has just begun, and a web handler that maps eight calls of 2 ms did so four times."""
EVEN = 1.0
"""Coefficient of variation of the seconds of a call up to which the quickest tells what one takes alone."""
KEPT = 4
"""Items that run here at once since they cannot travel: a few, or none of the others can be sent
meanwhile."""


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
        self.settings = settings
        self.held = 0
        """Results that have left the window, and that the driver still holds for its caller."""
        self.taking = False
        """The driver gets items meanwhile, and will say `took`."""
        self._buffer = Buffer(settings) if stream else None
        self._pull_at = now
        self.profiler = Profiler(is_async, prior.profile if prior else None)
        expected = self.profiler.profile(remaining=length) if prior else None
        last = prior.route if prior else None
        self.plan = opening(host, settings, length, is_async, expected, last)
        self.history: list[tuple[float, Plan]] = [(0.0, self.plan)]
        self.ran: defaultdict[str, int] = defaultdict(int)  # calls by route
        self.calls_s = 0.0
        self.ledger = Ledger(now, settings.timeout, record=settings.timeline)
        self.decided_s = 0.0
        """When `history[-1]` was last refined; 0: for an unknown number of items."""
        self._host = host
        self._started = now
        self._intake = Intake(length)
        self._outcomes = Outcomes(settings, name, self._intake, stream=stream)
        self.window = self._outcomes.window
        self.retries = self._outcomes.retries
        self.settled = self._outcomes.settled
        self._lanes = Lanes()
        self._launch = Launch(host.cores)
        self._pace = Pace(now)
        self._dealer = Dealer(
            settings,
            host,
            intake=self._intake,
            lanes=self._lanes,
            profiler=self.profiler,
            pace=self._pace,
            profile=self._profile,
            may_leave=settings.route == "auto" and not host.processes_barred,
        )
        self._gain: Gain | None = None
        self._overran = False
        self._known: Profile | None = None
        self._instead: str | None = None
        """Why the calls run elsewhere than was asked for."""
        self._limits = Limits(settings, name, now)
        self.memory = Watch(settings.memory_limit, now)
        self._rate = Rate(settings.max_per_second, now)
        if self.plan.waiting:
            self._pace.begin_ramp(self.plan, now, 0, prior.at_once if prior else None)
        self._compare_threads(now)

    # --- What happened ----------------------------------------------------------------------------

    def took(
        self,
        items: list[Any],
        ended: bool,
        error: BaseException | None = None,
        known: Sequence[Settled] = (),
    ) -> None:
        """Items came from the input; `ended` if it has no more, `error` if it raised. Of those that are
        `known`, an earlier run has the outcome."""
        first = self._intake.taken
        self._intake.took(items, ended, error, [(some.first, some.covers) for some in known])
        self._outcomes.recall(known, items, first)

    def pulled(self, now: float, seconds: float) -> None:
        """So long it took to take the last items from an input that nobody else waits for."""
        self._pull_at = now + PATIENCE * seconds

    def heard(self, blocks: Sequence[Block], now: float) -> None:
        """Calls have returned."""
        for block in blocks:
            self.ledger.add(block, now)  # before its items are counted as done
            self._settle(block, now)
        self._pace.fresh = True
        self._count_round(now)

    def _count_round(self, now: float) -> None:
        if self._pace.ramping(self.plan):
            self._pace.count_round(
                self.plan,
                now,
                done=self.profiler.done - self._outcomes.failures,
                in_flight=self._lanes.here,
                oldest_s=self._lanes.oldest_s(now),
                profile=self.final_profile,
            )

    def looked(self, look: Look) -> None:
        """A wait ended, or the run begins."""
        self.profiler.look(look, self._lanes.local)
        self._pace.fresh |= self._lanes.count > 0  # before the first call there is nothing to see

    def peeked(self, seen: Sequence[Running], now: float) -> None:
        """So long the calls have run, and computed, that were started last."""
        self.profiler.peek(seen)
        computing, before = self.profiler.others_compute, self._launch.computing
        self._launch.looked(seen, now, computing=computing)
        self._pace.fresh = True
        if computing and not before:
            self._pace.review_soon()

    def ready(self, event: Ready) -> None:
        """A lane can be used at full width."""
        self._lanes[event.lane].workers = event.workers
        self.memory.opened()
        self._pace.review_soon()

    def broken(self, event: Broken) -> None:
        """A lane cannot be used any more."""
        self._lanes[event.lane].workers = 0
        if event.initializing:
            text = (
                f"The initializer raised {short_repr(event.error)} in a worker process, so none can"
                " run the items. Its traceback there is above, as the cause."
            )
            self._outcomes.abort(text, event.error)
            return
        if self.settings.route == event.lane or event.lane not in _PROCESSES:
            self._without_lane(event)
        self._host = self._host._replace(processes_barred=event.reason)
        self._pace.review_soon()

    def stay_here(self, reason: str) -> None:
        """No call may go to another process, unless that was asked for."""
        self._host = self._host._replace(processes_barred=reason)
        if self.settings.route == "auto" and self.plan.route in _PROCESSES:
            self.plan = self._decide()  # an earlier run had gone there

    def main_goes_on(self) -> None:
        """The main thread has other things to do than to wait for this run."""
        self._host = self._host._replace(main_waits=False)

    def _without_lane(self, event: Broken) -> None:
        """What was asked for is not to be had: go on here, unless the function is the cause."""
        if event.harmless:
            here: BackendName = "asyncio" if self.profiler.is_async else "inline"
            self.settings = self.settings._replace(backend=here)
            self._instead = f"{event.reason}, so the calls run in this process"
            self.plan = self._decide()
            self.history.append((self.history[-1][0], self.plan))
            return
        if event.lane == "external":
            text = f"No call can run: {event.reason}. Pass one that is open and not broken."
        else:
            text = f"backend={event.lane!r} cannot run here: {event.reason}."
        hint = " Use backend='auto' or 'threads'." if event.lane in _PROCESSES else ""
        self._outcomes.abort(text + hint, event.error)

    def progressed(self, started: Sequence[tuple[Chunk, int]], now: float) -> None:
        """So many items of chunks in flight have been started."""
        self._limits.look(now, started)

    def gauged(self, memory: Memory | None, now: float) -> None:
        """What memory is held and left; None where the system does not tell."""
        self.memory.gauged(memory, self._lanes, now)

    def inspected(self, tie: str | None, *, may_change: bool) -> None:
        """The function's code was looked at: what plainly ties it to this process, and whether it may
        change objects of the caller's besides."""
        self.profiler.inspected = True
        self.profiler.tie = tie
        self.profiler.may_change = may_change
        self._pace.review_soon()

    def weighed(self, payload: Payload) -> None:
        """What a process would take is known."""
        self.profiler.payload = payload
        self._pace.review_soon()

    def checked(self, effect: str | None, *, of_item: bool) -> None:
        """The caller's state was compared around a call.

        What a first call changes may be a cache that it filled; what a later one changes, or any
        change of an item, is an effect.
        """
        self.profiler.checks += 1
        if self.profiler.effect_is_old:
            self.profiler.effect_is_old, self.profiler.effect = False, None
            self._pace.review_soon()
        if effect is None and self.profiler.checks == 1:
            self.profiler.untouched = True
        if effect is not None and (of_item or self.profiler.checks > 1):
            self.profiler.effect = effect
            self._pace.review_soon()

    def _settle(self, block: Block, now: float) -> None:
        chunk = block.chunk
        if not self.profiler.done and block.values and chunk.lane in LOCAL:
            self._outcomes.refuse_coroutine(block.values[0])
        again = self._outcomes.add(block, now)
        calls = len(block.values) + (block.error is not None)
        self.ran[chunk.route] += calls - again
        self.calls_s += block.wall_s
        local, crowd = chunk.lane in LOCAL, self._lanes.crowd(chunk)
        self.memory.ended(chunk, calls, self._lanes.here if self.memory.bounds else 0)
        self.profiler.add(block, local=local, crowd=crowd)
        self.profiler.done -= again  # it was a call, but the item has no outcome yet
        if local and crowd == 1 and self._pace.probing:
            self._pace.probed()
        if block.last:
            self._lanes.remove(chunk)
            if rest := chunk.rest():
                self._intake.give_back(chunk.first + chunk.done, rest)
            if chunk.recalled and self._overran:
                self._overran = False
                self.profiler.overran()

    # --- What to do -------------------------------------------------------------------------------

    def next_action(self, now: float) -> Action:
        """The next thing for the driver to do."""
        self._known = None
        self._intake.wake(now)
        if self._outcomes.error is not None:
            # Given away: an inline call's traceback leads back to this object, in a cycle.
            error, self._outcomes.error = self._outcomes.error, None
            return Done(error)
        if (end := self.window.end()) is not None:
            return Done(end)
        if self._intake.over and not self._lanes.count:
            return Done(self._intake.error)
        if now >= self._limits.until:
            for chunk in self._lanes.on("threads"):
                self._outcomes.add_unannounced(chunk)
            return Done(self._limits.exceeded(self.profiler.done, self._intake.length))
        if now > self._pace.trial_until(self.plan):
            self._count_round(now)
        if now >= self.memory.look_at:
            self.memory.look_at = math.inf  # until it is said
            return Gauge()
        if self._due(now):
            self._review(now)
        return (
            self._limits.action(now, self._lanes.chunks)
            or self._inspecting()  # before opening, since no worker need be started in vain
            or self._opening()  # before weighing, since workers take longer to start than that
            or self._sending_here(now)
            or self._weighing(now)
            or self._sending(now)
            or self._recalling(now)
            or self._waiting(now)
        )

    def _leaving(self) -> bool:
        """Whether the plan is to send items to other processes, which was not asked for."""
        return self._dealer.may_leave and self.plan.route in _PROCESSES

    def _batching(self) -> bool:
        """Whether items go in batches, whose size depends on what they carry."""
        return self.plan.route in REMOTE and self.profiler.done > 0

    def _inspecting(self) -> Action | None:
        wanted = self._leaving() and not self.profiler.inspected
        return Inspect(loop_bound=self.profiler.is_async) if wanted else None

    def _weighing(self, now: float) -> Action | None:
        if self.profiler.payload is not None or not (self._leaving() or self._batching()):
            return None
        if not self._intake.count:
            return Take(1) if self._may_take(1, 1, 1, now) else None
        return Weigh(self._intake.peek(), self._outcomes.last_value)

    def _opening(self) -> Action | None:
        for name, workers in self.plan.capacities.items():
            lane = self._lanes[name]
            if workers > lane.opened and name != "inline":  # where there is nothing to prepare
                lane.opened = workers
                return Open(name, workers)
        return None

    def _sending_here(self, now: float) -> Action | None:
        """Have calls go on here while it is found what they would carry, which may take the import of
        cloudpickle: 80 ms in which nothing ran."""
        leaving = self._leaving() and not self._lanes.workers(*_PROCESSES)
        return self._sending(now) if leaving and self.profiler.payload is None else None

    def _sending(self, now: float) -> Action | None:
        intake, dealer, plan = self._intake, self._dealer, self.plan
        self._launch.held_back = False
        # An item before the end may come after one behind it: those that come back are in no order.
        while intake.count and self.window.ends_before(intake.first()):
            intake.drop()
        allowed = self._rate.allowed(now)
        if allowed < 1:
            return None
        if intake.stays and intake.count and intake.first() in intake.stays:
            return self._keeping(now)
        for name in sorted(plan.capacities):  # processes before threads
            room = dealer.room(name, plan)
            if room > 0 and self.memory.bounds:
                room = self.memory.most(name, room, self._lanes, intake.count)
            if room <= 0 or (intake.ended and not intake.count):
                continue
            slots = room + len(self._lanes[name].in_flight)
            if name == "threads" and plan.waiting and intake.count:
                room = self._launch.room(min(room, intake.count))
                if self._launch.held_back and now >= self._launch.look_from:
                    return Peek(self._launch.wave)
                if not room:
                    continue
            size = dealer.size(name, plan)
            if self._buffer is not None:
                size = self._buffer.chunk(size, slots, self.profiler.wall_s)
            if not intake.count:
                if most := self._may_take(room * size, size, slots, now):
                    return Take(most)
                continue
            room = int(min(room, allowed))
            check = dealer.checking(name, plan)
            chunks: list[Chunk] = []
            while intake.count and len(chunks) < room:
                chunks.append(dealer.cut(name, size, plan, now))
            self._rate.started(len(chunks))
            if name == "threads" and plan.waiting:
                self._launch.started(chunks, now)
            return Send(name, chunks, check=check and chunks[0].count == 1)
        return None

    def _may_take(self, wanted: int, size: int, slots: int, now: float) -> int:
        """How many items to take from the input, if any."""
        if self.taking or self._intake.ended or self.window.ends_before(self._intake.taken):
            return 0
        if self._buffer is None:
            return wanted
        if now < self._pull_at and self._lanes.count:
            return 0  # see what comes of the last ones first
        if self.profiler.done and size * slots > 1:
            wanted *= 2  # so that the next call can be sent when one ends, whatever the input does
        between = self._intake.taken - self.window.passed + self.held
        return max(0, min(wanted, self._buffer.bound(size, slots) - between))

    def _keeping(self, now: float) -> Action | None:
        """Run an item here that cannot travel."""
        lane = self._lanes["threads"]
        if not lane.opened:
            lane.opened = KEPT
            return Open("threads", KEPT)
        if len(lane.in_flight) >= KEPT:
            return None
        if self.memory.bounds and not self.memory.most("threads", 1, self._lanes):
            return None
        self._intake.stays.discard(self._intake.first())
        self._rate.started(1)
        return Send("threads", [self._dealer.cut("threads", 1, self.plan, now)], check=False)

    def _recalling(self, now: float) -> Action | None:
        if self._crowded_out():
            for chunk in reversed(self._lanes.on("threads")):
                if chunk.began is None and not chunk.recalled:  # none that has started
                    return Recall(chunk)
        for chunk in self._lanes.on("threads"):
            if chunk.recalled or chunk.count == 1 or chunk.expected_s is None:
                continue
            began_s = chunk.began.wall_ns * 1e-9 if chunk.began is not None else now
            overran = now - began_s > _control.overrun_s(chunk.expected_s)
            # One after another is over: these items can run side by side, or elsewhere.
            over = self.plan.route == "threads" or "threads" not in self.plan.capacities
            if overran or (over and chunk.route == "inline"):
                self._overran = self._overran or overran
                return Recall(chunk)
        return None

    def _crowded_out(self) -> bool:
        """Whether more calls are on their way to threads than these should have by now, and would be
        better off elsewhere."""
        most = self.plan.capacities.get("threads", 0)
        return self.plan.route in _PROCESSES and len(self._lanes.on("threads")) > most

    # --- When to look again -----------------------------------------------------------------------

    def _waiting(self, now: float) -> Wait:
        """Wait for a beat while the heartbeat has something to tell, else until something is due."""
        running = self._lanes.on("threads")
        here = running if len(running) > 1 else ()
        if self._launch.held_back:
            return Wait(max(0.0, self._launch.look_from - now), (), here=here)
        if watch := self._to_watch(running, now):
            return Wait(BEAT_S, watch, here=running)
        until = min(now + LONGEST_WAIT_S, self._limits.next_look(bool(self._lanes.count)))
        until = min(until, self._intake.wakes_at)
        if self._intake.count or not self._intake.ended:
            until = min(until, self._rate.next_at(now))
        if self._will_review():
            until = min(until, self._pace.review_at)
        if self._lanes.count:
            until = min(until, self.memory.look_at)
        if self._pull_at > now:
            until = min(until, self._pull_at)
        until = min(until, self._pace.trial_until(self.plan))
        if running and self._dealer.watching():
            later = (self._watch_at(chunk) for chunk in running if chunk.watched)
            until = min(until, min((at for at in later if at > now), default=until))
        for chunk in running:
            several = chunk.count > 1 or self.plan.route == "inline"  # or holds up several
            if chunk.expected_s is not None and several and not chunk.recalled:
                until = min(until, chunk.sent_s + _control.overrun_s(chunk.expected_s))
        return Wait(max(BEAT_S, until - now), (), here=here)

    def _to_watch(self, running: Sequence[Chunk], now: float) -> Sequence[Chunk]:
        """Calls that the heartbeat has something to tell of."""
        if running and self._dealer.watching():
            # The first call is watched to its end, since it began alone: what it waits for is its
            # own affair, where those that overlap wait for each other too.
            most = WATCHED if self.profiler.done else 1
            watch = [chunk for chunk in running if chunk.watched and now >= self._watch_at(chunk)]
            watch = watch[:most]
            if watch and (self.profiler.done or now - watch[0].sent_s < FIRST_WATCH_S):
                return watch
        over_s, chunk = self._holding_up(now)
        return (chunk,) if chunk and over_s < FIRST_WATCH_S else ()

    def _watch_at(self, chunk: Chunk) -> float:
        """When to begin to watch a call."""
        familiar = self.profiler.expects and self.plan.waiting
        return chunk.sent_s + (FAMILIAR_S if familiar else 0.0)

    def _holding_up(self, now: float) -> tuple[float, Chunk | None]:
        """A call that takes far longer than those before it while all others wait for it, and for how
        long it has done so."""
        worst: tuple[float, Chunk | None] = 0.0, None
        if self.settings.route == "auto" and self.plan.route == "inline":
            for chunk in self._lanes.on("threads"):
                if chunk.expected_s is not None:
                    over_s = now - chunk.sent_s - _control.overrun_s(chunk.expected_s)
                    worst = max(worst, (over_s, chunk), key=itemgetter(0))
        return worst

    def _will_review(self) -> bool:
        """Whether the plan is looked at again when the time for that comes. Not once all items are sent:
        a driver that waited for it all the same, a beat at a time, took a tenth of a core."""
        if not self._pace.fresh or self._intake.over:
            return False
        return self.profiler.known or self.profiler.wall_s >= FIRST_LOOK_S

    def _due(self, now: float) -> bool:
        early = 0 < self.profiler.blocks <= 3
        return self._will_review() and (early or now >= self._pace.review_at)

    def _review(self, now: float) -> None:
        self._pace.reviewed(now)
        profiler = self.profiler
        if self._pace.should_probe(
            self.plan,
            now,
            unclear=profiler.unclear,
            busy=profiler.busy,
            plain=profiler.waits_plainly,
            wall_s=profiler.wall_s,
        ):
            profiler.restart()
        if self._gain is not None:
            profiler.gain = self._gain.seen(now, profiler.done) or profiler.gain
        profile = self._profile()
        if self.plan.waiting and self.plan.route == "threads":
            in_flight = [now - chunk.sent_s for chunk in self._lanes.on("threads")]
            overdue_s = profiler.overdue_s(in_flight)
            profile = profile._replace(wall_s=profile.wall_s + overdue_s)
        plan = self._decide(profile)
        if plan.route != self.plan.route and self._holding_up(now)[1] is None:
            if not self._pace.may_change_route(now):
                return
        if (plan.route, plan.capacities.keys()) != (self.plan.route, self.plan.capacities.keys()):
            self.history.append((now - self._started, plan))
            self._decided(now)
        elif plan.kind != self.history[-1][1].kind or self._early():
            # What was known better soon afterwards explains the route better; what holds for the
            # last few items ("too little is left") does not.
            self.history[-1] = (self.history[-1][0], plan)
            self._decided(now)
        if plan.waiting and not self.plan.waiting:
            self._pace.begin_ramp(plan, now, self.profiler.done)
        elif plan.waiting:
            self._pace.widen(plan)
        self.plan = plan
        self._compare_threads(now)

    def _compare_threads(self, now: float) -> None:
        """See from here on what threads gain for calls that compute, as far as that is their route."""
        if self.plan.route != "threads" or self.plan.kind is not Kind.CPU_FREE:
            self._gain = None
        elif self._gain is None:
            profile = self._profile()
            # Of calls that were run on threads before, the mean is not what one takes alone.
            alone_s = profile.least_s if profile.spread < EVEN else profile.wall_s
            self._gain = Gain(now, self.profiler.done, alone_s)

    def _decided(self, now: float) -> None:
        """Note when the plan was made, if what it predicts for can be compared with what comes."""
        known = self._intake.remaining is not None
        self.decided_s = now - self._started if known else 0.0

    def _decide(self, profile: Profile | None = None) -> Plan:
        plan = decide(profile or self._profile(), self._host, self.settings, self.plan.route)
        return plan if self._instead is None else plan._replace(reason=self._instead)

    def _early(self) -> bool:
        remaining = self._intake.remaining
        return remaining is None or remaining >= self.profiler.done

    @property
    def taken(self) -> int:
        """Items that came from the input."""
        return self._intake.taken

    @property
    def ended(self) -> bool:
        """Whether the input has no more."""
        return self._intake.ended

    # --- Figures ----------------------------------------------------------------------------------

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
        """The most dispatches in flight at the same time."""
        return self._lanes.peak

    def _profile(self) -> Profile:
        """The figures as of the last event: they are asked for several times between two."""
        if self._known is None:
            self._known = self.final_profile()
        return self._known

    def prior(self) -> Prior:
        """What this run has shown, for the next of the same function."""
        # What its code says is read anew: it may depend on what a closure holds. And that threads gain
        # nothing is tried again in the run after the next, if that was not on threads.
        profile = self.final_profile()._replace(
            effect=self.profiler.effect, takes_turns=bool(self.profiler.takes_turns)
        )
        return Prior(profile, self._pace.at_once, self.history[-1][1].route)

    def final_profile(self) -> Profile:
        """What was measured so far."""
        return self.profiler.profile(
            remaining=self._intake.remaining,
            processes_ready=bool(self._lanes.workers("processes")),
            hybrid_ready=bool(self._lanes.workers("hybrid")),
            cluster_threads=self._lanes.workers(*REMOTE),
        )
