"""One worker process, seen from here.

    pool --chunk--> outlet --pipe--> worker process
    pool <--blocks-- reader thread <--pipe--

The reader turns what comes back into blocks, and the end of the pipe into `WorkerDied` for the
items that were running, which the worker's notes tell.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _children, _thread_cache
from .._chunk import Block, Chunk
from .._worker.frames import frame, read_frame
from .._worker.notes import SLOTS
from .death import describe_exit
from .job import Job
from .outlet import Outlet
from .said import blocks_of, death_of, never_received, read_error
from .spawn import spawn
from .surroundings import hear

if TYPE_CHECKING:
    from .pool import Pool

TERMINATE_S = 0.25
"""What a worker and its children have between the request to end and the end."""
CHILDREN_S = 0.03
"""What the children of a call that was given up have after the end of their worker. They were asked to
end when it was; the worker that takes its place waits for them."""
FAREWELL_S = 1.0
"""What a worker has to end once it has closed its pipe, or to answer, before it is killed."""


class _Given(NamedTuple):
    """A chunk that is with a worker."""

    chunk: Chunk
    job: Job
    slot: int


class Worker:
    """A process, the chunks that are with it, and the thread that reads what it says."""

    def __init__(self, pool: Pool, environment: Mapping[str, str]) -> None:
        self._pool = pool
        self._given: dict[int, _Given] = {}  # by number, in the order in which they were given
        self._count = 0
        self._messages = 0  # with outcomes, that have come
        self._slots = list(range(SLOTS))
        self._stopping: dict[int, tuple[int, BaseException]] = {}  # number -> position, error
        self._told: dict[str, Any] | None = None
        self.began_at = time.perf_counter()
        """When its start began."""
        self.began_epoch_s = time.time()
        """The time of day of that."""
        self._spawned = spawn(environment)
        self._process = self._spawned.process
        _children.ours.add(self._process.pid)
        self._outlet = Outlet(self._spawned.to_it)
        self.calls = 0
        """Items that it has been given so far."""
        self.start_cpu_s = 0.0
        """What it has computed to come to the functions that it has."""
        self.up = False
        """It has said that it is there."""
        self.retired = False
        """It gets no more chunks."""
        self.dead = False
        self.tainted = False
        """A call was left behind in it that may still run, with processes that it has started."""
        self.ran = False
        """A call was under way when it died."""
        self.killed = False
        """By us."""
        self.hung = False
        """Since it had closed its pipe, and had not ended."""
        self._owner = os.getpid()
        self._reader = threading.Thread(target=self._read, name="autoexec-reader", daemon=True)
        try:
            self._reader.start()
        except BaseException:  # no more threads: the system's limit, or the interpreter is ending
            self.kill()
            self._reap()
            self._let_go()
            raise

    def is_ours(self) -> bool:
        """Whether this process has started it, and is no fork of that which has."""
        return self._owner == os.getpid()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether the process is there; it may have been killed a moment ago."""
        if self.dead:
            return False
        if sys.platform == "win32":
            return self._process.poll() is None
        try:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT  # leaves the exit code to `_reap`
            return os.waitid(os.P_PID, self._process.pid, options) is None
        except (OSError, AttributeError):  # gone; or macOS before Python 3.13
            return self._process.returncode is None

    def load(self) -> int:
        """Chunks that it has not finished."""
        return len(self._given)

    def load_of(self, job: Job) -> int:
        """Those of one job."""
        return sum(given.job is job for given in list(self._given.values()))

    def has(self, chunk: Chunk) -> bool:
        """Whether a chunk is with it."""
        return any(given.chunk is chunk for given in list(self._given.values()))

    # --- Telling it ---------------------------------------------------------------------------------

    def tell(self, *message: Any) -> None:
        """Send a message; what a dead worker is told is lost."""
        self._outlet.send(frame(message))

    def bring_up_to_date(self, now: dict[str, Any]) -> None:
        """Let it know of this process's directory, environment and so on, if they have changed."""
        if now != self._told:
            self._told = now
            self.tell("surroundings", now)

    def give(self, job: Job, chunk: Chunk, items: Any, count: int) -> None:
        """Let it run a chunk after those that it has.

        Args:
            job: Whose it is.
            chunk: The chunk.
            items: As they travel: each pickled by itself, or all in one piece.
            count: How many these are; the rest of the chunk comes back.

        Raises:
            MemoryError: There is none to send them; the worker has not got them.
        """
        number, slot = self._count + 1, self._slots[-1]
        message = frame(("chunk", job.id, number, slot, chunk.budget_s, items))
        self._count = number
        self._slots.pop()
        self._given[number] = _Given(chunk, job, slot)
        self.calls += count
        chunk.pid = self.pid
        chunk.noted = partial(self._spawned.notes.started, slot, number)
        self._outlet.send(message)

    # --- Hearing it ---------------------------------------------------------------------------------

    def _read(self) -> None:
        pipe = self._spawned.from_it
        try:
            while True:
                name, *rest = read_frame(pipe)
                getattr(self, f"_on_{name}")(*rest)
                del rest  # an idle worker must not keep results alive
        except (EOFError, OSError):
            pass  # its end
        except BaseException:  # whatever it is, nobody must wait for this worker any more
            self.kill()
            with contextlib.suppress(BaseException):  # it may be the user's
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), self._reader)))
        self._pool.has_ended(self)
        if self._stopping or self.tainted or self._given:
            # What a call has started that was given up, or died. Before the process is waited for: until
            # then its number, which is that of the group, cannot be given to another.
            time.sleep(CHILDREN_S)
            self._signal("SIGKILL")
        exit_text = describe_exit(self._reap())
        if self.killed:
            exit_text = "was ended by this process"
        self._bury(exit_text)
        self._pool.went_down(self, exit_text)
        self._let_go()

    def _let_go(self) -> None:
        """Close what it shared with us; it is gone."""
        self._outlet.close()
        self._spawned.notes.close()
        self._spawned.from_it.close()

    def _reap(self) -> int:
        """The exit code of the process, which has closed its pipe and so is about to end."""
        try:
            if not _children.reap(self._process, FAREWELL_S):
                self.kill()  # a call has closed the pipe, and goes on
                self.hung = True
                _children.reap(self._process, None)
        finally:
            _children.ours.discard(self._process.pid)
        return self._process.returncode

    def _on_up(self) -> None:
        self.up = True

    def _on_loaded(self, job: int, start_cpu_s: float) -> None:
        self.start_cpu_s = start_cpu_s
        self._pool.has_loaded(self, job)

    def _on_refused(self, job: int, error: bytes, text: str) -> None:
        self._pool.refused(self, job, read_error(error, text), text)

    def _on_said(self, kind: str, what: bytes) -> None:
        with contextlib.suppress(BaseException):  # a handler of the user's must not end this thread
            hear(kind, what)

    def _on_outcomes(self, number: int, values: list[Any], *rest: Any) -> None:
        if (given := self._given.get(number)) is None:
            return  # it was left behind
        chunk, job, slot = given
        self._messages += job.host is None  # the others keep no notes of results
        blocks = self._signed(blocks_of(chunk, values, *rest))
        chunk.arrived += sum(block.calls for block in blocks)
        if blocks[-1].error is not None:
            blocks[-1].error = self._reason(number, chunk.arrived - 1) or blocks[-1].error
        if blocks[-1].last:
            # In this order: by the first alone another worker's thread would take it to have room for a chunk, of which
            # it was given one more than there are slots, now and then, where 1,024 at once were asked for in each.
            self._slots.append(slot)
            self._given.pop(number, None)
            if self.retired and not self._given:
                self.tell("end")
            try:  # first, as there may be callbacks that hear of them
                self._pool.has_room(self)
            finally:
                job.sink(blocks)
        else:
            job.sink(blocks)

    # --- Its death ----------------------------------------------------------------------------------

    def _bury(self, exit_text: str) -> None:
        """Report what was with it: what was running failed, what was finished has its result, the
        rest comes back."""
        notes = self._spawned.notes
        kept = notes.kept(self._messages)
        lost = list(self._given.items())
        starts = {number: notes.started(slot, number) for number, (_, _, slot) in lost}
        self.ran = any(starts.values())
        for number, (chunk, job, _) in lost:
            blocks: list[Block] = []
            # Calls that run side by side do not keep their results there.
            values = [data for position, data in kept if position >= chunk.arrived]
            if starts[number] and values and job.host is None:
                kept = []
                blocks += blocks_of(chunk, values, None, None, 0.0, 0.0, 0.0, False)
                chunk.arrived += len(values)
            errors: list[BaseException] = []
            # One, unless what came of those before it could not be read, for want of memory.
            for position in range(chunk.arrived, starts[number]):
                reason = self._reason(number, position)
                errors.append(reason or death_of(chunk, position, exit_text))
            if not (errors or self.ran or self.killed) and number == lost[0][0]:
                if self in job.loaded and job.undeliverable(chunk.first):
                    errors.append(never_received(chunk, exit_text))
            blocks += [Block.untimed(chunk, [], error) for error in errors]
            chunk.arrived += len(errors)
            job.sink([*self._signed(blocks), Block.end_of(chunk)])
        self._given.clear()

    def _signed(self, blocks: list[Block]) -> list[Block]:
        """Blocks that say which process they come from."""
        for block in blocks:
            block.pid = self.pid
        return blocks

    def _reason(self, number: int, position: int) -> BaseException | None:
        """Why a call was given up, if it was."""
        at, error = self._stopping.get(number, (-1, None))
        return error if at == position else None

    def stop(self, chunk: Chunk, error: BaseException) -> None:
        """Give up the call that a chunk is in: it gets this error, and the worker ends.

        Where calls run side by side in it, only that call is given up, if it lets itself be.
        """
        for number, given in list(self._given.items()):
            if given.chunk is not chunk:
                continue
            if given.job.host is not None:
                if running := self._spawned.notes.running(given.slot, number):
                    self._stopping[number] = running - 1, error
                    self._give_up_within(number, given)
            else:
                self._end_in(number, given, error)

    def _give_up_within(self, number: int, given: _Given) -> None:
        """Let it leave one of the calls behind that it runs side by side; end it if it does not
        answer, since a call holds the GIL."""
        self.tainted = True
        self.tell("stop", given.job.id, number)

        def see_to_it() -> None:
            time.sleep(FAREWELL_S)
            if number in self._given:
                self.kill()

        self._soon(see_to_it)

    def _end_in(self, number: int, given: _Given, error: BaseException) -> None:
        """End it in the call that it is in, and in no later one."""
        notes = self._spawned.notes
        if not (before := notes.running(given.slot, number)):
            return
        self._stopping[number] = before - 1, error
        self._signal("SIGSTOP")
        time.sleep(0.001)  # a running process stops at its next return from the kernel
        if notes.running(given.slot, number) != before:
            self._signal("SIGCONT")  # that call has just ended: leave it at that
            return
        notes.halt()
        self._signal("SIGTERM")
        self._signal("SIGCONT")

        def see_to_it() -> None:
            if not self.gone(TERMINATE_S):
                self.kill()

        self._soon(see_to_it)

    def _soon(self, see_to_it: Callable[[], None]) -> None:
        """Wait elsewhere for what it makes of a request."""
        try:
            _thread_cache.start(see_to_it, "autoexec-killer")
        except RuntimeError:  # no more threads: nobody could kill it later
            self.kill()

    def leave_behind(self, job: Job) -> None:
        """Its calls go on in it, but nobody waits for them: it is killed when those of others have ended."""
        for number, given in list(self._given.items()):
            if given.job is job:
                self._given.pop(number, None)
        self.tainted = True

    # --- Ending it ----------------------------------------------------------------------------------

    def kill(self) -> None:
        """End it and what it has started at once."""
        self.killed = True
        self._signal("SIGKILL")

    def _signal(self, name: str) -> None:
        if self._process.returncode is not None or not self.is_ours():
            return  # its number may be somebody else's by now
        if sys.platform == "win32":
            if name in ("SIGTERM", "SIGKILL"):
                self._process.kill()
            return
        with contextlib.suppress(OSError):  # it has ended
            os.killpg(self._process.pid, getattr(signal, name))

    def retire(self) -> None:
        """Let it end by itself after what it does.

        It is told so when it has nothing left, since calls that it runs side by side would end with
        it; here, or by the reader as the last outcome comes, or by both, which does no harm.
        """
        self.retired = True
        if not self._given:
            self.tell("end")

    def end(self) -> None:
        """The same, and kill it if it takes its time."""
        self.retire()

        def see_to_it() -> None:
            while self.load() and self._reader.is_alive():  # it may take as long as its calls take
                time.sleep(0.1)
            if self.tainted or not self.gone(self._pool.farewell_s):
                self.kill()

        with contextlib.suppress(RuntimeError):  # no threads: it ends by itself, or with us
            _thread_cache.start(see_to_it, "autoexec-ender")

    def gone(self, timeout: float) -> bool:
        """Wait until it has ended and all of it was cleared away."""
        if self._reader is not threading.current_thread():
            self._reader.join(timeout)
        return not self._reader.is_alive()
