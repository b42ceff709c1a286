"""What agents remember of a user beyond conversations: small JSON values of the caller of a run, by namespace
and key.

Each user of each tenant has a memory of its own, so the code of an agent cannot read that of another user.
A caller without a user shares the memory of its tenant. Nothing expires; the code deletes what it no longer
needs. LangGraph's `BaseStore` is an adapter over this (`adapters/langgraph/memory.py`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct

from tailrace.events.items import Json
from tailrace.events.request import RunCaller
from tailrace.events.versions import pack_entry, unpack_entry
from tailrace.runtimes.contract import CheckpointRecords

BUCKET = "memory"
MAX_VALUE = 262_144
"""Maximum size of a value as JSON, in bytes."""
MAX_NAME = 512
"""Maximum length of a namespace with its key, in characters."""

Namespace = Sequence[str]


class MemoryItem(Struct, frozen=True):
    """A remembered value; times in milliseconds since the epoch."""

    namespace: tuple[str, ...]
    key: str
    value: dict[str, Json]
    created_at: int
    updated_at: int


class UserMemory:
    """The memory of `caller`. Methods raise `LogError` when the store cannot be reached."""

    def __init__(self, records: CheckpointRecords, caller: RunCaller) -> None:
        self._records = records
        self._owner = f"{quote(caller.tenant, safe='')}/{quote(caller.user, safe='')}/"

    async def get(self, namespace: Namespace, key: str) -> MemoryItem | None:
        """The item, None if there is none."""
        name = self._name(namespace, key)
        record = await self._records.get(BUCKET, name)
        return None if record is None else self._item(name, record.value)

    async def put(self, namespace: Namespace, key: str, value: dict[str, Any]) -> None:
        """Store a value durably, in place of the one of this name. Raises `ValueError` for a name or a value
        that is too large, `TypeError` for a value that is not JSON."""
        size = len(msgspec.json.encode(value))
        if size > MAX_VALUE:
            raise ValueError(f"the value has {size} bytes; at most {MAX_VALUE} are stored")
        name, now = self._name(namespace, key), time.time_ns() // 1_000_000
        before = await self._records.get(BUCKET, name)
        created = now if before is None else self._item(name, before.value).created_at
        await self._records.put(BUCKET, name, pack_entry(("item", value, created, now)))

    async def delete(self, namespace: Namespace, key: str) -> None:
        """Remove the item, if there is one."""
        await self._records.delete(BUCKET, self._name(namespace, key))

    async def items(self, prefix: Namespace = ()) -> AsyncGenerator[MemoryItem, None]:
        """The items of a namespace and of those below it, in the order of their names."""
        start = self._owner + "".join(f"{quote(part, safe='')}:" for part in prefix)
        after = start
        while page := await self._records.scan(BUCKET, after=after):
            for record in page:
                if not record.key.startswith(start):
                    return
                yield self._item(record.key, record.value)
            after = page[-1].key

    def _name(self, namespace: Namespace, key: str) -> str:
        if not namespace or not key or not all(namespace):
            raise ValueError("a namespace has at least one part, and no part or key is empty")
        if sum(map(len, namespace)) + len(key) > MAX_NAME:
            raise ValueError(f"a namespace with its key has at most {MAX_NAME} characters")
        parts = "".join(f"{quote(part, safe='')}:" for part in namespace)
        return f"{self._owner}{parts}/{quote(key, safe='')}"

    def _item(self, name: str, value: bytes) -> MemoryItem:
        path, _, key = name.removeprefix(self._owner).rpartition("/")
        _, content, created_at, updated_at = unpack_entry(value)
        namespace = tuple(map(unquote, path.removesuffix(":").split(":")))
        return MemoryItem(namespace, unquote(key), content, created_at, updated_at)
