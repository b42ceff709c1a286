"""What is in the rows: segments (a commit's frames, of all runs) and chunks (one run's events).

A chunk is what one read returns at most, so reading is sliced whatever the size of a run. The chunks of
a run follow each other without a gap, from event 0 on. Bodies are lines (`events/stored.py`) and are cut
and joined without being decoded; only bytes of an older schema are rewritten on the way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from tailrace.errors import LogError
from tailrace.events.stored import SCHEMA, decode, frame
from tailrace.events.types import Event

CHUNK_EVENTS = 96
CHUNK_BYTES = 131_072
"""A chunk's size at most, unless a single event is larger."""


class StoredFrame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A run's frame inside a segment."""

    run: str
    attempt: int
    first: int
    last: int
    ends: bool
    schema: int
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[StoredFrame]).decode


def pack(frames: Sequence[StoredFrame]) -> bytes:
    """A segment's frames as its row holds them."""
    return _encode(frames)


def unpack(segment: int, blob: bytes) -> list[StoredFrame]:
    """The frames in a segment's row. Raises `LogError`."""
    try:
        return _decode(blob)
    except msgspec.MsgspecError as error:
        raise LogError(f"segment {segment} cannot be read: {error}") from error


def current(body: bytes, schema: int) -> bytes:
    """The same events in today's schema. Raises `Unreadable`."""
    return body if schema == SCHEMA else frame(decode(body, schema)).body


def write(connection: sqlite3.Connection, run: str, first: int, bodies: Iterable[bytes]) -> None:
    """Store a run's events from `first` on, in as many chunks as they need."""
    for start, lines in _cut(b"\n".join(bodies).split(b"\n")):
        connection.execute(
            "INSERT INTO chunks (run, first, last, schema, body) VALUES (?, ?, ?, ?, ?)",
            (run, first + start, first + start + len(lines) - 1, SCHEMA, b"\n".join(lines)),
        )


def _cut(lines: Sequence[bytes]) -> Iterable[tuple[int, Sequence[bytes]]]:
    start, size = 0, 0
    for number, line in enumerate(lines):
        size += len(line) + 1
        if number > start and (size > CHUNK_BYTES or number - start == CHUNK_EVENTS):
            yield start, lines[start:number]
            start, size = number, len(line) + 1
    yield start, lines[start:]


def read(connection: sqlite3.Connection, run: str, after: int) -> Sequence[Event]:
    """The events beyond `after` in the chunk that holds the next one. Raises `Unreadable`."""
    row = connection.execute(
        """SELECT first, last, schema, body FROM chunks
           WHERE run = ? AND first <= ? ORDER BY first DESC LIMIT 1""",
        (run, after + 1),
    ).fetchone()
    if row is None or row[1] <= after:
        return ()
    first, _, schema, body = row
    if after >= first:
        body = body.split(b"\n", after + 1 - first)[-1]
    return decode(body, schema)


def has(connection: sqlite3.Connection, run: str) -> bool:
    """Whether anything of the run is in chunks."""
    query = "SELECT 1 FROM chunks WHERE run = ? LIMIT 1"
    return connection.execute(query, (run,)).fetchone() is not None


def take(connection: sqlite3.Connection, run: str, most: int) -> list[bytes]:
    """Remove a run's chunks and return their bodies; none where they have more than `most` bytes."""
    (size,) = connection.execute(
        "SELECT total(length(body)) FROM chunks WHERE run = ?", (run,)
    ).fetchone()
    if size > most:
        return []
    query = "SELECT schema, body FROM chunks WHERE run = ? ORDER BY first"
    bodies = [current(body, schema) for schema, body in connection.execute(query, (run,))]
    forget(connection, run)
    return bodies


def forget(connection: sqlite3.Connection, run: str) -> None:
    """Remove a run's chunks."""
    connection.execute("DELETE FROM chunks WHERE run = ?", (run,))
