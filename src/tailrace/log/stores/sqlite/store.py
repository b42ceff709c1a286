"""The default engine: one SQLite file in a data directory, owned by one process.

WAL with `synchronous=FULL` and one writer thread with group commit (`writer.py` has the argument).
Guarantees:
- an acknowledged append or put survives the death of the process and a power loss: in WAL mode FULL syncs the
  log after each transaction, NORMAL only at checkpoints (https://sqlite.org/pragma.html#pragma_synchronous);
- an append that raises `LogError` because the disk refused it was not written, and no reader ever sees it.
  One exception: if a disk fails during a sync and the process dies before the next commit, the next start
  may find the frame, complete and in its place, as if the acknowledgement had been lost;
- after such an error the store continues, and works again as soon as the disk does;
- a second process on the directory waits for the first to end, then raises a `LogError` that names the
  folder.

A process that serves under load should set a small `sys.setswitchinterval` (`http/server.py`).
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import sqlite3
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO

from tailrace.errors import LogError, NotOpen
from tailrace.events.stored import Frame
from tailrace.log import private
from tailrace.log.contract import Change
from tailrace.log.stores.sqlite.checkpoints import Checkpoints
from tailrace.log.stores.sqlite.log import SqliteLog
from tailrace.log.stores.sqlite.readers import ReadPool
from tailrace.log.stores.sqlite.records import SqliteRecords, change_all
from tailrace.log.stores.sqlite.recovery import Recovery
from tailrace.log.stores.sqlite.schema import LOCK, connect, make_private, migrate
from tailrace.log.stores.sqlite.writer import Commit, Writer

logger = logging.getLogger("tailrace.log")

LOOK_SECONDS = 0.1
"""Delay before a process checks again whether the folder is free."""


class SqliteStore:
    """A store in `folder`, which is made if it does not exist. `open` waits `wait` seconds at most for
    another process to release it."""

    def __init__(self, folder: Path, *, wait: float = 0.0) -> None:
        self._folder = folder
        self._wait = wait
        self._log: SqliteLog | None = None
        self._records: SqliteRecords | None = None
        self._life = AsyncExitStack()

    @property
    def log(self) -> SqliteLog:
        """The logs. The store must be open."""
        if self._log is None:
            raise NotOpen("the store is not open")
        return self._log

    @property
    def records(self) -> SqliteRecords:
        """The records. The store must be open."""
        if self._records is None:
            raise NotOpen("the store is not open")
        return self._records

    def begin(
        self, run: str, frame: Frame, *, before: Sequence[Change], beside: Sequence[Change]
    ) -> Awaitable[None]:
        # One transaction over the log and the records, so `before` and `beside` need no order here: the
        # run's first frame, its record, its conversation entry and its idempotency key become durable
        # together, or none of them (docs/adr/0013). `change_all` applies every change before it writes any,
        # so a change that refuses raises before the transaction has an effect, and the writer drops only
        # this frame from the commit.
        changes = (*before, *beside)
        return self.log.begin(run, frame, lambda connection: change_all(connection, changes))

    async def open(self) -> None:
        async with AsyncExitStack() as life:
            life.enter_context(await self._lock())
            try:
                make_private(self._folder)
                connection = connect(self._folder)
                life.callback(connection.close)
                migrate(connection)
                recovery = Recovery(connection)
            except (sqlite3.Error, OSError) as error:
                raise LogError(f"{self._folder}: {error}") from error
            self._start(connection, recovery, life)
            self._life = life.pop_all()

    async def close(self) -> None:
        await self._life.aclose()

    async def _lock(self) -> IO[bytes]:
        """The directory's lock, held until it is closed or the process ends."""
        lock = _lock_file(self._folder)
        looks = int(self._wait / LOOK_SECONDS)
        for left in range(looks, -1, -1):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if not left:
                    lock.close()
                    raise LogError(f"{self._folder} is in use by another tailrace") from error
                if left == looks:
                    logger.warning("%s: waiting for another tailrace to end", self._folder)
                await asyncio.sleep(LOOK_SECONDS)
            else:
                break
        return lock

    def _start(
        self, connection: sqlite3.Connection, recovery: Recovery, life: AsyncExitStack
    ) -> None:
        """Wire the parts; `life` undoes it, the last one first."""
        readers = ReadPool(self._folder)
        writer = Writer(connection, recovery.segment)
        checkpoints = Checkpoints(self._folder, writer.commit_lock)
        log = self._log = SqliteLog(writer, readers, recovery)
        self._records = SqliteRecords(writer, readers)

        def on_commit(commit: Commit) -> None:
            log.on_commit(commit)
            checkpoints.on_commit(writer.bytes_written)

        life.push_async_callback(checkpoints.finish)
        life.push_async_callback(readers.close)
        writer.start(on_commit)
        life.push_async_callback(writer.stop)
        life.push_async_callback(log.settle)
        life.push_async_callback(writer.close)


def _lock_file(folder: Path) -> IO[bytes]:
    try:
        private.make_folder(folder)
        return private.append_to(folder / LOCK)
    except OSError as error:
        raise LogError(f"{folder}: {error.strerror or error}") from error
