"""What workers are told of this process, and what is heard of them here."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec import Failure, _host, run_parallel
from autoexec._pool import idling
from autoexec._pool.surroundings import (
    _NATIVE,
    edited_since,
    environment,
    share_of_cores,
    surroundings,
)

NATIVE = sorted(_NATIVE)


class OwnWarning(UserWarning):
    """Of a package that a worker would have to import."""


# --- The environment ---------------------------------------------------------------------------------


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    count: int = request.param
    monkeypatch.setattr(_host, "cores", lambda: count)
    return count


@pytest.mark.parametrize("cores", [1, 8], indirect=True)
@pytest.mark.parametrize("name", NATIVE)
def test_native_libraries_get_a_share_of_the_cores(
    name: str, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(name, raising=False)
    assert environment(1)[name] == str(cores)
    assert environment(cores)[name] == "1"
    assert environment(4 * cores)[name] == "1"
    assert name not in os.environ


@pytest.mark.parametrize("value", ["3", "", "many"])
@pytest.mark.parametrize("name", NATIVE)
def test_what_the_user_has_said_of_it_holds(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in NATIVE:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    made = environment(1000)
    assert made[name] == value
    assert {made[other] for other in NATIVE if other != name} == {"1"}


def test_everything_else_is_as_it_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TO_BE_SEEN", "yes")
    made = environment(2)
    assert {name: value for name, value in made.items() if name not in NATIVE} == {
        name: value for name, value in os.environ.items() if name not in NATIVE
    }


@given(st.integers(1, 300), st.integers(0, 300))
@examples(100)
def test_the_shares_are_at_least_one_core_and_together_no_more_than_there_are(
    cores: int, workers: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_host, "cores", lambda: cores)
        share = share_of_cores(workers)
    assert share >= 1
    assert share == 1 or share * workers <= cores


# --- The rest ------------------------------------------------------------------------------------------


def test_the_directory_is_the_present_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert surroundings(1)["directory"] == os.getcwd()


@pytest.mark.skipif(os.name == "nt", reason="a directory in use cannot be removed")
def test_a_directory_that_was_removed_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert surroundings(1)["directory"] is None


def test_filters_of_other_packages_warnings_stay_here() -> None:
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("error", OwnWarning)
        warnings.filterwarnings("always", message="of interest", category=UserWarning)
        told = surroundings(1)["filters"]
    assert [(one[0], one[2]) for one in told] == [
        ("always", UserWarning),
        ("ignore", DeprecationWarning),
    ]


def test_levels_are_told_where_somebody_listens() -> None:
    logger = logging.getLogger("told_of.child")
    logger.setLevel(logging.DEBUG)
    try:
        levels = surroundings(1)["levels"]
    finally:
        logger.setLevel(logging.NOTSET)
    assert levels["told_of.child"] == logging.DEBUG
    assert levels[""] == logging.root.level
    assert "told_of" not in levels  # it has no level of its own


def test_without_a_handler_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    for logger in [logging.root, *logging.root.manager.loggerDict.values()]:
        if isinstance(logger, logging.Logger):
            monkeypatch.setattr(logger, "handlers", [])
    assert surroundings(1)["levels"] is None


@pytest.mark.parametrize("attributes", [{}, {"root": object()}])
def test_logging_may_be_imported_just_now(
    attributes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("logging")
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, "logging", module)
    assert surroundings(1)["levels"] is None


# --- Through a worker, there and back ------------------------------------------------------------------


def test_a_worker_sees_the_environment_and_the_directory_of_each_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(name: str) -> tuple[str, str | None, str | None]:
        import os

        return os.getcwd(), os.environ.get(name), os.environ.get("OMP_NUM_THREADS")

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for turn in ("one", "two"):  # the workers of the first are those of the second
        (tmp_path / turn).mkdir()
        monkeypatch.chdir(tmp_path / turn)
        monkeypatch.setenv("TURN", turn)
        found = run_parallel(look, ["TURN"] * 3, backend="processes")
        assert {(folder, value) for folder, value, _ in found} == {(os.getcwd(), turn)}
        assert all(threads is not None and int(threads) >= 1 for _, _, threads in found)
    monkeypatch.delenv("TURN")
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    assert run_parallel(look, ["TURN"], backend="processes") == [(os.getcwd(), None, "17")]


def test_what_a_worker_logs_is_heard_here(caplog: pytest.LogCaptureFixture) -> None:
    def log(item: int) -> int:
        import logging
        import os

        logging.getLogger("of.worker").info("item %d", item)
        logging.getLogger("of.worker").debug("never")
        return os.getpid()

    with caplog.at_level(logging.INFO, logger="of.worker"):
        pids = run_parallel(log, range(6), backend="processes")
    records = [record for record in caplog.records if record.name == "of.worker"]
    assert sorted(record.getMessage() for record in records) == [f"item {i}" for i in range(6)]
    assert {record.process for record in records} == set(pids)


def test_what_a_worker_warns_of_is_heard_here() -> None:
    def warn(item: int) -> int:
        import warnings

        warnings.warn(f"item {item}", RuntimeWarning, stacklevel=1)
        return item

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_parallel(warn, range(4), backend="processes")
    heard = [one for one in caught if one.category is RuntimeWarning]
    assert sorted(str(one.message) for one in heard) == [f"item {i}" for i in range(4)]
    assert {Path(one.filename).name for one in heard} == {Path(__file__).name}


def test_a_warning_that_is_an_error_here_is_one_there() -> None:
    def warn(item: int) -> None:
        import warnings

        warnings.warn("no", DeprecationWarning, stacklevel=1)

    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        with pytest.raises(DeprecationWarning, match="no"):
            run_parallel(warn, [1], backend="processes")


def test_a_listener_that_raises_does_not_end_the_run() -> None:
    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> Any:
            raise RuntimeError("no room")

    def log(item: int) -> int:
        import logging

        logging.getLogger("of.worker.broken").warning("item %d", item)
        return item

    logger = logging.getLogger("of.worker.broken")
    handler = Broken()
    logger.addHandler(handler)
    try:
        assert run_parallel(log, range(4), backend="processes") == list(range(4))
    finally:
        logger.removeHandler(handler)


# --- Modules that were edited --------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module of the user's: `number`, `answer(_)`."""
    path = tmp_path / "edited_module.py"
    path.write_text("number = 1\ndef answer(_): return number\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module(path.stem)
    yield path
    del sys.modules[path.stem]


def test_a_module_that_was_written_since_is_noticed(module: Path) -> None:
    now = time.time()
    os.utime(module, (now + 10, now + 10))
    assert edited_since(now)
    assert not edited_since(now + 20)
    module.unlink()
    assert not edited_since(now)


def test_warm_workers_have_the_new_state_of_a_module_that_was_loaded_anew(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idling, "EDIT_S", 0.0)
    loaded = sys.modules[module.stem]
    assert run_parallel(loaded.answer, [0, 0], backend="processes") == [1, 1]
    module.write_text("number = 22\ndef answer(_): return number\n")
    importlib.reload(loaded)
    assert run_parallel(loaded.answer, [0, 0], backend="processes") == [22, 22]


def recursion(depth: int) -> int:
    return 0 if depth == 0 else 1 + recursion(depth - 1)


def digits(count: int) -> int:
    return len(str(10**count))


def test_limits_of_the_interpreter_hold_in_workers_too() -> None:
    limits = sys.getrecursionlimit(), sys.get_int_max_str_digits()
    sys.setrecursionlimit(3000)
    sys.set_int_max_str_digits(0)
    try:
        assert run_parallel(recursion, [2000], backend="processes") == [2000]
        assert run_parallel(digits, [5000], backend="processes") == [5001]
    finally:
        sys.setrecursionlimit(limits[0])
        sys.set_int_max_str_digits(limits[1])
    (failure,) = run_parallel(digits, [5000], backend="processes", on_error="return")
    assert isinstance(failure, Failure) and isinstance(failure.exception, ValueError)
