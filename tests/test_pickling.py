"""What travels to another process, what it weighs, and what cannot go at all."""

from __future__ import annotations

import ctypes
import functools
import io
import pickle
import random
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._errors import NotPicklable
from autoexec._payload import SMALL_BYTES, weigh
from autoexec._pickling import (
    LARGE_BYTES,
    PROTOCOL,
    Packed,
    Portable,
    dumps,
    loads,
    pack,
    pack_function,
    pack_plain,
    size_of,
    unpack,
)


def adder(amount: int) -> Callable[[int], int]:
    return lambda item: item + amount


class Multiplier:
    """Has a method, and is called as well."""

    def __init__(self, by: int) -> None:
        self.by = by

    def times(self, item: int) -> int:
        return item * self.by

    def __call__(self, item: int) -> int:
        return self.times(item)


@functools.lru_cache(maxsize=5)
def cached(item: int) -> int:
    return item + 1


class Rooted:
    """Has a method with a cache."""

    def __init__(self, root: int) -> None:
        self.root = root

    @functools.lru_cache  # noqa: B019
    def power(self, exponent: int) -> int:
        return int(self.root**exponent)


class Stubborn:
    """Cannot be pickled, for a reason of its own."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise ValueError("not for sale")


class Unspeakable(Stubborn):
    """Cannot be shown either."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Quitting:
    """Ends the program when it is pickled, or tries to."""

    def __init__(self, how: type[BaseException]) -> None:
        self.how = how

    def __reduce__(self) -> tuple[Any, ...]:
        raise self.how


class Memory:
    """Gives its memory away as NumPy arrays do, and is made from that which it is given."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Memory, (pickle.PickleBuffer(self.data),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Memory) and bytes(other.data) == bytes(self.data)

    __hash__ = None  # type: ignore[assignment]


class Large:
    """Says that it is large; must not be pickled to find out."""

    nbytes = SMALL_BYTES + 1

    def __reduce__(self) -> tuple[Any, ...]:
        raise AssertionError("it was pickled")


def stuck() -> Callable[[int], bool]:
    lock = threading.Lock()
    return lambda item: lock.acquire()


# --- There and back ----------------------------------------------------------------------------------

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=3), parts),
    max_leaves=8,
)


@given(plain)
@examples(50)
def test_plain_data_comes_back_the_same(value: object) -> None:
    assert loads(dumps(value)) == value


@pytest.mark.parametrize("value", ["__main__", b"__main__", {"__main__": [1]}])
def test_data_that_mentions_the_main_module_comes_back_the_same(value: object) -> None:
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    ("fn", "result"),
    [
        (abs, 3),
        (adder(10), 13),
        (functools.partial(pow, 2), 8),
        (functools.partial(adder(1)), 4),
        (int("5").__add__, 8),
    ],
)
def test_functions_of_every_kind_come_back(fn: Callable[[int], int], result: int) -> None:
    assert loads(dumps(fn))(3) == result


def test_methods_and_callable_objects_come_back_with_their_object() -> None:
    source = Multiplier(4)
    for fn in (source.times, source):
        assert loads(dumps(fn))(3) == 12


def test_functions_that_can_be_imported_travel_by_name() -> None:
    assert len(dumps(pickle.dumps)) < 100


MAIN_SCRIPT = """
import sys
from autoexec._pickling import dumps

factor = 3

def triple(item):
    return item * factor

class Three(int):
    pass

sys.stdout.buffer.write(dumps((triple, Three(3), [triple])))
"""


def test_what_the_main_module_defines_travels_by_value() -> None:
    script = subprocess.run([sys.executable, "-c", MAIN_SCRIPT], capture_output=True, check=True)
    triple, three, _ = loads(script.stdout)
    assert triple(5) == 15
    assert type(three).__name__ == "Three"
    assert three == 3


MAIN_SCRIPT_WITH_BUFFERS = """
import pickle
import sys
from autoexec._pickling import pack

