"""Group A, continued: what is large, what comes from the program itself, what is changed."""

from __future__ import annotations

import os
import threading
import time
from pickle import PickleBuffer
from typing import Any

import programs
from lab import Skip, answer, fails, is_answer, judge, note, require, suited
from register import AWAY, row
from rows_a_payloads import Item, of_item, right_item

from autoexec import WorkerDied

MAIN = """
import sys
from autoexec import run_parallel
backend = sys.argv[1]
def suit(fn):
    async def call(x): return fn(x)
    return call if backend == "asyncio" else fn
class Point:
    def __init__(self, x): self.x = x
def move(point):
    assert type(point) is Point
    return Point(point.x + 1)
def closure(by):
    def add(x): return x + by
    return add
source = "def cell(x): return helper(x) + 1\\ndef helper(x): return 10 * x"
exec(compile(source, "<cell 1>", "exec"), globals())
run = lambda fn, items: run_parallel(suit(fn), items, backend=backend)
moved = run(move, [Point(i) for i in range(9)])
assert [type(p) is Point for p in moved] == [True] * 9
assert [p.x for p in moved] == list(range(1, 10))
assert run(lambda x: 2 * x, range(9)) == [2 * i for i in range(9)]
assert run(closure(3), range(9)) == list(range(3, 12))
assert run(cell, range(9)) == [10 * i + 1 for i in range(9)]
print("right")
"""


@row("A10")
def what_is_defined_in_the_program_itself(backend: str) -> None:
    """A lambda, a closure, a function and a class of `__main__`, a function of a notebook cell."""
    require(programs.said(MAIN, backend) == "right", "not all was right")


LARGE = 300_000_000


def large_both_ways(item: Any) -> Any:
    """Take a large item, give a large result."""
    index = 1 if isinstance(item, bytes) else item
    note(index)
    if isinstance(item, bytes):
        return (len(item), item[:3], item[-3:])
    return b"x" * LARGE if index == 2 else answer(index)


def right_large(item: Any, result: Any) -> bool:
    if isinstance(item, bytes):
        return bool(result == (LARGE, b"abc", b"xyz"))
    if item == 2:
        return len(result) == LARGE and result[:1] == result[-1:] == b"x"
    return is_answer(item, result)


@row("A11", ("auto", *AWAY))
def large_items_and_results(backend: str) -> None:
    """An item of 300 MB, a result of 300 MB."""
    items = [0, b"abc" + bytes(LARGE - 6) + b"xyz", 2, 3]
    judge(suited(large_both_ways, backend), items, backend, right=right_large, max_workers=2)


class Large(Item):
    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.data = bytearray(60_000_000)


def die_while_reading(item: Any) -> int:
    """The first call lets its process die as soon as that is in the middle of a large item."""
    result = of_item(item)
    if item == 0:
        threading.Thread(target=exit_after_reading, args=(20_000_000,), daemon=True).start()
    return result


def exit_after_reading(count: int) -> None:
    def read() -> int:
        with open("/proc/self/io") as file:
            return int(file.readline().split()[1])

    enough = read() + count
    while read() < enough:
        time.sleep(0.0005)
    os._exit(9)


@row("A13", AWAY)
def a_death_while_a_large_item_is_written(backend: str) -> None:
    """A worker that dies in the middle of reading a large item."""
    if not os.path.exists("/proc/self/io"):
        raise Skip("/proc/self/io")
    items = [Large(i) if i in (2, 5) else i for i in range(8)]
    maybe = {i: fails(WorkerDied) for i in (2, 5)}
    for workers in (1, 2):
        judge(
            die_while_reading,
            items,
            backend,
            maybe=maybe,
            right=right_item,
            chunksize=1,
            max_workers=workers,
        )


class Buffer:
    """An array, as far as pickling is concerned: its memory is offered beside the pickle."""

    def __init__(self, data: Any) -> None:
        self.data = memoryview(data)

    def __reduce_ex__(self, protocol: object) -> Any:
        return Buffer, (PickleBuffer(self.data),)

    def add_one(self) -> None:
        for at in (0, -1):
            self.data[at] += 1


SIZES = (10, 60_000, 70_000, 2_000_000, 40_000_000)


def change_in_place(item: tuple[int, Any]) -> Any:
    index, array = item
    note(index)
    if isinstance(array, Buffer):
        array.add_one()
    else:
        array += 1
    return array


def changed(item: tuple[int, Any], result: Any) -> bool:
    index, _ = item
    if isinstance(result, Buffer):
        result.add_one()  # it is the caller's now, to do with as he likes
        return len(result.data) == SIZES[index] and result.data[0] == result.data[-1] == 2
    result += 1
    return len(result) == SIZES[index] and bool((result == 2).all())


@row("A14", imports=["numpy"])
def an_array_that_is_changed_in_place(backend: str) -> None:
    """A call that changes its array in place, and a caller that changes the result, at any size."""
    fn = suited(change_in_place, backend)
    items: list[Any] = [(i, Buffer(bytearray(size))) for i, size in enumerate(SIZES)]
    judge(fn, items, backend, right=changed)
    try:
        import numpy
    except ImportError:
        return
    items = [(i, numpy.zeros(size, numpy.uint8)) for i, size in enumerate(SIZES)]
    judge(fn, items, backend, right=changed)


FLOOD = """
import os, sys
from autoexec import run_parallel
backend = sys.argv[1]
def flood(x):
    print("o" * 99_999)
    sys.stderr.write("e" * 100_000)
    sys.stderr.flush()
    sys.stdout.flush()
    os.write(1, b"o" * 100_000)
    return x
async def flood_async(x): return flood(x)
assert run_parallel(flood_async if backend == "asyncio" else flood, range(30), backend=backend) \
    == list(range(30))
"""


@row("A15")
def calls_that_flood_the_output(backend: str) -> None:
    """Every call writes 300 kB to standard output and error."""
    process = programs.start(programs.command(FLOOD, backend))
    out, errors = programs.output_of(process, 20.0)
    require(process.returncode == 0, f"the program ended with {process.returncode}")
    require(out.count("o") == 30 * 199_999, f"{out.count('o'):,} of 5,999,970 arrived")
    require(errors.count("e") == 30 * 100_000, f"{errors.count('e'):,} of 3,000,000 arrived")
