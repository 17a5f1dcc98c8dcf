"""Every task of the corpus gets its class and a route that suits it, also on a busy machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autoexec import run_parallel

from .tasks import CPU_HELD, TASKS, Site, Task

LONG = [task for task in CPU_HELD if task.name in ("factorial", "parse_json", "hash_chain")]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_gets_its_class_and_a_route_that_suits_it(
    task: Task, machine: str, site: Site, plain: Callable[[Task], list[Any]]
) -> None:
    if task.missing:
        pytest.skip(f"{task.needs} is not installed")
    expected = plain(task)
    results = run_parallel(task.fn, task.items(site))
    assert results == expected
    kinds, routes = task.labels(results.report.host, busy=machine == "busy")
    assert results.report.kind in kinds, f"expected {kinds}\n{results.report}"
    assert results.report.route in routes, f"expected {routes}\n{results.report}"


@pytest.mark.parametrize("task", LONG, ids=lambda task: task.name)
def test_long_work_that_holds_the_gil_leaves_for_processes(task: Task, site: Site) -> None:
    report = run_parallel(task.fn, task.items(site) * 4).report
    if report.host.cores == 1 or not report.host.gil:
        pytest.skip("there is one core, or no GIL")
    assert report.route == "processes", str(report)


def test_the_names_of_tasks_are_their_own() -> None:
    names = [task.name for task in TASKS]
    assert len(set(names)) == len(names) >= 28
