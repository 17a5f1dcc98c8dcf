"""A batch of items in a worker of somebody else's cluster: the far side of `_batches`.

The cluster moves bytes only; what they hold is read here, so that a function or an item that cannot be
read is an error of its items, and no scheduler needs the modules of the caller.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import nullcontext

from .. import _place
from .._call import run_chunk
from .._chunk import Chunk
from .._errors import NotPicklable
from .._pickling import dumps, loads
from .calls import Outcome
from .errors import portable_error
from .home import initialize

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._chunk import Block
    from .calls import Outcomes


Items = bytes | list[bytes]
"""Items on their way: together, or singly."""
KEPT_FUNCTIONS = 8
"""Functions of different runs that a worker remembers, with what they captured and what they keep."""


class Recipe:
    """How the batches of a run are run.

    Args:
        run: Names the run: a worker reads its function once.
        host: The class of an executor that runs calls side by side.
        timeout_s: What a call may take; None for as long as it likes.
        error: What has then become of it.
    """

    def __init__(
        self,
        run: str,
        host: type,
        timeout_s: float | None = None,
        error: BaseException | None = None,
    ) -> None:
        self.run = run
        self.host = host
        self.timeout_s = timeout_s
        self.error = error


class Batch:
    """How one batch is run; its items travel beside it."""

    def __init__(self, number: int, recipe: bytes, *, width: int, alone: bool) -> None:
        self.number = number
        self.recipe = recipe
        """A `Recipe`, pickled."""
        self.width = width
        """Calls at once."""
        self.alone = alone
        """No other batch is to run beside it in this process."""


class Answer:
    """What became of a batch."""

    def __init__(
        self,
        outcomes: Outcomes,
        *,
        refused: bool = False,
        unread: bool = False,
        broken: tuple[BaseException, str] | None = None,
        initializing: bool = False,
    ) -> None:
        self.outcomes = outcomes
        self.refused = refused
        """It was begun before, by somebody who did not end it."""
        self.unread = unread
        """Its items could not be read, so none was called."""
        self.broken = broken
        """Why the function cannot be called here at all, and the traceback of that."""
        self.initializing = initializing
        """That came of the initializer."""


class Barred:
    """Takes the place of an item that could not be pickled."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Unwanted(BaseException):
    """Nobody waits for the batch any more."""


def hello() -> str:
    """Tells that a worker is there and can import this."""
    return "hello"


def run_batch(
    fn: bytes,
    items: Items,
    batch: Batch,
    *,
    begin: Callable[[], bool] | None = None,
    wanted: Callable[[], bool] | None = None,
) -> bytes:
    """Run a batch.

    Args:
        fn: The function, and an initializer with its arguments, or None.
        items: What it is called with.
        batch: How.
        begin: Says whether it may begin, which it may once.
        wanted: Says whether somebody still waits for it.

    Returns:
        An `Answer`, pickled.
    """
    mark = _place.in_batch.set(True)
    try:
        with _turn if batch.alone else nullcontext():
            return _run(fn, items, batch, begin, wanted)
    finally:
        _place.in_batch.reset(mark)


_turn = threading.Lock()
"""Held by a batch that runs alone."""


def _run(
    fn: bytes,
    items: Items,
    batch: Batch,
    begin: Callable[[], bool] | None,
    wanted: Callable[[], bool] | None,
) -> bytes:
    if begin is not None and not begin():
        return dumps(Answer([], refused=True))
    try:
        recipe: Recipe = loads(batch.recipe)
        call = _function(recipe.run, fn)
    except _InitializerRaised as raised:
        return dumps(Answer([], broken=portable_error(raised.error), initializing=True))
    except BaseException as error:  # reading is the user's code
        return dumps(Answer([], broken=portable_error(error)))
    try:
        values = read_items(items)
    except BaseException:
        return dumps(Answer([], unread=True))
    if any(type(value) is Barred for value in values):
        call = _raising_barred(call)
    if batch.width > 1 or recipe.timeout_s is not None:
        from .crew import Crew  # only for batches that need it

        late = recipe.error or TimeoutError()
        crew = Crew(recipe.host, call, values, width=batch.width, wanted=wanted)
        blocks = crew.run(recipe.timeout_s, late)
    else:
        blocks = _one_by_one(call, values, wanted)
    return _packed([Outcome.of(block) for block in blocks])


