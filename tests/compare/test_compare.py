"""The command `python -m autoexec compare`: as a user runs it, and its parts one by one."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple, cast
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest

from autoexec import AutoexecError, Report
from autoexec.__main__ import main
from autoexec._compare import charts, command, files, measure, server, table, tasks
from autoexec._compare.measure import Row, Timing
from autoexec._compare.tasks import Task

COMPARE = (sys.executable, "-m", "autoexec", "compare", "--quick")
DEADLINE_S = 250.0
"""For a run that takes about 10 s on an idle machine of two cores."""
GONE_S = 20.0
"""For a process to end that has been told to."""
NAMES = ("compile", "hash", "fetch", "fetch async", "fetch+compile", "tiny")
pytestmark = pytest.mark.timeout(300)
one_process = pytest.mark.xdist_group("compare")
"""So that the run which several tests look at is made once."""
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="sends signals to process groups")


class Finished(NamedTuple):
    """A run of the command that has ended."""

    code: int
    out: str
    log: str
    pid: int


def is_listening(url: str) -> bool:
    """Whether anything accepts connections at the address."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    with closing(socket.socket()) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((parts.hostname, parts.port)) == 0


def has_group(pid: int) -> bool:
    """Whether the process group that this process led has any member."""
    if sys.platform == "win32":
        return False
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(url: str, group: int) -> None:
    """Wait until nothing is left of a run, and fail if that does not come about."""
    deadline = time.monotonic() + GONE_S
    while is_listening(url) or has_group(group):
        assert time.monotonic() < deadline, "the server or a worker process was left behind"
        time.sleep(0.05)


def url_in(log: str) -> str:
    """The address of the server that a run announced."""
    found = re.search(r"^server: (http://127\.0\.0\.1:\d+), process \d+$", log, re.MULTILINE)
    assert found is not None, log
    return found[1]


