"""The input of a run, and how items are taken from it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

PULL_S = 0.005
"""Seconds after which what came from the input goes on its way, though more was asked for."""

AHEAD = 16
"""Of so many items that came from an input since it paused, one may wait for the next: that may be of the page after, or
of what a queue is sent in an hour. With all that there was room for, the ten of a page began when the next page came,
half a second later. Not before an input has paused: to look so often at what to do would take a run over a generator of
200,000 twice its 18 ms."""

_EMPTY: dict[Any, Any] = {}
_VIEWS = type(_EMPTY.keys()), type(_EMPTY.values()), type(_EMPTY.items())
COLLECTIONS = frozenset([list, tuple, set, frozenset, dict, deque, range, *_VIEWS])
"""What is taken at once, as all of it will be held anyway: a tuple or range of 200,000 tiny items, which were taken
block by block, took 9.4 and 12.5 ms, a list 7.1; with this 6.8 and 9.4. These two are not even copied, as nobody can
change them: 1.1 and 1.2 times a list comprehension, the best of forty runs, instead of 1.4 and 1.8."""
AT_ONCE = 1_000_000
"""The most, of others than lists: of more a part is taken at a time. So many references take 8 MB."""

Taken = tuple[Sequence[Any], bool, BaseException | None]
"""Items, whether these are the last, and what the input raised after them."""


class Pulled(NamedTuple):
    """Items came to a source that is not waited for: see its `collected`."""


class Source:
    """An iterable. Only the thread that drives the run takes from it.

    Args:
        items: What `iterator` goes over.
        whole: What is one of `COLLECTIONS` is taken at once, since all of it will be held anyway. Else items are
            taken later, and an input that is empty now need not be so by then.
    """

    def __init__(
        self, items: Iterable[Any], iterator: Iterator[Any], *, whole: bool = True
    ) -> None:
        self.iterator = iterator
        length = len(items) if isinstance(items, Sized) else None
        few = type(items) is list or (length is not None and length <= AT_ONCE)
        self._whole = items if whole and few and type(items) in COLLECTIONS else None
        self.length: int | None = length if whole else length or None
        self._came = 0
        """Items since it last paused."""
        self._pauses = False

    @property
    def may_block(self) -> bool:
        """Whether taking from it may take as long as it likes: it is no collection."""
        return self.length is None

    def take(self, count: int) -> Taken | None:
        """Up to `count` items. None: they are pulled meanwhile, see `Pulled`."""
        whole = self._whole
        if whole is not None:
            if type(whole) is tuple or type(whole) is range:
                return whole, True, None
            # All at once: a copy, since the caller may change it meanwhile, but only one.
            return list(whole), True, None
        return self._pull(count)

    def _pull(self, count: int) -> Taken:
        if self.may_block:
            count = min(count, max(1, self._came // AHEAD if self._pauses else self._came))
        until = time.perf_counter() + PULL_S
        taken = self._take_until(until, count)
        paused = time.perf_counter() > until
        self._pauses = self._pauses or paused
        self._came = 0 if paused else self._came + len(taken[0])
        return taken

    def _take_until(self, until: float, count: int) -> Taken:
        items: list[Any] = []
        step = 1
        try:
            while len(items) < count and (step == 1 or time.perf_counter() < until):
                wanted = len(items) + min(step, count - len(items))
                items.extend(islice(self.iterator, wanted - len(items)))
                if len(items) < wanted:
                    return items, True, None
                step *= 2
        except (KeyboardInterrupt, SystemExit):
            raise  # of a Ctrl-C, or of who handles another signal: they end the run at once
        except BaseException as error:  # the input's own: it follows the results before it
            return items, True, error
        return items, False, None

    pulling = False
    """Items are on their way."""

    def collected(self) -> Taken:
        """What came of them so far."""
        raise NotImplementedError

    def belong_to(self, loop: AbstractEventLoop, sink: Callable[[Pulled], None]) -> None:
        """The loop that the run belongs to, and who hears of items that come meanwhile."""

    def close(self) -> None:
        """Nobody takes from it any more."""
