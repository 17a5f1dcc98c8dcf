"""Calls in other processes round decimals as the caller does."""

from __future__ import annotations

import asyncio
import decimal
import sys
from decimal import Decimal
from typing import Any

import pytest

from autoexec import run_parallel
from autoexec._decimals import rounding_of_caller


def third(x: int) -> str:
    return str(Decimal(x) / 3)


async def third_async(x: int) -> str:
    await asyncio.sleep(0)
    return str(Decimal(x) / 3)


@pytest.mark.parametrize("backend", ["auto", "threads", "processes", "hybrid"])
@pytest.mark.parametrize("fn", [third, third_async])
def test_all_backends_round_alike(backend: Any, fn: Any) -> None:
    with decimal.localcontext(prec=5, rounding=decimal.ROUND_UP):
        found: list[str] = list(run_parallel(fn, [1, 2, 1, 2], backend=backend, max_workers=2))
    assert found == ["0.33334", "0.66667"] * 2
    assert run_parallel(fn, [1], backend=backend) == [str(Decimal(1) / 3)]


def test_traps_go_along() -> None:
    with decimal.localcontext() as context:
        context.traps[decimal.DivisionByZero] = False
        assert run_parallel(_divide, [0, 0], backend="processes") == ["Infinity"] * 2


def _divide(x: int) -> str:
    return str(Decimal(1) / Decimal(x))


def test_the_usual_context_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with decimal.localcontext(decimal.Context(**USUAL)):
        assert rounding_of_caller() is None
    monkeypatch.delitem(sys.modules, "decimal")
    assert rounding_of_caller() is None


USUAL: dict[str, Any] = {
    "prec": 28,
    "rounding": decimal.ROUND_HALF_EVEN,
    "traps": [decimal.DivisionByZero, decimal.Overflow, decimal.InvalidOperation],
}
