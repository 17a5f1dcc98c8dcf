"""Argument, then config, then environment, then default; and the report says which it was."""

from __future__ import annotations

import contextvars
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from autoexec import _config, config, parallel, run_parallel
from autoexec._config import _READERS, checked, resolve
from autoexec._options import NAMES, Settings


def nested(x: int) -> tuple[str, int | None]:
    settings = resolve({})
    return str(settings.on_error), settings.max_workers


def test_nothing_given_is_the_default() -> None:
    assert resolve({}) == Settings()
    assert resolve({}).given == {}


def test_an_argument_beats_config_and_config_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTOEXEC_MAX_WORKERS", "2")
    monkeypatch.setenv("AUTOEXEC_TIMEOUT", "9.5")
    monkeypatch.setenv("AUTOEXEC_ON_ERROR", "skip")
    with config(timeout=8, max_workers=3):
        settings = resolve({"max_workers": 4})
    assert (settings.max_workers, settings.timeout, settings.on_error) == (4, 8.0, "skip")
    assert settings.given == {
        "max_workers": (4, "argument"),
        "timeout": (8.0, "config"),
        "on_error": ("skip", "environment variable AUTOEXEC_ON_ERROR"),
    }


def test_an_argument_may_say_the_default_again() -> None:
    with config(max_workers=3):
        settings = resolve({"max_workers": None})
    assert settings.max_workers is None
    assert settings.given == {}


def test_blocks_nest_and_end() -> None:
    outer, inner = config(max_workers=2, on_error="skip"), config(max_workers=5)
    with outer:
        with inner:
            with outer:  # the same one again
                assert resolve({}).max_workers == 2
            assert (resolve({}).max_workers, resolve({}).on_error) == (5, "skip")
        assert resolve({}).max_workers == 2
    assert resolve({}) == Settings()


def test_a_block_ends_with_an_error_too() -> None:
    with pytest.raises(KeyError), config(max_workers=2):
        raise KeyError
    assert resolve({}) == Settings()


@pytest.mark.parametrize(
    ("options", "error"), [({"retries": -1}, ValueError), ({"retrys": 1}, TypeError)]
)
def test_a_wrong_option_is_refused_before_the_block(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match="retries"):
        config(**options)


def test_iterators_are_read_once_and_kept() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    block = config(initializer=print, initargs=iter([1]), context=iter([variable]))
    for _ in range(2):
        with block:
            settings = resolve({})
        assert (settings.initargs, settings.context) == ((1,), (variable,))
        assert settings.given["context"][0] == variable.name
        assert settings.given["initargs"][0] == "1 value"


def test_checking_a_second_time_changes_nothing() -> None:
    options = checked(
        {
            "memory_limit": "80%",
            "timeout": 3,
            "resume": Path("run.db"),
            "initargs": [],
            "seed": None,
        }
    )
    assert options == {
        "memory_limit": 0.8,
        "timeout": 3.0,
        "resume": "run.db",
        "initargs": (),
        "seed": None,
    }
    assert checked(options) == options


def test_runs_in_calls_on_threads_and_tasks_see_it_and_those_in_workers_do_not() -> None:
    with config(on_error="skip", max_workers=3):
        for backend in ("inline", "threads", "asyncio"):
            assert run_parallel(nested, [1, 2], backend=backend) == [("skip", 3)] * 2
        assert run_parallel(nested, [1], backend="processes") == [("raise", None)]


def test_a_thread_of_ones_own_sees_it_with_the_context() -> None:
    seen: list[Any] = []
    with config(max_workers=3):
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(lambda: seen.append(nested(0)),))
        thread.start()
        thread.join()
    assert seen == [("raise", 3)]


def test_a_decorated_function_takes_what_its_decorator_leaves_open() -> None:
    @parallel(max_workers=2)
    def fn(x: int) -> int:
        return x

    with config(max_workers=7, on_error="skip"):
        options = fn.map([1, 2]).report.options
    assert options == {"max_workers": (2, "argument"), "on_error": ("skip", "config")}


