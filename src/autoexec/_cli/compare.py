"""`python -m autoexec compare`: six real tasks, every way."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import UsageError

HELP = "time every way to run six real tasks"
ABOUT = """\
Run six tasks one call at a time, on threads, in processes, on an event loop, and with the
choice left to autoexec; print how long each took, what autoexec chose, and why. The input is
the source of the standard library, from disk and from a local server with latency."""


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--quick", action="store_true", help="less input: about 10 seconds, not a minute"
    )
    parser.add_argument(
        "--html", metavar="FILE", type=Path, help="write a page with charts to FILE as well"
    )


def main(chosen: argparse.Namespace) -> int:
    """Run the command. Returns the exit code."""
    from .._compare.command import compare

    page: Path | None = chosen.html
    if page is not None and not page.parent.is_dir():  # before a minute of work
        raise UsageError(f"--html {page}: there is no directory {page.parent}")
    return compare(quick=chosen.quick, out=sys.stdout, log=sys.stderr, page=page)
