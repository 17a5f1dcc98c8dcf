"""Group G, continued: random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab import FORMS, answer, error_of, gather, in_each, note, notes, require, suited
from register import row

from autoexec import Failure, item_random, item_seed

COUNT = 60
SEED = 7


def draw(index: int) -> tuple[int, float, int]:
    """Numbers of every kind that a call can ask for."""
    note(index)
    return item_seed(), item_random().random(), item_random().getrandbits(64)


def draw_at_last(index: int) -> tuple[int, float, int]:
    """The same, where the first attempt draws some and fails."""
    note(index)
    if sum(one.index == index for one in notes()) == 1:
        item_random().random()
        raise ValueError("try again")
    return item_seed(), item_random().random(), item_random().getrandbits(64)


def generated(index: int) -> float:
    from autoexec import item_generator

    note(index)
    return float(item_generator().random())


def without_a_seed(index: int) -> int:
    note(index)
    item_random()
    return answer(index)


def drawn(form: str, fn: Callable[[Any], Any], backend: str, **options: Any) -> list[Any]:
    """What a run with the seed gives."""
    options = {"backend": backend, "seed": SEED, **options}
    return gather(form, suited(fn, backend), range(COUNT), **options)


@row("G7", imports=["numpy"])
def random_numbers_of_items(backend: str) -> None:
    """Calls draw random numbers, on every backend, in chunks of any size, at the second attempt."""
    expected = gather("list", draw, range(COUNT), backend="inline", seed=SEED)
    for kind, numbers in enumerate(zip(*expected, strict=True)):
        require(len(set(numbers)) == COUNT, f"numbers of kind {kind} came twice: {numbers}")

    def check(form: str) -> None:
        sizes: tuple[dict[str, Any], ...] = ({}, {"max_workers": 1}, {"chunksize": 7})
        for options in sizes:
            found = drawn(form, draw, backend, **options)
            require(found == expected, f"with {options} other numbers came: {found[:3]}")
        found = drawn(form, draw_at_last, backend, retries=1)
        require(found == expected, f"the second attempt drew other numbers: {found[:3]}")
        others = drawn(form, draw, backend, seed=SEED + 1)
        require(not set(others) & set(expected), "another seed gave the same numbers")
        missing = gather(
            form, suited(without_a_seed, backend), range(3), backend=backend, on_error="return"
        )
        for one in missing:
            clear = isinstance(one, Failure) and "seed" in str(one.exception)
            require(clear, f"a run without a seed gave {one!r}")

    in_each(FORMS, check)
    error = error_of(item_random)
    require(isinstance(error, RuntimeError), f"outside of a run it raised {error!r}")
    see_generators(backend)


def see_generators(backend: str) -> None:
    """Those of NumPy are what their documentation says, so that others can make them too."""
    try:
        from numpy.random import SeedSequence, default_rng
    except ImportError:
        return
    sequences = [SeedSequence(SEED, spawn_key=(index,)) for index in range(COUNT)]
    expected = [float(default_rng(one).random()) for one in sequences]
    for form in FORMS:
        found = drawn(form, generated, backend)
        require(found == expected, f"{form}: NumPy gave {found[:3]}, not {expected[:3]}")