def start(*words: str) -> subprocess.Popen[bytes]:
    """Start the command as the leader of a process group, as a shell does."""
    return subprocess.Popen(
        [*COMPARE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # what `read_until` leaves unread, `finish` should get
        start_new_session=True,
    )


def finish(process: subprocess.Popen[bytes]) -> Finished:
    """Wait for the command to end, and end it where that takes too long."""
    try:
        out, log = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Finished(process.returncode, text(out), text(log), process.pid)


def text(output: bytes) -> str:
    """Output as Python would read it."""
    return io.TextIOWrapper(io.BytesIO(output), encoding="utf-8").read()


# --- A quick run, from outside ------------------------------------------------------------------


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where that run writes its page."""
    return tmp_path_factory.mktemp("compare") / "page.html"


@pytest.fixture(scope="module")
def quick(page_file: Path) -> Finished:
    """One run that the tests below look at."""
    with start("--html", str(page_file)) as process:
        return finish(process)


@one_process
def test_a_quick_run_succeeds(quick: Finished) -> None:
    assert quick.code == 0, quick.log


@one_process
@pytest.mark.parametrize("name", NAMES)
def test_the_table_has_a_row_of_times_for_each_task(quick: Finished, name: str) -> None:
    row = re.search(rf"^{re.escape(name)} +[\d,]+ +(\d.*)$", quick.out, re.MULTILINE)
    assert row is not None, quick.out
    ways = 3 if name == "fetch async" else 4
    assert len(re.findall(r"(?<!\S)[\d.]+ (?:s|ms|µs)\b", row[1])) == ways, row[0]
    assert len(re.findall(r"(?<!\S)<?[\d.]+x", row[1])) == ways - 1, row[0]
    assert row[1].split().count("-") == 5 - ways, row[0]
    assert "*" in row[1], row[0]


@one_process
def test_it_says_what_auto_chose_and_why(quick: Finished) -> None:
    # a long reason goes on in the next line
    whys = re.findall(r"^ {16}Why: \S.*(?:\n {16}\S.*)*\.$", quick.out, re.MULTILINE)
    assert len(whys) == len(NAMES)
    assert "async -> asyncio; calls run: 20 asyncio." in quick.out


@one_process
def test_it_says_that_all_results_are_the_same(quick: Finished) -> None:
    assert quick.out.endswith(
        "\nAll ways gave the same results as the serial loop, call for call.\n"
    )


@one_process
def test_the_output_fits_into_100_columns(quick: Finished) -> None:
    assert max(map(len, quick.out.splitlines())) <= 100


@one_process
def test_progress_is_told_way_by_way(quick: Finished) -> None:
    told = re.findall(r"^(.+): (\w+) \.\.\. [\d.]+ (?:s|ms|µs)$", quick.log, re.MULTILINE)
    expected = [
        (name, way)
        for name in NAMES
        for way in (tasks.COROUTINES if name == "fetch async" else tasks.PLAIN)
    ]
    assert told == expected
    assert len(quick.log.splitlines()) == len(expected) + 1, "and the server, and nothing else"


@one_process
def test_the_page_has_a_chart_for_each_task(quick: Finished, page_file: Path) -> None:
    assert quick.code == 0, quick.log
    page = page_file.read_text(encoding="utf-8")
    assert page.count("<svg") == len(NAMES)
    assert page.count('class="bar auto"') == len(NAMES)
    assert "All ways gave the same results" in page


@one_process
def test_nothing_is_left_of_it(quick: Finished) -> None:
    wait_until_gone(url_in(quick.log), quick.pid)


# --- Runs that end early ------------------------------------------------------------------------


@posix_only
@pytest.mark.parametrize(
    "during", ["compile: serial", "compile: threads", "compile: processes", "compile: auto"]
)
def test_ctrl_c_ends_it_quietly(during: str) -> None:
    with start() as process:
        log = read_until(process, during)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
        ended = finish(process)
    assert ended.code == 130
    for line in (log + ended.log).splitlines():
        assert re.fullmatch(r"server: .*|\w+: \w+ \.\.\.( [\d.]+ \S+)?", line), line
    wait_until_gone(url_in(log), process.pid)


WITHOUT_IMPORTS = """
import io, sys
from autoexec._compare.command import compare

class Log(io.StringIO):
    def write(self, text):
        if text.startswith("compile: serial"):
            self.loaded = set(sys.modules)
        if text.startswith("hash: serial"):
            raise SystemExit(str(sorted(set(sys.modules) - self.loaded)))
        return super().write(text)

compare(quick=True, out=io.StringIO(), log=Log())
"""


@one_process
def test_nothing_is_imported_while_it_measures_the_first_task() -> None:
    script = [sys.executable, "-c", WITHOUT_IMPORTS]
    ended = subprocess.run(script, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert ended.stderr.strip() == "[]"


@posix_only
def test_the_server_does_not_outlive_a_parent_that_was_killed() -> None:
    with start() as process:
        url = url_in(read_until(process, "compile: serial"))
        assert is_listening(url)
        process.kill()
    wait_until_gone(url, process.pid)


def read_until(process: subprocess.Popen[bytes], wanted: str) -> str:
    """What the run wrote about its progress up to this text."""
    assert process.stderr is not None
    log = b""
    while wanted.encode() not in log:
        byte = process.stderr.read(1)
        assert byte, f"it ended before {wanted!r}: {log!r}"
        log += byte
    return text(log)


# --- The command line ---------------------------------------------------------------------------


def run_main(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m autoexec` with these arguments."""
    words = [sys.executable, "-m", "autoexec", *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def test_without_a_command_it_prints_help_and_fails() -> None:
    ended = run_main()
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: python -m autoexec")
    assert "compare" in ended.stderr


@pytest.mark.parametrize("words", [["compare", "--quik"], ["compare", "more"], ["contrast"]])
def test_arguments_that_make_no_sense_are_usage_errors(words: list[str]) -> None:
    ended = run_main(*words)
    assert ended.returncode == 2
    assert words[-1] in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize("words", [["--help"], ["compare", "--help"]])
def test_help_is_not_an_error(words: list[str]) -> None:
    ended = run_main(*words)
    assert ended.returncode == 0
    assert "compare" in ended.stdout


def test_a_page_without_a_directory_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "--html", str(tmp_path / "absent" / "page.html")]) == 2
    output = capsys.readouterr()
    assert "there is no directory" in output.err
    assert output.out == ""


def library_in(folder: Path) -> SimpleNamespace:
    """A `sysconfig` that finds the standard library in this folder."""

    def get_path(name: str) -> str:
        assert name == "stdlib"
        return str(folder)

    return SimpleNamespace(get_path=get_path)


def test_a_library_without_sources_is_said_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "sysconfig", library_in(tmp_path))
    assert main(["compare", "--quick"]) == 1
    output = capsys.readouterr()
    assert output.err.startswith("error: The standard library has no source files in ")
    assert output.out == ""


# --- The input ----------------------------------------------------------------------------------


def test_files_are_the_same_each_time_and_of_medium_size() -> None:
    picked = files.pick_files(40)
    assert list(picked.items()) == list(files.pick_files(40).items())
    assert len(picked) == 40
    for name, path in picked.items():
        assert path.as_posix().endswith("/" + name)
        assert 4_000 <= path.stat().st_size <= 60_000


