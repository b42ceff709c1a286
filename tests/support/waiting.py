"""The only place where a test's process waits for a time: until a condition holds, or while a fault lasts.

`tests/layout/test_sleeps.py` forbids every other sleep in tests. Agents and model servers that are slow on
purpose, and programs that generate load, are not tests.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from tests.support.patience import patient

POLL_SECONDS = 0.005
MOST_SECONDS = 10.0


async def until(
    condition: Callable[[], bool | Awaitable[bool]], seconds: float = MOST_SECONDS
) -> None:
    """Wait until the condition holds. Raises `TimeoutError` after `seconds` of an idle machine."""
    async with asyncio.timeout(patient(seconds)):
        while True:
            answer = condition()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(POLL_SECONDS)


async def lasting(seconds: float) -> None:
    """Wait while a fault lasts: a frozen server, a lost quorum."""
    await asyncio.sleep(seconds)
