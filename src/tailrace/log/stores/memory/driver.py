"""The engine `memory:`, which lasts as long as its store; a command beside it sees nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from tailrace.errors import ConfigError
from tailrace.log.contract import Records
from tailrace.log.stores.driver import (
    Inspection,
    StoreDriver,
    StoreParts,
    StoreSettings,
    open_inspection,
)
from tailrace.log.stores.memory.store import MemoryStore


class MemoryDriver:
    """`StoreDriver` for `memory:`."""

    def check(self, url: str) -> None:
        pass

    def parts(self, settings: StoreSettings) -> StoreParts:
        return StoreParts(MemoryStore())

    def side_records(self, settings: StoreSettings) -> Records:
        return MemoryStore().records

    def inspect(self, settings: StoreSettings) -> AbstractAsyncContextManager[Inspection]:
        return open_inspection(MemoryStore())

    async def create(self, settings: StoreSettings) -> Sequence[str]:
        raise ConfigError("an engine in memory cannot be shared")

    async def unsafe(self, settings: StoreSettings, monitors: Sequence[str]) -> Sequence[str]:
        raise ConfigError("an engine in memory cannot be shared")


DRIVER: StoreDriver = MemoryDriver()
