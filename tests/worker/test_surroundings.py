"""What a worker takes on of its parent, and what it lets the parent hear. In a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 60

PRELUDE = """
import json, os, sys, warnings
from autoexec import _place
from autoexec._pickling import loads
from autoexec._pool.surroundings import surroundings
from autoexec._worker.surroundings import take_on

said = []
now = surroundings(1)

def heard():
    return [loads(what) for _, _, what in said]
"""


def worker(code: str, **variables: Any) -> Any:
    """What `show` was called with by code that runs where `take_on` can do no harm here."""
    given = f"given = json.loads({json.dumps(json.dumps(variables))})\n"
    show = "def show(value): print('\\n' + json.dumps(value))\n"
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + given + show + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout.splitlines()[-1])


class TestTheSystem:
    """Directory, environment, paths."""

    def test_the_directory(self, tmp_path: Path) -> None:
        code = """
            now["directory"] = given["to"]
            take_on(now, said.append)
            show(os.getcwd())
        """
        assert worker(code, to=str(tmp_path)) == str(tmp_path.resolve())

    @pytest.mark.parametrize("to", [None, "/no/such/directory"])
    def test_a_directory_that_is_gone_changes_nothing(self, to: str | None) -> None:
        code = """
            before = os.getcwd()
            now["directory"] = given["to"]
            take_on(now, said.append)
            show(os.getcwd() == before)
        """
        assert worker(code, to=to)

    def test_the_environment_is_the_parents_and_nothing_else(self) -> None:
        code = """
            os.environ["OF_BEFORE"] = "1"
            os.environ["CHANGED"] = "old"
            now["environment"] = {"CHANGED": "new", "ADDED": "ö=1"}
            take_on(now, said.append)
            show([dict(os.environ), os.getenv("CHANGED")])
        """
        assert worker(code) == [{"CHANGED": "new", "ADDED": "ö=1"}, "new"]

    def test_the_environment_reaches_children_of_the_worker(self) -> None:
        code = """
            import subprocess
            now["environment"]["TOLD"] = "yes"
            take_on(now, said.append)
            print_it = "import os; print(os.environ['TOLD'])"
            show(subprocess.check_output([sys.executable, "-c", print_it], text=True))
        """
        assert worker(code).strip() == "yes"

    def test_modules_are_found_where_the_parent_finds_them(self, tmp_path: Path) -> None:
        code = """
            import importlib.util, pathlib
            folder = pathlib.Path(given["folder"])
            sys.path.insert(0, str(folder / "of_before"))
            importlib.util.find_spec("told_of")  # so that the folders' contents are cached
            (folder / "told_of.py").write_text("value = 7")
            now["path"] = [str(folder), *now["path"]]
            take_on(now, said.append)
            import told_of
            show([told_of.value, sys.path == now["path"]])
        """
        assert worker(code, folder=str(tmp_path)) == [7, True]

    def test_the_arguments_of_the_program(self) -> None:
        code = """
            now["argv"] = ["program", "--fast"]
            take_on(now, said.append)
            show(sys.argv)
        """
        assert worker(code) == ["program", "--fast"]

    def test_it_knows_that_it_is_a_worker_and_its_share_of_the_cores(self) -> None:
        code = """
            from autoexec import _host
            before = _place.is_worker
            now["cores"] = 1
            take_on(now, said.append)
            show([before, _place.is_worker, _host.cores(), bool(_host.read_host().processes_barred)])
        """
        assert worker(code) == [False, True, 1, True]


class TestWarnings:
    """Filters of the parent, and warnings that travel to it."""

    def test_a_warning_is_sent_with_its_category_and_place(self) -> None:
        code = """
            now["filters"] = [("always", None, Warning, None, 0)]
            take_on(now, said.append)
            warnings.warn("careful", DeprecationWarning)
            (message, category, filename, line), = heard()
            show([said[0][:2], str(message), type(message).__name__, category.__name__, filename])
        """
        sent = [["said", "warning"], "careful", "DeprecationWarning", "DeprecationWarning"]
        assert worker(code) == [*sent, "<string>"]

    @pytest.mark.parametrize(
        ("action", "raised", "heard"), [("ignore", 0, 0), ("error", 2, 0), ("always", 0, 2)]
    )
    def test_the_filters_of_the_parent_hold(self, action: str, raised: int, heard: int) -> None:
        code = """
            now["filters"] = [(given["action"], None, UserWarning, None, 0)]
            take_on(now, said.append)
            raised = 0
            for _ in range(2):
                try:
                    warnings.warn("again")
                except UserWarning:
                    raised += 1
            show([raised, len(said)])
        """
        assert worker(code, action=action) == [raised, heard]

    def test_filters_that_have_changed_since_hold_at_once(self) -> None:
        code = """
            def warn():
                warnings.warn("the same place")
            for action in ("ignore", "always", "ignore"):
                now["filters"] = [(action, None, UserWarning, None, 0)]
                take_on(now, said.append)
                warn()
            show(len(said))
        """
        assert worker(code) == 1

    def test_a_warning_that_cannot_travel_comes_as_its_text(self) -> None:
        code = """
            class Stuck(Warning):
                def __reduce__(self):
                    raise ValueError
            now["filters"] = [("always", None, Warning, None, 0)]
            take_on(now, said.append)
            warnings.warn(Stuck("still of use"))
            (message, category, _, _), = heard()
            show([message, category.__name__])
        """
        assert worker(code) == ["still of use", "UserWarning"]


class TestLogs:
    """Levels of the parent, and records that travel to it."""

    def test_records_are_sent_by_the_levels_of_the_parent(self) -> None:
        code = """
            import logging
            now["levels"] = {"": logging.INFO, "chatty": logging.DEBUG, "quiet": logging.ERROR}
            take_on(now, said.append)
            for name in ("", "chatty", "quiet", "chatty.child"):
                for level in (logging.DEBUG, logging.INFO, logging.ERROR):
                    logging.getLogger(name or None).log(level, "hello %s", "you")
            show([[record["name"], record["levelname"]] for record in heard()])
        """
        assert worker(code) == [
            ["root", "INFO"],
            ["root", "ERROR"],
            ["chatty", "DEBUG"],
            ["chatty", "INFO"],
            ["chatty", "ERROR"],
            ["quiet", "ERROR"],
            ["chatty.child", "DEBUG"],
            ["chatty.child", "INFO"],
            ["chatty.child", "ERROR"],
        ]

    def test_the_text_is_made_before_the_record_travels(self) -> None:
        code = """
            import logging, threading
            now["levels"] = {"": logging.INFO}
            take_on(now, said.append)
            logging.warning("a lock: %r and %d", threading.Lock(), 7, extra={"lock": threading.Lock()})
            (record,) = heard()
            show([said[0][:2], record["msg"], record["args"], record["lock"], record["process"] == os.getpid()])
        """
        start, text, arguments, extra, same_process = worker(code)
        assert start == ["said", "log"]
        assert text.startswith("a lock: <unlocked")
        assert text.endswith("and 7")
        assert arguments is None
        assert extra.startswith("<unlocked")
        assert same_process

    def test_a_traceback_travels_as_text(self) -> None:
        code = """
            import logging
            now["levels"] = {"": logging.INFO}
            take_on(now, said.append)
            try:
                1 / 0
            except ZeroDivisionError:
                logging.exception("it failed")
            (record,) = heard()
            show([record["msg"], record["exc_info"], record["exc_text"].splitlines()[-1]])
        """
        assert worker(code) == ["it failed", None, "ZeroDivisionError: division by zero"]

    def test_each_record_is_sent_once_however_often_surroundings_change(self) -> None:
        code = """
            import logging
            for level in (logging.INFO, logging.DEBUG, logging.ERROR):
                now["levels"] = {"": level}
                take_on(now, said.append)
            logging.error("once")
            logging.info("not any more")
            show([record["msg"] for record in heard()])
        """
        assert worker(code) == ["once"]

    def test_where_nobody_listens_logging_is_not_even_imported(self) -> None:
        code = """
            assert now["levels"] is None
            take_on(now, said.append)
            show("logging" in sys.modules)
        """
        assert worker(code) is False
