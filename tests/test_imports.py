"""The architecture that the package's first page draws, held by its syntax trees."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import autoexec

ROOT = Path(autoexec.__file__).parent
ENTRIES = ("__main__", "_cli", "_compare")
"""May import anything: nothing imports them."""
TOUCHING = (
    "testing",
    "_calls",
    "_futures",
    "_run",
    "_account",
    "_arun",
    "_stream",
    "_source",
    "_journal",
    "_journal_file",
    "_joblog",
    "_pulled",
    "executors",
    "_batches",
    "_pool",
    "_worker",
    "_payload",
    "_pickling",
    "_call",
    "_cgroup",
    "_clocks",
    "_watching",
    "_proc",
    "_host",
    "_children",
    "_seed",
    "_config",
    "_thread_cache",
)
"""The layers that may read clocks, start things and ask the system. All others are pure."""
EXTRAS = ("numpy", "tqdm", "joblib", "distributed", "ray")
"""Imported only where a user asks for what they do."""
SYSTEM = {"time", "os", "threading", "subprocess", "random"}


@cache
def tree(module: str) -> ast.Module:
    """The syntax tree of a module, given by its dotted name within the package."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def modules() -> list[str]:
    """All modules but the entries, as dotted names within the package."""
    found = (path.relative_to(ROOT).with_suffix("") for path in sorted(ROOT.rglob("*.py")))
    names = (".".join(path.parts).removesuffix(".__init__") for path in found)
    return [name for name in names if name.split(".")[0] not in ENTRIES and name != "__init__"]


def layers() -> list[str]:
    """The map in the package's docstring, from the bottom up."""
    assert autoexec.__doc__ is not None
    return re.findall(r"^    (\w+)/? {2,}\S", autoexec.__doc__, re.MULTILINE)[::-1]


def outside(module: str) -> Iterator[str]:
    """What a module imports from elsewhere, wherever in its code it does so."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]


def inside(module: str) -> Iterator[str]:
    """The modules of the package that a module imports, as dotted names."""
    package = (ROOT / Path(*module.split("."))).is_dir()
    here = module.split(".")
    for node in ast.walk(tree(module)):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = here[: len(here) - node.level + package]
        if node.module:
            yield ".".join([*base, node.module])
        else:
            yield from (".".join([*base, name.name]) for name in node.names)


def layer(module: str) -> str:
    return module.partition(".")[0]


# --- The map -----------------------------------------------------------------------------------------


def test_the_map_shows_every_module() -> None:
    assert set(layers()) == {layer(module) for module in modules()}
    assert len(layers()) == len(set(layers()))


@pytest.mark.parametrize("module", modules())
def test_imports_go_down_only(module: str) -> None:
    order = layers()
    for imported in inside(module):
        if layer(imported) != layer(module):
            assert order.index(layer(imported)) < order.index(layer(module)), imported


@pytest.mark.parametrize("module", modules())
def test_the_package_is_imported_by_relative_names(module: str) -> None:
    assert "autoexec" not in outside(module)


def test_the_public_names_come_from_below_and_are_all_there() -> None:
    assert {layer(name) for name in inside("__init__")} <= set(layers())
    assert all(hasattr(autoexec, name) for name in autoexec.__all__)
    assert sorted(autoexec.__all__) == list(autoexec.__all__)


# --- Executors ---------------------------------------------------------------------------------------


def executors() -> list[str]:
    """The executors that there are: what the package of executors imports."""
    return [name for name in inside("executors") if layer(name) == "executors"]


def test_there_are_executors() -> None:
    assert len(executors()) >= 4


@pytest.mark.parametrize("module", [name for name in modules() if layer(name) == "executors"])
def test_executors_never_import_each_other(module: str) -> None:
    if module != "executors":  # the one that makes them
        assert not set(inside(module)) & {"executors", *executors()}


@pytest.mark.parametrize("module", [name for name in modules() if layer(name) == "_worker"])
def test_the_far_side_of_a_process_knows_nothing_of_scheduling(module: str) -> None:
    deciding = {"_api", "_run", "executors", "_scheduler", "_decide", "_control", "_window"}
    assert not deciding & {layer(name) for name in inside(module)}


# --- Purity ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [name for name in modules() if layer(name) not in TOUCHING])
def test_what_decides_has_no_clock_and_no_machine(module: str) -> None:
    assert not set(outside(module)) & SYSTEM


def test_the_deciding_parts_are_among_the_pure_ones() -> None:
    assert {"_decide", "_control", "_window", "_scheduler"} <= set(layers()) - set(TOUCHING)


@pytest.mark.parametrize("module", modules())
def test_only_the_host_counts_cores(module: str) -> None:
    names = {node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    names |= {node.id for node in ast.walk(tree(module)) if isinstance(node, ast.Name)}
    counting = names & {"cpu_count", "process_cpu_count", "sched_getaffinity"}
    assert bool(counting) == (module == "_host")


@pytest.mark.parametrize("module", modules())
def test_nothing_outside_is_imported_but_what_is_declared(module: str) -> None:
    assert set(outside(module)) <= {*sys.stdlib_module_names, "cloudpickle", *EXTRAS}


# --- What an import costs ------------------------------------------------------------------------------


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = [
        "asyncio",
        "multiprocessing",
        "concurrent.futures",
        "subprocess",
        "cloudpickle",
        "inspect",
    ]
    code = f"import autoexec, sys; print(*[name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