# --- The environment -----------------------------------------------------------------------------------

TEXTS = [
    ("backend", "threads", "threads"),
    ("max_workers", "3", 3),
    ("chunksize", "5", 5),
    ("on_error", "return", "return"),
    ("timeout", "1.5", 1.5),
    ("deadline", "60", 60.0),
    ("retries", " 2 ", 2),
    ("max_per_second", "0.5", 0.5),
    ("progress", "yes", True),
    ("max_tasks_per_child", "10", 10),
    ("memory_limit", "2 GB", 2_000_000_000),
    ("seed", "0", 0),
    ("timeline", "1", True),
    ("ordered", "no", False),
    ("buffersize", "7", 7),
]


def test_all_options_that_are_read_from_the_environment_are_tried_here() -> None:
    assert [name for name, _, _ in TEXTS] == list(_READERS)
    assert set(_READERS) <= set(NAMES)


@pytest.mark.parametrize(("name", "text", "value"), TEXTS)
def test_a_variable_sets_an_option(
    name: str, text: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"AUTOEXEC_{name.upper()}", text)
    settings = resolve({})._asdict()
    assert settings[name] == value
    assert type(settings[name]) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("backend", "thread"),
        ("max_workers", "many"),
        ("chunksize", "0"),
        ("timeout", "nan"),
        ("deadline", "-1"),
        ("retries", "1.5"),
        ("progress", "perhaps"),
        ("seed", "-1"),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_variable(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"AUTOEXEC_{name.upper()}", text)
    with pytest.raises(ValueError, match=f"AUTOEXEC_{name.upper()} is '{text}'"):
        run_parallel(abs, [1])


def test_an_empty_variable_and_those_of_others_say_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTOEXEC_BACKEND", "")
    monkeypatch.setenv("AUTOEXEC_IDLE_SECONDS", "2")
    assert resolve({}) == Settings()


def test_runs_within_workers_do_not_heed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOEXEC_ON_ERROR", "skip")
    assert run_parallel(nested, [1], backend="inline") == [("skip", None)]
    assert run_parallel(nested, [1], backend="processes") == [("raise", None)]


def test_the_report_shows_where_values_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOEXEC_RETRIES", "1")
    with config(on_error="skip"):
        report = run_parallel(abs, [1, 2], backend="inline").report
    line = next(line for line in str(report).splitlines() if "options" in line)
    assert line.split(maxsplit=1)[1] == (
        "retries=1 (environment variable AUTOEXEC_RETRIES), on_error='skip' (config),"
        " backend='inline' (argument)"
    )
    assert report.to_dict()["options"]["on_error"] == ["skip", "config"]


def test_it_shows_nothing_where_all_is_as_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOEXEC_RETRIES", raising=False)
    assert "options" not in str(run_parallel(abs, [1], retries=0, on_error="raise").report)


def test_of_objects_the_report_has_the_names() -> None:
    report = run_parallel(
        abs, [1], backend="inline", initializer=print, initargs=("secret",)
    ).report
    assert pickle.loads(pickle.dumps(report)).options["initializer"] == ("print", "argument")
    assert "secret" not in str(report)


# --- Variables that are none -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("AUTOEXEC_MAXWORKERS", "AUTOEXEC_MAX_WORKERS"),
        ("AUTOEXEC_N_JOBS", "AUTOEXEC_MAX_WORKERS"),
        ("AUTOEXEC_IDLE_SECOND", "AUTOEXEC_IDLE_SECONDS"),
    ],
)
def test_a_variable_that_is_no_option_is_warned_of_once(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "2")
    _config._warn_of_unknown.cache_clear()
    with pytest.warns(UserWarning, match=f"{variable} is none of autoexec. Did you mean '{meant}'"):
        run_parallel(str, [1])
    run_parallel(str, [1])


def test_variables_that_are_options_are_not_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOEXEC_MAX_WORKERS", "2")
    monkeypatch.setenv("AUTOEXEC_IDLE_SECONDS", "2")
    _config._warn_of_unknown.cache_clear()
    run_parallel(str, [1])
