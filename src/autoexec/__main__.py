"""The command line: `python -m autoexec compare`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from ._errors import AutoexecError

INTERRUPTED = 130
"""What shells report for a program that Ctrl-C ended: 128 and the number of SIGINT."""
FAILED = 1
USAGE = 2
COMPARE = (
    "Run six tasks one call at a time, on threads, in processes, on an event loop, and with the"
    " choice left to autoexec; print how long each took, what autoexec chose, and why. The input is"
    " the source of the standard library, from disk and from a local server with latency."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after `python -m autoexec`. Default: those of this process.

    Returns:
        The exit code.

    Raises:
        SystemExit: With code 2 if the arguments make no sense, with 0 after `--help`.
    """
    parser = _parser()
    chosen = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] | None = chosen.command
    if command is None:
        parser.print_help(sys.stderr)
        return USAGE
    try:
        return command(chosen)
    except KeyboardInterrupt:
        return INTERRUPTED
    except AutoexecError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m autoexec",
        description="A parallel map that finds out by itself whether work waits or computes.",
    )
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _describe_compare(
        commands.add_parser(
            "compare", help="time every way to run six real tasks", description=COMPARE
        )
    )
    return parser


def _describe_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="less input: about 10 seconds, not a minute"
    )
    parser.set_defaults(command=_compare)


def _compare(chosen: argparse.Namespace) -> int:
    from ._compare.command import compare  # argparse alone should answer --help

    return compare(quick=chosen.quick, out=sys.stdout, log=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
