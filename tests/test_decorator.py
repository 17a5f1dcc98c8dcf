"""`@parallel` on every kind of function, here and in workers."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
import subprocess
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from autoexec import Failure, ParallelFunction, parallel, run_parallel
from autoexec._function import is_async
from autoexec._options import BackendName

BACKENDS: list[BackendName] = ["auto", "inline", "threads", "processes", "asyncio", "hybrid"]

SCRIPT = """
from autoexec import parallel, run_parallel

@parallel
def inc(x):
    return x + 1

@parallel(backend="processes", max_workers=2)
def twice(x):
    return inc(x) * 2

@parallel
def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)

@parallel
async def later(x):
    return inc(x)

class Scale:
    @parallel
    def apply(self, x):
        return inc(x) * 10

for backend in ("processes", "hybrid"):
    print(run_parallel(twice, range(3), backend=backend))
    print(run_parallel(factorial, range(5), backend=backend))
    print(run_parallel(later, range(3), backend=backend))
    print(run_parallel(Scale().apply, range(3), backend=backend))
    print(inc.options(backend=backend, star=True).map([(1,), (2,)]))
print(twice.map(range(3)))
"""

HELPER = """
from autoexec import parallel

COUNT = iter(())  # cannot travel, so the functions must go by their names
LOCK = __import__("threading").Lock()

@parallel
def base(x):
    with LOCK:
        return x + 1

@parallel(max_workers=2)
def outer(x):
    return base(x) * 2
