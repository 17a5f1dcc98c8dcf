"""Batches on a cluster of Dask's: `backend="dask"`, or a `distributed.Client`.

A batch is one task that Dask must not run twice, which its scheduler is told by `_worker.claims`. What
is large goes to the workers' memory beside the tasks (`scatter`), so that the scheduler holds none of
it. Everything else, such as adaptive scaling, TLS and the dashboard, is the cluster's own.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from .._batches import EngineDown, Lost, NotInTime, missing
from .._errors import AutoexecError
from .._types import Lane
from .._worker.batch import Batch, Items, hello

LARGE_BYTES = 1 << 16
"""A function of this size or more is not sent with each batch: it is moved to the workers once. A task of
64 kB takes the scheduler 0.1 ms more."""
LARGE_ITEMS_BYTES = 1 << 20
"""The same of items: moving them beside the task takes 5 ms more, and ten times that in the task."""
CLAIM_S = 10.0
"""Seconds in which the scheduler must say whether a lost batch was begun."""
MOVE_LOOK_S = 0.1
"""Between looks at whether the scheduler is still there while data moves to its workers."""
FAREWELL_S = 1.0
"""Seconds that the end of a run waits for the scheduler to hear of it. It answers in 2 ms, and what was
sent to one that hangs is heard when it goes on."""


class DaskEngine:
    """A client of a cluster.

    Args:
        backend: A `distributed.Client`, or the name of the backend for the current one.
        name: The function, for the dashboard.
        deadline: Seconds that the run may take; None for as long as it likes.

    Raises:
        AutoexecError: Dask is not installed, or there is no client.
    """

    lane: Lane = "dask"

    def __init__(self, backend: object, name: str, *, deadline: float | None = None) -> None:
        try:
            import distributed
        except ImportError as error:
            raise missing("distributed", "dask") from error
        if isinstance(backend, str):
            try:
                backend = distributed.get_client()
            except ValueError as error:
                raise AutoexecError(
                    "backend='dask' uses the current Client of Dask, but there is none: make one"
                    " before, client = distributed.Client(address), or Client() for workers on this"
                    " machine."
                ) from error
        self._client: Any = backend
        self._name = name
        self._fn = b""
        self._carrier: Any = None
        self._hello: Any = None
        self._until = math.inf if deadline is None else time.monotonic() + deadline
        self._down: str | None = None
        """Why the scheduler cannot be used any more."""

    def connect(self, run: str, fn: bytes, patience_s: float) -> None:
        """Tell the scheduler of the run, and ask for a worker, which adaptive clusters wait for."""
        from .._worker.claims import Claims

        self._run, self._fn, self._patience_s = run, fn, patience_s
        self._ask("identity")
        self._within(patience_s, lambda: self._client.register_plugin(Claims()))
        self._ask("autoexec_open", run=run, client=self._client.id)
        self._hello = self._client.submit(hello, key=f"autoexec-hello-{run}", pure=False)

    def _ask(self, handler: str, *, within_s: float | None = None, **what: Any) -> Any:
        """What the scheduler says."""
        seconds = self._patience_s if within_s is None else min(within_s, self._patience_s)
        return self._within(seconds, lambda: getattr(self._client.scheduler, handler)(**what))

    def _within(self, seconds: float, request: Callable[[], Awaitable[Any]]) -> Any:
        """What comes of a request to the scheduler, which may hang with its connection open."""
        client = self._client
        if client.status not in ("running", "connecting"):
            raise self._is_down(f"the Client is {client.status}")
        at = getattr(client.scheduler, "address", None)
        try:
            return client.sync(request, callback_timeout=seconds)
        except TimeoutError as error:
            why = f"the scheduler at {at} does not answer for {seconds:.3g} s"
            raise self._is_down(why) from error
        except Exception as error:  # also what a client raises while it is being closed
            raise self._is_down(f"the scheduler at {at} does not answer ({error})") from error

    def _is_down(self, why: str) -> EngineDown:
        self._down = why
        return EngineDown(why)

    def threads(self) -> int:
        """Threads of all workers that are there now."""
        if self._hello is not None and self._hello.done():
            greeting, self._hello = self._hello, None
            if greeting.status == "error":
                error = greeting.exception()
                raise EngineDown(f"its workers cannot import autoexec ({error}); install it there")
        return sum(self._ask("ncores").values())

    def send(self, items: Items, batch: Batch, done: SimpleQueue[Any]) -> Any:
        """Submit a task for the batch."""
        from .._worker.claims import run_claimed

        try:
            if isinstance(items, bytes) and len(items) >= LARGE_ITEMS_BYTES:
                items = self._moved(items)
            future = self._client.submit(
                run_claimed,
                self._run,
                self._function(),
                items,
                batch,
                key=(f"{self._name}-{self._run}", batch.number),
                pure=False,
                retries=0,
            )
        except (EngineDown, NotInTime):
            raise
        except Exception as error:  # the client was closed, or something of Dask's own
            raise EngineDown(f"it takes no tasks ({type(error).__name__}: {error})") from error
        future.add_done_callback(done.put)
        return future

    def _function(self) -> Any:
        """The function, or where it is."""
        if len(self._fn) < LARGE_BYTES:
            return self._fn
        if self._carrier is None:
            self._carrier = self._moved(self._fn)
        return self._carrier

    def _moved(self, data: bytes) -> Any:
        """Data in the memory of a worker, from where others have it when they need it."""
        moved: SimpleQueue[Any] = SimpleQueue()

        # Not by `run_coroutine_threadsafe`: its future refers to itself, so that the data would stay in
        # the cluster until the next garbage collection here.
        async def move() -> None:
            try:
                moved.put(await self._client.scatter(data, hash=False, asynchronous=True))
            except (Exception, asyncio.CancelledError) as error:
                moved.put(error)

        self._client.loop.add_callback(move)
        while (
            found := _next(moved)
        ) is None:  # gigabytes take their time, if the scheduler is well
            if self._down is not None:
                raise EngineDown(self._down)
            if time.monotonic() > self._until:
                raise NotInTime
        if isinstance(found, BaseException):
            raise EngineDown(f"data cannot be moved there ({found!r})") from found
        return found

    def fetch(self, sent: Sequence[tuple[Any, int]]) -> Sequence[bytes | Lost]:
        """The answers, in one trip if all is well."""
        if all(future.status == "finished" for future, _ in sent):
            try:
                answers: list[bytes | Lost] = self._client.gather([future for future, _ in sent])
                return answers
            except Exception:  # one of them was lost meanwhile: see which
                pass
        return [self._fetch_one(future, number) for future, number in sent]

    def _fetch_one(self, future: Any, number: int) -> bytes | Lost:
        try:
            answer: bytes = future.result()
            return answer
        except BaseException as error:  # also a CancelledError, which is none of ours
            self._carrier = None  # it may have been lost as well
            return Lost(f"{type(error).__name__}: {error}", begun=not self._claim(number))

    def _claim(self, number: int) -> bool:
        """Whether nobody has begun a batch, and nobody will."""
        if self._client.status != "running":  # by whom it is used
            raise self._is_down(f"the Client is {self._client.status}")
        try:
            ask = self._client.scheduler.autoexec_claim
            what = {"run": self._run, "number": number}
            return bool(self._client.sync(ask, callback_timeout=CLAIM_S, **what))
        except Exception:  # nobody there who knows
            return False

    def cancel(self, sent: Sequence[tuple[Any, int]]) -> None:
        """Cancel tasks: what runs ends with the call that it is in."""
        try:
            self._client.cancel([future for future, _ in sent])
        except Exception as error:
            raise EngineDown(str(error)) from error

    def disconnect(self) -> None:
        """Tell the scheduler that the run is over; nothing of it begins from then on."""
        self._carrier = self._hello = None
        if self._fn:
            self._ask("autoexec_close", within_s=FAREWELL_S, run=self._run)


def _next(moved: SimpleQueue[Any]) -> Any:
    try:
        return moved.get(timeout=MOVE_LOOK_S)
    except Empty:
        return None
