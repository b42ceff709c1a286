"""The default engine: one SQLite file in a data directory, owned by one process.

WAL with `synchronous=FULL`, one writer thread with group commit (`sqlite_writer.py`), reads on their own
connections (`sqlite_readers.py`), logs (`sqlite_log.py`) and records (`sqlite_records.py`) in one file.
A process that serves under load should set a small `sys.setswitchinterval` (see `http/server.py`).
"""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import IO

from tailrace.errors import LogError
from tailrace.log.stores.sqlite_log import SqliteLog
from tailrace.log.stores.sqlite_readers import Readers
from tailrace.log.stores.sqlite_records import SqliteRecords
from tailrace.log.stores.sqlite_schema import connect, migrate
from tailrace.log.stores.sqlite_writer import WriterThread

CHECKPOINT_SECONDS = 1.0


class SqliteStore:
    """A store in `folder`, which is made where it does not exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: IO[bytes] | None = None
        self._log: SqliteLog | None = None
        self._records: SqliteRecords | None = None
        self._connection: sqlite3.Connection | None = None
        self._writer: WriterThread | None = None
        self._readers: Readers | None = None
        self._checkpoints: asyncio.Task[None] | None = None

    @property
    def log(self) -> SqliteLog:
        """The logs. The store must be open."""
        if self._log is None:
            raise LogError("the store is not open")
        return self._log

    @property
    def records(self) -> SqliteRecords:
        """The records. The store must be open."""
        if self._records is None:
            raise LogError("the store is not open")
        return self._records

    async def open(self) -> None:
        self._take_lock()
        try:
            self._connection = connect(self._folder)
            migrate(self._connection)
            self._readers = Readers(self._folder)
            self._writer = WriterThread(self._connection)
            self._records = SqliteRecords(self._writer, self._readers)
            self._log = SqliteLog(self._writer, self._readers)
            with closing(connect(self._folder)) as connection:
                self._log.recover(connection)
        except BaseException as error:
            await self.close()
            if isinstance(error, sqlite3.Error):
                raise LogError(f"{self._folder}: {error}") from error
            raise
        self._checkpoints = asyncio.create_task(self._checkpoint_for_ever(self._readers))

    async def close(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.cancel()
            await asyncio.gather(self._checkpoints, return_exceptions=True)
        if self._writer is not None:
            await self._writer.stop()
        if self._readers is not None:
            with suppress(LogError):
                await self._readers.checkpoint()
            self._readers.close()
            self._readers = None
        if self._connection is not None:
            self._connection.close()
        if self._lock is not None:
            self._lock.close()

    def _take_lock(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self._folder / "lock").open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if self._lock is not None:
                self._lock.close()
            raise LogError(f"{self._folder} is in use by another tailrace") from None
        except OSError as error:
            raise LogError(f"{self._folder}: {error.strerror or error}") from error

    async def _checkpoint_for_ever(self, readers: Readers) -> None:
        """Keep the write-ahead log short. Away from commits: a checkpoint inside one stalls it 11 ms."""
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            with suppress(LogError):
                await readers.checkpoint()
