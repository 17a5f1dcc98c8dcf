"""Variables of modules that a function reads, and which a worker would have anew."""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autoexec import run_parallel
from autoexec._variables import read_by

MODULE = """
import math

FACTOR = 2
NAMES = {"a": [1, 2], "b": {"x"}}
TABLE = {}
LOADED = None
LARGE = list(range(1000))
CLIENT = object()


class Settings:
    limit = 3

    def __init__(self):
        self.depth = 4


settings = Settings()


def scale(x):
    return x * FACTOR


def names(x):
    return NAMES["a"], NAMES


def of_a_class(x):
    return Settings.limit, settings.depth


def by_a_helper(x):
    return again(x)


def again(x):
    return scale(x)


def remembers(x):
    global LOADED
    if LOADED is None:
        LOADED = FACTOR
    if x not in TABLE:
        TABLE[x] = x
    return TABLE[x] * LOADED


def no_setting(x):
    return LARGE[x], CLIENT, math.pi, len


def busy(x):
    for _ in range(60_000):
        pass
    return FACTOR
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A module of the user's, which a worker can import."""
    (tmp_path / "users_module.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import users_module  # type: ignore[import-not-found]

    yield users_module
    del sys.modules["users_module"]


def read(fn: Callable[..., Any]) -> dict[str, str]:
    return {".".join((module, *names)): text for (module, names), text in read_by(fn).items()}


def test_plain_variables_of_modules_are_found(module: Any) -> None:
    assert read(module.scale) == {"users_module.FACTOR": "2"}
    assert read(module.names).keys() == {"users_module.NAMES"}
    assert read(module.of_a_class) == {
        "users_module.Settings.limit": "3",
        "users_module.settings.depth": "4",
    }


def test_helpers_are_followed(module: Any) -> None:
    assert read(module.by_a_helper) == {"users_module.FACTOR": "2"}


def test_what_the_code_itself_changes_is_its_own(module: Any) -> None:
    assert read(module.remembers) == {"users_module.FACTOR": "2"}


def test_data_and_what_is_not_plain_are_no_settings(module: Any) -> None:
    assert read(module.no_setting) == {}


def test_what_is_captured_travels(module: Any) -> None:
    factor = module.FACTOR
    assert read(lambda x: factor * x + math.pi) == {}
    assert read(lambda x: module.scale(x)) == {}  # a captured module is not followed


def test_work_stays_here_where_the_program_has_set_a_variable(module: Any) -> None:
    module.FACTOR = 10
    results = run_parallel(module.busy, range(200))
    assert set(results) == {10}


def test_who_asks_for_processes_has_their_variables(module: Any) -> None:
    module.FACTOR = 10
    assert set(run_parallel(module.busy, range(4), backend="processes")) == {2}
