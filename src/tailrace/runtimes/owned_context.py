"""A context manager that one task enters and another leaves.

Libraries on anyio (HTTP and MCP clients) require that the same task does both, so each context has a task of
its own, which waits inside.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

Value = TypeVar("Value")


class OwnedContext(Generic[Value]):
    """Enters `manager` in a task that is named `name`."""

    def __init__(self, manager: AbstractAsyncContextManager[Value], name: str) -> None:
        self._manager = manager
        self._leave = asyncio.Event()
        self._value: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own(), name=name)

    async def enter(self) -> Value:
        """The value of the context manager; raises what entering it raises. A cancelled wait leaves it."""
        try:
            return await asyncio.shield(self._value)
        except BaseException:
            self._owner.cancel()
            raise

    async def leave(self, seconds: float) -> None:
        """Leave the context; raises what leaving it raises, and `TimeoutError` after this time."""
        self._leave.set()
        await asyncio.wait([self._owner], timeout=seconds)
        if not self._owner.done():
            self._owner.cancel()
            raise TimeoutError
        if not self._owner.cancelled() and (error := self._owner.exception()) is not None:
            raise error

    async def _own(self) -> None:
        try:
            async with self._manager as value:
                if not self._value.done():
                    self._value.set_result(value)
                await self._leave.wait()
        except Exception as error:
            if self._value.done():
                raise
            self._value.set_exception(error)
