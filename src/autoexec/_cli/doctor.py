"""`python -m autoexec doctor`: what this machine is, and what each route costs on it."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import FINE

if TYPE_CHECKING:
    from .._types import Costs
    from .costs import Measured

HELP = "say what this machine is, and what each route costs on it"
ABOUT = """\
Say what this machine and this Python are, measure what it costs to run a call on a thread, as a
task or in a process, and say what that means. Takes a second or two."""
WIDTH = 100


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="the figures alone, as JSON")


def main(chosen: argparse.Namespace) -> int:
    """Run the command. Returns the exit code."""
    from .._host import COSTS
    from .costs import measure

    facts, measured = machine(), measure()
    if chosen.json:
        import json

        figures = {"machine": facts, "measured": measured._asdict(), "assumed": COSTS._asdict()}
        print(json.dumps(figures, indent=2))
    else:
        print("\n".join([*_machine_lines(facts), "", *_cost_lines(measured, COSTS)]))
    return FINE


def machine() -> dict[str, Any]:
    """The facts, as plain data."""
    import os
    import platform
    import sys
    import sysconfig

    from .. import __version__, _host

    host = _host.read_host()
    return {
        "autoexec": __version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": host.cores,
        "cores_of_machine": os.cpu_count() or 1,
        "cores_by_affinity": _host.affinity(),
        "cores_by_quota": _host.quota(),
        "gil": host.gil,
        "free_threaded_build": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "switch_interval_s": sys.getswitchinterval(),
        "processes_barred": host.processes_barred,
    }


def _machine_lines(facts: dict[str, Any]) -> Iterator[str]:
    yield (
        f"autoexec {facts['autoexec']} on {facts['implementation']} {facts['python']},"
        f" {facts['system']}"
    )
    quota = "none" if facts["cores_by_quota"] is None else f"{facts['cores_by_quota']:.3g}"
    yield from _row(
        "cores",
        f"{facts['cores']}",
        f"of {facts['cores_of_machine']} in the machine; this process may use"
        f" {facts['cores_by_affinity']} by its affinity, and the quota of its group is {quota}."
        " Calls that compute run at most so many at once.",
    )
    yield from _row("GIL", "on" if facts["gil"] else "off", _of_gil(facts))
    if facts["processes_barred"]:
        yield from _row("processes", "none", f"{facts['processes_barred']}.")


def _of_gil(facts: dict[str, Any]) -> str:
    if not facts["gil"]:
        return "Threads compute side by side in this Python, so processes are rarely needed."
    if facts["free_threaded_build"]:
        return (
            "This build can do without, but something has switched it on: an extension module, or"
            " PYTHON_GIL. Python code on threads takes turns."
        )
    return (
        "Python code on threads takes turns, every"
        f" {facts['switch_interval_s'] * 1e3:.3g} ms; what waits or releases the GIL does not."
    )


def _cost_lines(measured: Measured, assumed: Costs) -> Iterator[str]:
    from .._evidence import LATE_S
    from .._wording import seconds

    def row(name: str, value: float | None, reckoned: float | None, meaning: str) -> list[str]:
        shown = "none" if value is None else seconds(value)
        usual = "" if reckoned is None else f" Decisions reckon with {seconds(reckoned)}."
        return _row(name, shown, meaning + usual)

    yield "What it costs here:"
    late = measured.late_s
    yield from row(
        "heartbeat",
        late,
        None,
        "is how late a wait of 1 ms ends on this machine as it is now."
        + (
            " That is quiet: beats that come later show that a call holds the GIL."
            if late < LATE_S
            else " It is so busy that calls that hold the GIL are told from others less surely."
        ),
    )
    yield from row(
        "thread start",
        measured.thread_start_s,
        assumed.thread_start_s,
        "to start and join a thread; threads are reused, so a run pays it a few times.",
    )
    yield from row(
        "thread trip",
        measured.thread_trip_s,
        assumed.thread_trip_s,
        "to hand a call to a waiting thread and hear of it: shorter calls run one after another.",
    )
    yield from row(
        "task trip",
        measured.task_trip_s,
        assumed.task_trip_s,
        "the same for a coroutine, as a task on an event loop.",
    )
    yield from row(
        "worker start",
        measured.process_start_s,
        assumed.process_start_s,
        "until the first worker process is ready: work that takes less in all stays here.",
    )
    yield from row(
        "process trip",
        measured.process_trip_s,
        assumed.process_trip_s,
        "to a worker process and back: shorter calls travel together, many in one dispatch.",
    )
    yield from _of_bytes(measured.byte_s)


def _of_bytes(byte_s: float | None) -> Iterator[str]:
    from .._wording import seconds, three_figures

    if byte_s:
        yield from _row(
            "bytes",
            f"{three_figures(1e-6 / byte_s)} MB/s",
            f"to a worker process: an item of 10 MB takes {seconds(1e7 * byte_s)}, so a call on it"
            " should compute for longer than that.",
        )


def _row(name: str, value: str, text: str) -> list[str]:
    start = f"  {name:<14}{value:>10}  "
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
