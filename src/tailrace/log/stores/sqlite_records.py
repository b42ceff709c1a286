"""`Records` over the SQLite file: writes ride in the commits of the one writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Sequence

from tailrace.errors import RevisionMismatch
from tailrace.log.contract import Change, Record
from tailrace.log.stores.sqlite_readers import Readers
from tailrace.log.stores.sqlite_writer import Writer

_COLUMNS = "key, value, revision, expires"


class SqliteRecords:
    """The records of one file."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def get(self, bucket: str, key: str) -> Record | None:
        return await self._readers.run(lambda connection: get(connection, bucket, key))

    def put(
        self,
        bucket: str,
        key: str,
        value: bytes,
        *,
        revision: int | None = None,
        expires: int = 0,
    ) -> Awaitable[int]:
        return self._writer.act(
            lambda connection: put(connection, bucket, key, value, revision, expires)
        )

    def delete(self, bucket: str, key: str) -> Awaitable[None]:
        return self._writer.act(lambda connection: delete(connection, bucket, key))

    def change(self, change: Change) -> Awaitable[None]:
        return self._writer.act(lambda connection: change_all(connection, (change,)))

    async def scan(
        self, bucket: str, *, after: str = "", limit: int = 100, newest_first: bool = False
    ) -> Sequence[Record]:
        return await self._readers.run(
            lambda connection: scan(
                connection, bucket, after=after, limit=limit, newest_first=newest_first
            )
        )

    async def due(self, bucket: str, now: int, limit: int = 100) -> Sequence[Record]:
        return await self._readers.run(lambda connection: due(connection, bucket, now, limit))


def get(connection: sqlite3.Connection, bucket: str, key: str) -> Record | None:
    """As `Records.get`, on a connection; the functions below likewise."""
    query = f"SELECT {_COLUMNS} FROM records WHERE bucket = ? AND key = ?"
    found = _select(connection, query, (bucket, key))
    return found[0] if found else None


def change_all(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Make all changes, or none: whatever raises `LogError` does so before anything is written."""
    made = [
        (change, change.apply(get(connection, change.bucket, change.key))) for change in changes
    ]
    for change, value in made:
        if value is not None:
            put(connection, change.bucket, change.key, value.value, None, value.expires)


def delete(connection: sqlite3.Connection, bucket: str, key: str) -> None:
    connection.execute("DELETE FROM records WHERE bucket = ? AND key = ?", (bucket, key))


def scan(
    connection: sqlite3.Connection, bucket: str, *, after: str, limit: int, newest_first: bool
) -> Sequence[Record]:
    beyond, order = ("<", "DESC") if newest_first else (">", "ASC")
    bound = f"AND key {beyond} ?" if after else "AND ? = ''"
    query = f"""SELECT {_COLUMNS} FROM records WHERE bucket = ? {bound}
                ORDER BY key {order} LIMIT ?"""
    return _select(connection, query, (bucket, after, limit))


def due(connection: sqlite3.Connection, bucket: str, now: int, limit: int) -> Sequence[Record]:
    query = f"""SELECT {_COLUMNS} FROM records
                WHERE bucket = ? AND expires > 0 AND expires <= ? ORDER BY expires LIMIT ?"""
    return _select(connection, query, (bucket, now, limit))


def _select(
    connection: sqlite3.Connection, query: str, values: tuple[str | int, ...]
) -> list[Record]:
    return [Record(*row) for row in connection.execute(query, values)]


_INSERT = "INSERT INTO records (bucket, key, value, expires, revision) VALUES (?, ?, ?, ?, 1)"
_OVERWRITE = f"""{_INSERT} ON CONFLICT DO UPDATE
    SET value = excluded.value, expires = excluded.expires, revision = revision + 1
    RETURNING revision"""
_CREATE = f"{_INSERT} ON CONFLICT DO NOTHING RETURNING revision"
_UPDATE = """UPDATE records SET value = ?3, expires = ?4, revision = revision + 1
    WHERE bucket = ?1 AND key = ?2 AND revision = ?5 RETURNING revision"""


def put(
    connection: sqlite3.Connection,
    bucket: str,
    key: str,
    value: bytes,
    revision: int | None,
    expires: int,
) -> int:
    """One statement: each gives up the interpreter lock and must win it back."""
    values = (bucket, key, value, expires)
    if revision is None:
        written = connection.execute(_OVERWRITE, values).fetchall()
    elif revision == 0:
        written = connection.execute(_CREATE, values).fetchall()
    else:
        written = connection.execute(_UPDATE, (*values, revision)).fetchall()
    if not written:
        raise RevisionMismatch(f"{bucket}/{key} is not at revision {revision}")
    return int(written[0][0])
