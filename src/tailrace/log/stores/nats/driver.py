"""The engine `nats:` or `tls:`, which processes on many machines share. Needs the extra `tailrace[nats]`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from tailrace.errors import ConfigError
from tailrace.log.contract import Records
from tailrace.log.stores.driver import (
    Inspection,
    StoreDriver,
    StoreParts,
    StoreSettings,
    open_inspection,
)
from tailrace.log.stores.nats import addresses

if TYPE_CHECKING:
    from tailrace.log.stores.nats.client import Client
    from tailrace.log.stores.nats.layout import Layout


class NatsDriver:
    """`StoreDriver` for servers with JetStream."""

    def check(self, url: str) -> None:
        addresses.servers(url)

    def parts(self, settings: StoreSettings) -> StoreParts:
        servers, layout = installation(settings)
        from tailrace.log.stores.nats.store import NatsStore

        store = NatsStore(servers, layout, patience=settings.wait_seconds)
        return StoreParts(store, lambda: store.work)

    def side_records(self, settings: StoreSettings) -> Records:
        servers, layout = installation(settings)
        from tailrace.log.stores.nats.store import NatsSideRecords

        return NatsSideRecords(servers, layout, patience=settings.wait_seconds)

    def inspect(self, settings: StoreSettings) -> AbstractAsyncContextManager[Inspection]:
        return open_inspection(self.parts(settings).store)

    async def create(self, settings: StoreSettings) -> Sequence[str]:
        async with _connection(settings) as (client, layout):
            from tailrace.log.stores.nats import layout as layouts

            copies = await layouts.create(client, layout)
        summary = [f"{len(layout.streams())} streams, {copies} replicas"]
        if copies != layout.replicas:
            summary.append("they are as they were made; `nats stream edit` changes replicas")
        return summary

    async def unsafe(self, settings: StoreSettings, monitors: Sequence[str]) -> Sequence[str]:
        """`monitors` as for `safety.unsafe`."""
        async with _connection(settings) as (client, layout):
            from tailrace.log.stores.nats import layout as layouts
            from tailrace.log.stores.nats import safety

            await layouts.check(client, layout)
            return await safety.unsafe(client, layout, monitors)


def installation(
    settings: StoreSettings, *, caller: str = "[engine] url"
) -> tuple[list[str], Layout]:
    """The URLs of the servers, and the layout of the installation. Raises `ConfigError`; `caller` names the
    setting or option that needs the client library."""
    try:
        from tailrace.log.stores.nats.layout import Layout
    except ImportError:
        raise ConfigError(f"{caller} needs the extra: pip install 'tailrace[nats]'") from None
    layout = Layout(
        settings.name,
        settings.shards,
        settings.replicas,
        retention_seconds=settings.kept_seconds,
        lease=settings.lease_seconds,
    )
    return addresses.servers(settings.url), layout


@asynccontextmanager
async def _connection(settings: StoreSettings) -> AsyncGenerator[tuple[Client, Layout], None]:
    servers, layout = installation(settings, caller="an engine")
    from tailrace.log.stores.nats.client import Client

    client = Client(servers)
    await client.open()
    try:
        yield client, layout
    finally:
        await client.close()


DRIVER: StoreDriver = NatsDriver()