class Memory:
    def __init__(self, data):
        self.data = data
    def __reduce_ex__(self, protocol):
        return Memory, (pickle.PickleBuffer(self.data),)
    def length(self):
        return len(self.data)

table = Memory(b"m" * 100_000)

def at(item):
    return table.data[item]

data, buffers = pack((at, Memory(bytearray(70_000)).length))
sys.stdout.buffer.write(pickle.dumps([bytes(part) for part in [data, *buffers]]))
"""


def test_what_the_main_module_defines_travels_with_its_buffers_beside() -> None:
    code = MAIN_SCRIPT_WITH_BUFFERS
    script = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    data, *buffers = pickle.loads(script.stdout)
    assert [len(buffer) for buffer in buffers] == [100_000, 70_000]
    at, length = unpack((data, [*map(bytearray, buffers)]))
    assert at(5) == ord("m")
    assert length() == 70_000


# --- What functools makes of functions ----------------------------------------------------------------

MAIN_SCRIPT_WITH_CACHES = """
import sys
from functools import cache, cached_property, lru_cache, singledispatch
from autoexec import run_parallel

@cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

@lru_cache(maxsize=5)
def even(n):
    return n == 0 or odd(n - 1)

@lru_cache
def odd(n):
    return n > 0 and even(n - 1)

class Square:
    def __init__(self, side):
        self.side = side

    @lru_cache
    def scaled(self, by):
        return self.side * by

    @cached_property
    def area(self):
        return self.side ** 2

@singledispatch
def name(thing):
    return "thing"

@name.register
def _(square: Square):
    return f"square of {square.area}, not {name(None)}"

def uses(n):
    return fib(40), even(n), name(Square(n))

def grown(square):
    return Square(square.scaled(2) + square.area)

