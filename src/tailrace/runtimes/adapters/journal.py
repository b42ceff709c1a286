"""What a runtime stores of a run besides its log, in a store's records: the entries of a running attempt
(`Journal`), and the state that the run leaves to the next turn of its conversation (`ThreadStates`).

Engines bound the size of one record (NATS: `max_payload`, 1 MiB by default), so large entries are stored in
parts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterator
from typing import Any

from tailrace.errors import ModelFailed
from tailrace.events.versions import pack_entry, unpack_entry
from tailrace.runtimes.contract import CHECKPOINTS, STATES, CheckpointRecords

Flush = Callable[[], Awaitable[None]]
"""Waits until all emitted events of the run are durable."""

PART = 524_288
"""The size of a part, in bytes."""
MAX_STATE = 67_108_864
"""The maximum size of the state of a run, in bytes; the next turn of a conversation writes it again."""


def state_too_large(size: int, key: str = "") -> ModelFailed:
    """The failure of a run whose state is larger than `MAX_STATE`; `key` is the largest part of it."""
    where = f"; most of it is in its key {key!r}" if key else ""
    text = f"The state of the agent has {size} bytes, more than the {MAX_STATE} that are stored{where}."
    return ModelFailed(text, code="state_too_large")


class Journal:
    """The entries of `run`, durable in the order in which they were made, and deleted by their subject."""

    def __init__(self, records: CheckpointRecords, run: str, flush: Flush) -> None:
        self._records = records
        self.flush = flush
        self._start = f"{run}/"
        self._count = 0
        self._about: dict[Hashable, list[str]] = {}

    async def load(self) -> list[tuple[str, Any]]:
        """All entries, each with the key of its first record."""
        entries: list[tuple[str, Any]] = []
        async for key, value in _entries(self._records, CHECKPOINTS, self._start):
            entries.append((key, unpack_entry(value)))
            self._count = int(key.removeprefix(self._start).partition(".")[0])
        return entries

    async def add(self, entry: Any, about: Hashable = None) -> None:
        """Store an entry after the events that were emitted before; returns when it is durable."""
        await self.flush()
        await self.put(entry, about)

    def put(self, entry: Any, about: Hashable) -> Awaitable[object]:
        """Store an entry at once; resolves when it is durable."""
        self._count += 1
        key = f"{self._start}{self._count:010}"
        data = pack_entry(entry)
        self.index(key if len(data) <= PART else f"{key}.{len(data)}", about)
        return _put(self._records, CHECKPOINTS, key, data)

    def index(self, key: str, about: Hashable) -> None:
        """Remember the subject of a loaded entry."""
        if about is not None:
            self._about.setdefault(about, []).append(key)

    def forget(self, about: Hashable) -> Awaitable[object]:
        """Remove all entries about a subject."""
        keys = [each for key in self._about.pop(about, []) for each in _names(key)]
        return asyncio.gather(*(self._records.delete(CHECKPOINTS, key) for key in keys))


class ThreadStates:
    """The states that runs leave to the next turn, by run; deleted with the run's log."""

    def __init__(self, records: CheckpointRecords) -> None:
        self._records = records

    async def save(self, run: str, kind: str, state: Any) -> None:
        """Store the state of a run; returns when it is durable. `kind` names the adapter. Raises
        `ModelFailed` for a state that is too large."""
        data = pack_entry((kind, state))
        if len(data) > MAX_STATE:
            raise state_too_large(len(data))
        await _put(self._records, STATES, f"{run}/state", data)

    async def load(self, run: str, kind: str) -> Any:
        """The state of a run; None if it left none, or one of another adapter."""
        if not run:
            return None
        async for _, value in _entries(self._records, STATES, f"{run}/"):
            stored_kind, state = unpack_entry(value)
            return state if stored_kind == kind else None
        return None


def _names(key: str) -> Iterator[str]:
    """The keys of the records of entry `<key>`: one, or for `<key>.<size>` one for each part."""
    head, _, size = key.partition(".")
    if not size:
        yield head
    else:
        yield from (f"{head}.{size}.{number:06}" for number in range(-(-int(size) // PART)))


def _put(records: CheckpointRecords, bucket: str, key: str, data: bytes) -> Awaitable[object]:
    if len(data) <= PART:
        return records.put(bucket, key, data)
    names = _names(f"{key}.{len(data)}")
    return asyncio.gather(
        *(
            records.put(bucket, name, pack_entry(("part", data[n * PART : (n + 1) * PART])))
            for n, name in enumerate(names)
        )
    )


async def _entries(
    records: CheckpointRecords, bucket: str, start: str
) -> AsyncGenerator[tuple[str, bytes], None]:
    """The entries below `start`, in order. An entry whose parts are not all there was not complete when its
    process died: it is left out."""
    parts: dict[str, bytearray] = {}
    after = start
    while page := await records.scan(bucket, after=after):
        for record in page:
            if not record.key.startswith(start):
                return
            head, _, rest = record.key.removeprefix(start).partition(".")
            if not rest:
                yield record.key, record.value
                continue
            size = int(rest.partition(".")[0])
            whole = parts.setdefault(head, bytearray())
            whole += unpack_entry(record.value)[1]
            if len(whole) == size:
                yield f"{start}{head}.{size}", bytes(parts.pop(head))
        after = page[-1].key
