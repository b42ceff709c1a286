"""Chunks: one run's events, in rows of a bounded size.

A chunk is what one read returns at most, so reading is sliced whatever the size of a run. The chunks of
a run follow each other without a gap, from event 0 on, and the last one of a run that is sealed says that it
`ends` the run: a chunk that cannot be found is noticed. Bodies are lines (`events/stored.py`) and are cut
and joined without being decoded; only bytes of an older schema are rewritten on the way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import msgspec
from msgspec import Struct

from tailrace.errors import Unreadable
from tailrace.events.stored import SCHEMA, decode, frame
from tailrace.events.types import Event
from tailrace.log.stores.sqlite import segments, sums
from tailrace.log.stores.sqlite.segments import Piece

CHUNK_EVENTS = 96
CHUNK_BYTES = 131_072
"""A chunk's size at most, unless a single event is larger."""

COLUMNS = "rowid, run, first, last, schema, body, ends, sum"


class Chunk(Struct, frozen=True, array_like=True):
    """A row."""

    row: int
    run: str
    first: int
    last: int
    schema: int
    body: bytes
    ends: int | None
    sum: int | None

    @property
    def is_whole(self) -> bool:
        """Whether it is as it was written."""
        try:
            msgspec.convert(
                msgspec.structs.astuple(self), Chunk
            )  # what is damaged may be of any type
        except msgspec.ValidationError:
            return False
        checksum = _sum(self.run, self.first, self.last, self.schema, self.ends, self.body)
        return sums.fits(self.sum, checksum)

    def verify(self) -> Chunk:
        """Itself. Raises `Damaged`."""
        if not self.is_whole:
            where = f"row {self.row} (events from {self.first})"
            raise sums.report_damage("chunks", where, self.run)
        return self


def write(
    connection: sqlite3.Connection, run: str, pieces: Sequence[Piece], *, ends: bool = False
) -> int:
    """Store a part of a run in as many chunks as it needs; returns how many bytes it has. `ends`: it is the
    last part. Damaged frames are stored apart and marked, so that they are not taken for valid ones
    later.

    Raises `SegmentGone`.
    """
    done = 0
    final = pieces[-1].last
    for good, group in groupby(_load(connection, run, pieces), key=lambda each: each[1]):
        these = list(group)
        first, last = these[0][0].first, these[-1][0].last
        ending = ends and last == final
        if good:
            body = b"\n".join(each[2] for each in these)
            done += _write_lines(connection, run, first, body, ends=ending)
        else:
            for piece, _, body in these:
                row = (run, piece.first, piece.last, piece.schema, body, int(ending), sums.NEVER)
                connection.execute(_INSERT, row)
                done += len(body)
    return done


_INSERT = """INSERT INTO chunks (run, first, last, schema, body, ends, sum)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""


def _load(
    connection: sqlite3.Connection, run: str, pieces: Iterable[Piece]
) -> Iterator[tuple[Piece, bool, bytes]]:
    """The pieces, whether each is as it was written, and their bytes."""
    for piece in pieces:
        try:
            yield piece, True, segments.load(connection, run, piece)
        except Unreadable:
            yield piece, False, segments.raw(connection, piece)


def _write_lines(
    connection: sqlite3.Connection, run: str, first: int, body: bytes, *, ends: bool
) -> int:
    lines = body.split(b"\n")
    final = len(lines)
    for start, some in _cut(lines):
        end = start + len(some)
        about = (run, first + start, first + end - 1, SCHEMA)
        text = b"\n".join(some)
        last = int(ends and end == final)
        connection.execute(_INSERT, (*about, text, last, _sum(*about, last, text)))
    return len(body)


def _sum(run: str, first: int, last: int, schema: int, ends: int | None, body: bytes) -> int:
    return sums.row(run, first, last, schema, ends, body=body)


def _cut(lines: Sequence[bytes]) -> Iterable[tuple[int, Sequence[bytes]]]:
    start, size = 0, 0
    for number, line in enumerate(lines):
        size += len(line) + 1
        if number > start and (size > CHUNK_BYTES or number - start == CHUNK_EVENTS):
            yield start, lines[start:number]
            start, size = number, len(line) + 1
    yield start, lines[start:]


def read(connection: sqlite3.Connection, run: str, after: int, *, more: bool) -> Sequence[Event]:
    """The events beyond `after` in the chunk that holds the next one. `more` says that there is one.

    Raises `Unreadable`, and `Damaged` also for a chunk that should be there and is not.
    """
    query = f"""SELECT {COLUMNS} FROM chunks
                WHERE run = ? AND first <= ? ORDER BY first DESC LIMIT 1"""
    row = connection.execute(query, (run, after + 1)).fetchone()
    chunk = Chunk(*row).verify() if row is not None else None
    if chunk is not None and (chunk.run != run or chunk.first > after + 1):
        raise sums.report_damage("chunks", f"the page with event {after + 1}", run)
    if chunk is None or chunk.last <= after:
        missing = _is_hidden(connection, run) if chunk is None else _breaks_off(chunk, after)
        if more or missing:
            raise sums.report_damage("chunks", f"the row with event {after + 1}", run)
        return ()
    body = chunk.body
    if after >= chunk.first:
        body = body.split(b"\n", after + 1 - chunk.first)[-1]
    return decode(body, chunk.schema)


def _is_hidden(connection: sqlite3.Connection, run: str) -> bool:
    """Whether a run whose first chunk cannot be found has others, or may lie under a key that damage has
    changed: what lies where it should lie is damaged then."""
    if has(connection, run):
        return True
    for beyond, order in (("<", "DESC"), (">", "ASC")):
        query = f"""SELECT {COLUMNS} FROM chunks WHERE run {beyond} ?
                    ORDER BY run {order}, first {order} LIMIT 1"""
        row = connection.execute(query, (run,)).fetchone()
        if row is not None and not Chunk(*row).is_whole:
            return True
    return False


def _breaks_off(chunk: Chunk, after: int) -> bool:
    """Whether a chunk is the last one that can be found and does not say that it ends the run."""
    return chunk.last == after and chunk.ends == 0


def has(connection: sqlite3.Connection, run: str) -> bool:
    """Whether anything of the run is in chunks."""
    query = "SELECT 1 FROM chunks WHERE run = ? LIMIT 1"
    return connection.execute(query, (run,)).fetchone() is not None


def take(connection: sqlite3.Connection, run: str, base: int, most: int) -> list[Piece]:
    """Remove a run's chunks and return their events before `base`. If the chunks have more than `most` bytes
    or are damaged, nothing is removed and the result is empty."""
    (size,) = connection.execute(
        "SELECT total(length(body)) FROM chunks WHERE run = ?", (run,)
    ).fetchone()
    if size > most:
        return []
    query = f"SELECT {COLUMNS} FROM chunks WHERE run = ? ORDER BY first"
    pieces: list[Piece] = []
    due = 0
    for chunk in [Chunk(*row) for row in connection.execute(query, (run,))]:
        if not chunk.is_whole or chunk.first != due:
            return []
        try:
            body = current(chunk.body, chunk.schema)
        except Unreadable:
            return []
        due = chunk.last + 1
        pieces.append(Piece(chunk.first, chunk.last, 0, len(body), body))
    if due != base:
        return []
    forget(connection, run)
    return pieces


def current(body: bytes, schema: int) -> bytes:
    """The same events in today's schema. Raises `Unreadable`."""
    return body if schema == SCHEMA else frame(decode(body, schema)).body


def forget(connection: sqlite3.Connection, run: str) -> None:
    """Remove a run's chunks."""
    connection.execute("DELETE FROM chunks WHERE run = ?", (run,))
