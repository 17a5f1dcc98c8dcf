"""Group C, continued: tasks that are cancelled while they await a run."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from lab import (
    FOR_EVER_S,
    aiter_parallel,
    answer,
    arun_parallel,
    enough,
    forget_notes,
    in_each,
    note,
    notes,
    plain,
    require,
    suited,
    wait_for_ever,
)
from programs import END_S
from register import row


def waits(index: int) -> int:
    """A call that waits."""
    note(index)
    wait_for_ever()
    return answer(index)


class Awaits:
    """A call that waits on an event loop, and notes its end, however it comes."""

    async def __call__(self, index: int) -> int:
        note(index)
        try:
            await asyncio.sleep(FOR_EVER_S)
        finally:
            note(index, "end")
        return answer(index)


def waiting(backend: str) -> Callable[[Any], Any]:
    """Such a call for a backend."""
    return Awaits() if backend == "asyncio" else waits


async def use(form: str, fn: Callable[[Any], Any], items: Any, **options: Any) -> list[Any]:
    """Await all results."""
    if form == "async list":
        return list(await arun_parallel(fn, items, **options))
    return [result async for result in aiter_parallel(fn, items, **options)]


async def begun(count: int) -> None:
    """Wait until so many calls have begun."""
    async with asyncio.timeout(10.0):
        while len(notes()) < count:
            await asyncio.sleep(0.01)


async def two_then_none() -> AsyncIterator[int]:
    """An input that gives two items and never another one."""
    try:
        yield 0
        yield 1
        await asyncio.sleep(FOR_EVER_S)
    finally:
        note(0, "left")


async def cancel(form: str, backend: str, when: str) -> None:
    """Cancel a task at that moment, and see that its run is over when the task is."""
    calm = when == "the input is waited for"
    fn = suited(plain, backend) if calm else waiting(backend)
    items: Any = two_then_none() if calm else range(40)
    options: dict[str, Any] = {"backend": backend, "max_workers": 2, "chunksize": 1}
    enough.clear()
    task = asyncio.create_task(use(form, fn, items, **options))
    if when == "it has just begun":
        await asyncio.sleep(0)
    else:
        await begun(2 if calm else 1)
        await asyncio.sleep(0.05)
    began = time.monotonic()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        require(False, f"{when}: it was cancelled but gave {await task}")
    took_s = time.monotonic() - began
    require(took_s < END_S, f"{when}: it took {took_s:.1f} s to cancel it")
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    require(not tasks, f"{when}: tasks outlived it: {tasks}")
    await asyncio.sleep(0.05)  # one that was about to note that it has begun has done so
    calls = [one.index for one in notes()]
    enough.set()  # for those that are left behind on threads
    if backend == "asyncio" and not calm:
        ended = [one.index for one in notes("end")]
        require(sorted(ended) == sorted(calls), f"{when}: {calls} began, {ended} ended")
    if calm:
        require(len(notes("left")) == 1, f"{when}: its input was not closed")
    again = await use(form, suited(plain, backend), range(100, 108), backend=backend)
    require(again == [answer(i) for i in range(100, 108)], f"{when}: the next run gave {again}")
    later = [one.index for one in notes() if one.index < 100]
    require(later == calls, f"{when}: {calls} had begun, and then {later[len(calls) :]}")
    require(len(later) == len(set(later)), f"{when}: an item was called twice: {later}")


MOMENTS = ("calls run", "it has just begun", "the input is waited for")


@row("C8")
def a_task_that_is_cancelled(backend: str) -> None:
    """A task is cancelled that awaits a run, early and late, and while the input is waited for."""

    def check(form: str) -> None:
        for when in MOMENTS:
            forget_notes()
            asyncio.run(cancel(form, backend, when))

    in_each(("async list", "async iterator"), check)
