"""Entries of one run in a store's records: durable in the order they were made, and forgotten by what they
are about. Each goes behind what the run's log was told before it (`flush`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from tailrace.events.versions import pack_entry, unpack_entry
from tailrace.runtimes.contract import CHECKPOINTS, CheckpointRecords

Flush = Callable[[], Awaitable[None]]
"""Waits until all that the run's log was told is durable."""


class Journal:
    """The entries of `run`."""

    def __init__(self, records: CheckpointRecords, run: str, flush: Flush) -> None:
        self._records = records
        self.flush = flush
        self._start = f"{run}/"
        self._count = 0
        self._about: dict[Hashable, list[str]] = {}

    async def load(self) -> list[tuple[str, Any]]:
        """All entries, each with the key of its record."""
        entries: list[tuple[str, Any]] = []
        after = self._start
        while page := await self._records.scan(CHECKPOINTS, after=after):
            mine = [record for record in page if record.key.startswith(self._start)]
            for record in mine:
                entries.append((record.key, unpack_entry(record.value)))
                self._count = int(record.key.removeprefix(self._start))
            after = page[-1].key
            if len(mine) < len(page):
                break
        return entries

    async def add(self, entry: Any, about: Hashable = None) -> None:
        """Keep an entry, behind what the log was told before; returns when it is durable."""
        await self.flush()
        await self.put(entry, about)

    def put(self, entry: Any, about: Hashable) -> Awaitable[object]:
        """Keep an entry at once; resolves when it is durable."""
        self._count += 1
        key = f"{self._start}{self._count:010}"
        self.index(key, about)
        return self._records.put(CHECKPOINTS, key, pack_entry(entry))

    def index(self, key: str, about: Hashable) -> None:
        """Remember what a loaded entry is about."""
        if about is not None:
            self._about.setdefault(about, []).append(key)

    def forget(self, about: Hashable) -> Awaitable[object]:
        """Remove all entries about something."""
        keys = self._about.pop(about, [])
        return asyncio.gather(*(self._records.delete(CHECKPOINTS, key) for key in keys))
