"""Run the fault suite: `python tests/faults/run_all.py [ROW ...]`. One line for each, then the sum."""

from __future__ import annotations

import signal
import sys

import runner


def main(names: list[str]) -> int:
    """Run the rows of these names, or all.

    Returns:
        The exit code.
    """
    chosen = [
        (name, backend)
        for name, backend in runner.cases()
        if not names or name in names or f"{name}:{backend}" in names
    ]
    outcomes = []
    for future in runner.begin(chosen).values():
        outcomes.append(future.result())
        print(outcomes[-1], flush=True)
        if not (outcomes[-1].survived or outcomes[-1].skipped):
            print(outcomes[-1].details, flush=True)
    print(runner.summary(outcomes))
    return 0 if all(one.survived or one.skipped for one in outcomes) else 1


if __name__ == "__main__":
    # A shell has what it runs in the background ignore Ctrl-C, and so would all that is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
