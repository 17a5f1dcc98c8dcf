"""Hypothesis strategies and plain makers for the records that decisions are made of.

Figures are drawn from grids rather than from all floats: what matters is on which side of a
threshold they fall, and a property can then be tried on five times as many examples a second.
"""

from __future__ import annotations

import os
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, get_args

from hypothesis import settings
from hypothesis import strategies as st

from autoexec._options import BackendName, Settings
from autoexec._types import Costs, Host, Most, Payload, Profile, Route

ROUTES: tuple[Route, ...] = get_args(Route)
BARRED = "this is a worker process already"

# The costs of a common machine, in round numbers, so that examples can be followed by hand.
COSTS = Costs(
    thread_start_s=100e-6,
    thread_trip_s=25e-6,
    task_trip_s=15e-6,
    process_start_s=0.1,
    process_spawn_s=0.002,
    process_trip_s=250e-6,
    byte_s=2e-9,
)
HOST = Host(
    cores=4,
    gil=True,
    main_waits=False,
    warm=False,
    processes_barred=None,
    costs=COSTS,
)
PAYLOAD = Payload(fn_bytes=200, item_bytes=50, result_bytes=50, pickle_s=5e-6, obstacle=None)


def examples(count: int) -> settings:
    """How many examples a property is tried on; without a limit of time for one of them.

    Half of them unless `HYPOTHESIS_PROFILE=thorough`: each run has others, so that runs add up.
    """
    thorough = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
    return settings(max_examples=count if thorough else count // 2, deadline=None)


def profile(wall_s: float, cpu_s: float = 0.0, **others: Any) -> Profile:
    """A profile of calls that were well observed, for examples."""
    figures: dict[str, Any] = {
        "calls": 3,
        "elapsed_s": 3 * wall_s,
        "least_s": wall_s,
        "child_s": 0.0,
        "gil_share": None,
        "late_ms": 0.0,
        "overlap": None,
        "spread": 0.0,
        "remaining": 1000,
        "done": 3,
        "is_async": False,
    }
    return Profile(wall_s=wall_s, cpu_s=cpu_s, **(figures | others))


def magnitudes(least: int, most: int) -> st.SearchStrategy[float]:
    """Numbers from 10 to the power of `least` to that of `most`, ten for each power."""
    return st.integers(least * 10, most * 10).map(lambda tenths: 10.0 ** (tenths / 10))


def durations() -> st.SearchStrategy[float]:
    """Seconds, from 10 ns to three hours, and none at all."""
    return magnitudes(-9, 4).map(lambda seconds: seconds if seconds >= 1e-8 else 0.0)


def shares(most: float = 1.0) -> st.SearchStrategy[float]:
    """From nothing to `most`, in steps of a fiftieth; one in five is one of the two."""
    return st.integers(-5, 55).map(lambda step: most * min(50, max(0, step)) / 50)


def perhaps(share: float, value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """None, but for a share of the examples."""
    return st.integers(1, 20).flatmap(lambda n: value if n <= 20 * share else st.none())


def texts() -> st.SearchStrategy[str]:
    """Something that can be said."""
    return st.sampled_from(["it is so", "a lock cannot be pickled"])


def payloads() -> st.SearchStrategy[Payload]:
    """What a process would take, from nothing to gigabytes."""
    sizes = magnitudes(-1, 9).map(int)
    return st.builds(
        Payload,
        fn_bytes=sizes,
        item_bytes=sizes,
        result_bytes=sizes,
        pickle_s=durations(),
        obstacle=st.none(),
    )


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Anything that could have been measured: CPU time within wall time, counts that agree."""
    wall_s = draw(durations())
    calls = draw(magnitudes(-1, 6).map(int))
    return Profile(
        calls=calls,
        elapsed_s=wall_s * (calls or draw(st.sampled_from([0, 1]))),
        wall_s=wall_s,
        least_s=wall_s * draw(shares()),
        cpu_s=wall_s * draw(shares()),
        child_s=wall_s * draw(shares(most=4)),
        gil_share=draw(perhaps(0.7, shares())),
        late_ms=0.0,
        overlap=draw(perhaps(0.3, shares(most=5))),
        spread=draw(shares(most=10)),
        remaining=draw(perhaps(0.8, magnitudes(-1, 9).map(int))),
        done=calls,
        is_async=draw(st.booleans()),
        used=draw(perhaps(0.4, shares())),
        beside_s=draw(durations()),
        blocked=draw(perhaps(0.2, shares(most=1e5))) or 0.0,
        alone_s=draw(durations()),
        rivals=draw(perhaps(0.2, shares(most=100))) or 0.0,
        worker_s=draw(perhaps(0.4, durations())),
        most=draw(perhaps(0.2, st.builds(Most, durations(), st.floats(1, 1e6)))),
        new_child=draw(st.booleans()),
        checks=2,
        takes_turns=draw(st.booleans()),
        effect=draw(perhaps(0.1, texts())),
        payload=draw(perhaps(0.5, payloads())),
        processes_ready=draw(st.booleans()),
    )


@st.composite
def computing(draw: st.DrawFn) -> Profile:
    """Calls that were seen to hold the GIL: where processes may come in."""
    wall_s = draw(magnitudes(-4, 1))
    return profile(
        wall_s,
        wall_s * draw(st.integers(20, 100)) / 100,
        elapsed_s=draw(magnitudes(-2, 2)),
        gil_share=draw(st.integers(50, 100)) / 100,
        remaining=draw(magnitudes(0, 6).map(int)),
        payload=draw(perhaps(0.5, payloads())),
        processes_ready=draw(st.booleans()),
    )


@st.composite
def hosts(draw: st.DrawFn) -> Host:
    """Any machine; where this is a worker already, processes are barred."""
    return Host(
        cores=draw(st.sampled_from([1, 2, 3, 4, 8, 64, 256])),
        gil=draw(st.integers(1, 4)) > 1,
        main_waits=draw(st.booleans()),
        warm=draw(st.booleans()),
        processes_barred=draw(perhaps(0.1, texts())),
        costs=Costs(
            thread_start_s=draw(magnitudes(-6, -2)),
            thread_trip_s=draw(magnitudes(-6, -3)),
            task_trip_s=draw(magnitudes(-6, -3)),
            process_start_s=draw(magnitudes(-3, 1)),
            process_spawn_s=draw(magnitudes(-4, -1)),
            process_trip_s=draw(magnitudes(-6, -2)),
            byte_s=draw(magnitudes(-11, -6)),
        ),
    )


class ElsewhereExecutor(Executor):
    """An executor that says nothing of its size."""


def backends() -> st.SearchStrategy[BackendName | Executor]:
    """What a caller may ask for: a backend by name, or an executor (which is never used)."""
    named = [name for name in get_args(BackendName) if name != "auto"]
    return st.sampled_from([*named, ElsewhereExecutor(), ThreadPoolExecutor(3)])


def settings_with(
    backend: st.SearchStrategy[BackendName | Executor],
) -> st.SearchStrategy[Settings]:
    """Options that have passed validation."""
    workers = perhaps(0.5, st.sampled_from([1, 2, 3, 4, 8, 100, 10_000]))
    return st.builds(Settings, backend=backend, max_workers=workers)


def auto() -> st.SearchStrategy[Settings]:
    """Options that leave the backend to be found."""
    return settings_with(st.just("auto"))


def asked() -> st.SearchStrategy[Settings]:
    """Options that ask for a backend."""
    return settings_with(backends())


def currents() -> st.SearchStrategy[Route | None]:
    """The route in force, if there is one yet."""
    return st.sampled_from([None, *ROUTES])
