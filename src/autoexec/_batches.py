"""Chunks as batches in the workers of a cluster, whose engine is somebody else's.

What an engine must do is little (`Engine`); all that the engines have in common is here: pickling,
outcomes, workers that come and go, a cluster that does not answer. Three kinds of threads take part:
that of the caller submits, one connects and then watches the cluster, one takes home what is done.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from itertools import count
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

from . import _place
from ._blocks import blocks_of, failed
from ._chunk import Block, Chunk
from ._errors import AutoexecError, NotPicklable, WorkerDied, attach_traceback
from ._function import name_of
from ._limits import timed_out
from ._options import Settings
from ._pickling import Packed, dumps, loads
from ._types import Broken, Lane, Ready, Sink
from ._worker.batch import Answer, Batch, Items, Recipe, pack_items
from ._worker.home import AtHome

PATIENCE_S = 30.0
"""Seconds for which a cluster may have no workers, or not answer; `deadline` takes their place. Stated in
the docs."""
LOOK_S = 2.0
"""Between looks at how many workers there are: as often as Dask's own adaptive scaling asks by half."""
FIRST_LOOK_S = 0.05
"""Between looks while there are no workers yet."""
TRIES = 16
"""Batches that may come back unbegun, one after another: some do when a worker goes, each of them when
none can run any."""


class EngineDown(Exception):
    """The engine cannot be used; the text says why, as the rest of a sentence."""


class NotInTime(Exception):
    """The deadline of the run came before a batch was sent: it is the scheduler that ends the run then."""


class Lost(NamedTuple):
    """A batch of which nothing comes home."""

    why: str
    begun: bool
    """It may have been begun. If not, its items can be sent again."""


class Engine(Protocol):
    """What a cluster's engine does."""

    lane: Lane

    def connect(self, run: str, fn: bytes, patience_s: float) -> None:
        """Get ready for a run, within so many seconds. Raises `EngineDown`."""

    def threads(self) -> int:
        """Threads that take batches now. Raises `EngineDown`."""
        ...

    def send(self, items: Items, batch: Batch, done: SimpleQueue[Any]) -> Any:
        """Send a batch. Its handle is put into the queue when nothing more comes of it."""

    def fetch(self, sent: Sequence[tuple[Any, int]]) -> Sequence[bytes | Lost]:
        """What has come of batches that are done, each a handle and its number. Raises `EngineDown`."""
        ...

    def cancel(self, sent: Sequence[tuple[Any, int]]) -> None:
        """Nobody waits for these batches."""

    def disconnect(self) -> None:
        """Let go of the run, not of the cluster."""


