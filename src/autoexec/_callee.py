"""The function that a run calls: as executors call it, what its calls change here, and what it takes to call it
elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._bytecode import effect_in_code, may_change_objects
from ._chunk import Chunk
from ._decimals import Rounding, TaskRounding, rounding_of_caller
from ._effects import difference, snapshot
from ._function import RunCoroutine, Star, is_async, name_of, undecorated
from ._options import Settings
from ._payload import weigh
from ._pickling import Packed
from ._seed import Seeded, SeededTask
from ._ties import kept_here
from ._types import Payload
from ._variables import AsHere


class Callee:
    """The function of a run.

    Args:
        fn: Called with one item, or with what `star` makes of it.
        settings: How it is called.

    Raises:
        NotPicklable: A value of `context` cannot travel.
    """

    def __init__(self, fn: Callable[..., Any], settings: Settings) -> None:
        self.fn = undecorated(fn)
        """Without `@parallel`; what is learned of it is kept by this."""
        self.name = name_of(self.fn)
        self._settings = settings
        self._is_async = is_async(self.fn)
        self.awaited = self._is_async and settings.route in ("auto", "asyncio", "hybrid")
        """Its calls run on an event loop; those of other coroutine functions get one of their own each."""
        self._call = self._adapted(self.fn)
        # A decorated function goes by the name of what it was decorated as.
        whole = self._in_context(self._call if fn is self.fn else self._adapted(fn))
        # Who asks for processes has their variables; otherwise calls there must not differ from those here.
        self.packed = Packed(
            self._call, AsHere(whole, self.fn) if settings.route == "auto" else whole
        )
        """What executors call with each item, here or in another process."""
        self._before: dict[Chunk, Any] = {}

    def _adapted(self, fn: Callable[..., Any]) -> Callable[[Any], Any]:
        """What is called with each item."""
        settings = self._settings
        call = Star(fn) if settings.star else fn
        if self._is_async and not self.awaited:
            call = RunCoroutine(call)
        if settings.seed is not None:
            seeded = SeededTask if self.awaited or settings.route == "asyncio" else Seeded
            call = seeded(call, settings.seed)
        return call

    def _in_context(self, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """What goes to other processes: with what the caller's context has that calls there would not see."""
        if (rounding := rounding_of_caller()) is not None:
            call = (TaskRounding if self.awaited else Rounding)(call, rounding)
        if not self._settings.context:
            return call
        from ._context import InContext, TaskInContext, values_of

        kind = TaskInContext if self.awaited else InContext
        return kind(call, values_of(self._settings.context))

    def note_before(self, chunk: Chunk) -> None:
        """Look at what a call may change, which it does not before it has begun."""
        self._before[chunk] = snapshot(self._call, chunk.item(0))

    def was_noted(self, chunk: Chunk) -> bool:
        """Whether what a call may change was looked at before it, and not yet after it."""
        return chunk in self._before

    def changed_by(self, chunk: Chunk) -> str | None:
        """What is not as it was before a call that was noted."""
        return difference(self._before.pop(chunk), snapshot(self._call, chunk.item(0)))

    def tie(self, *, loop_bound: bool) -> str | None:
        """What plainly ties it to this process, by its code and what that can reach.

        Args:
            loop_bound: Objects of an event loop are such.
        """
        carried = self._settings.context
        tie = kept_here(self.fn, loop_bound=loop_bound, carried=carried)
        return tie or effect_in_code(self.fn)

    def may_change(self) -> bool:
        """Whether its code may change objects of the caller's besides."""
        return may_change_objects(self.fn)

    def weigh(self, item: Any, result: Any) -> Payload:
        """What it would take to send it an item in another process, and its result back."""
        return weigh(self.packed, item, result)
