"""Reads a whole data folder to find its faults, beside a server that uses it, without changing it.

All data is read as of one moment. Meanwhile a running server cannot restart its write-ahead log, which grows;
there is no other effect on it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from tailrace.errors import Damaged, LogError
from tailrace.events.stored import decode
from tailrace.events.types import Event
from tailrace.log import private
from tailrace.log.contract import Record
from tailrace.log.stores.sqlite import records, rows, segments, sums
from tailrace.log.stores.sqlite.recovery import Recovery
from tailrace.log.stores.sqlite.schema import FILE, FILES, MIGRATIONS, connect

_SUMMED_COLUMNS = {
    "live": "run, attempt, last",
    "dropped": "run, segment",
}


@contextmanager
def open_scrub(folder: Path) -> Generator[Scrub, None, None]:
    """An inspection of a folder. Raises `LogError` if there is no data file, or one of another version."""
    if not (folder / FILE).is_file():
        raise LogError(f"{folder}: there is no {FILE}")
    try:
        with closing(connect(folder)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != len(MIGRATIONS):
                age = "a newer" if version > len(MIGRATIONS) else "an older"
                raise LogError(
                    f"{folder}: the data was written by {age} tailrace (file version {version})"
                )
            yield Scrub(folder, connection)
    except sqlite3.Error as error:
        raise LogError(f"{folder}: {error}") from error


class Scrub:
    """A folder at one moment, as far as it can be read."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self._folder = folder
        self._connection = connection
        self._recovery = Recovery(connection)

    def faults(self) -> Iterator[str]:
        """A sentence for each fault of files, pages and checksums."""
        yield from private.open_to_others(self._folder, FILES)
        for (message,) in self._connection.execute("PRAGMA integrity_check"):
            if message != "ok":
                yield f"SQLite: {str(message).strip()}"
        for table in (self._chunks, self._segments, self._small, self._records):
            try:
                yield from table()
            except sqlite3.Error as error:
                yield f"SQLite: {error}"

    def runs(self) -> Sequence[str]:
        """Every run that has a log."""
        rows = self._connection.execute("SELECT DISTINCT run FROM chunks ORDER BY run")
        return list(dict.fromkeys([*(run for (run,) in rows), *self._recovery.runs]))

    async def read(self, run: str, after: int) -> Sequence[Event]:
        """As `EventLog.read`."""
        live = self._recovery.runs.get(run)
        if live is None or after < live.base - 1:
            return rows.read(self._connection, run, after, more=live is not None)
        pieces = live.slice(after)
        bodies = [segments.load(self._connection, run, piece) for piece in pieces]
        return (
            [event for event in decode(b"\n".join(bodies)) if event.seq > after] if bodies else ()
        )

    async def scan(self, bucket: str, *, after: str = "") -> Sequence[Record]:
        """As `Records.scan`."""
        return records.scan(self._connection, bucket, after=after, limit=100, newest_first=False)

    def _chunks(self) -> Iterator[str]:
        for row in self._connection.execute(f"SELECT {rows.COLUMNS} FROM chunks NOT INDEXED"):
            chunk = rows.Chunk(*row)
            if not chunk.is_whole:
                yield f"run {chunk.run}: chunks row {chunk.row} is damaged (events from {chunk.first})"

    def _segments(self) -> Iterator[str]:
        for (row,) in self._connection.execute("SELECT id FROM segments").fetchall():
            try:
                number, heads = segments.heads(self._connection, row)
            except Damaged:
                yield f"segments row {row} is damaged: its runs are unknown"
                continue
            if number != row:
                yield f"segments row {row} is damaged: it is number {number}"
            for head, piece in segments.pieces(row, heads):
                try:
                    segments.load(self._connection, head.run, piece)
                except Damaged:
                    yield (
                        f"run {head.run}: segments row {row} is damaged "
                        f"(events {head.first} to {head.last})"
                    )

    def _small(self) -> Iterator[str]:
        for table, columns in _SUMMED_COLUMNS.items():
            for *values, sum in self._connection.execute(f"SELECT {columns}, sum FROM {table}"):
                if not sums.fits(sum, sums.row(*values)):
                    yield f"run {values[0]}: its row in {table} is damaged"

    def _records(self) -> Iterator[str]:
        for row in self._connection.execute(f"SELECT {records.COLUMNS} FROM records"):
            if not records.is_whole(row):
                yield f"records row {row[0]!r}, {row[1]!r} is damaged"