def test_files_are_spread_over_the_library_and_leave_out_its_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "sysconfig", library_in(tmp_path))
    sizes = {f"{letter}.py": 5_000 for letter in "abcdefgh"}
    sizes |= {"inner/i.py": 60_000, "small.py": 3_999, "large.py": 60_001, "text.txt": 5_000}
    sizes |= {"test/t.py": 5_000, "inner/tests/t.py": 5_000, "site-packages/s.py": 5_000}
    for name, size in sizes.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"#" * size)
    assert list(files.pick_files(9)) == [f"{letter}.py" for letter in "abcdefgh"] + ["inner/i.py"]
    assert list(files.pick_files(3)) == ["a.py", "d.py", "g.py"]
    assert len(files.pick_files(100)) == 9


# --- The server and the functions ---------------------------------------------------------------


@pytest.fixture(scope="module")
def running() -> Iterator[server.Server]:
    """A server of three files."""
    with server.serving(3) as started:
        yield started


@pytest.fixture
def page() -> tuple[str, Path]:
    """One of the files that the server has."""
    return list(files.pick_files(3).items())[1]


def test_pages_are_the_files(running: server.Server, page: tuple[str, Path]) -> None:
    name, path = page
    url, content = f"{running.url}/{name}", path.read_bytes()
    assert tasks.fetch(url) == zlib.crc32(content)
    assert asyncio.run(tasks.fetch_async(url)) == zlib.crc32(content)
    assert tasks.fetch_and_compile(url) == tasks.compile_file(str(path))


@pytest.mark.parametrize("name", ["absent.py", "../os.py", ""])
def test_there_are_no_other_pages(running: server.Server, name: str) -> None:
    url = f"{running.url}/{name}"
    with pytest.raises(OSError, match="with status 404"):
        tasks.fetch(url)
    with pytest.raises(OSError, match="with status 404"):
        asyncio.run(tasks.fetch_async(url))


@pytest.mark.parametrize("request_", [b"", b"nonsense\r\n\r\n", b"GET /\xff HTTP/1.0\r\n\r\n"])
def test_a_bad_request_disturbs_no_other(
    running: server.Server, page: tuple[str, Path], request_: bytes
) -> None:
    parts = urlsplit(running.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=GONE_S) as client:
        client.sendall(request_)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert tasks.fetch(f"{running.url}/{page[0]}") == zlib.crc32(page[1].read_bytes())


def test_no_more_than_64_requests_are_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def for_ever(name: str) -> float:
        begun.append(name)
        return 3600.0

    async def begun_of(times: int) -> int:
        pages = server.Pages({})
        asked = [asyncio.create_task(pages.answer(request(), Mock())) for _ in range(times)]
        for _ in range(times):  # as many turns of the loop as any of them could need
            await asyncio.sleep(0)
        count = len(begun)
        for task in asked:
            task.cancel()
        await asyncio.wait(asked)
        return count

    def request() -> asyncio.StreamReader:
        reader = asyncio.StreamReader()
        reader.feed_data(b"GET /a.py HTTP/1.0\r\n\r\n")
        return reader

    monkeypatch.setattr(server, "latency_s", for_ever)
    assert asyncio.run(begun_of(100)) == server.AT_ONCE == 64


def test_the_server_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process: object) -> None:
        raise AssertionError("it had to be killed")

    monkeypatch.setattr(subprocess.Popen, "kill", refuse)
    with server.serving(3) as started:
        assert is_listening(started.url)
    assert not is_listening(started.url)


def test_a_server_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STOP_S", 0.0)
    with server.serving(3) as started:
        assert is_listening(started.url)
    assert not is_listening(started.url)


def test_a_server_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "__name__", "autoexec.absent")
    with pytest.raises(AutoexecError, match="ended with code 1"), server.serving(3):
        pass


def test_latency_belongs_to_the_page_and_stays_within_limits() -> None:
    found = {server.latency_s(f"{number}.py") for number in range(200)}
    assert found == {milliseconds / 1000 for milliseconds in range(20, 31)}
    assert server.latency_s("os.py") == server.latency_s("os.py")


def test_compiling_counts_the_instructions_of_inner_functions_too(tmp_path: Path) -> None:
    def instructions(source: str) -> int:
        path = tmp_path / "a.py"
        path.write_text(source, encoding="utf-8")
        return tasks.compile_file(str(path))

    short, long = "def f():\n    return a\n", "def f():\n    return a[b]\n"
    assert 0 < instructions("") < instructions(short) < instructions(long)


