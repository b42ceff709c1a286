"""What a start finds in the SQLite file: the live runs, put together from their chunks and the segments.

A commit is either complete or absent, so no frame is torn; a crash can only leave maintenance undone. A
frame in a segment is skipped where a chunk has it too, and where its run was sealed or dropped.

Only the heads of segments are read, one row after the other, so a start does not take the memory and the time
of the frames; bodies are read for a reader, or when they become chunks. What the disk has damaged costs the
runs that it belongs to: a frame that is missing is a gap in its run, and where whole rows cannot be read
`has_torn_segment` says that any run without chunks, and more of any open one, may have been there.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator

from tailrace.errors import Damaged
from tailrace.log.stores.sqlite import rows, segments, sums
from tailrace.log.stores.sqlite.live import LiveRun
from tailrace.log.stores.sqlite.segments import Head, Piece

logger = logging.getLogger("tailrace.log")


class Recovery:
    """The runs without a seal (ended ones among them), the tombstones, the last segment's number."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read the file. Raises what SQLite raises where no table can be read at all."""
        self.runs: dict[str, LiveRun] = {}
        self.dropped_runs: dict[str, int] = {}
        self.has_torn_segment = False
        self._connection = connection
        self._sealed_runs: set[str] = set()
        for table in ("segments_1", "segments", "live", "dropped"):
            self._examine(table)
        for run, (segment,) in _rows(connection, "dropped", "run, segment"):
            self.dropped_runs[run] = segment
        self.segment = max(self.dropped_runs.values(), default=0)
        for run, (attempt, last) in _rows(connection, "live", "run, attempt, last"):
            self.runs[run] = LiveRun(run, last, attempt)
        self._old_segments()
        self._segments()

    def uncertain(self) -> frozenset[str]:
        """The open runs whose end may be in rows that cannot be read."""
        return frozenset(
            run for run, live in self.runs.items() if self.has_torn_segment and not live.finished
        )

    def _old_segments(self) -> None:
        for row in self._ids("segments_1"):
            self.segment = max(self.segment, row)
            try:
                query = "SELECT frames FROM segments_1 WHERE id = ?"
                (blob,) = self._connection.execute(query, (row,)).fetchone()
                self._frames(segments.old_pieces(row, blob))
            except (Damaged, sqlite3.DatabaseError):
                self._tear("segments_1", row)

    def _segments(self) -> None:
        for row in self._ids("segments"):
            try:
                number, heads = segments.heads(self._connection, row)
            except Damaged:
                self._tear("segments", row)
            else:
                self.segment = max(self.segment, number)
                self._frames(segments.pieces(row, heads))

    def _examine(self, table: str) -> None:
        """A read of the other rows does not notice a row on a damaged page; SQLite's own check of the pages
        does. These tables are small, and of long rows it reads only the addresses of their next pages: 0.3 s
        a gigabyte."""
        rows = self._connection.execute(f"PRAGMA quick_check({table})").fetchall()
        if rows != [("ok",)]:
            self._tear(table, str(rows[0][0]).replace("\n", "; "))

    def _ids(self, table: str) -> Iterator[int]:
        """The rows of a table, as far as they can be found."""
        try:
            yield from [row for (row,) in self._connection.execute(f"SELECT id FROM {table}")]
        except sqlite3.DatabaseError as error:
            self._tear(table, str(error))

    def _tear(self, table: str, where: object) -> None:
        self.has_torn_segment = True
        logger.error(
            "tailrace.db: table %s, %s cannot be read: open runs are refused that may be there",
            table,
            f"row {where}" if isinstance(where, int) else where,
        )

    def _frames(self, frames: Iterator[tuple[Head, Piece]]) -> None:
        for head, piece in frames:
            if head.run not in self.dropped_runs and head.run not in self._sealed_runs:
                self._frame(head, piece)

    def _frame(self, head: Head, piece: Piece) -> None:
        live = self.runs.get(head.run)
        if live is None:
            if rows.has(self._connection, head.run):
                self._sealed_runs.add(head.run)
                return
            live = self.runs[head.run] = LiveRun(head.run)
        if head.first <= live.last:
            return  # a chunk has it
        if head.first != live.last + 1:
            missing = f"events {live.last + 1} to {head.first - 1}"
            sums.report_damage(piece.table, f"{missing} before row {piece.segment}", head.run)
        live.keep(piece)
        live.last, live.attempt, live.finished = head.last, head.attempt, head.ends


def _rows(
    connection: sqlite3.Connection, table: str, columns: str
) -> Iterator[tuple[str, list[int]]]:
    """The keys and numbers of a small table's rows that are as they were written."""
    for run, *numbers, sum in connection.execute(
        f"SELECT {columns}, sum FROM {table} ORDER BY run"
    ):
        whole = all(isinstance(number, int) for number in numbers)
        if whole and sums.fits(sum, sums.row(run, *numbers)):
            yield run, numbers
        else:
            sums.report_damage(table, f"row {run!r}", str(run))
