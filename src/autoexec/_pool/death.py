"""How a process ended, in words."""

from __future__ import annotations

import signal

from .._children import NO_EXIT_CODE


def describe_exit(code: int) -> str:
    """ "was killed by SIGSEGV", "exited with code 3", from the code that `Popen.wait` gives."""
    if code == NO_EXIT_CODE:
        return (
            "ended (its exit code is not known, since something else in this program has waited for"
            " it, or it ignores SIGCHLD)"
        )
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"was killed by signal {-code}"
