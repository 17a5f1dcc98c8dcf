"""The documentation is true: its code runs, it prints what it says, and its links lead somewhere.

Each page is a script: its code blocks in their order, after what comments `<!-- setup: ... -->` hold.
A line `print(...)  # text` says what it prints, and output must have these texts in that order.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = re.compile(r"^```python\n(?P<code>.*?)^```$|^<!-- setup:\n(?P<setup>.*?)^-->$", re.M | re.S)
FENCED = re.compile(r"^ *```.*?^ *```$", re.M | re.S)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
SAYS = re.compile(r"^\s*print\(.*\)  # (.*)$", re.M)
HEADING = re.compile(r"^#+ (.*)$", re.M)


class Piece(NamedTuple):
    """A code block or a setup comment."""

    line: int
    """That of the page where its code begins, from 0."""
    code: str


def pieces(page: Path) -> Iterator[Piece]:
    """The code of a page."""
    text = page.read_text(encoding="utf-8")
    for found in CODE.finditer(text):
        group = "setup" if found["code"] is None else "code"
        yield Piece(text.count("\n", 0, found.start(group)), found[group])


def runnable(page: Path) -> list[Piece]:
    """The pieces that need no absent package, nor anything that only those define that do."""
    kept: list[Piece] = []
    lost: set[str] = set()
    for piece in pieces(page):
        tree = ast.parse(piece.code)
        if all(map(installed, imported(tree))) and not lost & used(tree):
            kept.append(piece)
            lost -= bound(tree)
        else:
            lost |= bound(tree)
    return kept


def imported(tree: ast.AST) -> set[str]:
    """The packages that the code imports, as those that define them are called."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    # Not seen in the text: the stream of an item for NumPy, and the bar.
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    progress = any(
        isinstance(node, ast.keyword)
        and node.arg == "progress"
        and isinstance(node.value, ast.Constant)
        and node.value.value is True
        for node in ast.walk(tree)
    )
    if "item_generator" in names:
        found.add("numpy")
    if progress:
        found.add("tqdm")
    return found


@cache
def installed(package: str) -> bool:
    """Whether it can be imported, and used by a script without a main guard."""
    if package == "multiprocessing":
        return multiprocessing.get_start_method() == "fork"
    return importlib.util.find_spec(package) is not None


def bound(tree: ast.Module) -> set[str]:
    """The names that a piece of code defines for the next."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
    return found


def used(tree: ast.Module) -> set[str]:
    """The names that a piece of code has from elsewhere."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names - bound(tree) - set(dir(builtins))


def script(page: Path, parts: list[Piece]) -> str:
    """The pieces as one script, each in the lines that it has on the page."""
    lines = [""] * len(page.read_text(encoding="utf-8").splitlines())
    for line, code in parts:
        within = code.splitlines()
        lines[line : line + len(within)] = within
    return "\n".join(lines) + "\n"


def name(page: Path) -> str:
    """A page, in words."""
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [p for p in PAGES if any(pieces(p))], ids=name)
def test_code_runs_and_prints_what_it_says(page: Path, tmp_path: Path) -> None:
    parts = runnable(page)
    if not any("autoexec" in part.code for part in parts):
        pytest.skip("its code needs packages that are not installed")
    file = tmp_path / f"{page.stem.replace('-', '_')}_page.py"  # not `random.py`
    file.write_text(script(page, parts), encoding="utf-8")
    plain = {k: v for k, v in os.environ.items() if not k.startswith("AUTOEXEC_")}
    done = subprocess.run(
        [sys.executable, file],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        env={**plain, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, f"{name(page)}:\n{done.stdout}\n{done.stderr}"
    printed = iter(done.stdout.splitlines())
    for text in (text for part in parts for text in SAYS.findall(part.code)):
        assert text in printed, f"{name(page)} does not print {text!r}:\n{done.stdout}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{name(page)} links to {link}, which is not there"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{name(page)} links to {link}: no such heading"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[\s-]+", "-", heading) for heading in plain}


def test_all_code_is_run() -> None:
    """Blocks with an indent, or of other names for Python, would be left out in silence."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"^ +```py|^```(py|python3|pycon)$", text, re.M), name(page)
        blocks = [found for found in CODE.finditer(text) if found["code"] is not None]
        assert text.count("\n```python\n") == len(blocks), name(page)


def test_every_page_is_in_the_site() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r": ([\w/-]+\.md)$", site, re.M))
    assert listed == {page.relative_to(ROOT / "docs").as_posix() for page in PAGES[1:]}


def test_every_option_and_public_name_is_documented() -> None:
    import autoexec
    from autoexec._options import NAMES

    options = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert [option for option in NAMES if f"| `{option}` |" not in options] == []
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert [one for one in autoexec.__all__ if f"::: autoexec.{one}\n" not in reference] == []


def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings_handlers.python")
    command = ["-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "index.html").is_file()
