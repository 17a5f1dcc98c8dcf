"""What executors run in a process: a caller's own, chunks; that of this package, single calls.

It imports little, since every worker of such an executor pays for it at its start.
"""

from __future__ import annotations

import functools
from pickle import PickleBuffer

from .._call import run_chunk
from .._chunk import Block, Chunk
from .._errors import short_repr
from .._pickling import Portable, pack, unpack
from .errors import portable_error

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .._pickling import Wire

# --- Chunks ------------------------------------------------------------------------------------------


class Outcome:
    """A `Block` without its chunk, as it travels."""

    __slots__ = ("began_s", "cpu_s", "error", "queued_s", "traceback", "values", "wall_s")

    def __init__(
        self,
        values: list[Any],
        error: BaseException | None,
        traceback: str | None,
        wall_s: float,
        cpu_s: float,
        began_s: float,
        queued_s: float = 0.0,
    ) -> None:
        self.values = values
        self.error = error
        self.traceback = traceback
        self.wall_s = wall_s
        self.cpu_s = cpu_s
        self.began_s = began_s
        self.queued_s = queued_s


Outcomes = list[Outcome]


def run_portable(fn: Portable, items: Portable) -> Outcomes:
    """Call the function on each item; errors become values that can travel."""
    outcomes: Outcomes = []

    def emit(block: Block) -> None:
        error, traceback = None, None
        if block.error is not None:
            error, traceback = portable_error(block.error)
        times = block.wall_s, block.cpu_s, block.began_s
        outcomes.append(Outcome(list(block.values), error, traceback, *times))

    run_chunk(fn.value, Chunk(0, items.value, "external", "external"), emit)
    return outcomes


# --- Single calls ------------------------------------------------------------------------------------

_left: dict[str, Any] = {}
"""What the initializer left in the globals of the caller's main program."""


class Call:
    """A function and its arguments on their way to a worker, where they arrive as a tuple.

    It is pickled when it is made, so by who wants the call: nobody else should run, wait for and
    fail by what the classes of its arguments do then.

    Raises:
        NotPicklable: It cannot travel.
    """

    __slots__ = ("_parts", "_wire", "returns")

    def __init__(self, *parts: Any) -> None:
        self._parts = parts
        self._wire = _kept(pack(parts))
        self.returns = 0
        """How often it came back unstarted."""

    def __reduce__(self) -> tuple[Any, ...]:
        return unpack, (self._wire,)

    def __repr__(self) -> str:
        fn, arguments, keywords = self._parts
        texts = [_name(value) for value in arguments]
        texts += [f"{name}={_name(value)}" for name, value in keywords.items()]
        return f"{_name(fn)}({', '.join(texts)})"


def _kept(wire: Wire) -> Wire:
    """The wire with copies of its buffers: they are the very memory of the arguments, which the caller may
    write to before it is sent."""
    if isinstance(wire, bytes):
        return wire
    data, buffers = wire
    return data, [_copied(buffer) for buffer in buffers]


def _copied(buffer: PickleBuffer) -> PickleBuffer:
    with buffer.raw() as raw:
        return PickleBuffer(bytes(raw) if raw.readonly else bytearray(raw))


def _name(value: object) -> str:
    name = getattr(value, "__qualname__", None)
    return name if isinstance(name, str) else short_repr(value)


def run_call(call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]) -> Any:
    """Make a call that has arrived."""
    fn, arguments, keywords = call
    return _at_home(fn)(*arguments, **keywords)


def run_each(fn: Callable[..., Any], inputs: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Call the function with each of the arguments."""
    fn = _at_home(fn)
    return [fn(*arguments) for arguments in inputs]


def initialize(fn: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Call an initializer, and keep the globals that it sets for the calls to come.

    Functions of the main program travel by value, each with globals of its own, so a call would
    not see them otherwise.
    """
    fn(*arguments)
    own = _main_globals(fn)
    _left.update({name: value for name, value in own.items() if not name.startswith("__")})


def _at_home(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which sees what the initializer left."""
    _main_globals(fn).update(_left)
    return fn


class AtHome:
    """A function on its way to workers with an initializer, where it arrives as itself, and sees
    what that has left."""

    def __init__(self, fn: Any) -> None:
        self._fn = fn

    def __reduce__(self) -> tuple[Any, ...]:
        return _settle_in, (self._fn,)


def _settle_in(fn: Any) -> Any:
    layer = fn
    while layer is not None:
        _at_home(layer)
        layer = getattr(layer, "__wrapped__", None)
    return fn


def _main_globals(fn: Any) -> dict[str, Any]:
    """The globals of a function of the main program; of any other, an empty dictionary."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = getattr(fn, "__func__", fn)  # of a method
    if not hasattr(fn, "__globals__"):
        fn = type(fn).__call__  # of an object that can be called
    own: dict[str, Any] = getattr(fn, "__globals__", {})
    return own if own.get("__name__") == "__main__" else {}
