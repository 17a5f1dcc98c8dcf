"""Inputs that are not waited for: a task or a thread pulls them while the run goes on."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sized
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import Any

from . import _thread_cache
from ._source import PULL_S, Pulled, Source, Taken


class PulledSource(Source):
    """An input that is pulled by others, item by item, while the run goes on.

    They add to the box, and say so if nobody was told since it was last emptied. The run empties it.
    Each reads what the other writes in the opposite order, so neither needs a lock: an item that
    comes while the box is emptied is told of again.
    """

    def __init__(self) -> None:
        super().__init__((), iter(()))
        self._box: deque[Any] = deque()
        self._told = False
        self._ended = False
        self._error: BaseException | None = None
        self._sink: Callable[[Pulled], None]

    def _put(self, item: Any) -> None:
        self._box.append(item)
        if not self._told:
            self._told = True
            self._sink(Pulled())

    def _stop(self, *, ended: bool, error: BaseException | None = None) -> None:
        """No more for now, or for ever."""
        self._error = error
        self._ended = ended
        self.pulling = False
        self._sink(Pulled())

    def collected(self) -> Taken:
        """What came since the last time."""
        self._told = False
        ended = self._ended
        box = self._box
        return [box.popleft() for _ in range(len(box))], ended, self._error if ended else None


class AsyncSource(PulledSource):
    """An asynchronous iterable, pulled by a task on the loop of its owner.

    Args:
        items: What `iterator` goes over.
    """

    def __init__(self, items: object, iterator: AsyncIterator[Any]) -> None:
        super().__init__()
        # A channel that is empty now may be filled before it is pulled.
        self.length = (len(items) or None) if isinstance(items, Sized) else None
        self._items = iterator
        self._task: asyncio.Task[None] | None = None
        self._over = False

    def belong_to(self, loop: asyncio.AbstractEventLoop, sink: Callable[[Pulled], None]) -> None:
        """The loop that may pull, and who hears of items."""
        self._loop = loop
        self._sink = sink

    def take(self, count: int) -> Taken | None:
        """Have the loop take them."""
        self.pulling = True
        self._loop.call_soon_threadsafe(self._start, count)
        return None

    def _start(self, count: int) -> None:
        if not self._over:
            # Held, since the loop itself holds tasks only weakly.
            self._task = self._loop.create_task(self._bring(count))

    async def _bring(self, count: int) -> None:
        until = self._loop.time() + PULL_S
        try:
            for _ in range(count):
                self._put(await anext(self._items))
                if self._loop.time() > until:  # it may never let others have a turn
                    await asyncio.sleep(0)
                    until = self._loop.time() + PULL_S
        except StopAsyncIteration:
            self._stop(ended=True)
        except BaseException as error:  # the input's own: it follows the results before it
            if self._over and isinstance(error, asyncio.CancelledError):
                return  # it was cancelled by us
            self._stop(ended=True, error=error)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise  # they are the loop's as well
        else:
            self._stop(ended=False)

    def close(self) -> None:
        """Cancel the task, and wait for its end for a moment."""
        ended = threading.Event()
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the task with it
            self._loop.call_soon_threadsafe(self._cancel, ended.set)
            ended.wait(1.0)

    def _cancel(self, then: Callable[[], None]) -> None:
        self._over = True
        if self._task is None or self._task.done():
            then()
            return
        self._task.cancel()
        self._task.add_done_callback(lambda _: then())


class ThreadedSource(PulledSource):
    """An iterable that may block, pulled by a thread of its own, always the same: so neither the loop
    nor the run waits for it, and results come out meanwhile."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        super().__init__()
        self.length = None
        self.iterator = iterator
        self._wanted: SimpleQueue[int] = SimpleQueue()
        self._serving = self._over = False

    def belong_to(self, loop: asyncio.AbstractEventLoop, sink: Callable[[Pulled], None]) -> None:
        """Who hears of items."""
        self._sink = sink

    def take(self, count: int) -> Taken | None:
        """Have the thread take them."""
        self.pulling = True
        if not self._serving:
            context = contextvars.copy_context()
            _thread_cache.start(partial(context.run, self._serve), "autoexec-input")
            self._serving = True
        self._wanted.put(count)
        return None

    def _serve(self) -> None:
        while wanted := self._wanted.get():
            try:
                for item in islice(self.iterator, wanted):
                    if self._over:
                        return
                    self._put(item)
                    wanted -= 1
                    del item  # a thread that waits must not keep items alive
            except BaseException as error:  # the input's own: it follows the results before it
                self._stop(ended=True, error=error)
            else:
                self._stop(ended=bool(wanted))

    def close(self) -> None:
        """Let the thread go; one that waits for the input ends after that."""
        self._over = True
        self._wanted.put(0)
