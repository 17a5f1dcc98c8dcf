"""Batches on a cluster of Ray's: `backend="ray"`.

A batch is a task without retries, so Ray neither runs it again when its worker dies nor makes a lost
result anew. The function is put into Ray's object store once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any

from .._batches import EngineDown, Lost, missing
from .._errors import AutoexecError
from .._types import Lane
from .._worker.batch import Batch, Items

LARGE_ITEMS_BYTES = 100_000
"""Arguments of this size or more go into the object store, as Ray itself would do."""


class RayEngine:
    """The cluster that this process is connected to.

    Args:
        name: The function, for the dashboard.

    Raises:
        AutoexecError: Ray is not installed, or was not started.
    """

    lane: Lane = "ray"

    def __init__(self, name: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise missing("ray", "ray") from error
        self._ray: Any = ray
        if not self._ray.is_initialized():
            raise AutoexecError(
                "backend='ray' uses the cluster of Ray that this process is connected to, but it is to"
                " none: call ray.init(address=...) before, or ray.init() for workers on this machine."
            )
        self._name = name
        self._task: Any = None
        self._fn: Any = None

    def connect(self, run: str, fn: bytes, patience_s: float) -> None:
        """Put the function where workers can have it."""
        from .._worker.flags import run_wanted

        self._run = run
        self._task = self._ray.remote(max_retries=0)(run_wanted).options(name=self._name)
        self._fn = self._ray.put(fn)

    def threads(self) -> int:
        """Processors that the cluster gives to tasks."""
        if not self._ray.is_initialized():
            raise EngineDown("ray.shutdown() was called")
        return int(self._ray.cluster_resources().get("CPU", 0))

    def send(self, items: Items, batch: Batch, done: SimpleQueue[Any]) -> Any:
        """Start a task for the batch."""
        if isinstance(items, bytes) and len(items) >= LARGE_ITEMS_BYTES:
            items = self._ray.put(items)
        try:
            handle = self._task.remote(self._run, self._fn, items, batch)
        except Exception as error:  # something of Ray's own
            raise EngineDown(f"it takes no tasks ({type(error).__name__}: {error})") from error
        handle.future().add_done_callback(lambda _: done.put(handle))
        return handle

    def fetch(self, sent: Sequence[tuple[Any, int]]) -> Sequence[bytes | Lost]:
        """The answers."""
        return [self._fetch_one(handle) for handle, _ in sent]

    def _fetch_one(self, handle: Any) -> bytes | Lost:
        try:
            answer: bytes = self._ray.get(handle)
            return answer
        except Exception as error:  # the worker died, or what it had made is lost
            return Lost(f"{type(error).__name__}", begun=True)

    def cancel(self, sent: Sequence[tuple[Any, int]]) -> None:
        """Let batches end with the call that they are in."""
        from .._worker import flags

        try:
            for handle, number in sent:
                flags.raise_flag(self._run, number)
                ended = partial(_lower, self._run, number)
                handle.future().add_done_callback(ended)
        except Exception as error:
            raise EngineDown(str(error)) from error

    def disconnect(self) -> None:
        """Let the function go."""
        self._fn = None


def _lower(run: str, number: int, _: object) -> None:
    from .._worker import flags

    with contextlib.suppress(Exception):  # Ray has been shut down, and its flags with it
        flags.lower_flag(run, number)
