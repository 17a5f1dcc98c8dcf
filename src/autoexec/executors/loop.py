"""Coroutines as tasks on an event loop: the caller's, or one in a thread of its own.

A caller who waits without a loop gets one of its own, so this works where a loop is running already,
as in a notebook. One who awaits the results has his coroutines run on his own loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import CoroutineType
from typing import Any

from .._call import without_this_frame
from .._chunk import Block, Chunk
from .._errors import short_repr
from .._types import Broken, Sink

LATEST_S = 0.005
"""After this time outcomes are announced within a turn of the loop: one in which 64 tasks compute for
3 ms each takes 0.2 s, and until then nobody would know that they do."""
CLOSE_S = 1.0
"""Seconds that tasks have to end in when they are cancelled: one may refuse."""


Ended = tuple[Chunk, int, list[Any], BaseException | None, float, float]
"""A call that has ended: its chunk, the position in that, the value in a list or what it raised, when it
began, and how long it took."""


class TasksExecutor:
    """Runs each item of a chunk as a task on a loop that is there; outcomes of one turn of the loop are
    announced together.

    Args:
        fn: Called with one item; may be `async def`.
        sink: Hears of outcomes.
        loop: A loop that runs in another thread than the one that uses this.
    """

    asynchronous = True
    """Its function may be `async def`."""
    passed_on: tuple[type[BaseException], ...] = (KeyboardInterrupt,)
    """On the thread of the caller this is the user's Ctrl-C, not an item's error."""

    def __init__(
        self, fn: Callable[[Any], Any], sink: Sink, loop: asyncio.AbstractEventLoop | None
    ) -> None:
        self._fn = fn
        self._sink = sink
        self._inbox: deque[Chunk] = deque()
        self._outbox: list[Ended] = []
        self._tasks: dict[Chunk, list[asyncio.Task[None] | None]] = {}
        """By chunk, until the last of it is announced; None for those that have ended."""
        self._late: dict[Chunk, BaseException] = {}
        """Calls that are to be given up: if they end before that, as they do where they hold up the loop, this is
        what they came to. Entered by the thread that asks for it; all else is done on that of the loop, which
        alone settles calls, so that none is settled twice."""
        self._stopped: dict[Chunk, BaseException] = {}
        self._gave_up = False
        """A call was, and may go on all the same: a task may refuse, or wait for a thread."""
        self._flush_at = 0.0
        self._cpu_ns = 0
        self._over = False
        self._loop = loop
        self._context = contextvars.copy_context()

    def open(self, workers: int) -> None:
        """The loop is there already."""

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Start a task for each item, at the loop's next turn."""
        if self._loop is None:
            return  # as `open` has said
        self._inbox.extend(chunks)
        self._loop.call_soon_threadsafe(self._start_tasks)

    def _start_tasks(self) -> None:
        assert self._loop is not None
        if self._over:  # a driver that was held up has sent them after everything was cancelled
            self._inbox.clear()
        if not self._tasks:
            self._cpu_ns = time.thread_time_ns()
        while self._inbox:
            chunk = self._inbox.popleft()
            # Also because the loop itself holds tasks only weakly.
            self._tasks[chunk] = self._context.run(self._tasks_of, chunk)

    def _tasks_of(self, chunk: Chunk) -> list[asyncio.Task[None] | None]:
        assert self._loop is not None
        create, call = self._loop.create_task, self._call
        return [create(call(chunk, position, item)) for position, item in enumerate(chunk.items)]

    def _forget(self, chunk: Chunk) -> None:
        self._tasks.pop(chunk, None)
        self._stopped.pop(chunk, None)

    def stop(self, chunk: Chunk, error: BaseException) -> None:
        """Cancel the task that runs the call of a chunk of one; if it refuses, what comes of it is dropped."""
        if self._loop is not None:
            self._late[chunk] = error
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._cancel, chunk, error)

    def _cancel(self, chunk: Chunk, error: BaseException) -> None:
        self._late.pop(chunk, None)
        (task,) = self._tasks.get(chunk, [None])
        if task is None or task.done() or chunk in self._stopped:
            return
        self._stopped[chunk] = error
        self._gave_up = True
        self._flush()
        self._sink([Block.untimed(chunk, [], error), Block.end_of(chunk)])
        task.cancel()
        if chunk.partial is None:  # it had not begun, so nothing of it ever runs
            self._forget(chunk)

    async def _call(self, chunk: Chunk, position: int, item: Any) -> None:
        """Call the function with an item, and announce what comes of it, if somebody waits."""
        started = time.perf_counter()
        chunk.partial = []
        try:
            value = self._fn(item)
            if type(value) is CoroutineType or inspect.isawaitable(value):
                value = await value
            if chunk not in self._stopped:
                self._announce(chunk, position, [value], None, started)
        except BaseException as exc:
            if self._over or chunk in self._stopped:
                return  # cancelled by us: nobody waits for the outcome
            if isinstance(exc, self.passed_on):
                raise
            self._announce(chunk, position, [], without_this_frame(exc), started)
        finally:  # not by a callback of the task, which took a tenth of what it costs
            if self._stopped and chunk in self._stopped:
                self._forget(chunk)
            elif (tasks := self._tasks.get(chunk)) is not None:
                tasks[position] = None

    def _announce(
        self,
        chunk: Chunk,
        position: int,
        values: list[Any],
        error: BaseException | None,
        started: float,
    ) -> None:
        if self._late and (late := self._late.get(chunk)) is not None:
            values, error = [], late
        now = time.perf_counter()
        if not self._outbox:
            # Whatever else ends in this turn of the loop goes along: 5,000 tasks that end
            # together wake the driver a few times, not 5,000 times.
            assert self._loop is not None
            self._loop.call_soon(self._flush)
            self._flush_at = now + LATEST_S
        self._outbox.append((chunk, position, values, error, started, now - started))
        if now > self._flush_at:
            self._flush()

    def _flush(self) -> None:
        ended, self._outbox = self._outbox, []
        if not ended:
            return
        now_ns = time.thread_time_ns()
        # Tasks share the thread, so its CPU time is shared out among those that ended.
        cpu_s = (now_ns - self._cpu_ns) * 1e-9 / len(ended)
        self._cpu_ns = now_ns
        blocks = blocks_of(ended, cpu_s)
        for block in blocks:
            if block.last:
                self._tasks.pop(block.chunk, None)
        self._sink(blocks)

    def close(self, *, abandon: bool) -> None:
        """Cancel what is still running, and wait for its end for a moment."""
        assert self._loop is not None
        self._over = True
        ended = threading.Event()
        with contextlib.suppress(RuntimeError):  # the loop has ended, and its tasks with it
            self._loop.call_soon_threadsafe(self._cancel_all, ended.set)
            ended.wait(CLOSE_S)

    def _cancel_all(self, then: Callable[[], None]) -> None:
        self._cancelled().add_done_callback(lambda _: then())

    def _cancelled(self) -> asyncio.Future[Any]:
        """Cancel everything; done when all of it has ended."""
        self._over = True
        self._inbox.clear()
        tasks = [task for tasks in self._tasks.values() for task in tasks if task is not None]
        for task in tasks:
            task.cancel()
        return asyncio.gather(*tasks, return_exceptions=True)