def test_checksum_depends_on_the_content(tmp_path: Path) -> None:
    found: list[str] = []
    for content in (b"a", b"b", b"a"):
        path = tmp_path / "a.py"
        path.write_bytes(content)
        found.append(tasks.checksum(str(path)))
    assert found[0] == found[2] != found[1]


def test_tasks_go_round_their_input() -> None:
    sizes = tasks.Sizes(files=2, compile=3, hash=1, fetch=2, mixed=1, tiny=5)
    made = {task.name: task for task in tasks.make_tasks(["a", "b"], ["u", "v"], sizes)}
    assert tuple(made) == NAMES
    assert made["compile"].items == ["a", "b", "a"]
    assert made["fetch"].items == made["fetch async"].items == ["u", "v"]
    assert made["tiny"].items == ["a", "b", "a", "b", "a"]


# --- Measuring ----------------------------------------------------------------------------------

_numbers = itertools.count()


def new_number(item: str) -> int:
    """A function that never gives the same result twice."""
    return next(_numbers)


async def length_async(item: str) -> int:
    """A coroutine function, for the ways that coroutines have."""
    return len(item)


def test_the_same_results_are_recognised() -> None:
    log = io.StringIO()
    task = Task("t", "does a thing", tasks.path_length, ["a", "bc"], ("serial", "threads"))
    row = measure.measure(task, 0.0, log)
    assert row.differing == []
    assert list(row.timings) == ["serial", "threads"]
    assert row.timings["serial"].report is None
    report = row.timings["threads"].report
    assert report is not None
    assert report.route == "threads"
    assert re.fullmatch(r"(t: (serial|threads) \.\.\. [\d.]+ \S+\n){2}", log.getvalue())


def test_other_results_are_recognised() -> None:
    task = Task("t", "counts", new_number, ["a", "b"], ("serial", "threads", "auto"))
    assert measure.measure(task, 0.0, io.StringIO()).differing == ["threads", "auto"]


def test_coroutines_are_awaited_one_by_one_and_on_a_loop() -> None:
    task = Task("t", "waits", length_async, ["a", "bc"], tasks.COROUTINES)
    row = measure.measure(task, 0.0, io.StringIO())
    assert row.differing == []
    assert list(row.timings) == ["serial", "asyncio", "auto"]
    assert measure.run_serial(length_async, ["a", "bc"], tasks.COROUTINES) == [1, 2]


def test_the_fastest_of_several_runs_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 3.0, 10.0, 11.0, 20.0, 22.0])  # runs of 3, 1 and 2 seconds
    monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    task = Task("t", "does a thing", tasks.path_length, ["a"], ("serial",))
    row = measure.measure(task, 5.0, io.StringIO())
    assert row.timings["serial"].seconds == 1.0
    assert next(clock, None) is None, "it ran again until its runs took 5 seconds together"


def test_a_way_that_cannot_run_here_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AutoexecError("There are no processes.")

    monkeypatch.setattr(measure, "run_parallel", refuse)
    log = io.StringIO()
    task = Task("t", "does a thing", tasks.path_length, ["a"], ("serial", "processes"))
    row = measure.measure(task, 0.0, log)
    assert row.failures == {"processes": "There are no processes."}
    assert list(row.timings) == ["serial"]
    assert log.getvalue().endswith("t: processes ... failed\n")


