"""What ties a function to this process: objects by which its calls heed each other."""

from __future__ import annotations

import asyncio
import io
import itertools
import queue
import random
import threading
from collections.abc import Callable
from datetime import date
from random import random as draw_anew
from typing import Any

import pytest

from autoexec._ties import kept_here

lock = threading.Lock()
slots = threading.Semaphore(2)
found: queue.SimpleQueue[int] = queue.SimpleQueue()
gate = asyncio.Semaphore(3)
limit = 10
names = {"a": 1}
today = date(2000, 1, 1)
own = threading.local()


class Client:
    async def get(self, x: int) -> int:
        return x


client = Client()
numbers = itertools.count()
rest = iter([1, 2, 3])
dice = random.Random(7)
roll = dice.random
safe = random.SystemRandom()
out = io.StringIO()


def counts(x: int) -> int:
    return next(numbers)


def takes_one(x: int) -> int:
    return next(rest)


def rolls(x: int) -> float:
    return dice.random()


def rolls_by_method(x: int) -> float:
    return roll()


def draws_from_what_each_process_has(x: int) -> float:
    print(x, file=out)
    return draw_anew() + random.random() + safe.random()


def waits_for_a_lock(x: int) -> int:
    with lock:
        return x


def waits_for_a_slot(x: int) -> int:
    with slots:
        return x


def puts(x: int) -> None:
    found.put(x)


async def waits_for_the_gate(x: int) -> int:
    async with gate:
        return x


async def asks_a_client(x: int) -> int:
    return await client.get(x)


def reads_plain_data(x: int) -> Any:
    return x < limit, names["a"], today


def keeps_its_own(x: int) -> int:
    own.last = x
    return x


def nested() -> Callable[[int], int]:
    own = threading.Lock()

    def call(x: int) -> int:
        with own:
            return x

    return call


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (waits_for_a_lock, "lock"),
        (waits_for_a_slot, "slots"),
        (puts, "found"),
        (waits_for_the_gate, "gate"),
        (nested(), "own"),
    ],
)
@pytest.mark.parametrize("loop_bound", [False, True])
def test_locks_and_queues_keep_a_function_here(
    fn: Callable[..., Any], name: str, loop_bound: bool
) -> None:
    reason = kept_here(fn, loop_bound=loop_bound)
    assert reason is not None
    assert repr(name) in reason


@pytest.mark.parametrize(
    ("fn", "name"),
    [(counts, "numbers"), (takes_one, "rest"), (rolls, "dice"), (rolls_by_method, "roll")],
)
def test_what_goes_on_from_call_to_call_keeps_a_function_here(
    fn: Callable[..., Any], name: str
) -> None:
    assert repr(name) in (kept_here(fn, loop_bound=False) or "")


def test_what_each_process_has_for_itself_does_not() -> None:
    assert kept_here(draws_from_what_each_process_has, loop_bound=False) is None


def test_generators_of_numpy_keep_a_function_here() -> None:
    numpy = pytest.importorskip("numpy")
    rng, old = numpy.random.default_rng(0), numpy.random.RandomState(0)
    rand = numpy.random.rand  # of the state that each process has
    assert "'rng'" in (kept_here(lambda x: rng.random(), loop_bound=False) or "")
    assert "'old'" in (kept_here(lambda x: old.rand(), loop_bound=False) or "")
    assert kept_here(lambda x: rand(), loop_bound=False) is None


def test_a_client_keeps_a_coroutine_function_here() -> None:
    assert "'client'" in (kept_here(asks_a_client, loop_bound=True) or "")
    assert kept_here(asks_a_client, loop_bound=False) is None


@pytest.mark.parametrize("fn", [reads_plain_data, keeps_its_own, len, Client.get])
def test_plain_data_does_not(fn: Callable[..., Any]) -> None:
    assert kept_here(fn, loop_bound=True) is None
