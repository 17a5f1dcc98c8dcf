"""What `auto` chose, printed below the tables."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Worker processes are told this path, and find the tasks by it.
sys.path.append(str(Path(__file__).parent.parent))

LINES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Keep a line for the end of the session."""
    return pytestconfig.stash.setdefault(LINES, []).append


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the lines that were kept."""
    if LINES in config.stash:
        terminalreporter.section("what auto chose")
        for line in config.stash[LINES]:
            terminalreporter.line(line)
