"""Segments: the frames of all runs in one commit, and the positions of each.

A row has `heads`, which has for each frame its run, its position in `frames` and its checksum; and a copy
of it in `again`. So a damaged byte costs one frame of a known run, and a start reads the heads alone. Rows
of version 1 (`segments_1`) are one array of frames without checksums; they are read, and deleted like all
others.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from zlib import crc32

import msgspec

from tailrace.errors import Damaged, Unreadable
from tailrace.events.stored import SCHEMA, decode, frame
from tailrace.events.types import RunEnd
from tailrace.log.stores.sqlite import sums

UNKNOWN = -2
"""The checksum of a frame of version 1: none."""
_SUM_BYTES = 4


class Head(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The description of a frame, read without its body."""

    run: str
    attempt: int
    first: int
    last: int
    ends: bool
    schema: int
    size: int
    sum: int


class Piece(msgspec.Struct, gc=False):
    """A frame of a run: its bytes, or their position. `segment` 0 stands for frames that are lost."""

    first: int
    last: int
    segment: int
    size: int
    body: bytes | None = None
    schema: int = SCHEMA
    sum: int = UNKNOWN
    offset: int = 0
    old: bool = False

    @property
    def table(self) -> str:
        """The table of the segment."""
        return "segments_1" if self.old else "segments"


class SegmentGone(Exception):
    """A segment was deleted meanwhile: its frames are in chunks."""


class _OldFrame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    run: str
    attempt: int
    first: int
    last: int
    ends: bool
    schema: int
    body: bytes


class _FirstFrame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The head in the format of version 1. The last event shows whether the frame ends its run."""

    run: str
    first: int
    last: int
    schema: int
    body: bytes

    def first_frame(self) -> _OldFrame:
        """The head with the fields of later versions."""
        final = decode(self.body.rpartition(b"\n")[2], self.schema)
        ends = isinstance(final[-1].payload, RunEnd)
        return _OldFrame(self.run, 0, self.first, self.last, ends, self.schema, self.body)


_Heads = tuple[int, list[Head]]
_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[_Heads] = msgspec.msgpack.Decoder(_Heads)
_decode_old = msgspec.msgpack.Decoder(list[_OldFrame]).decode
_decode_first = msgspec.msgpack.Decoder(list[_FirstFrame]).decode


def head(run: str, attempt: int, body: bytes, *, first: int, last: int, ends: bool) -> Head:
    """The head of a frame before it is written."""
    return Head(run, attempt, first, last, ends, SCHEMA, len(body), crc32(body))


def write(
    cursor: sqlite3.Cursor, segment: int, heads: Sequence[Head], bodies: Sequence[bytes]
) -> int:
    """Store a segment; returns its size in bytes."""
    body = _encode((segment, heads))
    about = crc32(body).to_bytes(_SUM_BYTES, "big") + body
    frames = b"".join(bodies)
    cursor.execute("INSERT INTO segments VALUES (?, ?, ?, ?)", (segment, about, frames, about))
    return len(frames) + 2 * len(about)


def heads(connection: sqlite3.Connection, row: int) -> _Heads:
    """The number of a segment and the heads of its frames. Raises `Damaged` when both copies are damaged."""
    for column in ("heads", "again"):
        try:
            query = f"SELECT {column} FROM segments WHERE id = ?"
            columns = connection.execute(query, (row,)).fetchone()
        except sqlite3.Error:
            continue
        content = _unpack(columns[0]) if columns else None
        if content is not None:
            if column == "again" or content[0] != row:
                sums.report_damage("segments", f"the heads of row {row} (a copy is used)")
            return content
    raise sums.report_damage("segments", f"row {row}")


def _unpack(blob: object) -> _Heads | None:
    if not isinstance(blob, bytes) or int.from_bytes(blob[:_SUM_BYTES], "big") != crc32(
        blob[_SUM_BYTES:]
    ):
        return None
    try:
        return _decoder.decode(blob[_SUM_BYTES:])
    except msgspec.MsgspecError:
        return None


def pieces(row: int, frame_heads: Sequence[Head]) -> Iterator[tuple[Head, Piece]]:
    """The frames of a segment, each with its position."""
    offset = 0
    for each in frame_heads:
        place = Piece(each.first, each.last, row, each.size, None, each.schema, each.sum, offset)
        yield each, place
        offset += each.size


def old_pieces(row: int, blob: object) -> Iterator[tuple[Head, Piece]]:
    """The same for a row of version 1. Raises `Damaged`."""
    whole = blob if isinstance(blob, bytes) else b""
    try:
        frames = _old_frames(whole)
    except (msgspec.MsgspecError, Unreadable):
        raise sums.report_damage("segments_1", f"row {row}") from None
    offset = 0
    for each in frames:
        offset = whole.index(each.body, offset)
        size = len(each.body)
        head = Head(
            each.run, each.attempt, each.first, each.last, each.ends, each.schema, size, UNKNOWN
        )
        yield (
            head,
            Piece(each.first, each.last, row, size, None, each.schema, UNKNOWN, offset, old=True),
        )
        offset += size


def _old_frames(blob: bytes) -> list[_OldFrame]:
    try:
        return _decode_old(blob)
    except msgspec.ValidationError:
        return [frame.first_frame() for frame in _decode_first(blob)]


def load(connection: sqlite3.Connection, run: str, piece: Piece) -> bytes:
    """A frame's bytes, in today's schema. Raises `Damaged`, `Unreadable`, and `SegmentGone`."""
    if piece.body is not None:
        return piece.body
    data = raw(connection, piece)
    if len(data) != piece.size or piece.sum not in (UNKNOWN, crc32(data)):
        raise _report_damage(run, piece)
    return data if piece.schema == SCHEMA else frame(decode(data, piece.schema)).body


def raw(connection: sqlite3.Connection, piece: Piece) -> bytes:
    """A frame's bytes as they are on the disk; empty if nothing can be read. Raises `SegmentGone`."""
    if piece.body is not None or not piece.segment:
        return piece.body or b""
    try:
        blob = connection.blobopen(piece.table, "frames", piece.segment, readonly=True)
        with blob:
            blob.seek(piece.offset)
            return blob.read(piece.size)
    except (sqlite3.Error, ValueError):
        query = f"SELECT 1 FROM {piece.table} WHERE id = ?"
        try:
            there = connection.execute(query, (piece.segment,)).fetchone()
        except sqlite3.Error:
            return b""
        if there is None:
            raise SegmentGone from None
        return b""


def lost_piece(first: int, last: int) -> Piece:
    """The piece for frames that are lost."""
    return Piece(first, last, 0, 0, sum=sums.NEVER)


def _report_damage(run: str, piece: Piece) -> Damaged:
    where = f"row {piece.segment} at byte {piece.offset}" if piece.segment else "a lost frame"
    return sums.report_damage(piece.table, f"{where} (events {piece.first} to {piece.last})", run)
