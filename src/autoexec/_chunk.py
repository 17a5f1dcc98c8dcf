"""What goes to those who run calls and comes back: chunks of items out, blocks of outcomes home.

Times are seconds (`_s`) or nanoseconds (`_ns`) on the clock of `time.perf_counter`. Worker
processes import this at their start, so it imports nothing, not even `typing`, which takes 5 ms.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from ._routes import Lane, Route


class Clocks:
    """What a thread's clocks show at one moment."""

    __slots__ = ("cpu_ns", "queued_ns", "wall_ns")

    def __init__(self, wall_ns: int, cpu_ns: int, queued_ns: int) -> None:
        self.wall_ns: int = wall_ns
        self.cpu_ns: int = cpu_ns
        """CPU time of the thread."""
        self.queued_ns: int = queued_ns
        """Time the thread was ready to run but had no core; 0 where the system does not tell."""


class Chunk:
    """Consecutive items that are dispatched together, and what is known of their run.

    Its items are `source[start:]`, so that the long rest of a list need not be copied. `todo` is
    the iterator over them that the executor uses up; `recall` moves it to its end from outside,
    which stops the run after the current item and costs the items before it nothing. How far it
    came is then what its blocks say, so there is no race between asking and running. Its items are those
    before `start + count`, once it was `cut`. On an event loop its items are tasks side by side.
    """

    __slots__ = (
        "alone", "arrived", "away_s", "began", "budget_s", "clock_id", "count", "crowd", "done",
        "expected_s", "far", "finished", "first", "lane", "made_of", "native_id", "noted", "overdue",
        "partial", "pid", "process_cpu_s", "queued_ns", "recalled", "route", "sent_s", "source",
        "start", "todo", "watched", "width",
    )  # fmt: skip

    def __init__(
        self, first: int, source: Sequence[Any], lane: Lane, route: Route, start: int = 0
    ) -> None:
        self.first: int = first
        self.source: Sequence[Any] = source
        """A list, tuple or range: the iterators of these can be moved."""
        self.start: int = start
        self.count: int = len(source) - start
        self.todo: Iterator[Any] = iter(source)
        self.todo.__setstate__(start)  # type: ignore[attr-defined]
        self.lane: Lane = lane
        self.route: Route = route
        self.sent_s: float = 0.0
        self.expected_s: float | None = None
        self.budget_s: float = 0.0
        """Seconds after which a worker process gives back what it has not started; 0: never."""
        self.watched: bool = False
        self.away_s: float = 0.0
        """Seconds of its run in which the machine had no core for this process, as the driver saw it."""
        self.queued_ns: int = 0
        """Time that its thread was ready without a core, when that was looked at last."""
        self.made_of: type[list[Any]] = list
        """The kind of list that its values are collected in."""
        self.crowd: int = 1
        """How many may share an interpreter with it, itself included, as of when it was sent."""
        self.width: int = 1
        """Calls at once within it, in a worker of a cluster."""
        self.alone: bool = False
        """No other is to run beside it in its worker of a cluster."""
        self.recalled: bool = False
        self.far: bool = False
        """One of its calls was seen to take far longer than most."""
        self.finished: bool = False
        self.done: int = 0
        """Outcomes that the scheduler has heard of."""
        self.arrived: int = 0
        """Outcomes that its executor has announced."""
        self.overdue: int = self.count
        """How many of its items were started when the last of these had run for too long."""
        self.noted: Callable[[], int] | None = None
        """Says how many of its items were started, where its executor knows: from a worker's notes, say."""
        self.pid: int = 0
        """The worker process that it was given to; 0: none, so far."""
        # Set by the thread that runs it; read by others while it runs.
        self.partial: list[Any] | None = None
        """The values since the last outcome that was announced."""
        self.began: Clocks | None = None
        self.clock_id: int | None = None
        self.native_id: int | None = None
        self.process_cpu_s: float = 0.0
        """CPU time of the process at its start, where threads have no clock of their own."""

    @property
    def items(self) -> list[Any]:
        """The items, as a list."""
        source, end = self.source, self.start + self.count
        whole = not self.start and end >= len(source)
        items = source if whole else source[self.start : end]
        return items if isinstance(items, list) else list(items)

    def item(self, position: int) -> Any:
        """The item at a position from the start of the chunk."""
        return self.source[self.start + position]

    def between(self, first: int, end: int) -> Sequence[Any]:
        """The items from one position to before another."""
        return self.source[self.start + first : self.start + end]

    def rest(self) -> Sequence[Any]:
        """The items that have no outcome yet."""
        return self.between(self.done, self.count)

    def started(self) -> int:
        """How many of its items have been started."""
        if self.noted is not None:
            return self.noted()
        if self.partial is None:
            return 0
        return min(self.count, self.arrived + len(self.partial) + 1)

    def began_s(self, now: float) -> float:
        """When its run began; now, if that has not."""
        return now if self.began is None else 1e-9 * self.began.wall_ns

    def recall(self) -> None:
        """Ask for the items that have not started; they come back with the last block."""
        self.recalled = True
        self.todo.__setstate__(len(self.source))  # type: ignore[attr-defined]

    def cut(self) -> Sequence[Any]:
        """The items of a recalled chunk that have not started, and now will not: they are no longer of it.

        Only of one that a thread of this process runs, which has a GIL: so none is taken from `todo` while
        that is moved to its end. What is read here may be one too many, never too few.
        """
        kept = max(self.started(), self.arrived, self.done)
        rest = self.between(kept, self.count)
        self.count = min(self.count, kept)
        return rest


