"""Functions that several tests run over items; in a module of their own, so that workers find them."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar


def double(x: int) -> int:
    return 2 * x


async def double_later(x: int) -> int:
    await asyncio.sleep(0.001)
    return 2 * x


def fail_on_seven(x: int) -> int:
    if x == 7:
        raise ValueError("seven")
    return x


request: ContextVar[str] = ContextVar("request", default="none")


def see_request(x: int) -> str:
    return request.get()


async def see_request_later(x: int) -> str:
    await asyncio.sleep(0.001)
    return request.get()
