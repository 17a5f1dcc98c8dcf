"""What a report says of the records that it holds, in words. Pure."""

from __future__ import annotations

from ._ledger import Slow
from ._memory import MemoryUse
from ._size import size_text
from ._types import Alternative, Kind, Plan, Profile
from ._wording import seconds


def prediction(predicted_s: float, actual_s: float, at_s: float) -> str:
    """What was predicted, and what it took."""
    return (
        f"{seconds(predicted_s)} for what was left {seconds(at_s)} after the start;"
        f" it took {seconds(actual_s)}"
    )


def slow_call(slow: Slow) -> str:
    """One of the slowest calls, or blocks of calls."""
    failed = ", and failed" if slow.failed else ""
    place = "inline" if slow.route == "inline" else f"on {slow.route}"
    if slow.calls == 1:
        return f"item {slow.first:,}, {slow.item}: {seconds(slow.seconds)} {place}{failed}"
    last = slow.first + slow.calls - 1
    failed = failed and ", and the last failed"
    return (
        f"items {slow.first:,} to {last:,}: {seconds(slow.seconds)} each {place},"
        f" timed together{failed}"
    )


def memory(use: MemoryUse) -> str:
    """What a run did to memory."""
    parts = [
        f"at most {size_text(use.peak_bytes)} of {size_text(use.limit_bytes)} by this process and its"
        " workers"
    ]
    if use.call_bytes:
        parts.append(f"a call took up to {size_text(use.call_bytes)}")
    if use.held_back:
        parts.append("calls were held back")
    if use.exceeded:
        parts.append("one call at a time was too much already, and went on all the same")
    return "; ".join(parts)


def deaths(n: int) -> str:
    """How many worker processes died."""
    if n == 1:
        return "1 worker process, with the item that it ran"
    return f"{n:,} worker processes, each with the item that it ran"


def figures(profile: Profile, kind: Kind) -> str:
    """What was measured of the calls."""
    if not profile.calls:
        return "no call was measured"
    parts = [f"{seconds(profile.wall_s)} a call"]
    if (most := profile.most) is not None and profile.wall_s > 2 * most.wall_s:
        parts[0] += f" (most take {seconds(most.wall_s)}, one in {most.calls:.0f} far longer)"
    if profile.wall_s and kind is not Kind.TINY:
        parts.append(f"{profile.cpu_s / profile.wall_s:.0%} of it computing")
    if profile.child_s > 0.01 * profile.wall_s:
        parts.append(f"{seconds(profile.child_s)} of CPU in child processes")
    if profile.gil_share is not None and kind not in (Kind.TINY, Kind.ASYNC):
        parts.append(
            f"GIL held for {profile.gil_share:.0%} of the computing"
            f" (heartbeat {profile.late_ms:.2g} ms late)"
        )
        if profile.takes_turns:
            parts.append("but threads got no more done than one")
    elif kind in (Kind.CPU_HELD, Kind.MIXED):
        parts.append("the GIL was not watched for long enough, so it is taken to be held")
    return ", ".join(parts)


def chosen(plan: Plan) -> str:
    """A plan: its route and how many calls at once."""
    return plan.route if plan.workers == 1 else f"{plan.route}, at most {plan.workers} at once"


def alternative(other: Alternative) -> str:
    """A route that was rejected, and why."""
    if other.predicted_s is None:
        return f"{other.route}: {other.reason}"
    return f"{other.route}: {seconds(other.predicted_s)} predicted for what was left"