class BatchesExecutor:
    """Sends each chunk as one batch.

    Args:
        engine: Where to.
        packed: The function.
        sink: Hears of outcomes.
        settings: `timeout`, `deadline` and the initializer.
        host: The class of the executor that runs calls side by side within a worker.

    Raises:
        AutoexecError: This is a call of such a batch.
    """

    def __init__(
        self, engine: Engine, packed: Packed, sink: Sink, settings: Settings, *, host: type
    ) -> None:
        if _place.in_batch.get():
            raise AutoexecError(
                f"backend={engine.lane!r} was asked for in a call that runs on a cluster itself: it would"
                " wait there for the very threads that such calls hold. Leave the backend at 'auto' in"
                " it, which uses the cores of its worker, or make one run of both."
            )
        self._engine = engine
        self._sink = sink
        self._packed = packed
        self._settings = settings
        self._run = uuid4().hex
        self._patience_s = PATIENCE_S if settings.deadline is None else 0.9 * settings.deadline
        self._numbers = count()
        self._chunks: dict[Any, tuple[Chunk, int]] = {}  # by handle
        self._done: SimpleQueue[Any] = SimpleQueue()
        self._over = threading.Event()
        self._opened = False
        self._began = time.monotonic()
        self._recipe = dumps(self._make_recipe(host))
        self._singly = False
        self._returned = 0  # batches that came back unbegun since the last that was run
        self._lock = threading.Lock()  # for `_chunks`, since a batch may be done before it is noted

    def _make_recipe(self, host: type) -> Recipe:
        timeout_s = self._settings.timeout
        if timeout_s is None:
            return Recipe(self._run, host)
        error = timed_out(name_of(self._packed.fn), timeout_s, self._engine.lane)
        return Recipe(self._run, host, timeout_s, error)

    def open(self, workers: int) -> None:
        """Connect in the background, and watch the cluster from then on."""
        if not self._opened:
            self._opened = True
            self._start(self._watch)
            self._start(self._collect)

    def _start(self, target: Any) -> None:
        name = f"autoexec-{self._engine.lane}"
        threading.Thread(target=target, name=name, daemon=True).start()

    # --- The cluster ----------------------------------------------------------------------------------

    def _watch(self) -> None:
        try:
            self._engine.connect(self._run, self._function(), self._patience_s)
            self._count_workers()
        except (EngineDown, NotPicklable) as down:
            self._broken(str(down).removesuffix("."), down)
        except Exception as error:  # of the engine, which is not ours
            self._broken(f"it failed ({type(error).__name__}: {error})", error)

    def _function(self) -> bytes:
        settings, travels = self._settings, self._packed.travels
        if settings.initializer is None:
            return dumps((travels, None))
        return dumps((AtHome(travels), (settings.initializer, settings.initargs)))

    def _count_workers(self) -> None:
        """Tell how many there are, whenever that changes, until the run is over."""
        told, seen_at = 0, self._began
        while not self._over.is_set():
            threads = self._engine.threads()
            now = time.monotonic()
            if threads:
                seen_at = now
            elif now - seen_at > self._patience_s:
                raise EngineDown(
                    f"it had no worker for {self._patience_s:.3g} s; start some, or give them"
                    " longer by deadline="
                )
            if threads != told:
                told = threads
                self._sink(Ready(self._engine.lane, threads, None))
            self._over.wait(LOOK_S if threads else FIRST_LOOK_S)

    def _broken(self, reason: str, error: BaseException) -> None:
        if not self._over.is_set():
            self._sink(Broken(self._engine.lane, reason, error))

    # --- There ----------------------------------------------------------------------------------------

    def submit(self, chunks: Sequence[Chunk]) -> None:
        """Send the chunks."""
        for chunk in chunks:
            chunk.noted = _nothing_seen
            number = next(self._numbers)
            batch = Batch(number, self._recipe, width=chunk.width, alone=chunk.alone)
            items = pack_items(chunk.items, singly=self._singly)
            try:
                with self._lock:
                    handle = self._engine.send(items, batch, self._done)
                    self._chunks[handle] = chunk, number
            except EngineDown as down:
                self._broken(str(down), down)
            except NotInTime:
                return

    # --- And back -------------------------------------------------------------------------------------

    def _collect(self) -> None:
        while (handle := self._done.get()) is not None:
            handles = [handle]
            while not self._done.empty():
                if (handle := self._done.get()) is None:
                    return
                handles.append(handle)
            self._take(handles)
            del handle, handles  # an idle thread must not keep results alive

    def _take(self, handles: Sequence[Any]) -> None:
        with self._lock:
            sent = [(one, *self._chunks[one]) for one in handles if one in self._chunks]
        if not sent:
            return
        try:
            answers = self._engine.fetch([(one, number) for one, _, number in sent])
        except EngineDown as down:
            self._broken(str(down), down)
            return
        except Exception as error:  # of the engine, which is not ours
            self._broken(f"it failed ({type(error).__name__}: {error})", error)
            return
        for (one, chunk, _), answer in zip(sent, answers, strict=True):
            with self._lock:
                known = self._chunks.pop(one, None)
            if known is not None and not self._over.is_set():  # else it was given up
                self._settle(chunk, answer)

    def _settle(self, chunk: Chunk, answer: bytes | Lost) -> None:
        if isinstance(answer, Lost):
            self._settle_lost(chunk, answer)
            return
        self._returned = 0
        try:
            read: Answer = loads(answer)
        except BaseException as error:  # reading is the user's code
            self._fail(chunk, error)
            return
        if read.refused:
            self._settle_lost(chunk, Lost("it was begun on a worker that then died", True))
        elif read.broken is not None:
            cause, trace = read.broken
            attach_traceback(cause, trace)
            reason = f"its workers cannot read the function ({cause})"
            self._sink(Broken(self._engine.lane, reason, cause, initializing=read.initializing))
        elif read.unread:
            self._singly = True  # so that only those that cannot be read fail
            self._sink([Block.end_of(chunk)])
        else:
            self._sink(blocks_of(chunk, read.outcomes))

    def _settle_lost(self, chunk: Chunk, lost: Lost) -> None:
        if lost.begun:
            self._sink(failed(chunk, [self._died(lost.why) for _ in range(chunk.count)], 0.0))
            return
        self._returned += 1
        if self._returned > TRIES:
            self._broken(f"its workers cannot run a batch ({lost.why})", WorkerDied(lost.why))
        else:
            self._sink([Block.end_of(chunk)])

    def _fail(self, chunk: Chunk, error: BaseException) -> None:
        self._sink(failed(chunk, [error] * chunk.count, 0.0))

    def _died(self, why: str) -> WorkerDied:
        return WorkerDied(
            f"A worker of {self._engine.lane} was lost with a batch of items ({why}), so whether"
            " this one was called is not known. retries=1 calls such items again."
        )

    # --- The end --------------------------------------------------------------------------------------

    def stop(self, chunk: Chunk, error: BaseException) -> None:
        """Report the chunk as failed, and cancel what runs it: it ends with the call that it is in."""
        with self._lock:
            sent = [(one, number) for one, (its, number) in self._chunks.items() if its is chunk]
            for one, _ in sent:
                del self._chunks[one]
        if sent:
            self._fail(chunk, error)
            self._engine.cancel(sent)

    def close(self, *, abandon: bool) -> None:
        """Cancel what is not done; the cluster stays as it is."""
        self._over.set()
        self._done.put(None)
        with self._lock:
            sent = [(one, number) for one, (_, number) in self._chunks.items()]
            self._chunks.clear()
        with contextlib.suppress(EngineDown):  # nothing to let go of
            if sent:
                self._engine.cancel(sent)
            self._engine.disconnect()


def _nothing_seen() -> int:
    """Items of a batch that were seen to start: its worker sees to the timeout."""
    return 0


def missing(package: str, lane: Lane) -> AutoexecError:
    """The error where an engine is not installed."""
    return AutoexecError(
        f"backend={lane!r} needs the package {package}, which is not installed:"
        f" pip install 'autoexec-parallel[{lane}]'"
    )
