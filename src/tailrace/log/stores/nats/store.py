"""A store in a NATS cluster: the connection, the logs and the records of one installation.

The durability of an acknowledged append depends on the servers: three replicas with `sync_interval: always`
keep it over the failure of any one machine, and over a restart of all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager

from tailrace.errors import LogError, NotOpen
from tailrace.events.stored import Frame
from tailrace.log.contract import BEGIN_SECONDS, Change, Record
from tailrace.log.stores.nats import layout as layouts
from tailrace.log.stores.nats.client import Absent, Client
from tailrace.log.stores.nats.layout import Layout
from tailrace.log.stores.nats.log import NatsLog
from tailrace.log.stores.nats.records import NatsRecords
from tailrace.log.stores.nats.work import NatsWork

logger = logging.getLogger("tailrace.log.nats")

AGAIN_SECONDS = 1.0
"""Delay before servers that did not answer are tried again."""


class NatsStore:
    """A store behind these servers (`nats://host:port`). Its streams must have been made."""

    def __init__(self, servers: Sequence[str], layout: Layout, *, patience: float = 0.0) -> None:
        """`patience`: for how many seconds `open` retries while no server answers."""
        self._servers = servers
        self._layout = layout
        self._patience = patience
        self._client: Client | None = None
        self._log: NatsLog | None = None
        self._records: NatsRecords | None = None
        self._work: NatsWork | None = None

    @property
    def log(self) -> NatsLog:
        """The logs. The store must be open."""
        if self._log is None:
            raise NotOpen("the store is not open")
        return self._log

    @property
    def records(self) -> NatsRecords:
        """The records. The store must be open."""
        if self._records is None:
            raise NotOpen("the store is not open")
        return self._records

    @property
    def work(self) -> NatsWork:
        """Jobs and calls. The store must be open."""
        if self._work is None:
            raise NotOpen("the store is not open")
        return self._work

    def begin(
        self, run: str, frame: Frame, *, before: Sequence[Change], beside: Sequence[Change]
    ) -> Awaitable[None]:
        return asyncio.create_task(self._begin(run, frame, before, beside))

    async def _begin(
        self, run: str, frame: Frame, before: Sequence[Change], beside: Sequence[Change]
    ) -> None:
        # JetStream has no transaction over two streams, so the order is the guarantee (docs/adr/0013).
        # Claims and conversation entries come first: after a crash they name a run without a log, which
        # readers skip and a retry replaces. The frame and the record follow, concurrently, because neither
        # alone makes a run: it exists when both are there, and its id is returned to the client only after
        # both.
        try:
            async with asyncio.timeout(BEGIN_SECONDS):
                for change in before:
                    await self.records.change(change)
                done = await asyncio.gather(
                    self.log.append(run, frame, expected=-1, attempt=1),
                    *(self.records.change(change) for change in beside),
                    return_exceptions=True,  # wait for all: no write is in flight when this raises
                )
                for outcome in done:
                    if outcome is not None:
                        raise outcome
        except TimeoutError:
            raise LogError(f"no engine answered for {BEGIN_SECONDS:g} s") from None

    async def open(self) -> None:
        client = await self._connect()
        try:
            await layouts.check(client, self._layout)
        except BaseException:
            await client.close()
            raise
        self._client = client
        self._log = NatsLog(client, self._layout)
        self._records = NatsRecords(client, self._layout)
        self._work = NatsWork(client, self._layout)

    async def _connect(self) -> Client:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while True:
            client = Client(self._servers)
            try:
                await client.open()
            except Absent as error:
                if loop.time() > deadline:
                    raise
                logger.warning("%s; trying on", error)
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return client

    async def close(self) -> None:
        if self._log is not None and self._client is not None:
            await self._log.close()
            await self._client.close()


class NatsSideRecords:
    """`Records` over a connection for each call, beside the servers that use them: for commands."""

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
