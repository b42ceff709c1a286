"""`Records` as the last message of a subject each: its body has the revision, the expiry and the value.

Reads ask the stream's leader; a replica may be behind. A record with an expiry has a second message with
its due time, so that the sweeper need not read every record. It is written first: one without its record is
detected and removed.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import zlib
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager

import msgspec

from tailrace.errors import Damaged, RevisionMismatch
from tailrace.log.contract import Change, Record
from tailrace.log.stores.nats.client import ApiError, Client, Headers
from tailrace.log.stores.nats.frames import EXPECTED, ID, last_message
from tailrace.log.stores.nats.layout import Layout
from tailrace.log.stores.nats.layout import key as key_of
from tailrace.log.stores.nats.log import WRONG_LAST_SEQUENCE, list_subjects

SECONDS = 15.0
"""The time for which a read or write is retried: an election takes up to ten seconds."""


class _Value(msgspec.Struct, frozen=True, array_like=True):
    revision: int
    expires: int
    value: bytes
    sum: int | None = None  # values of earlier versions have none


logger = logging.getLogger("tailrace.log.nats")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Value).decode


class NatsRecords:
    """The records of one installation."""

    def __init__(self, client: Client, layout: Layout) -> None:
        self._client = client
        self._layout = layout
        self._stream = layout.stream("RECORDS")
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    async def get(self, bucket: str, key: str) -> Record | None:
        _, value = await self._read(self._layout.record(bucket, key))
        return None if value is None else Record(key, value.value, value.revision, value.expires)

    def put(
        self,
        bucket: str,
        key: str,
        value: bytes,
        *,
        revision: int | None = None,
        expires: int = 0,
    ) -> Awaitable[int]:
        return asyncio.create_task(self._put(bucket, key, value, revision, expires))

    def delete(self, bucket: str, key: str) -> Awaitable[None]:
        return asyncio.create_task(self._delete(self._layout.record(bucket, key)))

    def change(self, change: Change) -> Awaitable[None]:
        return asyncio.create_task(self._change(change))

    async def scan(
        self, bucket: str, *, after: str = "", limit: int = 100, newest_first: bool = False
    ) -> Sequence[Record]:
        pattern = f"{self._layout.name}.rec.{bucket}.*"
        keys = sorted(map(key_of, await self._subjects(pattern)), reverse=newest_first)
        if after:
            keys = [each for each in keys if (each < after if newest_first else each > after)]
        records = await asyncio.gather(*(self._whole(bucket, each) for each in keys[:limit]))
        return [record for record in records if record is not None]

    async def _whole(self, bucket: str, key: str) -> Record | None:
        """A record of a list: a damaged one does not hide the others."""
        try:
            return await self.get(bucket, key)
        except Damaged:
            return None

    async def due(self, bucket: str, now: int, limit: int = 100) -> Sequence[Record]:
        marks = await self._subjects(f"{self._layout.name}.due.{bucket}.*.*")
        times = sorted((int(mark.split(".")[-2]), key_of(mark)) for mark in marks)
        records: list[Record] = []
        for expires, name in times:
            if expires > now or len(records) == limit:
                break
            try:
                record = await self.get(bucket, name)
            except Damaged:
                continue
            if record is not None and record.expires == expires:
                records.append(record)
            else:
                await self._purge(self._layout.due(bucket, expires, name))
        return records

    async def _put(
        self, bucket: str, key: str, value: bytes, revision: int | None, expires: int
    ) -> int:
        subject = self._layout.record(bucket, key)
        async with self._turn(subject):
            if expires:
                await self._publish(self._layout.due(bucket, expires, key), b"", {})
            while True:
                place, now = (0, None) if revision == 0 else await self._read(subject)
                at = 0 if now is None else now.revision
                if revision is not None and revision != at:
                    raise RevisionMismatch(f"{bucket}/{key} is at revision {at}, not {revision}")
                sum = _sum(subject, at + 1, expires, value)
                body = _encode(_Value(at + 1, expires, value, sum))
                if await self._set(subject, body, place):
                    return at + 1
                if revision is not None:
                    raise RevisionMismatch(f"{bucket}/{key} is no longer at revision {at}")

    async def _change(self, change: Change) -> None:
        bucket, key = change.bucket, change.key
        subject = self._layout.record(bucket, key)
        guess = change.fresh
        async with self._turn(subject):
            while True:
                place, now = (0, None) if guess else await self._read(subject)
                guess = False
                old = None if now is None else Record(key, now.value, now.revision, now.expires)
                new = change.apply(old)
                if new is None:
                    return
                if new.expires:
                    await self._publish(self._layout.due(bucket, new.expires, key), b"", {})
                revision = 1 if now is None else now.revision + 1
                sum = _sum(subject, revision, new.expires, new.value)
                body = _encode(_Value(revision, new.expires, new.value, sum))
                if await self._set(subject, body, place):
                    return

    async def _set(self, subject: str, body: bytes, place: int) -> bool:
        """Store a value if the last one is at `place`; False if it is not."""
        name = secrets.token_hex(8)
        try:
            await self._publish(subject, body, {EXPECTED: str(place), ID: name})
        except ApiError as error:
            if error.code != WRONG_LAST_SEQUENCE:
                raise
            message = await self._last(subject)
            return message is not None and message[1].get(ID) == name
        return True

    async def _delete(self, subject: str) -> None:
        async with self._turn(subject):
            await self._purge(subject)

    async def _read(self, subject: str) -> tuple[int, _Value | None]:
        message = await self._last(subject)
        if message is None:
            return 0, None
        try:
            value = _decode(message[2])
        except msgspec.MsgspecError as error:
            raise _report_damage(subject) from error
        if value.sum not in (None, _sum(subject, value.revision, value.expires, value.value)):
            raise _report_damage(subject)
        return message[0], value

    async def _last(self, subject: str) -> tuple[int, Headers, bytes] | None:
        return await self._client.insist(
            lambda: last_message(self._client, self._stream, subject), SECONDS
        )

    async def _publish(self, subject: str, body: bytes, headers: Headers) -> None:
        await self._client.insist(lambda: self._client.publish(subject, body, headers), SECONDS)

    async def _purge(self, subject: str) -> None:
        await self._client.insist(
            lambda: self._client.ask(f"STREAM.PURGE.{self._stream}", filter=subject), SECONDS
        )

    async def _subjects(self, pattern: str) -> list[str]:
        return await list_subjects(self._client, self._stream, pattern, SECONDS)

    @asynccontextmanager
    async def _turn(self, subject: str) -> AsyncGenerator[None, None]:
        """Writes to one record take effect in the order of the calls."""
        lock, users = self._turns.get(subject, (asyncio.Lock(), 0))
        self._turns[subject] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            _, users = self._turns.pop(subject)
            if users > 1:
                self._turns[subject] = (lock, users - 1)


def _sum(subject: str, revision: int, expires: int, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(f"{subject} {revision} {expires}".encode()))


def _report_damage(subject: str) -> Damaged:
    logger.error("the record %s is damaged in its stream: it is refused", subject)
    return Damaged("A record is damaged in its stream.")
