"""The engine `sqlite:`, in the data folder of this machine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tailrace.errors import ConfigError
from tailrace.log.contract import Records
from tailrace.log.stores.driver import Inspection, StoreDriver, StoreParts, StoreSettings


class SqliteDriver:
    """`StoreDriver` for `sqlite:`."""

    def check(self, url: str) -> None:
        pass

    def parts(self, settings: StoreSettings) -> StoreParts:
        from tailrace.log.stores.sqlite.store import SqliteStore

        return StoreParts(SqliteStore(settings.folder, wait=settings.wait_seconds))

    def side_records(self, settings: StoreSettings) -> Records:
        from tailrace.log.stores.sqlite.records import side_records

        return side_records(settings.folder)

    def inspect(self, settings: StoreSettings) -> AbstractAsyncContextManager[Inspection]:
        return _inspect(settings)

    async def create(self, settings: StoreSettings) -> Sequence[str]:
        raise ConfigError("a data folder cannot be shared")

    async def unsafe(self, settings: StoreSettings, monitors: Sequence[str]) -> Sequence[str]:
        raise ConfigError("a data folder cannot be shared")


@asynccontextmanager
async def _inspect(settings: StoreSettings) -> AsyncGenerator[Inspection, None]:
    from tailrace.log.stores.sqlite import scrub

    with scrub.open_scrub(settings.folder) as inspection:
        yield inspection


DRIVER: StoreDriver = SqliteDriver()
