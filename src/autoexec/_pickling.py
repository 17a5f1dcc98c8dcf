"""Bytes of functions, items and results, as they travel to and from worker processes.

A pickled value on its way is a `Wire`: mostly just bytes. Large buffers, such as those of arrays,
are not copied into the pickle but go beside it (protocol 5, out of band): the pipe is written from
the very memory of the sender's object and read into what becomes the receiver's, which may
therefore be written to. Worker processes import this at their start, so it imports little.
"""

from __future__ import annotations

import functools
import gc
import io
import pickle
import sys
import threading
import types
from itertools import chain
from weakref import WeakSet

from ._errors import NotPicklable, short_repr, text_of

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from typing import Any

    Wire = bytes | tuple[Any, ...]

PROTOCOL = 5
_NUMBERS = frozenset((int, float, bool, type(None)))
_PLAIN = _NUMBERS | {str}
LARGE_BYTES = 1 << 16
"""A buffer of this size or more is not copied: one more buffer costs 5 µs, as copying 64 kB does."""


def pack(value: Any) -> Wire:
    """Pickle a value so that any fresh interpreter with the same modules can read it.

    Returns:
        The pickle, or if there is anything large in it: the pickle and its buffers. A large bytes
        object is a buffer by itself, beside the pickle None.

    Raises:
        NotPicklable: With the type that could not be pickled and what to do.
    """
    kind = type(value)
    if kind in _NUMBERS:  # 1 µs instead of 3
        return pickle.dumps(value, PROTOCOL)
    if kind in (bytes, bytearray) and len(value) >= LARGE_BYTES:
        return None, [pickle.PickleBuffer(value)]
    buffers: list[pickle.PickleBuffer] = []
    data = _dumps(value, buffers)
    if not buffers and len(data) < LARGE_BYTES:
        return data
    return pickle.PickleBuffer(data), buffers


def pack_plain(items: list[Any]) -> bytes | pickle.PickleBuffer | None:
    """Pickle items in one piece, if they are such as cannot fail on their way, nor be changed when they are
    there: texts and numbers, or tuples of them. None if they are not.

    They need not be read one by one for an error to have its item, nor kept apart. 4,000 texts of 27 kB, of
    which each was pickled by itself and then copied into its frame, took the sender 0.2 s.
    """
    kinds = set(map(type, items))
    if kinds == {tuple}:
        kinds = set(map(type, chain.from_iterable(items)))
    if not kinds <= _PLAIN:
        return None
    try:
        data = pickle.dumps(items, PROTOCOL)
    except MemoryError:  # which of them is to blame is found one by one
        return None
    return data if len(data) < LARGE_BYTES else pickle.PickleBuffer(data)


def pack_function(fn: Any) -> Wire:
    """The same for what is worth more care: large bytes anywhere in the state of a function are not
    copied either, which takes a Python call for each object in it."""
    buffers: list[pickle.PickleBuffer] = []
    texts: list[pickle.PickleBuffer] = []
    data = _dumps(fn, buffers, texts)
    if not buffers and not texts and len(data) < LARGE_BYTES:
        return data
    return pickle.PickleBuffer(data), buffers, texts


def unpack(wire: Wire) -> Any:
    """The value again. It may use the very memory of the wire."""
    if isinstance(wire, bytes):
        return pickle.loads(wire)
    data, buffers, *texts = wire
    if data is None:
        # What has travelled is the value; else it holds what it was packed from.
        (value,) = buffers
        if isinstance(value, pickle.PickleBuffer):
            return bytes(value) if memoryview(value).readonly else bytearray(value)
        return value
    if not texts:
        return pickle.loads(data, buffers=buffers)
    return _Reader(data, buffers, texts[0]).load()


class _Reader(pickle.Unpickler):
    def __init__(self, data: Any, buffers: list[Any], texts: list[Any]) -> None:
        super().__init__(io.BytesIO(data), buffers=buffers)
        self._texts = texts

    def persistent_load(self, pid: Any) -> Any:
        return bytes(self._texts[pid])


def dumps(value: Any) -> bytes:
    """Pickle a value into one piece of bytes; see `pack`."""
    return _dumps(value, None)


def loads(data: bytes) -> Any:
    """The value again."""
    return pickle.loads(data)


