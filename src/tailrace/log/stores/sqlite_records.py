"""`Records` over the SQLite file: writes ride in the commits of the one writer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Sequence

from tailrace.errors import RevisionMismatch
from tailrace.log.contract import Record
from tailrace.log.stores.sqlite_readers import Readers
from tailrace.log.stores.sqlite_writer import Write, WriterThread

_COLUMNS = "key, value, revision, expires"


class SqliteRecords:
    """The records of one file."""

    def __init__(self, writer: WriterThread, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def get(self, bucket: str, key: str) -> Record | None:
        query = f"SELECT {_COLUMNS} FROM records WHERE bucket = ? AND key = ?"
        found = await self._select(query, (bucket, key))
        return found[0] if found else None

    def put(
        self,
        bucket: str,
        key: str,
        value: bytes,
        *,
        revision: int | None = None,
        expires: int = 0,
    ) -> Awaitable[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def act(connection: sqlite3.Connection) -> int:
            return _put(connection, bucket, key, value, revision, expires)

        self._writer.submit(Write(future, act=act))
        return future

    def delete(self, bucket: str, key: str) -> Awaitable[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def act(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM records WHERE bucket = ? AND key = ?", (bucket, key))

        self._writer.submit(Write(future, act=act))
        return future

    async def scan(
        self, bucket: str, *, after: str = "", limit: int = 100, newest_first: bool = False
    ) -> Sequence[Record]:
        beyond, order = ("<", "DESC") if newest_first else (">", "ASC")
        bound = f"AND key {beyond} ?" if after else "AND ? = ''"
        query = f"""SELECT {_COLUMNS} FROM records WHERE bucket = ? {bound}
                    ORDER BY key {order} LIMIT ?"""
        return await self._select(query, (bucket, after, limit))

    async def due(self, bucket: str, now: int, limit: int = 100) -> Sequence[Record]:
        query = f"""SELECT {_COLUMNS} FROM records
                    WHERE bucket = ? AND expires > 0 AND expires <= ? LIMIT ?"""
        return await self._select(query, (bucket, now, limit))

    async def _select(self, query: str, values: tuple[str | int, ...]) -> list[Record]:
        def act(connection: sqlite3.Connection) -> list[Record]:
            return [Record(*row) for row in connection.execute(query, values)]

        return await self._readers.run(act)


def _put(
    connection: sqlite3.Connection,
    bucket: str,
    key: str,
    value: bytes,
    revision: int | None,
    expires: int,
) -> int:
    row = connection.execute(
        "SELECT revision FROM records WHERE bucket = ? AND key = ?", (bucket, key)
    ).fetchone()
    now: int = row[0] if row else 0
    if revision is not None and revision != now:
        raise RevisionMismatch(f"{bucket}/{key} is at revision {now}, not {revision}")
    connection.execute(
        "INSERT OR REPLACE INTO records (bucket, key, revision, value, expires) VALUES (?,?,?,?,?)",
        (bucket, key, now + 1, value, expires),
    )
    return now + 1
