"""What a start finds in the SQLite file: the live runs, put together from their chunks and the segments.

Every commit was whole or is not there, so nothing can be torn; what a crash left undone is tidying. A
frame in a segment is skipped where a chunk has it too, and where its run was sealed or dropped.
"""

from __future__ import annotations

import sqlite3

from tailrace.errors import LogError
from tailrace.log.stores import sqlite_rows as rows
from tailrace.log.stores.sqlite_live import LiveRun


class Recovered:
    """The runs without a seal (ended ones among them), the tombstones, the last segment's number."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read the file. Raises `LogError`, `Unreadable` among them, and what SQLite raises."""
        self.runs: dict[str, LiveRun] = {}
        self.dropped: dict[str, int] = dict(
            connection.execute("SELECT run, segment FROM dropped").fetchall()
        )
        self.segment = max(self.dropped.values(), default=0)
        self._connection = connection
        self._sealed: set[str] = set()
        query = "SELECT run, attempt, last FROM live ORDER BY run"
        for run, attempt, last in connection.execute(query):
            self.runs[run] = LiveRun(run, last, attempt)
        for segment, blob in connection.execute("SELECT id, frames FROM segments ORDER BY id"):
            self.segment = max(self.segment, segment)
            for frame in rows.unpack(segment, blob):
                if frame.run not in self.dropped and frame.run not in self._sealed:
                    self._frame(segment, frame)

    def _frame(self, segment: int, frame: rows.StoredFrame) -> None:
        live = self.runs.get(frame.run)
        if live is None:
            if rows.has(self._connection, frame.run):
                self._sealed.add(frame.run)
                return
            live = self.runs[frame.run] = LiveRun(frame.run)
        if frame.last <= live.last:
            return
        if frame.first != live.last + 1:
            raise LogError(f"run {frame.run}: event {frame.first} follows {live.last}")
        live.keep(frame.first, rows.current(frame.body, frame.schema), segment)
        live.last, live.attempt, live.ended = frame.last, frame.attempt, frame.ends