def _dumps(
    value: Any,
    buffers: list[pickle.PickleBuffer] | None,
    texts: list[pickle.PickleBuffer] | None = None,
) -> bytes:
    """The pickle. Large buffers and large bytes are appended to the lists, if there are any.

    The C pickler is tried first, since it is several times as fast as cloudpickle's; but what it
    refers to in `__main__` does not exist in a worker, so that goes by value.
    """

    def stays(buffer: pickle.PickleBuffer) -> bool:
        with buffer.raw() as raw:
            small = raw.nbytes < LARGE_BYTES
        if not small:
            assert buffers is not None
            buffers.append(buffer)
        return small

    aside = None if buffers is None else stays
    try:
        data = _dumps_with(pickle.Pickler, value, aside, texts)
        if not any(name in data for name in _NOT_AS_IT_IS):
            return data
    except BaseException as exc:
        # Any class may raise anything here; cloudpickle can do more, so it is tried.
        if isinstance(exc, KeyboardInterrupt):  # the user's, not the item's
            raise
    for several in (buffers, texts):
        if several:
            several.clear()
    try:
        return _dumps_with(_by_value(), value, aside, texts)
    except BaseException as exc:
        if isinstance(
            exc, (KeyboardInterrupt, NotPicklable)
        ):  # the latter has said what it is about
            raise
        raise NotPicklable(
            f"{short_repr(value)} of type {type(value).__name__} cannot travel to or from a"
            f" process: {text_of(exc) or type(exc).__name__}. Pass or return something that can be pickled,"
            " or use threads (backend='threads', a ThreadPoolExecutor)."
        ) from exc


def _dumps_with(
    pickler: Any, value: Any, aside: Any, texts: list[pickle.PickleBuffer] | None
) -> bytes:
    if texts is None:
        if pickler is pickle.Pickler:  # the same, in half the time
            return pickle.dumps(value, PROTOCOL, buffer_callback=aside)
    else:
        pickler = _leaving_out(texts, pickler)
    file = io.BytesIO()
    pickler(file, PROTOCOL, buffer_callback=aside).dump(value)
    return file.getvalue()


def _leaving_out(found: list[pickle.PickleBuffer], pickler: Any) -> Any:
    """A pickler that puts large bytes into a list instead."""

    class Writer(pickler):  # type: ignore[misc]
        def persistent_id(self, part: Any) -> int | None:
            if type(part) is not bytes or len(part) < LARGE_BYTES:
                return None
            found.append(pickle.PickleBuffer(part))
            return len(found) - 1

    return Writer


_NOT_AS_IT_IS = (b"_main__", b"Random", b"randomstate")
"""What is in a pickle of something of `MAIN`, or of a method such as `random.random`: it would go with the state of its
generator, and each worker draw the same."""
_METHODS = (types.MethodType, types.BuiltinMethodType)
MAIN = ("__main__", "__mp_main__")
"""The main program: what it has no worker can import. In a process that `multiprocessing` has started it has
the second name."""
_pickler_by_value: Any = None


def _by_value() -> Any:
    """The pickler that can do more, with four differences. Code is still of the file that it is from, for
    tracebacks and warnings to say so: from 3.1.3 it is of "<dynamic-code>". What `functools` makes of
    functions of the main program goes by value like these. A class that is there already stays as it is. And `random.random` is that of the other side."""
    global _pickler_by_value
    if _pickler_by_value is None:
        # 20 ms, which runs without processes should not pay.
        from collections import ChainMap
        from types import CodeType
        from weakref import WeakKeyDictionary

        from cloudpickle import Pickler, register_pickle_by_value  # type: ignore[import-untyped]

        if MAIN[1] in sys.modules:
            register_pickle_by_value(sys.modules[MAIN[1]])

        known: Any = Pickler.dispatch_table  # a view: what is registered later is in it, too
        reduce = known[CodeType]

        def reduce_code(code: CodeType) -> tuple[Any, ...]:
            make, parts = reduce(code)
            unnamed = [type(part) is str and part == "<dynamic-code>" for part in parts]
            return make, tuple(
                code.co_filename if wrong else part
                for part, wrong in zip(parts, unnamed, strict=True)
            )

        own: dict[Any, Any] = {
            CodeType: reduce_code,
            functools._lru_cache_wrapper: _reduce_cached,
            functools.cached_property: _reduce_cached_property,
            WeakKeyDictionary: _reduce_weak_keys,
        }
        table: ChainMap[Any, Any] = ChainMap(own, known)

        class ByValue(Pickler):  # type: ignore[misc]
            dispatch_table = table

            def reducer_override(self, obj: Any) -> Any:
                if isinstance(obj, _METHODS) and is_named(obj):
                    return getattr, (sys.modules[type(obj.__self__).__module__], obj.__name__)
                reduced = super().reducer_override(obj)
                if isinstance(obj, type) and isinstance(reduced, tuple) and len(reduced) == 6:
                    if obj not in _foreign_classes:
                        _own_classes.add(obj)
                    return *reduced[:5], _complete_class
                return reduced

        _pickler_by_value = ByValue
    return _pickler_by_value


