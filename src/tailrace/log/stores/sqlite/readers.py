"""Reading the SQLite file: short transactions on connections of their own, away from the event loop."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from tailrace.errors import Damaged, LogError
from tailrace.events import ids
from tailrace.log.stores.sqlite.schema import connect
from tailrace.log.stores.sqlite.sums import PLACES

THREADS = 2

Result = TypeVar("Result")
logger = logging.getLogger("tailrace.log")


class ReadPool:
    """A few threads, each with a connection."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="tailrace-reader")
        self._closed = False

    async def run(self, act: Callable[[sqlite3.Connection], Result], about: str = "") -> Result:
        """Call `act`, which reads the run `about`, with a connection. Raises `LogError` for what SQLite
        raises, `Damaged` where it is about the file, and `LogError` when closed."""
        if self._closed:
            raise LogError("the store is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._translate_errors, act, about)

    async def close(self) -> None:
        """End the threads when they have done what they were asked."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown)
        for connection in self._connections:
            connection.close()

    def _translate_errors(self, act: Callable[[sqlite3.Connection], Result], about: str) -> Result:
        try:
            return act(self._connection())
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise LogError(f"the log cannot be read: {error}") from error
            _report(about, str(error))
            what = f"The log of {ids.run_id(about)}" if about else "A record"
            raise Damaged(f"{what} is damaged on disk.") from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._folder)
            self._connections.append(connection)
        return connection


@lru_cache(maxsize=PLACES)
def _report(about: str, message: str) -> None:
    name = f"run {about}" if about else "a record"
    logger.error("tailrace.db: %s cannot be read: %s", name, message)
