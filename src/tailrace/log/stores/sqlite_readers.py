"""Reading the SQLite file: short transactions on connections of their own, away from the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tailrace.errors import LogError
from tailrace.log.stores.sqlite_schema import connect

THREADS = 2

Result = TypeVar("Result")


class Readers:
    """A few threads, each with a connection."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="tailrace-reader")
        self._closed = False

    async def run(self, act: Callable[[sqlite3.Connection], Result]) -> Result:
        """Call `act` with a connection. Raises `LogError` for what SQLite raises, and when closed."""
        if self._closed:
            raise LogError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._guarded, act)

    async def close(self) -> None:
        """End the threads when they have done what they were asked."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown)
        for connection in self._connections:
            connection.close()

    def _guarded(self, act: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            return act(self._connection())
        except sqlite3.Error as error:
            raise LogError(f"the log cannot be read: {error}") from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._folder)
            self._connections.append(connection)
        return connection