name(Square(1))
backend = sys.argv[1]
print(run_parallel(uses, [2, 3], backend=backend))
print(run_parallel(fib, [5, 6], backend=backend))
print(run_parallel(Square(3).scaled, [1, 2], backend=backend))
print(*[(one.area, one.scaled(3)) for one in run_parallel(grown, [Square(1), Square(2)], backend=backend)])
"""


@pytest.mark.parametrize("backend", ["processes", "hybrid"])
def test_a_program_may_use_its_cached_functions_in_workers(backend: str) -> None:
    script = subprocess.run(
        [sys.executable, "-c", MAIN_SCRIPT_WITH_CACHES, backend],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert script.returncode == 0, script.stderr
    assert script.stdout.splitlines() == [
        "[(102334155, True, 'square of 4, not thing'), (102334155, False, 'square of 9, not thing')]",
        "[5, 8]",
        "[3, 6]",
        "(9, 9) (64, 24)",
    ]


def test_a_cached_function_arrives_as_it_was_made_and_with_an_empty_cache() -> None:
    @functools.lru_cache(maxsize=7, typed=True)
    def fib(n: int) -> int:
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    fib.unit = "rabbits"  # type: ignore[attr-defined]
    fib(5)
    again = loads(dumps(fib))
    assert again.cache_parameters() == {"maxsize": 7, "typed": True}
    assert again.cache_info().currsize == 0
    assert (again.unit, again.__name__) == ("rabbits", "fib")
    assert (again(40), again.cache_info().misses) == (102334155, 41)  # it calls itself by its cache


def test_a_cached_partial_travels_though_it_has_no_name() -> None:
    assert loads(dumps(functools.cache(functools.partial(adder(1)))))(2) == 3


@pytest.mark.parametrize("fn", [cached, Rooted.power])
def test_a_cached_function_that_can_be_imported_travels_by_name(fn: Any) -> None:
    assert loads(dumps(lambda: fn))() is fn


def test_a_cached_function_of_which_another_has_taken_the_name_travels_by_value() -> None:
    other = functools.lru_cache(maxsize=3)(cached.__wrapped__)
    assert loads(dumps(other)).cache_parameters()["maxsize"] == 3


def test_a_cache_that_does_not_tell_what_it_calls_is_refused() -> None:
    @functools.wraps(abs)
    @functools.cache
    def less(item: int) -> int:
        return item - 1

    with pytest.raises(NotPicklable, match="__wrapped__"):
        dumps(less)


def test_a_cached_property_keeps_its_name() -> None:
    class Local(Rooted):
        @functools.cached_property
        def square(self) -> int:
            return self.root**2

    again = loads(dumps(Local(3)))
    assert (again.square, vars(again)) == (9, {"root": 3, "square": 9})


def test_a_mapping_with_weak_keys_arrives_with_those_that_came_along() -> None:
    key = adder(1)
    weak: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary({key: "one"})
    weak[adder] = weak  # it leads back to itself
    again_key, again = loads(dumps((key, weak)))
    assert type(again) is weakref.WeakKeyDictionary
    assert (again[again_key], again[adder] is again) == ("one", True)


# --- What cannot travel -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (threading.Lock(), "lock"),
        ((number for number in [1]), "generator"),
        (io.TextIOWrapper(io.BytesIO()), "TextIOWrapper"),
        (Stubborn(), "Stubborn"),
        (Unspeakable(), "Unspeakable instance"),
        ([{"deep": Stubborn()}], "Stubborn"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_what_cannot_travel_is_refused_by_name_and_with_advice(value: object, shown: str) -> None:
    with pytest.raises(NotPicklable) as caught:
        dumps(value)
    message = str(caught.value)
    assert shown in message
    assert f"of type {type(value).__name__}" in message
    assert "backend='threads'" in message
    assert caught.value.__cause__ is not None


def test_the_reason_that_a_class_gives_is_passed_on() -> None:
    with pytest.raises(NotPicklable, match="not for sale"):
        dumps(Stubborn())


@pytest.mark.parametrize("write", [dumps, pack])
def test_an_item_that_tries_to_exit_is_refused(write: Callable[[object], object]) -> None:
    with pytest.raises(NotPicklable, match="cannot travel") as caught:
        write(Quitting(SystemExit))
    assert isinstance(caught.value.__cause__, SystemExit)


@pytest.mark.parametrize("write", [dumps, pack])
@pytest.mark.parametrize("by_value", [False, True])
def test_ctrl_c_while_something_is_pickled_is_the_users(
    write: Callable[[object], object], by_value: bool
) -> None:
    value: list[object] = [adder(1)] if by_value else []  # a closure, so cloudpickle has its turn
    with pytest.raises(KeyboardInterrupt):
        write([*value, Quitting(KeyboardInterrupt)])


# --- In one piece, or with buffers beside -------------------------------------------------------------


def address(buffer: Any) -> int:
    """Where the memory of a buffer that can be written to begins."""
    with memoryview(buffer) as view:
        return ctypes.addressof(ctypes.c_char.from_buffer(view.cast("B")))


def parts(wire: Any) -> tuple[Any, list[Any]]:
    """The pickle and the buffers of a wire that is in more than one piece."""
    data, buffers = wire
    assert isinstance(buffers, list)
    return data, buffers


def sent(part: Any) -> Any:
    """A wire at the other side of a pipe, where its buffers are bytes or bytearrays."""
    match part:
        case None | bytes():
            return part
        case tuple():
            return tuple(map(sent, part))
        case list():
            return list(map(sent, part))
    return bytes(part) if memoryview(part).readonly else bytearray(part)


def length_of(buffer: Any) -> int:
    return memoryview(buffer).nbytes


KINDS: list[Callable[[bytes], Any]] = [bytes, bytearray, lambda data: Memory(bytearray(data))]
sizes = st.sampled_from([0, 1, 1000, LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES + 1, 200_000])


@given(
    plain,
    st.lists(st.tuples(st.sampled_from(KINDS), sizes, st.integers(0, 9)), max_size=4),
    st.booleans(),
)
@examples(100)
def test_what_is_packed_comes_back_the_same(
    value: object, blobs: list[tuple[Callable[[bytes], Any], int, int]], closure: bool
) -> None:
    made = [kind(bytes([byte]) * size) for kind, size, byte in blobs]
    for whole in (value, [value, *made], *made, tuple(made)):
        again = unpack(sent(pack(whole)))
        assert again == whole
        assert type(again) is type(whole)
    fn = functools.partial(adder(1) if closure else abs, 5)
    whole = fn, made, value
    again = unpack(sent(pack_function(whole)))
    assert again[0]() == fn()
    assert again[1:] == whole[1:]
    assert [type(blob) for blob in again[1]] == [type(blob) for blob in made]


@given(plain.filter(lambda value: len(pickle.dumps(value, PROTOCOL)) < LARGE_BYTES))
@examples(50)
def test_what_is_small_stays_in_one_piece(value: object) -> None:
    assert type(pack(value)) is bytes
    assert type(pack_function(value)) is bytes


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_buffer_stays_in_one_piece(kind: Callable[[bytes], object]) -> None:
    assert type(pack(kind(bytes(LARGE_BYTES // 2)))) is bytes
    assert type(pack([kind(bytes(1000)) for _ in range(10)])) is bytes


def test_a_large_bytes_object_is_its_own_buffer() -> None:
    value = b"x" * LARGE_BYTES
    no_pickle, (buffer,) = parts(pack(value))
    assert no_pickle is None
    assert buffer.raw().obj is value
    assert size_of(pack(value)) == LARGE_BYTES


def test_a_large_bytearray_is_not_copied() -> None:
    value = bytearray(LARGE_BYTES)
    _, (buffer,) = parts(pack(value))
    assert address(buffer) == address(value)
    again = unpack(sent(pack(value)))
    again[0] = 1
    assert again[1:] == value[1:]


def test_a_large_buffer_is_not_copied() -> None:
    value = bytearray(LARGE_BYTES)
    data, (buffer,) = parts(pack([Memory(value), "beside"]))
    assert length_of(data) < 200
    assert address(buffer) == address(value)
    value[5] = 7
    assert memoryview(buffer)[5] == 7


def test_a_long_pickle_is_a_piece_of_its_own_and_not_copied_again() -> None:
    value = [bytearray(i.to_bytes(2, "big")) * 500 for i in range(200)]
    data, buffers = parts(pack(value))
    assert length_of(data) > LARGE_BYTES
    assert buffers == []
    assert unpack(sent((data, buffers))) == value


def test_large_and_small_buffers_of_a_value_find_their_places() -> None:
    value = [Memory(bytearray(b"a" * n)) for n in (10, LARGE_BYTES, 20, 2 * LARGE_BYTES)]
    _, buffers = parts(pack(value))
    assert list(map(length_of, buffers)) == [LARGE_BYTES, 2 * LARGE_BYTES]
    assert unpack(sent(pack(value))) == value


def test_what_arrives_uses_the_memory_that_it_was_read_into() -> None:
    data, (buffer,) = sent(pack(Memory(bytearray(b"z" * LARGE_BYTES))))
    again = unpack((data, [buffer]))
    assert again.data is buffer


def test_a_closure_takes_its_large_buffers_along() -> None:
    table = Memory(bytearray(b"t" * LARGE_BYTES))

    def length(item: int) -> int:
        return len(table.data) + item

    for wire in (pack(length), pack_function(length)[:2]):
        _, buffers = parts(wire)
        assert list(map(address, buffers)) == [address(table.data)]
    for wire in (pack(length), pack_function(length)):
        assert unpack(sent(wire))(1) == LARGE_BYTES + 1


def test_large_bytes_in_the_state_of_a_function_are_not_copied() -> None:
    text, array = b"t" * LARGE_BYTES, Memory(bytearray(LARGE_BYTES))

    def lengths(item: int) -> tuple[int, ...]:
        return len(text), len(array.data), text[item], array.data[item]

    wire = pack_function([lengths, lengths, text])
    assert not isinstance(wire, bytes)
    data, buffers, texts = wire
    assert length_of(data) < LARGE_BYTES
    assert list(map(length_of, buffers)) == [LARGE_BYTES]
    assert all(piece.raw().obj is text for piece in texts)
    assert size_of(wire) >= 2 * LARGE_BYTES
    first, again, same_text = unpack(sent(wire))
    assert first(1) == again(1) == (LARGE_BYTES, LARGE_BYTES, ord("t"), 0)
    assert same_text == text


def test_a_first_attempt_that_fails_leaves_no_buffer_behind() -> None:
    # The C pickler puts the array aside before it comes to the closure, which it refuses.
    value = [Memory(bytearray(LARGE_BYTES)), b"t" * LARGE_BYTES, adder(2)]
    _, buffers = parts(pack(value))
    assert len(buffers) == 1
    wire: Any = pack_function(value)
    assert [len(several) for several in wire[1:]] == [1, 1]
    for write in (pack, pack_function):
        array, text, fn = unpack(sent(write(value)))
        assert (len(array.data), text, fn(1)) == (LARGE_BYTES, value[1], 3)


def test_a_function_is_pickled_once_by_whoever_needs_it_first() -> None:
    counted: list[int] = []

    class Counting:
        def __call__(self, item: int) -> int:
            return item

        def __reduce__(self) -> tuple[Any, ...]:
            counted.append(1)
            return adder, (1,)

    packed = Packed(Counting())
    assert counted == []
    threads = [threading.Thread(target=packed.wire) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unpack(packed.wire())(2) == 3
    assert counted == [1]


def test_a_function_that_cannot_travel_says_so_each_time() -> None:
    packed = Packed(stuck())
    for _ in range(2):
        with pytest.raises(NotPicklable, match="lock"):
            packed.wire()


class TestArrays:
    """Of NumPy, where it is installed."""

    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        self.np = pytest.importorskip("numpy")

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_a_large_array_is_the_very_memory_and_arrives_writable(self, order: str) -> None:
        array = self.np.arange(60_000.0).reshape((300, 200), order=order)
        data, (buffer,) = parts(pack(array))
        assert length_of(data) < 1000
        assert address(buffer.raw()) == array.ctypes.data
        again = unpack(sent((data, [buffer])))
        assert (again == array).all()
        assert again.flags.writeable
        again[0, 0] = -1
        assert array[0, 0] == 0

    def test_a_small_array_stays_in_one_piece(self) -> None:
        wire = pack(self.np.arange(100))
        assert type(wire) is bytes
        again = unpack(wire)
        assert again.sum() == 4950
        again[0] = 1

    def test_arrays_within_other_things_are_put_aside_as_well(self) -> None:
        large, small = self.np.ones(100_000), self.np.zeros(3)
        value = {"large": large, "small": small, "twice": [large]}
        _, buffers = parts(pack(value))
        assert [address(buffer.raw()) for buffer in buffers] == [large.ctypes.data]
        again = unpack(sent(pack(value)))
        assert again["twice"][0] is again["large"]
        assert again["large"].flags.writeable
        assert (again["small"] == small).all()

    def test_an_array_with_gaps_comes_back_whole(self) -> None:
        array = self.np.arange(100_000)[::2]
        assert (unpack(sent(pack(array))) == array).all()

    def test_an_array_that_was_read_only_comes_back_the_same(self) -> None:
        array = self.np.arange(100_000)
        array.flags.writeable = False
        assert (unpack(sent(pack(array))) == array).all()


# --- What it weighs ----------------------------------------------------------------------------------


def test_the_function_an_item_and_a_result_are_weighed() -> None:
    payload = weigh(Packed(abs), b"x" * 1000, b"y" * 2000)
    assert payload.obstacle is None
    assert payload.fn_bytes == len(pickle.dumps(abs, PROTOCOL))
    assert 1000 < payload.item_bytes < 1100
    assert 2000 < payload.result_bytes < 2100
    assert payload.pickle_s > 0


def test_what_a_function_captured_counts_as_its_weight() -> None:
    table = "x" * 100_000

    def fn(item: int) -> str:
        return table[item]

    assert weigh(Packed(fn), 1, None).fn_bytes > 100_000


@pytest.mark.parametrize(
    ("fn", "item", "result", "words"),
    [
        (stuck(), 1, 2, "the function cannot be pickled"),
        (abs, Stubborn(), 2, "an item cannot be pickled (not for sale)"),
        (abs, 1, Stubborn(), "a result cannot be pickled (not for sale)"),
        (abs, 1, threading.Lock(), "a result cannot be pickled"),
    ],
)
def test_what_cannot_travel_is_an_obstacle(
    fn: Callable[..., Any], item: object, result: object, words: str
) -> None:
    obstacle = weigh(Packed(fn), item, result).obstacle
    assert obstacle is not None
    assert words in obstacle


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (b"x" * (SMALL_BYTES + 1), SMALL_BYTES + 1),
        (bytearray(SMALL_BYTES + 7), SMALL_BYTES + 7),
        ("x" * (SMALL_BYTES + 9), SMALL_BYTES + 9),
        (memoryview(bytes(SMALL_BYTES + 3)), SMALL_BYTES + 3),
        (Large(), SMALL_BYTES + 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_plainly_large_is_not_pickled_to_find_out(value: object, size: int) -> None:
    payload = weigh(Packed(abs), value, None)
    assert payload.item_bytes == size
    assert payload.pickle_s > 0
    assert payload.obstacle is None


def test_a_size_that_is_not_a_number_is_no_size() -> None:
    class Odd:
        nbytes = "many"

    assert weigh(Packed(abs), Odd(), None).item_bytes > 0


def test_a_size_that_cannot_be_asked_for_is_no_size() -> None:
    class Unconnected:
        @property
        def nbytes(self) -> int:
            raise RuntimeError

    assert weigh(Packed(abs), Unconnected(), None).item_bytes > 0


# --- Values that may or may not be pickled on their way ------------------------------------------------


def test_within_a_process_a_portable_value_is_the_very_object() -> None:
    value = [1]
    assert Portable(value).value is value


@pytest.mark.parametrize("value", [[1, 2], "text", adder(1)])
def test_a_portable_value_survives_any_pickling(value: object) -> None:
    again = pickle.loads(pickle.dumps(Portable(value)))
    assert isinstance(again, Portable)
    assert type(again.value) is type(value)


def test_a_portable_lambda_still_works_at_the_other_side() -> None:
    assert pickle.loads(pickle.dumps(Portable(adder(2)))).value(3) == 5


def test_a_portable_value_is_pickled_once_however_often_it_is_sent() -> None:
    class Counting:
        pickled = 0

        def __reduce__(self) -> tuple[Any, ...]:
            Counting.pickled += 1
            return int, (1,)

    portable = Portable(Counting())
    for _ in range(3):
        pickle.dumps(portable)
    assert Counting.pickled == 1


def test_a_portable_value_that_cannot_travel_says_so() -> None:
    with pytest.raises(NotPicklable, match="not for sale"):
        pickle.dumps(Portable(Stubborn()))


@pytest.mark.parametrize("packs", [dumps, pack_function])
def test_code_that_travels_by_value_still_says_which_file_it_is_from(packs: Any) -> None:
    def outer() -> Callable[[], str]:
        return lambda: "<dynamic-code>"

    wire = packs(outer)
    arrived = unpack(wire) if packs is pack_function else loads(wire)
    assert arrived.__code__.co_filename == arrived().__code__.co_filename == __file__
    assert arrived()() == "<dynamic-code>"


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.lists(plain) | st.lists(st.lists(plain).map(tuple), min_size=1))
@examples(60)
def test_plain_items_travel_in_one_piece(items: list[Any]) -> None:
    packed = pack_plain(items)
    assert isinstance(packed, bytes)
    assert loads(packed) == items


@pytest.mark.parametrize(
    "other", [[1], {}, b"", object(), Stubborn(), (1, (2,)), (1, []), type("Text", (str,), {})("a")]
)
def test_items_that_may_fail_or_be_changed_travel_one_by_one(other: Any) -> None:
    assert pack_plain([other, other]) is None
    assert pack_plain([1, "a", other]) is None
    assert pack_plain([(1, other)]) is None


def test_much_that_is_plain_is_not_copied_into_its_frame() -> None:
    text = "x" * LARGE_BYTES
    packed = pack_plain([text, text])
    assert isinstance(packed, pickle.PickleBuffer)
    assert len(packed.raw()) < 1.5 * LARGE_BYTES  # the same text is sent once
    assert loads(bytes(packed)) == [text, text]


CLASSES = """
from autoexec import run_parallel


