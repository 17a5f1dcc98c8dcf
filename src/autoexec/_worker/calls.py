"""What executors run in a process: a caller's own, chunks; that of this package, single calls.

It imports little, since every worker of such an executor pays for it at its start.
"""

from __future__ import annotations

from pickle import PickleBuffer

from .._call import run_chunk
from .._chunk import Block, Chunk
from .._errors import NotPicklable, short_repr, text_of_cause
from .._pickling import Portable, pack, unpack
from .errors import portable_error
from .home import at_home

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

    @classmethod
    def of(cls, block: Block) -> Outcome:
        """What a block tells, with an error that can travel."""
        error, traceback = None, None
        if block.error is not None:
            error, traceback = portable_error(block.error)
        times = block.wall_s, block.cpu_s, block.began_s, block.queued_s
        return cls(list(block.values), error, traceback, *times)


Outcomes = list[Outcome]


def run_portable(fn: Portable, items: Portable) -> Outcomes:
    """Call the function on each item; errors become values that can travel."""
    outcomes: Outcomes = []

    def emit(block: Block) -> None:
        outcomes.append(Outcome.of(block))

    run_chunk(fn.value, Chunk(0, items.value, "external", "external"), emit)
    return outcomes


# --- Single calls ------------------------------------------------------------------------------------


class Call:
    """A function and its arguments on their way to a worker, where they arrive as a tuple.

    It is pickled when it is made, on the thread that wants the call: pickling runs code of the arguments'
    classes, and nobody else should run that, wait for it, or fail because of it.

    Raises:
        NotPicklable: It cannot travel.
    """

    __slots__ = ("_parts", "_wire", "returns")

    def __init__(self, *parts: Any) -> None:
        self._parts = parts
        try:
            self._wire = _kept(pack(parts))
        except NotPicklable as error:
            if parts[0] is run_portable:  # the call is our own: what it carries has said so
                raise
            raise NotPicklable(
                f"The call {short_repr(self)} cannot travel to a worker process: {text_of_cause(error)}."
                " Pass what can be pickled, or use a ThreadPoolExecutor."
            ) from error.__cause__
        self.returns = 0
        """How often it came back unstarted."""

    def __reduce__(self) -> tuple[Any, ...]:
        return unpack, (self._wire,)

    def __repr__(self) -> str:
        fn, arguments, keywords = self._parts
        if fn is not run_each:
            return _text(fn, arguments, keywords)
        fn, inputs = arguments
        rest = f" and {len(inputs) - 1} more" if len(inputs) > 1 else ""
        return _text(fn, inputs[0], {}) + rest


def _text(fn: object, arguments: Iterable[object], keywords: dict[str, object]) -> str:
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
    return at_home(fn)(*arguments, **keywords)


def run_each(fn: Callable[..., Any], inputs: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Call the function with each of the arguments."""
    fn = at_home(fn)
    return [fn(*arguments) for arguments in inputs]
