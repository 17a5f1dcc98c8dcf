"""What becomes of items: results and failures to the window, those to be tried again to the intake, all
of it to whoever writes it down; and the error that ends the run, if there is one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from types import CoroutineType
from typing import Any

from ._chunk import Block, Chunk
from ._errors import ItemTimeout, NotSent, annotate, short_repr, star_hint
from ._intake import Intake
from ._options import Settings
from ._retries import PolicyFailed, Retries
from ._types import Settled
from ._window import StreamWindow, UnorderedWindow, Window


class Outcomes:
    """Puts outcomes in their places.

    Args:
        settings: What is made of errors, and how often a call is tried.
        name: That of the function, for errors.
        intake: Gets back the items that are not done.
        stream: Results leave one by one.
    """

    def __init__(self, settings: Settings, name: str, intake: Intake, *, stream: bool) -> None:
        self.window = _window(settings, stream)
        self.retries = Retries(settings.retries)
        self.settled: list[Settled] | None = [] if settings.recorded else None
        """What has become of items, for the driver to write down; None: nobody does."""
        self.error: BaseException | None = None
        """What ends the run."""
        self.last_value: Any = None
        self.resumed = 0
        """Items whose outcome is that of an earlier run."""
        self._settings = settings
        self._name = name
        self._intake = intake

    def recall(self, known: Sequence[Settled], items: Sequence[Any], first: int) -> None:
        """Take over what an earlier run has settled.

        Args:
            known: That.
            items: Those that came from the input with them.
            first: The index of the first of these.
        """
        for some in known:
            self.resumed += some.covers
            self.window.put_values(some.first, list(some.values))
            if some.error is not None:
                item = items[some.first - first]
                if self.window.put_error(some.first, item, some.error, some.wall_s):
                    self._end_with(some.error)

    def add(self, block: Block, now: float) -> bool:
        """Put the outcomes of a block in their places, and count them in its chunk. An item that could not
        be sent is to stay, and is none.

        Returns:
            Whether the last call is to be tried again, so that its item has no outcome yet.
        """
        chunk, end = block.chunk, block.at + len(block.values)
        first = chunk.first + block.at
        self.window.put_values(first, block.values)
        if self.retries.on and chunk.count == 1 and block.values:
            self.retries.settled(first)
        chunk.done += len(block.values)
        if block.values:
            self.last_value = block.values[-1]
        if isinstance(block.error, NotSent) and self._settings.route == "auto":
            self._intake.stays.add(chunk.first + end)  # it comes back with the rest
            block.error = None
        elif self._intake.stays and block.calls:
            self._intake.stays.discard(first)
        again = block.error is not None and self._again(chunk, end, block.error, now)
        if self.settled is not None:
            self._note(block, first, None if again else block.error)
        if block.error is not None and not again:
            self._failed(chunk, end, block.error, block.wall_s)
        return again

    def add_unannounced(self, chunk: Chunk) -> int:
        """Keep what the calls of a chunk came to of which nothing was announced yet. Returns how many."""
        arrived, values = -1, list[Any]()
        while arrived != chunk.arrived:  # else its thread has announced some in between
            arrived, values = chunk.arrived, list(chunk.partial or ())
        heard = max(0, chunk.done - arrived)  # of these, as its thread was about to count them
        first, values = chunk.first + arrived + heard, values[heard:]
        self.window.put_values(first, values)
        if self.settled is not None and values:
            self.settled.append(Settled(first, values, lane=chunk.lane))
        return len(values)

    def refuse_coroutine(self, value: Any) -> None:
        """End the run if a function that is not `async def` has returned a coroutine."""
        if isinstance(value, CoroutineType):
            value.close()
            self.error = TypeError(
                f"{self._name} returned a coroutine, though it is not an async def function itself:"
                " pass the async def function, or backend='asyncio'."
            )

    def _note(self, block: Block, first: int, error: BaseException | None) -> None:
        """Have outcomes written down."""
        assert self.settled is not None
        if block.values or error is not None:
            chunk, times = block.chunk, (block.wall_s, block.began_s)
            self.settled.append(Settled(first, block.values, error, *times, chunk.lane, block.pid))

    def _again(self, chunk: Chunk, position: int, error: BaseException, now: float) -> bool:
        """Put an item off that is to be tried again; whether it is."""
        if not self.retries.on or self.error is not None:
            return False
        item, index = chunk.item(position), chunk.first + position
        try:
            wait_s = self.retries.wait_s(index, error)
        except PolicyFailed as failed:
            self.error = failed
            return False
        if wait_s is None:
            return False
        self._intake.put_off(index, item, now + wait_s)
        chunk.done += 1
        return True

    def _failed(self, chunk: Chunk, position: int, error: BaseException, wall_s: float) -> None:
        item, index = chunk.item(position), chunk.first + position
        chunk.done += 1
        if (attempts := self.retries.settled(index)) > 1:
            annotate(error, f"It was the last of {attempts} attempts (see the option `retries`).")
        hint = "" if self._settings.star else star_hint(error, item)
        annotate(
            error,
            f"{self._name} was called with item {index}, {short_repr(item)}"
            f" (by autoexec, on {chunk.lane}).{hint}",
        )
        if isinstance(error, ItemTimeout):
            wall_s = self._settings.timeout or wall_s
        if self.window.put_error(index, item, error, wall_s):
            self._end_with(error)

    def _end_with(self, error: BaseException) -> None:
        """End the run with the first of such errors. Whether one is true is its class's to say: one that is a
        list of problems may have none."""
        if self.error is None:
            self.error = error


def _window(settings: Settings, stream: bool) -> Window:
    if not stream:
        return Window(settings.on_error)
    return (StreamWindow if settings.ordered else UnorderedWindow)(settings.on_error)
