"""The records of a folder beside the process that owns it: for commands that work while a server runs.

Each write is a transaction of its own, for which SQLite makes the two processes wait for each other. Logs
have no such door: a run has one writer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from tailrace.errors import LogError
from tailrace.log.contract import Change, Record
from tailrace.log.stores import sqlite_records as records
from tailrace.log.stores.sqlite_schema import connect, make_private, migrate

Result = TypeVar("Result")


class SideRecords:
    """`Records` over a connection for each call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def get(self, bucket: str, key: str) -> Record | None:
        return self._do(lambda connection: records.get(connection, bucket, key))

    async def put(
        self,
        bucket: str,
        key: str,
        value: bytes,
        *,
        revision: int | None = None,
        expires: int = 0,
    ) -> int:
        return self._do(
            lambda connection: records.put(connection, bucket, key, value, revision, expires)
        )

    async def delete(self, bucket: str, key: str) -> None:
        self._do(lambda connection: records.delete(connection, bucket, key))

    async def change(self, change: Change) -> None:
        def act(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")  # nobody writes between the read and the write
            records.change_all(connection, (change,))
            connection.execute("COMMIT")

        self._do(act)

    async def scan(
        self, bucket: str, *, after: str = "", limit: int = 100, newest_first: bool = False
    ) -> Sequence[Record]:
        return self._do(
            lambda connection: records.scan(
                connection, bucket, after=after, limit=limit, newest_first=newest_first
            )
        )

    async def due(self, bucket: str, now: int, limit: int = 100) -> Sequence[Record]:
        return self._do(lambda connection: records.due(connection, bucket, now, limit))

    def _do(self, act: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            make_private(self._folder)
            with closing(connect(self._folder)) as connection:
                migrate(connection)
                return act(connection)
        except (sqlite3.Error, OSError) as error:
            raise LogError(f"{self._folder}: {error}") from error
