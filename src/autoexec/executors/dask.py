"""Batches on a cluster of Dask's: `backend="dask"`, or a `distributed.Client`.

A batch is one task that Dask must not run twice, which its scheduler is told by `_worker.claims`. What
is large goes to the workers' memory beside the tasks (`scatter`), so that the scheduler holds none of
it. Everything else, such as adaptive scaling, TLS and the dashboard, is the cluster's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

from .._batches import EngineDown, Lost, missing
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


class DaskEngine:
    """A client of a cluster.

    Args:
        backend: A `distributed.Client`, or the name of the backend for the current one.
        name: The function, for the dashboard.

    Raises:
        AutoexecError: Dask is not installed, or there is no client.
    """

    lane: Lane = "dask"

    def __init__(self, backend: object, name: str) -> None:
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

    def connect(self, run: str, fn: bytes, patience_s: float) -> None:
        """Tell the scheduler of the run, and ask for a worker, which adaptive clusters wait for."""
        from .._worker.claims import Claims

        self._run, self._fn, self._patience_s = run, fn, patience_s
        self._ask("identity")
        self._client.register_plugin(Claims())
        self._ask("autoexec_open", run=run, client=self._client.id)
        self._hello = self._client.submit(hello, key=f"autoexec-hello-{run}", pure=False)

    def _ask(self, handler: str, **what: Any) -> Any:
        """What the scheduler says."""
        client = self._client
        if client.status not in ("running", "connecting"):
            raise EngineDown(f"the Client is {client.status}")
        ask = getattr(client.scheduler, handler)
        try:
            return client.sync(ask, callback_timeout=self._patience_s, **what)
        except (OSError, TimeoutError) as error:
            at = client.scheduler.address
            raise EngineDown(f"the scheduler at {at} does not answer ({error})") from error

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

        if isinstance(items, bytes) and len(items) >= LARGE_ITEMS_BYTES:
            items = self._moved(items)
        try:
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
        return self._client.scatter(data, hash=False)

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
        ask = self._client.scheduler.autoexec_claim
        try:
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
            self._ask("autoexec_close", run=self._run)
