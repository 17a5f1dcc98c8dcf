"""The corpus: each task with its items, the class it must get and the routes that suit it.

The groups are those of any textbook on threads and processes. The label is what is true of a task
when it is measured, and where a textbook would say otherwise a comment says why.

Each task takes 0.1 to 0.6 seconds one call after another, so that there is something to measure
and, for those that compute, something to gain from a second core.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoexec import Kind
from autoexec._types import Host

from . import computing, native, waiting


@dataclass(frozen=True)
class Site:
    """What tasks find outside of them."""

    http_port: int
    line_port: int
    folder: Path

    def url(self, path: str) -> str:
        """The address of a page of the local server."""
        return f"http://127.0.0.1:{self.http_port}/{path}"

    def file(self, name: str, size: int) -> str:
        """The path of a file of zeros, freshly written and so in the page cache."""
        path = self.folder / name
        path.write_bytes(bytes(size))
        return str(path)


@dataclass(frozen=True)
class Task:
    """A function, its items and its label."""

    fn: Callable[[Any], Any]
    items: Callable[[Site], list[Any]]
    kinds: tuple[Kind, ...]
    """The class that it must get; two only where the speed of the machine honestly decides."""
    routes: tuple[str, ...]
    needs: str | None = None
    """A library that may not be installed."""

    @property
    def name(self) -> str:
        """The name of its function."""
        return self.fn.__name__

    def labels(self, host: Host, *, busy: bool) -> tuple[set[Kind], set[str]]:
        """The classes and the routes that are right on this machine.

        Without a GIL nothing can hold it, so threads do for Python code too. What computes gains
        nothing from a second call at once on a single core, and little where others are at work.
        Windows does not tell how much child processes have computed.
        """
        kinds, routes = set(self.kinds), set(self.routes)
        if not host.gil and Kind.CPU_HELD in kinds:
            kinds, routes = kinds - {Kind.CPU_HELD} | {Kind.CPU_FREE}, {"threads"}
        if (busy or host.cores == 1) and kinds & {Kind.CPU_HELD, Kind.CPU_FREE, Kind.CHILDREN}:
            routes |= {"inline"}
        if sys.platform == "win32" and Kind.CHILDREN in kinds:
            kinds |= {Kind.IO}
        return kinds, routes

    @property
    def missing(self) -> bool:
        """The library that it needs is not installed."""
        return self.needs is not None and importlib.util.find_spec(self.needs) is None


def _each(*items: Any) -> Callable[[Site], list[Any]]:
    return lambda site: list(items)


def _computes(
    fn: Callable[[Any], Any], items: Callable[[Site], list[Any]], needs: str | None = None
) -> Task:
    """A task that holds the GIL: only processes use a second core.

    Half a second of it is so little that a slow start of processes honestly keeps it here. What
    is wrong at any length is threads; `test_corpus` has longer ones that must leave.
    """
    return Task(fn, items, (Kind.CPU_HELD,), ("processes", "inline"), needs)


def _frees(
    fn: Callable[[Any], Any], items: Callable[[Site], list[Any]], needs: str | None = None
) -> Task:
    """A task that computes without the GIL: threads use every core, and need no start-up."""
    return Task(fn, items, (Kind.CPU_FREE,), ("threads",), needs)


def _waits(fn: Callable[[Any], Any], items: Callable[[Site], list[Any]]) -> Task:
    return Task(fn, items, (Kind.IO,), ("threads",))


def _with_children(fn: Callable[[Any], Any], items: Callable[[Site], list[Any]]) -> Task:
    return Task(fn, items, (Kind.CHILDREN,), ("threads",))


def _async(fn: Callable[[Any], Any], items: Callable[[Site], list[Any]]) -> Task:
    return Task(fn, items, (Kind.ASYNC,), ("asyncio",))


def _tiny(fn: Callable[[Any], Any], items: Callable[[Site], list[Any]]) -> Task:
    return Task(fn, items, (Kind.TINY,), ("inline",))


def _mixes(fn: Callable[[Any], Any], items: Callable[[Site], list[Any]]) -> Task:
    """About half and half. Threads bring 2 at a time under one GIL, processes as many as cores, and
    processes with threads in them both."""
    return Task(fn, items, (Kind.MIXED,), ("threads", "processes", "hybrid"))


def _source(site: Site) -> list[str]:
    return [computing.make_source(120 + i) for i in range(35)]


def _texts(site: Site) -> list[tuple[str, str]]:
    text = computing.make_log(8)
    return [(text[:160], text[i : 160 + i]) for i in range(50)]


CPU_HELD = (
    _computes(computing.factorial, lambda site: list(range(7_000, 7_040))),
    _computes(computing.count_primes, lambda site: list(range(7_000, 7_040))),
    _computes(computing.estimate_pi, lambda site: list(range(40))),
    _computes(computing.fibonacci, _each(*[23] * 110)),
    _computes(computing.blur, lambda site: [computing.make_image(i, 80) for i in range(90)]),
    _computes(computing.mandelbrot, lambda site: list(range(160)) * 4),
    _computes(computing.multiply, lambda site: list(range(40))),
    _computes(computing.queens, lambda site: list(range(9)) * 40),
    _computes(computing.levenshtein, _texts),
    _computes(computing.sort_by_key, lambda site: list(range(45))),
    _computes(computing.encrypt, lambda site: list(range(60))),
    _computes(computing.parse_source, _source),
    _computes(computing.count_tokens, _source),
    _computes(computing.parse_json, lambda site: [computing.make_document(1_500)] * 180),
    # A regular expression is C code, but it works on Python objects and keeps the GIL throughout.
    _computes(computing.search_log, lambda site: [computing.make_log(3_000)] * 160),
    _computes(computing.count_words, lambda site: [computing.make_log(1_500)] * 60),
    _computes(computing.sum_table, lambda site: list(range(45))),
    # `hashlib` is the textbook's example of code that releases the GIL, but it does so only for
    # 2 kB and more at once.
    _computes(computing.hash_chain, lambda site: list(range(60))),
    # NumPy releases the GIL within one operation; on small arrays the time is between them.
    _computes(native.small_arrays, lambda site: list(range(50)), "numpy"),
    _computes(native.make_noise, _each(*[400] * 70), "PIL"),
)

CPU_FREE = (
    _frees(native.digest, lambda site: list(range(80))),
    _frees(native.stretch_password, lambda site: [f"secret {i}" for i in range(50)]),
    _frees(native.deflate, _each(*[6] * 50)),
    _frees(native.compress_bz2, lambda site: list(range(25))),
    _frees(native.compress_lzma, lambda site: list(range(25))),
    # A database is I/O to a textbook. This query reads no disk: it computes, without the GIL. Threads gain nothing
    # all the same: two bare ones take 0.18 s for the 25, one call after another takes 0.15.
    Task(
        native.aggregate,
        lambda site: list(range(25)),
        (Kind.CPU_FREE,),
        ("threads", "inline", "processes"),
    ),
    # So is reading a file, but one in the page cache is copied, not waited for. The kernel may be
    # slow to let a watcher in meanwhile, which a busy machine cannot be told from a held GIL by; and
    # where memory is short, its pages and those that it is copied to are waited for.
    Task(
        native.read_file,
        lambda site: [site.file("cached", 16_000_000)] * 100,
        (Kind.CPU_FREE, Kind.CPU_HELD, Kind.MIXED),
        ("threads", "inline", "processes"),
    ),
    _frees(native.resize, _each(*[400] * 40), "PIL"),
    _frees(native.thumbnail, _each(*[300] * 30), "PIL"),
    _frees(native.sort_array, _each(*[400_000] * 150), "numpy"),
    _frees(native.encrypt_bytes, lambda site: list(range(240)), "cryptography"),
)

WAITING = (
    _waits(waiting.pause, _each(*[0.02] * 20)),
    _waits(waiting.wait_for_event, _each(*[0.02] * 20)),
    _waits(waiting.poll, _each(*[0.02] * 20)),
    _waits(waiting.fetch, lambda site: [site.url(f"page/{i}") for i in range(20)]),
    _waits(waiting.ask, lambda site: [site.line_port] * 20),
    _waits(waiting.read_pipe, lambda site: [f"line {i}" for i in range(20)]),
    _waits(waiting.wait_for_lock, lambda site: [str(site.folder / f"{i}.db") for i in range(20)]),
    # Child processes are no sign of computing: these sleep.
    _waits(waiting.run_sleeping_child, _each(*[0.25] * 4)),
)

CHILDREN = (
    _with_children(waiting.run_child, lambda site: [500_000 + i for i in range(8)]),
    _with_children(waiting.convert_in_child, lambda site: ["x" * i for i in range(8)]),
)

ASYNC = (
    _async(waiting.async_pause, _each(*[0.02] * 20)),
    _async(waiting.async_ask, lambda site: [site.line_port] * 20),
    # It computes, but `async def` was the caller's choice of where calls run.
    _async(waiting.async_compute, _each(*[180_000] * 24)),
)

TINY = (
    _tiny(computing.square, lambda site: list(range(200_000))),
    _tiny(str.upper, lambda site: ["a few words"] * 200_000),
    _tiny(computing.parse_number, lambda site: [f"{i}.5" for i in range(100_000)]),
    _tiny(computing.area, lambda site: [(i, 1.1) for i in range(100_000)]),
    # A system call, but on what the kernel has at hand: nothing waits.
    _tiny(os.path.getsize, lambda site: [site.file("small", 4096)] * 20_000),
)

MIXED = (
    _mixes(waiting.pause_and_compute, _each(*[180_000] * 24)),
    _mixes(waiting.fetch_and_count, lambda site: [site.url("text")] * 20),
    _mixes(waiting.pause_and_digest, lambda site: list(range(40))),
)

TASKS = CPU_HELD + CPU_FREE + WAITING + CHILDREN + ASYNC + TINY + MIXED
