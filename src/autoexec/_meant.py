"""What someone may have meant by a name that does not exist here; imported to word errors only."""

from __future__ import annotations

from collections.abc import Iterable

OPTIONS = {
    "batch_size": "chunksize",
    "concurrency": "max_workers",
    "executor": "backend",
    "jobs": "max_workers",
    "n_jobs": "max_workers",
    "n_workers": "max_workers",
    "num_workers": "max_workers",
    "pool": "backend",
    "prefer": "backend",
    "processes": "max_workers",
    "rate_limit": "max_per_second",
    "return_exceptions": "on_error",
    "starmap": "star",
    "threads": "max_workers",
    "tqdm": "progress",
    "verbose": "progress",
}
"""What other libraries call an option -> what it is called here."""

BACKENDS = {
    "async": "asyncio",
    "loky": "processes",
    "multiprocessing": "processes",
    "sequential": "inline",
    "serial": "inline",
    "sync": "inline",
    "threading": "threads",
}
"""The same for backends."""


def hint(given: str, names: Iterable[str], elsewhere: dict[str, str]) -> str:
    """A question to append to an error: which of the names was meant; empty if none is near."""
    import difflib

    near = difflib.get_close_matches(given, names, n=1)
    meant = elsewhere.get(given) or (near[0] if near else "")
    return f" Did you mean {meant!r}?" if meant else ""


def uncalled(fn: object) -> str:
    """What to pass in the place of something that was given as the function and is none."""
    if isinstance(fn, str):
        return " Pass the function itself, not its name or its code."
    return " Pass the function itself: fn, not fn(...)."
