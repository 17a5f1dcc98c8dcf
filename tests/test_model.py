"""All forms on all backends with any options do what a loop of a few lines does."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from functions import Trial, attempt
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec import aiter_parallel, arun_parallel, iter_parallel, run_parallel
from autoexec._failure import Failure

ALWAYS = 99
"""Failures of a call that never succeeds."""


def model(trials: list[Trial], on_error: str, retries: int) -> Iterator[Any]:
    """The loop: what comes of each item."""
    for trial in trials:
        if trial.failures <= retries:
            yield 10 * trial.number
        elif on_error == "raise":
            raise ValueError(trial.number)
        elif on_error == "return":
            yield "failed", trial.number


class Outcome(NamedTuple):
    """What came of a run."""

    results: list[Any]
    """Those that were handed on."""
    failed: int | None
    """The item whose error was raised."""


def outcome(results: Iterator[Any]) -> Outcome:
    """What an iterator gives, and what it raises."""
    got: list[Any] = []
    try:
        for result in results:
            got.append(("failed", result.index) if isinstance(result, Failure) else result)
    except ValueError as error:
        return Outcome(got, error.args[0])
    return Outcome(got, None)


def listed(trials: list[Trial], **options: Any) -> Iterator[Any]:
    yield from run_parallel(attempt, trials, **options)


def awaited(trials: list[Trial], **options: Any) -> Iterator[Any]:
    async def main() -> None:
        got.extend(await arun_parallel(attempt, trials, **options))

    got: list[Any] = []
    asyncio.run(main())
    yield from got


def streamed(trials: list[Trial], **options: Any) -> Iterator[Any]:
    with iter_parallel(attempt, iter(trials), **options) as results:
        yield from results


def streamed_later(trials: list[Trial], **options: Any) -> Iterator[Any]:
    got: list[Any] = []

    async def main() -> None:
        async with aiter_parallel(attempt, trials, **options) as results:
            async for result in results:
                got.append(result)

    try:
        asyncio.run(main())
    finally:
        yield from got


Form = Callable[..., Iterator[Any]]
LAZY: tuple[Form, ...] = (streamed, streamed_later)


@given(
    failures=st.lists(st.sampled_from([0, 0, 0, 2, ALWAYS]), max_size=30),
    form=st.sampled_from([listed, awaited, *LAZY]),
    backend=st.sampled_from(["auto", "inline", "threads", "asyncio", "processes"]),
    on_error=st.sampled_from(["raise", "return", "skip"]),
    retries=st.integers(0, 3),
    ordered=st.booleans(),
)
@examples(80)
def test_a_run_does_what_a_loop_does(
    failures: list[int], form: Form, backend: str, on_error: str, retries: int, ordered: bool
) -> None:
    options: dict[str, Any] = {"backend": backend, "on_error": on_error, "retries": retries}
    if form in LAZY:
        options["ordered"] = ordered
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # A call that was left behind by a run that was stopped may still note its attempt.
        trials = [Trial(i, count, folder) for i, count in enumerate(failures)]
        got = outcome(form(trials, **options))
        tried = {int(notes.name): notes.stat().st_size for notes in Path(folder).iterdir()}
    wanted = outcome(model(trials, on_error, retries))
    # No call more than its item needs; all of them, unless the run was stopped.
    needed = {trial.number: min(trial.failures, retries) + 1 for trial in trials}
    assert all(tried[index] <= needed[index] for index in tried)
    if wanted.failed is None:
        assert tried == needed
        assert got.failed is None
        in_order = form not in LAZY or ordered
        assert (
            got.results == wanted.results if in_order else set(got.results) == set(wanted.results)
        )
        assert len(got.results) == len(wanted.results)
        return
    # Which of several errors is the first is a matter of time; what was handed on is not.
    assert got.failed is not None
    assert failures[got.failed] > retries
    values = [10 * trial.number for trial in trials if trial.failures <= retries]
    assert len(set(got.results)) == len(got.results) and set(got.results) <= set(values)
    if form not in LAZY:
        assert got.results == []
    elif ordered:
        assert got.results == wanted.results[: len(got.results)]
