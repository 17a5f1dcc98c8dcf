"""What is used of pytest-benchmark, with the types that it does not have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Benchmark(Protocol):
    """The fixture."""

    group: str
    extra_info: dict[str, Any]
    """Stored with the times."""

    def __call__(self, target: Callable[..., Any], /, *args: Any) -> Any:
        """Time a function as often as it takes."""

    def pedantic(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None = None,
        *,
        rounds: int,
        warmup_rounds: int = 0,
    ) -> Any:
        """Time a function so many times, and return what the last call returned."""
