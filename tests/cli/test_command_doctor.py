"""`python -m autoexec doctor`: what it measures and says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from autoexec import _host, _place
from autoexec.__main__ import main
from autoexec._cli import costs, doctor
from autoexec._cli.costs import Measured
from autoexec._host import COSTS

MEASURED = Measured(1e-4, 8e-5, 2.5e-5, 1.5e-5, 0.08, 2.5e-4, 2e-9)


@pytest.fixture(scope="module")
def measured() -> Measured:
    """A measurement of this machine, by the command."""
    ended = subprocess.run(
        [sys.executable, "-m", "autoexec", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stderr == ""
    return Measured(**json.loads(ended.stdout)["measured"])


def text(measured: Measured) -> str:
    """What is said of it, in one line."""
    return " ".join(" ".join(doctor._cost_lines(measured, COSTS)).split())


def test_everything_is_measured_here(measured: Measured) -> None:
    assert all(value is not None and value > 0 for value in measured[1:])
    assert measured.late_s >= 0


def test_where_there_are_no_processes_the_rest_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_place, "is_worker", True)
    found = costs.measure()
    assert (found.process_start_s, found.process_trip_s, found.byte_s) == (None, None, None)
    assert found.thread_trip_s
    said = text(found)
    assert "worker start none" in said
    assert "MB/s" not in said


def test_each_cost_is_told_with_what_it_means() -> None:
    said = text(MEASURED)
    assert "thread trip 25 µs to hand a call to a waiting thread" in said
    assert "worker start 80 ms until the first worker process is ready" in said
    assert "bytes 500 MB/s to a worker process: an item of 10 MB takes 20 ms" in said
    assert "Decisions reckon with 250 µs." in said


def test_a_busy_machine_is_told() -> None:
    assert "That is quiet" in text(MEASURED)
    assert "It is so busy" in text(MEASURED._replace(late_s=0.01))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gil": False, "free_threaded_build": True}, "Threads compute side by side"),
        ({"gil": True, "free_threaded_build": True}, "something has switched it on"),
        ({"gil": True, "free_threaded_build": False}, "takes turns, every"),
        ({"processes_barred": "daemonic"}, "none daemonic."),
        ({"cores_by_quota": 1.5}, "quota of its group is 1.5."),
    ],
)
def test_the_machine_is_told_in_words(changes: dict[str, object], words: str) -> None:
    lines = doctor._machine_lines(doctor.machine() | changes)
    assert words in " ".join(" ".join(lines).split())


def test_lines_fit_into_100_columns() -> None:
    lines = [*doctor._machine_lines(doctor.machine()), *doctor._cost_lines(MEASURED, COSTS)]
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("words", [["doctor"], ["doctor", "--json"]])
def test_the_command_prints_it(
    words: list[str],
    measured: Measured,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(costs, "measure", lambda: measured)
    assert main(words) == 0
    said = capsys.readouterr().out
    if "--json" in words:
        found = json.loads(said)
        assert found["measured"] == measured._asdict()
        assert found["machine"]["cores"] == _host.cores()
        assert found["assumed"] == COSTS._asdict()
    else:
        assert said.startswith("autoexec ")
        assert "What it costs here:" in said
