"""The records of an installation for commands: a connection for each call, beside the servers that use it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from tailrace.log.contract import Change, Record
from tailrace.log.stores.nats.layout import Layout
from tailrace.log.stores.nats.records import NatsRecords
from tailrace.log.stores.nats.store import NatsStore


class SideRecords:
    """`Records` over a connection for each call."""

    def __init__(self, servers: Sequence[str], layout: Layout, *, patience: float = 0.0) -> None:
        """`patience` as for a `NatsStore`."""
        self._servers = servers
        self._layout = layout
        self._patience = patience

    async def get(self, bucket: str, key: str) -> Record | None:
        async with self._open() as records:
            return await records.get(bucket, key)

    async def put(
        self,
        bucket: str,
        key: str,
        value: bytes,
        *,
        revision: int | None = None,
        expires: int = 0,
    ) -> int:
        async with self._open() as records:
            return await records.put(bucket, key, value, revision=revision, expires=expires)

    async def delete(self, bucket: str, key: str) -> None:
        async with self._open() as records:
            await records.delete(bucket, key)

    async def change(self, change: Change) -> None:
        async with self._open() as records:
            await records.change(change)

    async def scan(
        self, bucket: str, *, after: str = "", limit: int = 100, newest_first: bool = False
    ) -> Sequence[Record]:
        async with self._open() as records:
            return await records.scan(bucket, after=after, limit=limit, newest_first=newest_first)

    async def due(self, bucket: str, now: int, limit: int = 100) -> Sequence[Record]:
        async with self._open() as records:
            return await records.due(bucket, now, limit)

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[NatsRecords, None]:
        store = NatsStore(self._servers, self._layout, patience=self._patience)
        await store.open()
        try:
            yield store.records
        finally:
            await store.close()