# --- The items ----------------------------------------------------------------------------------------


def pack_items(items: list[Any], *, singly: bool = False) -> Items:
    """Pickle items: together, which costs least and keeps what they share; or singly, so that one that
    cannot be pickled, or read, costs no other."""
    if not singly:
        try:
            return dumps(items)
        except NotPicklable:
            pass
    return [_pack_one(item) for item in items]


def _pack_one(item: Any) -> bytes:
    try:
        return dumps(item)
    except NotPicklable as error:
        return dumps(Barred(error))


def read_items(items: Items) -> list[Any]:
    """The items again."""
    if isinstance(items, bytes):
        values: list[Any] = loads(items)
        return values
    return [_read_one(item) for item in items]


def _read_one(item: bytes) -> Any:
    try:
        return loads(item)
    except BaseException as error:
        return Barred(portable_error(error)[0])


# --- The function -------------------------------------------------------------------------------------

_functions: OrderedDict[str, Any] = OrderedDict()
_reading = threading.Lock()


class _InitializerRaised(Exception):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def _function(run: str, wire: bytes) -> Any:
    """The function of a run, read when its first batch comes: what it keeps from call to call is kept
    for the others, as in any worker process."""
    with _reading:
        if run not in _functions:
            fn, initializer = loads(wire)
            if initializer is not None:
                _begin_with(*initializer)
            _functions[run] = fn
            while len(_functions) > KEPT_FUNCTIONS:
                _functions.popitem(last=False)
        _functions.move_to_end(run)
        return _functions[run]


def _begin_with(initializer: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        initialize(initializer, arguments)
    except BaseException as error:
        raise _InitializerRaised(error) from None


def _raising_barred(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def call(item: Any) -> Any:
        if type(item) is Barred:
            raise item.error
        return fn(item)

    return call


# --- One after another --------------------------------------------------------------------------------


def _one_by_one(
    fn: Callable[[Any], Any], items: list[Any], wanted: Callable[[], bool] | None
) -> list[Block]:
    blocks: list[Block] = []
    chunk = Chunk(0, items, "external", "external")
    chunk.watched = True  # for the time without a core, which is not waiting

    def call(item: Any) -> Any:
        if not wanted():  # type: ignore[misc]
            chunk.recall()
            raise _Unwanted
        return fn(item)

    run_chunk(fn if wanted is None else call, chunk, blocks.append)
    return blocks


# --- The way home -------------------------------------------------------------------------------------


def _packed(outcomes: Outcomes) -> bytes:
    """The answer; where a result cannot be pickled, that is the error of its item."""
    try:
        return dumps(Answer(_joined(outcomes)))
    except NotPicklable:
        return dumps(Answer(_joined([part for one in outcomes for part in _parts(one)])))


def _parts(outcome: Outcome) -> Outcomes:
    """An outcome as one for each item, with an error for a result that cannot travel."""
    calls = len(outcome.values) + (outcome.error is not None)
    times = outcome.wall_s / max(1, calls), outcome.cpu_s / max(1, calls), outcome.began_s
    found: Outcomes = []
    for value in outcome.values:
        try:
            dumps(value)
        except NotPicklable as error:
            found.append(Outcome([], *portable_error(error), *times))
        else:
            found.append(Outcome([value], None, None, *times))
    if outcome.error is not None:
        found.append(Outcome([], outcome.error, outcome.traceback, *times))
    return found


def _joined(outcomes: Outcomes) -> Outcomes:
    """The same with values that follow each other in one: a block for each of a thousand items would
    cost the caller 5 ms."""
    found: Outcomes = []
    for one in outcomes:
        last = found[-1] if found else one
        if last is one or last.error is not None or one.error is not None:
            found.append(one)
            continue
        last.values.extend(one.values)
        last.wall_s += one.wall_s
        last.cpu_s += one.cpu_s
        last.queued_s += one.queued_s
    return found
