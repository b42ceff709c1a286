"""The interface of an engine for code that selects it by URL: the check of its address, its store, its
maintenance.

An engine is a folder with a module `driver.py`, whose `DRIVER` implements this protocol. That module
imports the engine's own modules inside its functions, so that checking an address loads no client library.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from msgspec import Struct

from tailrace.events.types import Event
from tailrace.log.contract import Record, Records, Store
from tailrace.log.work import WorkQueue


class StoreSettings(Struct, frozen=True, kw_only=True):
    """The configuration of an engine; each engine reads the fields that it needs.

    `url` is its address, and `folder` the data folder of this machine. `name` distinguishes installations
    on the same servers; `shards` and `replicas` apply when it is made. `kept_seconds` is how long a run's
    events must be kept, `lease_seconds` how long a silent worker keeps its run, and `wait_seconds` how long
    opening waits for another process to release the data, or for servers to respond.
    """

    url: str
    folder: Path
    name: str = "tailrace"
    shards: int = 8
    replicas: int = 3
    kept_seconds: int = 0
    lease_seconds: float = 5.0
    wait_seconds: float = 0.0


class StoreParts(NamedTuple):
    """A store, not open yet. If processes can share it, `work` has its jobs and calls once it is open."""

    store: Store
    work: Callable[[], WorkQueue] | None = None


class Inspection(Protocol):
    """A reader of all data of an engine, beside the servers that use it."""

    def faults(self) -> Iterator[str]:
        """A sentence for each fault of the storage."""
        ...

    def runs(self) -> Sequence[str]:
        """Runs that have a log; more may be named by their records."""
        ...

    async def read(self, run: str, after: int) -> Sequence[Event]:
        """As `EventLog.read`."""
        ...

    async def scan(self, bucket: str, *, after: str = "") -> Sequence[Record]:
        """As `Records.scan`."""
        ...


class StoreDriver(Protocol):
    """One engine. Every method raises `ConfigError` for settings that it cannot use."""

    def check(self, url: str) -> None:
        """Raises `ConfigError` for an invalid address; the message repeats no password."""
        ...

    def parts(self, settings: StoreSettings) -> StoreParts:
        """The store. Nothing is opened."""
        ...

    def side_records(self, settings: StoreSettings) -> Records:
        """The records for a command, also while servers use them. Nothing is opened."""
        ...

    def inspect(self, settings: StoreSettings) -> AbstractAsyncContextManager[Inspection]:
        """The data for `tailrace check --data`. Raises `LogError` if there is nothing to read."""
        ...

    async def create(self, settings: StoreSettings) -> Sequence[str]:
        """Make the shared parts that are missing: `tailrace engine init`. Returns sentences for the
        operator. Raises `LogError`."""
        ...

    async def unsafe(self, settings: StoreSettings, monitors: Sequence[str]) -> Sequence[str]:
        """Check the shared parts: `tailrace engine check`. Returns a sentence for each unsafe setting;
        `monitors` are the monitoring addresses of the servers. Raises `LogError` if the engine does not
        work."""
        ...


@asynccontextmanager
async def open_inspection(store: Store) -> AsyncGenerator[Inspection, None]:
    """The inspection of an engine that is reached only through an open store: its open runs, and those of
    its records. Raises `LogError`."""
    await store.open()
    try:
        yield _OpenInspection(store, await store.log.open_runs())
    finally:
        await store.close()


class _OpenInspection(Struct, frozen=True):
    store: Store
    open: Sequence[str]

    def faults(self) -> Iterator[str]:
        return iter(())

    def runs(self) -> Sequence[str]:
        return self.open

    async def read(self, run: str, after: int) -> Sequence[Event]:
        return await self.store.log.read(run, after)

    async def scan(self, bucket: str, *, after: str = "") -> Sequence[Record]:
        return await self.store.records.scan(bucket, after=after)
