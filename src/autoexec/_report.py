"""What a run did and why, and the list of results that carries it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from . import _phrases
from ._failure import Failure
from ._ledger import Recording, Slow
from ._memory import MemoryUse
from ._types import Host, Kind, Plan, Profile
from ._wording import count, seconds

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


class Results(list[T]):
    """The results in input order, with the report of how they were made."""

    # Small calls append to one of these: CPython 3.12 specialises the append only where there is no
    # `__dict__`, without which 200,000 of them took 1.3 of a list comprehension, not 1.7.
    __slots__ = ("__weakref__", "report")

    report: Report
    """How they were made."""

    @property
    def ok(self) -> list[T]:
        """The values of the items that succeeded, with `on_error="return"`."""
        return [value for value in self if not isinstance(value, Failure)]

    @property
    def failures(self) -> list[Failure[Any]]:
        """The failures of the others. To try those again:
        `run_parallel(fn, [failure.item for failure in results.failures])`."""
        return [value for value in self if isinstance(value, Failure)]

    def joined(self, values: list[T]) -> Results[T]:
        """These results and then `values`, in whichever of the two lists holds more.

        Copying 200,000 references and dropping the old list takes 2.2 ms, which is a tenth of
        what as many small calls take; moving a few to the front takes 0.15 ms.
        """
        if isinstance(values, Results) and len(values) > len(self):
            values[:0] = self
            return values
        self += values
        return self


class Report(NamedTuple):
    """What was measured, what was chosen, what was rejected, and why.

    `print(report)` gives the text for people, `to_dict()` and `to_json()` plain data; a notebook
    shows it as a card. Nothing is worded or drawn before it is asked for.
    """

    function: str
    items: int
    seconds: float
    """Wall time of the whole run."""
    calls_s: float
    """Wall time of all calls added up."""
    ran: Mapping[str, int]
    """Calls by route."""
    at_once: int
    """The most in flight at the same time: dispatches, or on an event loop calls."""
    failures: int
    skipped: int
    kind: Kind
    """What the task is."""
    profile: Profile
    """The figures at the end of the run."""
    plan: Plan
    """The last decision, with what was predicted when it was made."""
    history: tuple[tuple[float, Plan], ...]
    """Each plan with the second from which it held."""
    host: Host
    decided_s: float = 0.0
    """The second of the run at which `plan` was made, and its prediction. 0 if that was before any
    call, or for an unknown number of items."""
    slowest: tuple[Slow, ...] = ()
    """The slowest calls, or blocks of calls that were timed together; the slowest first."""
    deaths: int = 0
    """Worker processes that died in a call."""
    recording: Recording | None = None
    """Who ran what when; None unless `timeline=True` was passed."""
    retries: int = 0
    """Attempts after the first, of all items."""
    options: Mapping[str, tuple[Any, str]] = MappingProxyType({})
    """Options that differ from the default: value, and where it came from."""
    memory: MemoryUse | None = None
    """What the run did to memory. None if it was over before a look, or the system does not tell."""
    resumed: int = 0
    """Items whose outcome is that of an earlier run, from its journal."""
    journal: str = ""
    """The journal of `resume`, and what was wrong with it."""

    @property
    def route(self) -> str:
        """The route that was chosen: the name of a backend."""
        return self.plan.route

    @property
    def predicted_s(self) -> float | None:
        """Seconds that were predicted, when the plan was made, for what was left of the run. None
        if there was nothing to go by."""
        return self.plan.predicted_s if self.decided_s else None

    @property
    def actual_s(self) -> float:
        """Seconds that it took from then on."""
        return max(0.0, self.seconds - self.decided_s)

    @property
    def places(self) -> int:
        """Calls that could run side by side: no more than the plans allowed, nor than there were
        dispatches at once."""
        allowed = max(_side_by_side(plan, self.host.cores) for _, plan in self.history)
        return max(1, min(self.at_once, allowed))

    @property
    def utilisation(self) -> float:
        """Share of the run in which the places had a call, 0 to 1. Calls that wait take a place and
        no core, so for them it says how full the run was, not how busy the machine."""
        return min(1.0, self.calls_s / (self.seconds * self.places)) if self.seconds else 0.0

    @property
    def speedup(self) -> float:
        """How many times as long all calls take one after another. Calls that share cores or the
        GIL take longer than they would alone, so then it is an upper bound."""
        return self.calls_s / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain dicts, lists, numbers and texts, without the timeline."""
        data: dict[str, Any] = _plain(self._replace(recording=None))
        del data["recording"]
        names = ("route", "predicted_s", "actual_s", "places", "utilisation", "speedup")
        return data | {name: getattr(self, name) for name in names}

    def to_json(self, indent: int | None = None) -> str:
        """The same as JSON.

        Args:
            indent: Spaces for each level; None for a single line.
        """
        import json  # 5 ms that a run should not pay

        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    def timeline(self, path: str | Path) -> None:
        """Write who ran what when, and which plan held, to a file.

        Args:
            path: `*.json` gets the Chrome trace format, which https://ui.perfetto.dev opens, `*.svg`
                a picture. The last 100,000 blocks of calls are kept.

        Raises:
            ValueError: It was not recorded, or the file's name has another ending.
        """
        from pathlib import PurePath

        from . import _timeline

        if self.recording is None:
            raise ValueError(
                f"the timeline of {self.function} was not recorded: pass timeline=True to the run"
            )
        kind = PurePath(path).suffix.lower()
        if kind not in (".json", ".svg"):
            raise ValueError(f"a timeline is written to *.json or *.svg, not to {str(path)!r}")
        draw = _timeline.svg if kind == ".svg" else _timeline.as_json
        text = draw(self.function, self.recording, self.history, self.seconds)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def __repr__(self) -> str:
        return str(self)  # of all fields nobody could read it in an interactive session

    def __str__(self) -> str:
        rows = [f"  {label:<9} {text}" for label, text in self._rows()]
        return "\n".join([self._headline(), *rows])

    def _repr_html_(self) -> str:
        """The same as a card, for notebooks."""
        from . import _card, _timeline

        drawn = ""
        if self.recording is not None:
            drawn = _timeline.svg(self.function, self.recording, self.history, self.seconds)
        return _card.card(self._headline(), list(self._rows()), self._bars(), drawn)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """The text, where IPython would show the record with all its fields."""
        printer.text(str(self))

    def _headline(self) -> str:
        text = f"{self.function}: {count(self.items, 'item')} in {seconds(self.seconds)}"
        if self.speedup > SIDE_BY_SIDE:
            text += f" (calls of {seconds(self.calls_s)} in all, {self.speedup:.1f} at a time)"
        return text

    def _rows(self) -> Iterator[tuple[str, str]]:
        """The lines of the text, each with its label."""
        yield "class", f"{self.kind}: {_phrases.figures(self.profile, self.kind)}"
        yield "chosen", f"{_phrases.chosen(self.plan)}: {self.plan.reason}"
        for i, other in enumerate(self.plan.rejected):
            yield "" if i else "rejected", _phrases.alternative(other)
        if self.predicted_s:
            yield "predicted", _phrases.prediction(self.predicted_s, self.actual_s, self.decided_s)
        if self.items:
            yield "ran", ", ".join(f"{n:,} {route}" for route, n in self.ran.items())
        steps = [f"{plan.route} from {seconds(at)}" for at, plan in self.history]
        if len(steps) > 1:
            yield "plans", "; ".join(steps)
        if self.speedup > SIDE_BY_SIDE:
            yield "gained", _gain(self)
            yield "busy", _use(self)
        if self.items > 1:
            for i, slow in enumerate(self.slowest):
                yield "" if i else "slowest", _phrases.slow_call(slow)
        if self.journal:
            yield "resumed", f"{count(self.resumed, 'item')} from {self.journal}"
        if self.retries:
            yield "retried", count(self.retries, "time")
        if self.memory and (self.memory.held_back or self._limited):
            yield "memory", _phrases.memory(self.memory)
        elif self._limited and self.items:
            yield "memory", "not limited: this system does not tell what a process holds"
        if self.options:
            given = [f"{k}={v!r} ({source})" for k, (v, source) in self.options.items()]
            yield "options", ", ".join(given)
        if self.failures:
            yield "failed", f"{count(self.failures, 'item')}, {self.skipped:,} left out"
        if self.deaths:
            yield "died", _phrases.deaths(self.deaths)

    @property
    def _limited(self) -> bool:
        return "memory_limit" in self.options

    def _bars(self) -> list[tuple[str, float, str]]:
        """Predicted seconds by route, and what it took: label, value, CSS class."""
        if not self.predicted_s:
            return []
        others = [(a.route, a.predicted_s, "") for a in self.plan.rejected if a.predicted_s]
        return [
            (f"{self.route} (took)", self.actual_s, "took"),
            (f"{self.route} (predicted)", self.predicted_s, "chosen"),
            *others,
        ]


SIDE_BY_SIDE = 1.5
"""Calls at a time from which a run is said to have gained by it."""


def _gain(report: Report) -> str:
    text = f"{report.speedup:.1f} times as fast as one call after another"
    waits = report.kind in (Kind.IO, Kind.ASYNC)
    if waits or report.route == "processes":
        return text
    return f"at most {text}, since calls that compute side by side slow each other down"


def _side_by_side(plan: Plan, cores: int) -> int:
    """Calls that a plan has run at once. One that goes on here until all workers are up is none beyond these."""
    calls = sum(plan.capacities.values())
    return min(calls, max(plan.workers, cores)) if plan.route == "processes" else calls


def _use(report: Report) -> str:
    places = count(report.places, "place")
    text = f"{report.utilisation:.0%} of the time of {places} was taken by calls"
    if report.kind in (Kind.IO, Kind.MIXED, Kind.ASYNC, Kind.CHILDREN):
        return f"{text}; they wait in it, so cores were not as busy"
    return text


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, str):
        return str(value)
    return value