"""


@parallel
def add(a: int, b: int = 10) -> int:
    """The sum."""
    return a + b


@parallel
async def add_later(a: int, b: int = 10) -> int:
    await asyncio.sleep(0)
    return a + b


class Scale:
    factor = 3

    @parallel
    def method(self, x: int) -> int:
        return x * self.factor

    @parallel
    async def coroutine(self, x: int) -> int:
        return x * self.factor

    @parallel
    @staticmethod
    def over_static(x: int) -> int:
        return x + 1

    @staticmethod
    @parallel
    def under_static(x: int) -> int:
        return x + 1

    @parallel
    @classmethod
    def over_class(cls, x: int) -> int:
        return x * cls.factor


class Double(Scale):
    factor = 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_kinds_of_functions_run_everywhere(backend: BackendName) -> None:
    functions: list[tuple[Any, list[int]]] = [
        (add, [11, 12]),
        (add_later, [11, 12]),
        (Scale().method, [3, 6]),
        (Scale().coroutine, [3, 6]),
        (Scale.over_static, [2, 3]),
        (Scale().over_static, [2, 3]),
        (Scale.under_static, [2, 3]),
        (Scale.over_class, [3, 6]),
        (Double.over_class, [2, 4]),
    ]
    for fn, expected in functions:
        assert isinstance(fn, ParallelFunction)
        assert fn.options(backend=backend).map([1, 2]) == expected
        assert run_parallel(fn, [1, 2], backend=backend) == expected


def test_methods_are_called_as_before() -> None:
    assert (Scale().method(2), Double().method(2)) == (6, 4)
    assert (Scale.over_static(1), Scale.under_static(1)) == (2, 2)
    assert (Scale.over_class(2), Double().over_class(2)) == (6, 4)


def test_starmap_unpacks() -> None:
    assert add.starmap([(1, 2), {"a": 3}, [4]]) == [3, 13, 14]
    assert add_later.starmap([(1, 2), {"a": 3}]) == [3, 13]


def test_options_gives_a_copy_in_which_the_later_ones_win() -> None:
    one = parallel(max_workers=2, on_error="skip")(abs)
    two = one.options(max_workers=3)
    assert (two(-1), two.__name__) == (1, "abs")
    assert two.map([-1, "x"]) == [1]
    assert two.map([]).report.options["max_workers"] == (3, "argument")
    assert one.map([]).report.options["max_workers"] == (2, "argument")


greeting: ContextVar[str] = ContextVar("greeting", default="")
begun: list[int] = []


def begin(value: int) -> None:
    begun.append(value)


def surroundings(item: int) -> tuple[list[int], str]:
    return begun, greeting.get()


@pytest.mark.parametrize("later", [False, True])
def test_iterators_among_the_options_are_read_once_and_kept(later: bool) -> None:
    options: Any = {
        "backend": "processes",
        "initializer": begin,
        "initargs": iter([7]),
        "context": iter([greeting]),
    }
    fn = parallel(surroundings).options(**options) if later else parallel(**options)(surroundings)
    token = greeting.set("hello")
    try:
        for _ in range(2):
            assert fn.map([1]) == [([7], "hello")]
    finally:
        greeting.reset(token)
    assert fn.map([]).report.options["initargs"] == ("1 value", "argument")
    assert fn.options(max_workers=1).map([1]) == [([7], "")]


def test_a_copy_with_a_path_among_its_options_takes_it_along(tmp_path: Path) -> None:
    copy = add.options(
        resume=tmp_path / "run.db", resume_failed=True, initializer=abs, initargs=[1]
    )
    again = pickle.loads(pickle.dumps(copy))
    assert again._options == {"resume": str(tmp_path / "run.db"), "resume_failed": True}
    assert repr(again) == repr(copy)


@pytest.mark.parametrize("options", [{"max_workers": 0}, {"retries": -1}])
def test_wrong_options_are_refused_where_they_are_written(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        parallel(**options)
    with pytest.raises(ValueError, match="must be"):
        add.options(**options)


def test_what_cannot_be_called_is_refused() -> None:
    three: Any = 3
    with pytest.raises(TypeError, match="callable"):
        parallel(three)


def test_name_docstring_and_signature_are_kept() -> None:
    assert (add.__name__, add.__qualname__, add.__doc__) == ("add", "add", "The sum.")
    assert str(inspect.signature(add)) == "(a: 'int', b: 'int' = 10) -> 'int'"
    assert str(inspect.signature(Scale().method)) == "(x: 'int') -> 'int'"


def test_coroutine_functions_are_known_as_such() -> None:
    if sys.version_info >= (3, 12):
        assert inspect.iscoroutinefunction(add_later)
        assert inspect.iscoroutinefunction(Scale().coroutine)
    assert is_async(add_later)
    assert is_async(functools.partial(add_later, b=1))
    assert not is_async(add)
    assert run_parallel(functools.partial(add_later, b=1), [1, 2]) == [2, 3]


# --- On the way to workers -----------------------------------------------------------------------------


def test_what_can_be_imported_travels_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(add)) is add
    assert len(pickle.dumps(add)) < 80


def test_copies_and_bound_methods_travel_too() -> None:
    copy = pickle.loads(pickle.dumps(add.options(max_workers=2)))
    assert copy(1) == 11
    assert copy.map([]).report.options["max_workers"] == (2, "argument")
    assert pickle.loads(pickle.dumps(Double().method))(2) == 4


def test_a_nested_function_that_calls_decorated_ones_travels() -> None:
    offset = 5

    @parallel
    def inner(x: int) -> int:
        return add(x) + offset

    assert run_parallel(inner, [1, 2], backend="processes") == [16, 17]


def run_script(path: Path) -> list[str]:
    run = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=60, cwd=path.parent
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_a_script_may_use_its_decorated_functions_in_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    each = ["[2, 4, 6]", "[1, 1, 2, 6, 24]", "[1, 2, 3]", "[10, 20, 30]", "[2, 3]"]
    assert run_script(script) == [*each, *each, "[2, 4, 6]"]


def test_functions_of_a_module_are_not_copied_with_what_they_use(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    script = tmp_path / "script.py"
    script.write_text(
        "import helper\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "from autoexec import run_parallel\n"
        "def call(x): return helper.outer(x)\n"
        "print(run_parallel(helper.outer, range(3), backend='processes'))\n"
        "print(helper.outer.options(backend='hybrid').map(range(3)))\n"
        "print(run_parallel(call, range(3), backend='processes'))\n"
    )
    assert run_script(script) == ["[2, 4, 6]"] * 3


@parallel
def triple(x: int) -> int:
    return 3 * x


@parallel(max_workers=2)
async def triple_later(x: int) -> int:
    await asyncio.sleep(0)
    return 3 * x


def test_streams_and_async_forms_are_methods_as_well() -> None:
    async def go() -> tuple[list[int], list[int], list[int]]:
        found = [value async for value in triple_later.aimap(range(3))]
        return found, await triple_later.amap(range(3)), await triple.amap(range(3))

    with triple.imap(iter(range(3))) as results:
        assert list(results) == [0, 3, 6]
    assert asyncio.run(go()) == ([0, 3, 6], [0, 3, 6], [0, 3, 6])


def test_the_decorators_options_hold_for_streams() -> None:
    def fail(x: int) -> int:
        raise ValueError(x)

    results: list[Any] = list(parallel(on_error="return")(fail).imap([1, 2]))
    assert [type(result) for result in results] == [Failure, Failure]
