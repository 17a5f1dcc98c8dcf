"""`python -m autoexec run`: as a user runs it, and its parts."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

import autoexec
from autoexec import AutoexecError, DeadlineExceeded, parallel, run_parallel
from autoexec.__main__ import main
from autoexec._cli import UsageError
from autoexec._cli import run as run_module
from autoexec._cli.lines import Encoded, EncodedAsync, encode, failure_line, read
from autoexec._cli.run import Command, find
from autoexec._options import NAMES

PATIENCE_S = 60.0
MODULE = """
import os, sys, time
import autoexec

print("printed at import")

def double(item):
    os.write(1, b"printed by a call\\n")
    assert sys.stdin.read() == ""
    return item * 2

def fail_on_three(item):
    if item == 3:
        raise ValueError("not <3>")
    return item

async def later(item):
    return {"item": item}

def wait(item):
    if item == "long":
        print("it waits", flush=True)
        time.sleep(60)
    return item
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a module for the command."""
    folder = tmp_path_factory.mktemp("folder")
    (folder / "user_calls.py").write_text(MODULE, encoding="utf-8")
    return folder


def command(
    folder: Path, text: str, *words: str, backend: str = "auto"
) -> subprocess.CompletedProcess[str]:
    """Run the command in that directory."""
    return subprocess.run(
        [sys.executable, "-m", "autoexec", "run", *words, "--backend", backend],
        input=text,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
        cwd=folder,
    )


# --- From outside ------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["auto", "processes"])
def test_results_are_lines_of_json_and_nothing_else(folder: Path, backend: str) -> None:
    ended = command(folder, '["a"]\n\n"ü"\n2\n', "user_calls:double", "--report", backend=backend)
    assert ended.stdout == '["a", "a"]\n"üü"\n4\n'
    assert ended.returncode == 0
    assert ended.stderr.count("printed by a call") == 3
    assert "printed at import" in ended.stderr
    assert "double: 3 items in" in ended.stderr


def test_the_first_error_is_told_with_its_item(folder: Path) -> None:
    ended = command(folder, "1\n3\n", "user_calls:fail_on_three", "--input", "json")
    assert ended.returncode == 1
    assert "ValueError: not <3>" in ended.stderr
    assert "fail_on_three was called with item 1, 3" in ended.stderr
    assert "_cli" not in ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_who_sends_numbers_is_told_that_lines_are_text(folder: Path) -> None:
    ended = command(folder, "1\n2\n", "math:sqrt")
    assert ended.returncode == 1
    assert "pass --input json" in ended.stderr
    assert command(folder, "1\n4\n", "math:sqrt", "--input", "json").stdout == "1.0\n2.0\n"
    assert "--input" not in command(folder, "one\n", "math:sqrt").stderr


def test_ctrl_c_says_what_was_written(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "autoexec", "run", "user_calls:wait", "--backend", "threads"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"short\nlong\n")
        process.stdin.close()
        while b"it waits" not in (line := process.stderr.readline()):
            assert line, "it ended"
        process.send_signal(signal.SIGINT)
        log = process.stderr.read()
        assert process.wait(PATIENCE_S) == 130
    assert b"interrupted: 0 results written" in log or b"interrupted: 1 result written" in log
    assert b"Traceback" not in log


def test_a_reader_that_has_had_enough_is_no_error(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "autoexec", "run", "user_calls:wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b"".join(b"%d\n" % i for i in range(1000)))
        process.stdin.close()
        log = process.stderr.read()
        assert process.wait(PATIENCE_S) == 1
    assert log.splitlines() == [b"printed at import"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["user_calls"], "does not name a function: write package.module:function"),
        (["no_such_module:f"], "cannot import 'no_such_module' (ModuleNotFoundError"),
        (["json.py:dump"], "name the module, not its file: json:dump"),
        (["json:dump", "--timeout", "0"], "timeout must be more than 0 seconds"),
        (["json:dump", "--workers", "0"], "max_workers must be at least 1"),
        (["json:dump", "--on-error", "ignore"], "invalid choice: 'ignore'"),
        (["json:dmp"], "'json' has no 'dmp'; did you mean 'dump'?"),
        (["json:__doc__"], "is not a function but str"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_read(
    words: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["run", *words])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else -1
    assert code == 2
    output = capfd.readouterr()
    assert said in output.err
    assert output.err.startswith("usage: python -m autoexec run")
    assert output.out == ""


def test_a_wrong_option_of_the_environment_is_wrong_usage_too(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOEXEC_BACKEND", "thread")
    assert main(["run", "json:dumps"]) == 2
    assert "AUTOEXEC_BACKEND" in capfd.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"autoexec {autoexec.__version__}\n"


def test_flags_are_those_of_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = capsys.readouterr().out
    for flag, option, _ in run_module._FLAGS:
        assert flag in text
        assert option in NAMES


# --- From inside -------------------------------------------------------------------------------------


def run(
    fn: Callable[[Any], Any], text: str, how: str = "json", **options: Any
) -> tuple[int, list[str]]:
    """The exit code, and the lines that were written."""
    out = io.StringIO()
    code = Command(Encoded(fn), options, how, report=False).run(io.StringIO(text), out)
    return code, out.getvalue().splitlines()


def fail_on_three(item: int) -> int:
    if item == 3:
        raise ValueError("not <3>")
    return item


def test_failures_take_the_place_of_results(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = run(fail_on_three, "1\n3\n5\n", on_error="return")
    assert code == 1
    assert [json.loads(line) for line in lines] == [
        1,
        {"index": 1, "error": "not <3>", "type": "ValueError"},
        5,
    ]
    assert "1 of 3 items failed" in capsys.readouterr().err


def test_failures_are_left_out_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fail_on_three, "1\n3\n5\n", on_error="skip") == (1, ["1", "5"])
    assert "1 of 3 items failed" in capsys.readouterr().err


def broken(item: Any) -> Any:
    raise BrokenPipeError("the server has gone")


def leaving(item: Any) -> Any:
    raise SystemExit(0)


def test_a_pipe_of_a_call_that_breaks_is_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(broken, "1\n2\n")[0] == 1
    assert "the server has gone" in capsys.readouterr().err


def test_a_call_that_leaves_the_program_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(leaving, "1\n2\n")[0] == 1
    assert "sys.exit(0)" in capsys.readouterr().err


def test_a_result_that_is_not_json_is_an_error_of_its_item(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _ = run(lambda item: {item} if item == 2 else item, "1\n2\n")
    assert code == 1
    said = capsys.readouterr().err
    assert "The result {2} cannot be written as JSON" in said
    assert "was called with item 1, 2" in said


def test_a_bad_line_of_input_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(abs, "1\n\nx\n")[0] == 1
    assert "error: Line 3 of the input is not JSON" in capsys.readouterr().err


def test_what_was_finished_by_the_deadline_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    over = threading.Event()
    code, lines = run(
        lambda item: over.wait(PATIENCE_S) if item else item,
        "0\n1\n",
        deadline=3.0,
        backend="threads",
    )
    over.set()
    assert (code, lines) == (1, ["0"])
    assert "1 result written" in capsys.readouterr().err


def test_no_input_gives_no_output() -> None:
    assert run(abs, "") == (0, [])


def test_an_interrupted_run_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(fn: Callable[[Any], Any], items: Any, **options: Any) -> Iterator[Any]:
        yield "1"
        raise KeyboardInterrupt

    monkeypatch.setattr(autoexec, "iter_parallel", interrupted, raising=False)
    assert run(abs, "1\n2\n") == (130, ["1"])
    assert capsys.readouterr().err == "interrupted: 1 result written\n"


# --- Lines -------------------------------------------------------------------------------------------


@given(st.lists(st.text() | st.integers() | st.booleans() | st.none()), st.booleans())
@examples(100)
def test_json_comes_back_as_it_was(values: list[Any], windows: bool) -> None:
    end = "\r\n" if windows else "\n"
    text = "".join(json.dumps(value) + end for value in values)
    assert list(read(io.StringIO(text, newline=""), "json")) == values


@given(st.recursive(st.text() | st.integers(), st.lists))
@examples(40)
def test_a_result_is_one_line_that_can_be_written(value: Any) -> None:
    line = encode(value)
    assert len(line.split("\n")) == 1
    assert json.loads(line.encode("utf-8")) == value


@pytest.mark.parametrize(
    ("lines", "items"),
    [
        (['{"a": 1}', "2"], [{"a": 1}, 2]),
        (["", "[1]"], [[1]]),
        (['"a"', '"b"'], ["a", "b"]),
        (["1", "x"], ["1", "x"]),
        (["a", '{"a": 1}'], ["a", '{"a": 1}']),
        (["[note] x", "1"], ["[note] x", "1"]),
        ([" a ", " ", "\t"], [" a "]),
    ],
)
def test_the_first_line_tells_json_from_text(lines: Sequence[str], items: list[Any]) -> None:
    assert list(read((line + "\n" for line in lines), "auto")) == items


def test_text_is_taken_as_it_is() -> None:
    assert list(read(['{"a": 1}\n'], "lines")) == ['{"a": 1}']


def test_nested_too_deep_is_no_json_to_us() -> None:
    with pytest.raises(AutoexecError, match="Line 1 of the input is not JSON"):
        list(read(["[" * 100_000], "json"))


@pytest.mark.parametrize("result", [float("nan"), {1, 2}, b"a", {(1, 2): 3}, object()])
def test_what_is_not_json_is_refused(result: Any) -> None:
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        encode(result)


def test_failures_name_the_type_with_its_module() -> None:
    assert json.loads(failure_line(7, DeadlineExceeded("late"))) == {
        "index": 7,
        "error": "late",
        "type": "autoexec.DeadlineExceeded",
    }


# --- The function ------------------------------------------------------------------------------------


async def later(item: int) -> int:
    return item


@parallel
def decorated(item: int) -> int:
    return item


def test_a_function_within_a_class_is_found() -> None:
    assert find("pathlib:Path.exists") is Path.exists


def test_a_module_that_ends_the_program_is_no_module_for_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "script_that_exits.py").write_text("raise SystemExit(0)", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r"cannot import 'script_that_exits' \(SystemExit: 0\)"):
        find("script_that_exits:f")


def test_coroutine_functions_stay_what_they_are() -> None:
    made = run_module._encoded(later)
    assert isinstance(made, EncodedAsync)
    assert run_parallel(made, [1, 2]) == ["1", "2"]
    assert run_parallel(made, [1]).report.route == "asyncio"


async def add_later(left: int, right: int) -> int:
    return left + right


@pytest.mark.parametrize("fn", [pow, add_later])
def test_items_are_unpacked_if_that_is_asked_for(fn: Callable[..., Any]) -> None:
    made = run_module._encoded(fn, star=True)
    assert run_parallel(made, [[2, 3], [3, 1]]) == (["8", "3"] if fn is pow else ["5", "4"])


def test_a_decorated_function_is_called_as_it_is() -> None:
    made = run_module._encoded(decorated)
    assert made.fn is decorated.__wrapped__
    assert run_parallel(made, [1]).report.function == "decorated"


# --- Going on ----------------------------------------------------------------------------------------


def test_a_run_goes_on_from_its_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"resume": str(tmp_path / "run.db"), "joblog": str(tmp_path / "run.log")}
    assert run(sorted, "[2, 1]\n[4, 3]\n", **options) == (0, ["[1, 2]", "[3, 4]"])
    assert capsys.readouterr().err == ""
    text = "[2, 1]\n[4, 3]\n[6, 5]\n"
    assert run(sorted, text, **options) == (0, ["[1, 2]", "[3, 4]", "[5, 6]"])
    assert "2 items from " in capsys.readouterr().err
    assert len((tmp_path / "run.log").read_text().splitlines()) == 4


def test_failures_are_tried_again_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail_once(item: str) -> str:
        if not (tmp_path / "mended").exists():
            raise ValueError(item)
        return item

    options: dict[str, Any] = {"resume": str(tmp_path / "run.db"), "on_error": "skip"}
    for _ in range(2):
        assert run(fail_once, '"a"\n"b"\n', **options) == (1, [])
    (tmp_path / "mended").touch()
    again = run(fail_once, '"a"\n"b"\n', resume_failed=True, **options)
    assert again == (0, ['"a"', '"b"'])
    assert run(fail_once, '"c"\n', **options) == (1, [])
    assert "belongs to other items" in capsys.readouterr().err


def test_resume_failed_needs_a_journal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "math:floor", "--resume-failed"]) == 2
    assert "pass resume='run.db' as well" in capsys.readouterr().err
