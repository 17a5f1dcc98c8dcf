"""The command from start to end: measure or read, then write what was asked for."""

from __future__ import annotations

import argparse
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path

from .chart import chart
from .contenders import cores
from .measure import DIFFERS, Terms, measure
from .page import filled
from .records import Arena, from_json, to_json
from .scene import neighbour, scene
from .table import text, troubles
from .workloads import WORKLOADS, Workload

QUICK = Terms(repeat=1, scale=0.05)
PEERS = ("joblib", "mpire", "numpy")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the code to exit with: 1 if any contender gave other results than the serial loop, or
    autoexec none in time."""
    options = _parser().parse_args(arguments)
    # What cannot be written is found out before a quarter of an hour has gone by.
    page = options.markdown and options.markdown.read_text(encoding="utf-8")
    if page:
        filled(page, Arena("", 1, 1.0))
    arena = _read(options.read) if options.read else _measured(options)
    print(text(arena))
    if options.json:
        _write(options.json, to_json(arena))
    if page:
        _write(options.markdown, filled(page, arena))
    if options.svg:
        _write(options.svg, chart(arena))
    wrong = [*troubles(arena), *_differing(arena)]
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arena", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="runs, of which the median counts")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the calls")
    parser.add_argument("--quick", action="store_true", help="a trial: once, 5 %% of the calls")
    parser.add_argument("--busy", action="store_true", help="beside a program that computes")
    parser.add_argument("--only", default="", help="workloads whose names match this expression")
    parser.add_argument("--from", dest="read", type=Path, help="read JSON instead of measuring")
    parser.add_argument("--json", type=Path, help="write the records there")
    parser.add_argument("--markdown", type=Path, help="put the tables into this page")
    parser.add_argument("--svg", type=Path, help="draw the chart there")
    return parser


def _measured(options: argparse.Namespace) -> Arena:
    terms = QUICK if options.quick else Terms(repeat=options.repeat, scale=options.scale)
    with scene() as here, neighbour() if options.busy else nullcontext():
        rows = [measure(one, terms, here, _log) for one in _chosen(options.only)]
    return Arena(_setting(busy=options.busy), terms.repeat, terms.scale, tuple(rows))


def _chosen(only: str) -> Iterable[Workload]:
    for workload in WORKLOADS:
        if not re.search(only, workload.name):
            continue
        if workload.lacking:
            _log(f"{workload.name}: left out, since {workload.lacking} is not installed")
            continue
        _log(f"{workload.name}: {workload.what}")
        yield workload


def _differing(arena: Arena) -> Iterable[str]:
    for row in arena.rows:
        for name, its in row.times.items():
            if its.note == DIFFERS:
                yield f"{row.name}: {name}: {DIFFERS}."


def _setting(*, busy: bool) -> str:
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    parts = [
        f"{platform.python_implementation()} {platform.python_version()}",
        "with the GIL" if gil else "without the GIL",
        f"{cores()} cores",
        f"{platform.system()} on {platform.machine()}",
        *(["beside a program that computes"] if busy else []),
        *(f"{name} {_version(name)}" for name in PEERS),
    ]
    return ", ".join(parts)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _read(path: Path) -> Arena:
    return from_json(path.read_text(encoding="utf-8"))


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8", newline="\n")


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
