"""Faults, each provoked for real in a process of its own and judged by the same five conditions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import runner
from lab import FULL
from rows import ROWS
from runner import Outcome

LONG = (
    "A11",
    "B6",
    "B8",
    "B9",
    "B14",
    "C1",
    "C6",
    "C10",
    "D2",
    "D3",
    "D9",
    "E2",
    "E3",
    "E5",
    "F1",
    "F3",
)
"""Rows that take five seconds and more: here on worker processes only, by `run_all.py` on all backends."""
HERE = {"auto": "BCDF", "hybrid": "B", "threads": "B", "asyncio": "B"}
"""Groups of rows that are here on other backends as well: those that each meets in a way of its own, deaths
above all. All rows on all backends take five minutes."""


def _is_here(name: str, backend: str) -> bool:
    if FULL or backend not in HERE:
        return True
    return name not in LONG and name[0] in HERE[backend]


CASES = [case for case in runner.cases() if _is_here(*case)]

Futures = dict[tuple[str, str], Future[Outcome]]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="faults of POSIX")


class Summary:
    """Prints the sum at the end of the session."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.outcomes:
            terminalreporter.write_line(runner.summary(self.outcomes))


@pytest.fixture(scope="session")
def faults(request: pytest.FixtureRequest) -> Iterator[tuple[Futures, Summary]]:
    """Runs of the rows that were selected; they go on beside the tests that ask for them."""
    chosen = [
        (str(item.callspec.params["name"]), str(item.callspec.params["backend"]))
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == "test_fault"
    ]
    summary = Summary()
    request.config.pluginmanager.register(summary)
    futures = runner.begin(chosen)
    yield futures, summary
    for future in futures.values():
        future.cancel()


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("name", "backend"), CASES)
def test_fault(name: str, backend: str, faults: tuple[Futures, Summary]) -> None:
    futures, summary = faults
    outcome = futures[name, backend].result()
    summary.outcomes.append(outcome)
    if outcome.skipped:
        pytest.skip(outcome.text)
    assert outcome.survived, f"{ROWS[name].text}\n{outcome.text}\n{outcome.details}"