class Number:
    made = 0

    def __init__(self, value):
        type(self).made += 1
        self.value = value

    def up(self):
        return Number(self.value + 1)


def call(number):
    return number.up()


method = Number.up
results = run_parallel(call, [Number(i) for i in range(6)], backend="processes", max_workers=1)
assert [type(number) is Number and number.value for number in results] == list(range(1, 7))
assert Number.up is method and method.__globals__ is globals()
assert Number.made == 6
"""


def test_a_class_that_is_there_stays_as_it_is() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CLASSES], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stderr == ""


CHANGED = """
import abc
from autoexec import run_parallel


class Number(abc.ABC):
    pass


class Scale:
    factor = 2

    def of(self, number):
        return number * self.factor


def call(number):
    return Scale().of(number), isinstance(number, Number)


print(run_parallel(call, [1, 2], backend="processes", max_workers=1))
Scale.factor = 3
Number.register(int)
print(run_parallel(call, [1, 2], backend="processes", max_workers=1))
Scale.of = lambda self, number: -number
print(run_parallel(call, [1, 2], backend="processes", max_workers=1))
"""


def test_a_worker_has_a_class_as_it_is_now() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CHANGED], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.stdout.splitlines(), ran.stderr) == (
        [
            "[(2, False), (4, False)]",
            "[(3, True), (6, True)]",
            "[(-1, True), (-2, True)]",
        ],
        "",
    )


SPAWNED = """
import multiprocessing
from autoexec import run_parallel


def square(number):
    return number * number


def run(results):
    results.put(list(run_parallel(square, range(4), backend="processes")))


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=run, args=(results,))
    process.start()
    print(results.get())
    process.join()
"""


def test_functions_of_the_main_program_travel_from_a_process_that_multiprocessing_has_started(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SPAWNED)
    ran = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.stdout, ran.stderr) == ("[0, 1, 4, 9]\n", "")


def test_a_method_without_a_name_travels() -> None:
    method = types.MethodType(functools.partial(lambda one, other, x: (other, x), 1), 2)
    assert unpack(pack_function(method))(3) == (2, 3)


def test_functions_of_random_are_those_of_the_other_side() -> None:
    numpy = pytest.importorskip("numpy")
    drawn = random.random
    many = functools.partial(random.randint, 0, 10**9)
    for fn in (drawn, lambda: drawn(), many, numpy.random.rand):
        there = unpack(pack_function(fn))
        values = []
        for _ in range(2):  # a copy of the state would not begin anew
            random.seed(3)
            numpy.random.seed(3)
            values.append(there())
        assert values[0] == values[1]
