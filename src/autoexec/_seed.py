"""The random streams of items: one for each, whatever runs it and whatever ran before."""

from __future__ import annotations

import sys
from contextvars import ContextVar

from ._chunk import Chunk

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from typing import Any

    import numpy

    from ._routes import Lane, Route


class _Streams:
    """The streams of one item, made when they are asked for."""

    def __init__(self, seed: int, index: int) -> None:
        self._seed = seed
        self._index = index
        self._random: random.Random | None = None
        self._generator: numpy.random.Generator | None = None

    def number(self) -> int:
        import hashlib

        text = f"{self._seed}:{self._index}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")

    def random(self) -> random.Random:
        if self._random is None:
            import random

            self._random = random.Random(self.number())
        return self._random

    def generator(self) -> numpy.random.Generator:
        if self._generator is None:
            from numpy.random import SeedSequence, default_rng

            self._generator = default_rng(SeedSequence(self._seed, spawn_key=(self._index,)))
        return self._generator


_current: ContextVar[_Streams] = ContextVar("autoexec_item")


def draws(value: object) -> bool:
    """Whether it is a random generator with a state of its own, which a copy of it would draw the same from."""
    kind = type(value)
    if kind.__module__.startswith("numpy.random"):
        return kind.__name__ in ("Generator", "RandomState")
    random = sys.modules.get("random")
    return (
        random is not None and isinstance(value, random.Random) and kind is not random.SystemRandom
    )


def item_seed() -> int:
    """A number of 128 bits for the item that is being run, made from the run's `seed` and its index.

    Raises:
        RuntimeError: No item of a run with a `seed` is being run here.
    """
    return _streams("item_seed").number()


def item_random() -> random.Random:
    """The random stream of the item that is being run: the same generator throughout the call, and
    the same numbers on every backend, with any number of workers, and on each attempt.

    Raises:
        RuntimeError: No item of a run with a `seed` is being run here.
    """
    return _streams("item_random").random()


def item_generator() -> numpy.random.Generator:
    """The same for NumPy: `default_rng(SeedSequence(seed, spawn_key=(index,)))`.

    Raises:
        RuntimeError: No item of a run with a `seed` is being run here.
        ImportError: NumPy is not installed.
    """
    return _streams("item_generator").generator()


def _streams(name: str) -> _Streams:
    streams = _current.get(None)
    if streams is None:
        raise RuntimeError(
            f"{name}() tells of the item that is being run, but there is none here: call it in the"
            " function of a run with the option seed=, in the thread or task that runs the item."
        )
    return streams


# --- How the index of an item reaches its call ----------------------------------------------------------


class NumberedChunk(Chunk):
    """A chunk whose executor is given each item with its index, for `Seeded` to unpack. Everybody
    else sees the items as they are, and runs without a seed pay nothing."""

    __slots__ = ()

    def __init__(
        self, first: int, source: Sequence[Any], lane: Lane, route: Route, start: int = 0
    ) -> None:
        numbered = list(enumerate(source[start:], first))
        super().__init__(first, numbered, lane, route)

    def item(self, position: int) -> Any:
        """The item at a position from the start of the chunk."""
        return self.source[position][1]

    def between(self, first: int, end: int) -> Sequence[Any]:
        """The items from one position to before another."""
        return [item for _, item in super().between(first, end)]


class Seeded:
    """Calls a function with the item of a numbered one, and lets it ask for the item's streams."""

    def __init__(self, fn: Callable[[Any], Any], seed: int) -> None:
        self.fn = fn
        self.seed = seed
        self.__wrapped__ = fn  # so that `inspect` and reports see through it

    def __call__(self, numbered: tuple[int, Any]) -> Any:
        index, item = numbered
        token = _current.set(_Streams(self.seed, index))
        try:
            return self.fn(item)
        finally:
            _current.reset(token)


class SeededTask(Seeded):
    """The same where calls are awaited: the streams are there until the coroutine ends."""

    async def __call__(self, numbered: tuple[int, Any]) -> Any:
        index, item = numbered
        token = _current.set(_Streams(self.seed, index))
        try:
            result = self.fn(item)
            return await result if hasattr(result, "__await__") else result
        finally:
            _current.reset(token)