def blocks_of(ended: Sequence[Ended], cpu_s: float) -> list[Block]:
    """The outcomes of calls in blocks: one for those that are next to each other in a chunk, and ended so.

    Args:
        ended: The calls, in the order in which they have ended.
        cpu_s: CPU seconds of each.
    """
    blocks: list[Block] = []
    block, then = None, 0
    for chunk, position, values, error, began_s, wall_s in ended:
        chunk.arrived += 1
        goes_on = block is not None and block.chunk is chunk and position == then
        if block is None or not goes_on or block.error is not None:
            block = Block(chunk, values, error, wall_s, cpu_s, 0.0, False, began_s)
            block.position = position
            blocks.append(block)
        else:
            block.values += values
            block.error = error
            block.wall_s += wall_s
            block.cpu_s += cpu_s
        block.last = chunk.arrived == chunk.count
        then = position + 1
    return blocks


class LoopExecutor(TasksExecutor):
    """The same on a loop in a thread of its own."""

    passed_on: tuple[type[BaseException], ...] = ()

    def __init__(self, fn: Callable[[Any], Any], sink: Sink) -> None:
        super().__init__(fn, sink, None)
        self._closing = asyncio.Event()
        self._thread: threading.Thread | None = None

    def open(self, workers: int) -> None:
        """Start the loop, the first time."""
        if self._thread is not None:
            return
        self._failure: BaseException | None = None
        started = threading.Event()
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._serve, started), name="autoexec-loop", daemon=True
        )
        try:
            self._thread.start()
            started.wait()
        except RuntimeError as error:  # no more threads: the system's limit, or the program ends
            self._failure = error
        if self._failure is not None:
            self._sink(Broken("asyncio", f"there is no event loop ({self._failure})"))

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Start a task for each item, at the loop's next turn."""
        with contextlib.suppress(RuntimeError):  # the loop has failed, which is about to be heard
            super().submit(chunks)

    def _serve(self, started: threading.Event) -> None:
        try:
            _check_descriptors()
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                started.set()
                self._run_until_closed(self._loop)
        except BaseException as error:
            if started.is_set():
                self._sink(Broken("asyncio", f"the event loop failed ({short_repr(error)})", error))
            self._failure = error  # no descriptors left
            started.set()

    def _run_until_closed(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the loop, whatever a call makes of it: `loop.stop()` ends a turn of it, and so does `sys.exit` in a
        task that a call has started. That is the error of the task, for who awaits it: the calls beside have
        nothing to do with it, and go on."""

        async def main() -> None:
            await self._closing.wait()
            await self._cancelled()

        serving = loop.create_task(main())
        serving.add_done_callback(lambda _: loop.stop())
        try:
            while not serving.done():
                with contextlib.suppress(SystemExit, KeyboardInterrupt):
                    loop.run_forever()
        finally:
            self._over = (
                True  # also if it has failed: its tasks are cancelled now, which is no outcome
            )

    def close(self, *, abandon: bool) -> None:
        """Cancel what is still running and end the loop."""
        if self._loop is None or self._thread is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._closing.set)
        except RuntimeError:  # the loop's thread has ended already
            return
        # A task may refuse to be cancelled, or a call may block the loop: the thread is a daemon. As the
        # interpreter ends, from 3.14 on none may be waited for.
        with contextlib.suppress(RuntimeError):
            self._thread.join(timeout=CLOSE_S if abandon or self._gave_up else None)


def _check_descriptors() -> None:
    """Raise OSError if there are none left for a loop: one that fails to start makes a noise."""
    found: list[int] = []
    try:
        for _ in range(4):
            found.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for fd in found:
            os.close(fd)
