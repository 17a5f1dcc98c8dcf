"""The command line: `python -m autoexec COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from . import __version__
from ._cli import COMMANDS, EXIT_CODES, FAILED, INTERRUPTED, USAGE, UsageError
from ._errors import AutoexecError


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
    except UsageError as error:
        chosen.parser.print_usage(sys.stderr)
        print(f"{chosen.parser.prog}: error: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except AutoexecError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m autoexec",
        description="A parallel map that finds out by itself whether work waits or computes.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"autoexec {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name in COMMANDS:
        module = import_module(f"._cli.{name}", __package__)
        sub = commands.add_parser(
            name,
            help=module.HELP,
            description=module.ABOUT,
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.describe(sub)
        sub.set_defaults(command=module.main, parser=sub)
    return parser


if __name__ == "__main__":
    sys.exit(main())