def compare_in_process(task: Task, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Run the command on one task of ours: its exit code and what it printed."""
    out = io.StringIO()

    def only_this(*args: object) -> list[Task]:
        return [task]

    monkeypatch.setattr(command, "make_tasks", only_this)
    code = command.compare(quick=True, out=out, log=io.StringIO())
    return code, out.getvalue()


def test_other_results_make_the_command_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task("t", "counts", new_number, ["a"], ("serial", "threads"))
    code, out = compare_in_process(task, monkeypatch)
    assert code == 1
    assert "DIFFERENT RESULTS: t under threads gave other results" in out
    assert "All ways gave the same results" not in out


def test_the_same_results_make_it_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task("t", "does a thing", tasks.path_length, ["a"], ("serial", "threads"))
    code, out = compare_in_process(task, monkeypatch)
    assert code == 0
    assert out.startswith("Python 3.")


# --- The table ----------------------------------------------------------------------------------


def row_of(name: str, times: dict[tasks.Way, float], *, calls: int = 3, why: str = "") -> Row:
    """A row with these times; that of `auto` has a report, whose reason may be given."""
    row = Row(Task(name, "does a thing", len, ["a"] * calls))
    for way, took in times.items():
        report = None
        if way == "auto":
            plan = SimpleNamespace(reason=why)
            ran = {"inline": 1200, "threads": 3}
            report = SimpleNamespace(kind="mixed", route="threads", ran=ran, plan=plan)
        row.timings[way] = Timing(took, cast("Report | None", report))
    return row


def lines_of(rows: Sequence[Row]) -> list[str]:
    """The lines of the table itself."""
    return table.render(rows).split("\n\n")[0].splitlines()


def test_columns_line_up() -> None:
    long, short = 123.4, 0.00012
    lines = lines_of(
        [
            row_of("parse", {"serial": long, "threads": long, "processes": 0.0632, "auto": 0.0634}),
            row_of("fetch async", {"serial": 2.0, "asyncio": 0.1, "auto": 0.4}, calls=200_000),
            row_of("tiny", {"serial": short, "threads": 0.03, "processes": 0.5, "auto": short}),
        ]
    )
    assert lines == [
        "task            calls   serial   threads        processes          asyncio             auto",
        "parse               3    123 s     123 s   1.0x   63.2 ms  1953x*        -          63.4 ms  1946x*",
        "fetch async   200,000      2 s         -                -           100 ms    20x*   400 ms   5.0x",
        "tiny                3   120 µs*    30 ms 0.004x    500 ms <.001x         -           120 µs   1.0x*",
    ]


@pytest.mark.parametrize(
    ("seconds", "speedup"),
    [(0.01, "100x"), (0.1, "10x"), (0.101, "9.9x"), (1.0, "1.0x"), (1.04, "1.0x"), (2.0, "0.5x")],
)
def test_speed_ups_are_against_the_serial_loop(seconds: float, speedup: str) -> None:
    line = lines_of([row_of("parse", {"serial": 1.0, "threads": seconds})])[1]
    assert re.findall(r"[\d.]+x", line) == [speedup]


def test_stars_mark_what_is_as_fast_as_the_fastest() -> None:
    line = lines_of([row_of("parse", {"serial": 1.0, "threads": 1.04, "auto": 1.06})])[1]
    assert line.count("*") == 2
    assert re.search(r" 1 s\* +1\.04 s +1\.0x\* .* 1\.06 s +0\.9x$", line), line


def test_a_failed_way_is_named_with_its_reason() -> None:
    row = row_of("parse", {"serial": 1.0})
    row.failures["processes"] = "There are no processes here."
    text = table.render([row])
    assert "failed" in lines_of([row])[1]
    assert text.endswith("FAILED: parse under processes: There are no processes here.\n")


def test_what_auto_chose_is_wrapped_and_complete() -> None:
    why = " ".join(f"word{number}" for number in range(60))
    text = table.render([row_of("parse", {"serial": 1.0, "auto": 1.0}, why=why)])
    assert max(map(len, text.splitlines())) <= 100
    assert f"Why: {why}." in " ".join(text.split())
    assert "  parse         Each call does a thing.\n" in text
    assert "mixed -> threads; calls run: 1,200 inline, 3 threads.\n" in text


def test_names_fit_into_their_column() -> None:
    sizes = tasks.Sizes(files=1, compile=1, hash=1, fetch=1, mixed=1, tiny=1)
    made = tasks.make_tasks(["a"], ["u"], sizes)
    assert max(len(task.name) for task in made) < table.NAME_WIDTH


# --- The page -----------------------------------------------------------------------------------


def elements(page: str) -> ET.Element:
    """The body of the page: it is written so that it is XML, too."""
    return ET.fromstring(page[page.index("<body>") : page.index("</html>")])


def test_bars_are_as_long_as_their_times() -> None:
    row = row_of("parse", {"serial": 1.0, "threads": 0.25, "auto": 0.5}, why="w")
    body = elements(charts.charts("here", [row]))
    bars = [e for e in body.iter() if e.tag.endswith("rect")]
    assert [float(e.attrib["width"]) for e in bars] == [720, 180, 360]
    texts = [e.text for e in body.iter() if e.tag.endswith("text")]
    assert texts == ["serial", "1 s", "threads", "250 ms, 4x", "auto", "500 ms, 2x"]


def test_what_is_wrong_is_on_the_page_and_all_text_is_escaped() -> None:
    row = row_of("<b>", {"serial": 1.0, "auto": 1.0}, why="<script>&")
    row.differing.append("auto")
    row.failures["processes"] = "<no & cores>"
    body = elements(charts.charts("<here>", [row]))
    text = "".join(body.itertext())
    assert "<b>: 3 calls" in text
    assert "<script>&" in text
    assert "DIFFERENT RESULTS: <b> under auto" in text
    assert "<no & cores>" in text
    assert not [e for e in body.iter() if e.tag in ("b", "script")]
    assert [e.attrib["class"] for e in body if e.tag == "div"] == ["wrong"]
