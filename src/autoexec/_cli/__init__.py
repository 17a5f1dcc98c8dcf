"""The command line, a file for each command; `__main__` finds them in `COMMANDS`.

run        a function over lines of standard input
stream     how it gets its results
lines      reading items, writing results
compare    six real tasks, every way
doctor     what this machine is, and what each route costs on it
costs      how that is measured

Each command's module has its `HELP` and `ABOUT`, `describe(parser)`, and `main(chosen) -> exit code`.
What a command needs is imported when it runs: `--help` takes argparse alone.
"""

from __future__ import annotations

from typing import Final

COMMANDS: Final = ("run", "compare", "doctor")

FINE = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130
"""What shells report for a program that Ctrl-C ended: 128 and the number of SIGINT."""
EXIT_CODES = "exit codes: 0 all is well, 1 something failed, 2 wrong usage, 130 Ctrl-C"


class UsageError(Exception):
    """The arguments make no sense, as was found out only when they were used."""