_own_classes: WeakSet[type] = WeakSet()
_foreign_classes: WeakSet[type] = WeakSet()


def _complete_class(made: type, state: Any) -> None:
    """Give a class of another process's main program its attributes, as they are there now. If it is ours it
    stays as it is: with each instance that came back its methods were replaced by copies, whose globals are
    not those of the program."""
    if made in _own_classes:
        return
    _foreign_classes.add(made)
    from cloudpickle.cloudpickle import _class_setstate  # type: ignore[import-untyped]

    _class_setstate(made, state)


def _reduce_cached(cached: Any) -> str | tuple[Any, ...]:
    """A function with a cache: by its name where a worker can import it, else anew with an empty cache."""
    if is_importable(cached):
        return cached.__qualname__  # type: ignore[no-any-return]
    fn = cached.__wrapped__
    # `wraps` above `lru_cache` has put another function there, which would give other results.
    if not any(part is fn for part in gc.get_referents(cached)):
        raise pickle.PicklingError(f"the __wrapped__ of {cached!r} is not what it calls")
    made = {*functools.WRAPPER_ASSIGNMENTS, "__wrapped__", "cache_parameters"}
    rest = {name: value for name, value in vars(cached).items() if name not in made}
    return _cache_anew, (fn, cached.cache_parameters()), rest or None


def _cache_anew(fn: Any, parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(fn)


def _reduce_cached_property(cached: Any) -> tuple[Any, ...]:
    """Before 3.12 it has a lock, of which the other side makes its own. Its name it has from the class
    body, which does not run again there."""
    state = {name: value for name, value in vars(cached).items() if name != "lock"}
    return functools.cached_property, (cached.func,), state


def _reduce_weak_keys(mapping: Any) -> tuple[Any, ...]:
    """What `singledispatch` keeps in its closure. The items come once the mapping is there, since they may
    lead back to it."""
    return type(mapping), (), None, None, iter(list(mapping.items()))


def is_importable(named: Any) -> bool:
    """Whether a worker finds this very object by its name. What is in the main program it does
    not: that travels by value, like its functions."""
    name = getattr(named, "__qualname__", None)  # a cached `partial` has none
    if name is None or named.__module__ in MAIN:
        return False
    found: Any = sys.modules.get(named.__module__)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is named


def is_named(method: Any) -> bool:
    """Whether the module of its class offers a method as a function of its own, as that of `random.random` does."""
    if isinstance(method.__self__, types.ModuleType):  # it is no method
        return False
    module = sys.modules.get(type(method.__self__).__module__)
    name = getattr(method, "__name__", "")  # one of a `partial` has none
    return module is not None and getattr(module, name, None) == method


class Packed:
    """A function that is pickled when the first who needs that asks for it."""

    def __init__(self, fn: Any, travels: Any = None) -> None:
        self.fn = fn
        self.travels: Any = fn if travels is None else travels
        """What goes to other processes in its stead, and does the same there."""
        self._wire: Wire | None = None
        self._lock = threading.Lock()

    def wire(self) -> Wire:
        """The function as it travels.

        Raises:
            NotPicklable: It cannot.
        """
        with self._lock:
            if self._wire is None:
                self._wire = pack_function(self.travels)
            return self._wire


def size_of(wire: Wire) -> int:
    """Bytes that travel."""
    if isinstance(wire, bytes):
        return len(wire)
    data, *lists = wire
    pieces = [piece for several in lists for piece in several]
    return sum(memoryview(piece).nbytes for piece in [data or b"", *pieces])


class Portable:
    """Carries a value to an executor that may pickle it or not.

    In a thread the value arrives as the very object; in a process by the pickling of this module.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self._data: bytes | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self._data is None:
            self._data = dumps(self.value)
        return _unpack, (self._data,)


def _unpack(data: bytes) -> Portable:
    return Portable(loads(data))
