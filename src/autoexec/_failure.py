"""What stands in the place of a result where a call failed."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

ItemT = TypeVar("ItemT")


class Failure(Generic[ItemT]):
    """Stands in the place of a result when `on_error="return"`. False in a condition."""

    __slots__ = ("exception", "index", "item", "seconds")
    __match_args__ = ("index", "item", "exception", "seconds")

    index: int
    """Position of the item in the input, from 0."""
    item: ItemT
    exception: BaseException
    seconds: float
    """How long the call ran."""

    def __init__(self, index: int, item: ItemT, exception: BaseException, seconds: float) -> None:
        # Written by hand: a frozen dataclass would add 12 ms to `import autoexec`.
        for name, value in zip(self.__match_args__, (index, item, exception, seconds), strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Failure is a record; {name!r} cannot be changed")

    def __reduce__(self) -> tuple[Any, ...]:
        return Failure, (self.index, self.item, self.exception, self.seconds)

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return (
            f"Failure(index={self.index}, item={self.item!r}, exception={self.exception!r},"
            f" seconds={self.seconds:.3g})"
        )
