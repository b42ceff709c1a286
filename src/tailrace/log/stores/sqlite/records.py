"""`Records` over the SQLite file: in the process that owns it, writes ride in the commits of the one writer;
beside it, each is a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tailrace.errors import Damaged, LogError, RevisionMismatch
from tailrace.events import ids
from tailrace.log.contract import Change, Record
from tailrace.log.stores.sqlite import sums
from tailrace.log.stores.sqlite.schema import connect, make_private, migrate
from tailrace.log.stores.sqlite.writer import Action

RUNS = "runs"
"""The bucket whose keys are runs."""
COLUMNS = "bucket, key, value, revision, expires, sum"

Result = TypeVar("Result")


class Writes(Protocol):
    """Where writes go: the writer of the process that owns the file, or a transaction for each."""

    def act(self, action: Action[Result]) -> Awaitable[Result]:
        """Run statements; resolves with what `action` returned once that is durable. Raises `LogError`."""
        ...


class Reads(Protocol):
    """Where reads go: the reading threads of the process, or a connection for each."""

    async def run(self, act: Action[Result]) -> Result:
        """Call `act` with a connection. Raises `LogError`."""
        ...


class SqliteRecords:
    """The records of one file."""

    def __init__(self, writer: Writes, readers: Reads) -> None:
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


class _Connections:
    """A connection for each call, and for each write a transaction, for which SQLite makes processes wait
    for each other. Logs have no such access: a run has one writer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def run(self, act: Action[Result]) -> Result:
        return self._call(act)

    async def act(self, action: Action[Result]) -> Result:
        def transaction(connection: sqlite3.Connection) -> Result:
            # IMMEDIATE: no other process writes between the read and the write. An exception closes the
            # connection, which rolls back.
            connection.execute("BEGIN IMMEDIATE")
            result = action(connection)
            connection.execute("COMMIT")
            return result

        return self._call(transaction)

    def _call(self, act: Action[Result]) -> Result:
        try:
            make_private(self._folder)
            with closing(connect(self._folder)) as connection:
                migrate(connection)
                return act(connection)
        except (sqlite3.Error, OSError) as error:
            raise LogError(f"{self._folder}: {error}") from error


def side_records(folder: Path) -> SqliteRecords:
    """The records of a folder for a command, also while a server owns the folder."""
    connections = _Connections(folder)
    return SqliteRecords(connections, connections)


def get(connection: sqlite3.Connection, bucket: str, key: str) -> Record | None:
    """As `Records.get`, on a connection; the functions below likewise. Raises `Damaged`."""
    query = f"SELECT {COLUMNS} FROM records WHERE bucket = ? AND key = ?"
    row = connection.execute(query, (bucket, key)).fetchone()
    if row is None:
        _must_be_absent(connection, bucket, key)
        return None
    if row[:2] != (bucket, key) or not is_whole(row):
        raise _report_damage(
            row, bucket, key
        )  # a search through a damaged page may find another record
    return _record(row)


def change_all(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Make all changes, or none: whatever raises `LogError` does so before anything is written."""
    values = [
        (change, change.apply(get(connection, change.bucket, change.key))) for change in changes
    ]
    for change, value in values:
        if value is not None:
            put(connection, change.bucket, change.key, value.value, None, value.expires)


def delete(connection: sqlite3.Connection, bucket: str, key: str) -> None:
    """As `Records.delete`."""
    connection.execute("DELETE FROM records WHERE bucket = ? AND key = ?", (bucket, key))


def scan(
    connection: sqlite3.Connection, bucket: str, *, after: str, limit: int, newest_first: bool
) -> Sequence[Record]:
    """As `Records.scan`, without the records that are damaged."""
    beyond, order = ("<", "DESC") if newest_first else (">", "ASC")
    bound = f"AND key {beyond} ?" if after else "AND ? = ''"
    query = f"""SELECT {COLUMNS} FROM records WHERE bucket = ? {bound}
                ORDER BY key {order}"""
    records: list[Record] = []
    for record in _whole(connection, query, (bucket, after), bucket):
        last = records[-1].key if records else after
        if last and (record.key >= last if newest_first else record.key <= last):
            continue  # on a damaged page the same one may be found again
        records.append(record)
        if len(records) == limit:
            break
    return records


def due(connection: sqlite3.Connection, bucket: str, now: int, limit: int) -> Sequence[Record]:
    """As `Records.due`, without the records that are damaged."""
    query = f"""SELECT {COLUMNS} FROM records
                WHERE bucket = ? AND expires > 0 AND expires <= ? ORDER BY expires"""
    return list(islice(_whole(connection, query, (bucket, now), bucket), limit))


Row = tuple[Any, ...]
"""What is damaged may be of any type."""


def _whole(
    connection: sqlite3.Connection, query: str, values: tuple[str | int, ...], bucket: str
) -> Iterator[Record]:
    """The records that are as they were written: one that is damaged must not hide the others."""
    for row in connection.execute(query, values):
        if row[0] == bucket and is_whole(row):
            yield _record(row)
        else:
            _report_damage(row, str(row[0]), str(row[1]))


def _must_be_absent(connection: sqlite3.Connection, bucket: str, key: str) -> None:
    """Raises `Damaged` when the record before the place of this key, or behind it, is: damage may have
    changed the key that is looked for, and what has another key lies where it lay."""
    for beyond, order in (("<", "DESC"), (">", "ASC")):
        query = f"""SELECT {COLUMNS} FROM records WHERE (bucket, key) {beyond} (?, ?)
                    ORDER BY bucket {order}, key {order} LIMIT 1"""
        row = connection.execute(query, (bucket, key)).fetchone()
        if row is not None and not is_whole(row):
            raise _report_damage(row, bucket, key)


def is_whole(row: Row) -> bool:
    """Whether a row is as it was written."""
    bucket, key, value, revision, expires, sum = row
    if not isinstance(revision, int) or not isinstance(expires, int):
        return False
    return sums.fits(sum, checksum := sums.record(bucket, key, revision, expires, value)) and (
        checksum != sums.NEVER
    )


def _record(row: Row) -> Record:
    _, key, value, revision, expires, _ = row
    return Record(key, value, revision, expires)


def _report_damage(row: Row, bucket: str, key: str) -> Damaged:
    """The run that a damaged record belongs to; keys of other records are not shown."""
    error = sums.report_damage("records", f"row {row[0]!r}, {row[1]!r}")
    if bucket == RUNS:
        return Damaged(f"The record of {ids.run_id(key)} is damaged on disk.")
    return error


_INSERT = """INSERT INTO records (bucket, key, value, expires, revision, sum)
    VALUES (?1, ?2, ?3, ?4, 1, sum_of(?1, ?2, 1, ?4, ?3))"""
_OVERWRITE = f"""{_INSERT} ON CONFLICT DO UPDATE
    SET value = excluded.value, expires = excluded.expires, revision = revision + 1,
        sum = sum_of(?1, ?2, revision + 1, ?4, ?3)
    RETURNING revision"""
_CREATE = f"{_INSERT} ON CONFLICT DO NOTHING RETURNING revision"
_UPDATE = """UPDATE records SET value = ?3, expires = ?4, revision = ?5 + 1,
        sum = sum_of(?1, ?2, ?5 + 1, ?4, ?3)
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
        rows = connection.execute(_OVERWRITE, values).fetchall()
    elif revision == 0:
        rows = connection.execute(_CREATE, values).fetchall()
    else:
        rows = connection.execute(_UPDATE, (*values, revision)).fetchall()
    if not rows:
        raise RevisionMismatch(f"{bucket}/{key} is not at revision {revision}")
    return int(rows[0][0])