class Block:
    """Outcomes of consecutive items of a chunk: values, then perhaps one error."""

    __slots__ = (
        "began_s",
        "blocked",
        "chunk",
        "cpu_s",
        "error",
        "last",
        "pid",
        "position",
        "queued_s",
        "values",
        "wall_s",
    )

    def __init__(
        self,
        chunk: Chunk,
        values: list[Any],
        error: BaseException | None,
        wall_s: float,
        cpu_s: float,
        queued_s: float,
        last: bool,
        began_s: float = 0.0,
        blocked: int = 0,
    ) -> None:
        self.chunk: Chunk = chunk
        self.values: list[Any] = values
        self.error: BaseException | None = error
        """What the item after `values` raised; the next block goes on behind it."""
        self.wall_s: float = wall_s
        self.cpu_s: float = cpu_s
        self.queued_s: float = queued_s
        """Time that it wanted a core without one; 0 where it was not looked at."""
        self.blocked: int = blocked
        """How often its thread gave up its core to wait for something, as far as the system tells."""
        self.last: bool = last
        """Nothing more comes of this chunk. Items that no block covers were not started."""
        self.began_s: float = began_s
        """When its first call began, by the clock of who ran it, which all processes of a machine
        share; 0 if nobody knows."""
        self.pid: int = 0
        """The worker process that ran it; 0: this process, or one of somebody else's."""
        self.position: int | None = None
        """Where in the chunk they are, if its calls end in any order; None: behind those that were heard of."""

    @classmethod
    def end_of(cls, chunk: Chunk) -> Block:
        """The end of a chunk: what has had no outcome so far was not started."""
        return cls(chunk, [], None, 0.0, 0.0, 0.0, True)

    @classmethod
    def untimed(cls, chunk: Chunk, values: list[Any], error: BaseException) -> Block:
        """Values, then an error whose call nobody timed; more comes of the chunk."""
        return cls(chunk, values, error, 0.0, 0.0, 0.0, False)

    @property
    def at(self) -> int:
        """The position in the chunk of the first of them, until they are counted in it."""
        return self.chunk.done if self.position is None else self.position

    @property
    def calls(self) -> int:
        """How many calls it is the outcome of."""
        return len(self.values) + (self.error is not None)
