"""What a run did and why, and the list of results that carries it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from ._failure import Failure
from ._types import Alternative, Host, Kind, Plan, Profile

T = TypeVar("T")


class Results(list[T]):
    """The results in input order, with the report of how they were made."""

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

    `print(report)` gives the text for people, `to_dict()` plain data.
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
    """The most dispatches in flight at the same time."""
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
    retries: int = 0
    """Attempts after the first, of all items."""
    options: Mapping[str, tuple[Any, str]] = MappingProxyType({})
    """Options that differ from the default: value, and where it came from."""

    @property
    def route(self) -> str:
        """The route that was chosen: the name of a backend."""
        return self.plan.route

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain dicts, lists, numbers and texts."""
        data: dict[str, Any] = _plain(self)
        data["route"] = self.route
        return data

    def __str__(self) -> str:
        lines = [
            _headline(self),
            _row("class", f"{self.kind}: {_figures(self.profile, self.kind)}"),
            _row("chosen", f"{_named(self.plan)}: {self.plan.reason}"),
        ]
        lines += [
            _row("rejected" if i == 0 else "", _alternative(other))
            for i, other in enumerate(self.plan.rejected)
        ]
        if self.items:
            lines.append(_row("ran", ", ".join(f"{n:,} {route}" for route, n in self.ran.items())))
        steps = [f"{plan.route} from {seconds(at)}" for at, plan in self.history]
        if len(steps) > 1:
            lines.append(_row("plans", "; ".join(steps)))
        if self.retries:
            lines.append(_row("retried", _count(self.retries, "time")))
        if self.options:
            given = [f"{k}={v!r} ({source})" for k, (v, source) in self.options.items()]
            lines.append(_row("options", ", ".join(given)))
        if self.failures:
            lines.append(_row("failed", f"{self.failures:,} items, {self.skipped:,} left out"))
        return "\n".join(lines)


def _headline(report: Report) -> str:
    text = f"{report.function}: {_count(report.items, 'item')} in {seconds(report.seconds)}"
    side_by_side = report.calls_s / report.seconds if report.seconds else 0.0
    if side_by_side > 1.5:
        text += f" (calls of {seconds(report.calls_s)} in all, {side_by_side:.1f} at a time)"
    return text


def _figures(profile: Profile, kind: Kind) -> str:
    if not profile.calls:
        return "no call was measured"
    parts = [f"{seconds(profile.wall_s)} a call"]
    if profile.wall_s and kind is not Kind.TINY:
        parts.append(f"{profile.cpu_s / profile.wall_s:.0%} of it computing")
    if profile.child_s > 0.01 * profile.wall_s:
        parts.append(f"{seconds(profile.child_s)} of CPU in child processes")
    if profile.gil_share is not None and kind not in (Kind.TINY, Kind.ASYNC):
        parts.append(
            f"GIL held for {profile.gil_share:.0%} of the computing"
            f" (heartbeat {profile.late_ms:.2g} ms late)"
        )
    elif kind in (Kind.CPU_HELD, Kind.MIXED):
        parts.append("the GIL was not watched for long enough, so it is taken to be held")
    return ", ".join(parts)


def _named(plan: Plan) -> str:
    return plan.route if plan.workers == 1 else f"{plan.route}, at most {plan.workers} at once"


def _alternative(other: Alternative) -> str:
    if other.predicted_s is None:
        return f"{other.route}: {other.reason}"
    return f"{other.route}: {seconds(other.predicted_s)} predicted for what was left"


def _row(label: str, text: str) -> str:
    return f"  {label:<9} {text}"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def seconds(value: float) -> str:
    """A time in the unit that suits it, to three figures."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= 0.9995 * size:  # what would be rounded to 1,000 of the smaller unit
            return f"{_three_figures(value / size)} {unit}"
    return f"{_three_figures(value * 1e9)} ns"


def _three_figures(value: float) -> str:
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


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
