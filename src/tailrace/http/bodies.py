"""Reading request bodies: bounds on size, also after decoding, on time, and on all bodies together.

A body is buffered until it is complete, so many slow callers could fill the memory although each is within
its own limit. Decoded bytes count like received ones. One body is decoded at a time, in slices, so that other
requests are served meanwhile (`protocols/framing/codings.py`).

The depth and the number of values of a body's JSON are checked before it is decoded: a body of the allowed
size can have millions of small values, each of which takes fifty times its bytes when decoded, and the JSON
parser has no such bounds (`protocols/framing/json_bounds.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from starlette.requests import Request

from tailrace.errors import BadRequest, TooLarge, Unavailable, UnsupportedMedia
from tailrace.protocols.framing.codings import CODINGS, MEMBERS, BadCoding, Unpacker, names
from tailrace.protocols.framing.json_bounds import fault
from tailrace.service.memory import collector

SECONDS = 120.0
"""Time that a client has to send a body."""
TOGETHER = 16
"""Bodies of the maximum size that fit in memory at once."""
SLICE_SECONDS = 0.002
"""Time for which a body is decoded before other requests are served."""


class Bodies:
    """The request bodies that are being received."""

    def __init__(self, most: int) -> None:
        """`most` is the maximum size of a body, in bytes."""
        self.most = most
        self._buffered_bytes = 0
        self._unpacking = asyncio.Lock()

    async def read(self, http: Request, limits: list[int]) -> bytes:
        """The request's whole body, without its content codings. `limits` are the caller's own, 0 for none.
        Raises `TooLarge`, `UnsupportedMedia`, `BadRequest` for a body that is too deep or too slow,
        `Unavailable` when all bodies together are too large."""
        limit = min([self.most, *filter(None, limits)])
        encodings = codings_of(", ".join(http.headers.getlist("content-encoding")))
        try:
            async with asyncio.timeout(SECONDS):
                body = await self._whole(http, limit, encodings)
        except TimeoutError:
            raise BadRequest(f"The request body took more than {SECONDS:g} s.") from None
        check_json(body)
        await asyncio.sleep(0)  # a large body took long, and so will its parsing: others first
        return body

    async def _whole(self, http: Request, limit: int, encodings: tuple[str, ...]) -> bytes:
        length = http.headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        with self._buffer(limit) as raw:
            async for chunk in http.stream():
                raw.add(chunk)
            body = raw.take()
            for coding in encodings if body else ():
                with self._buffer(limit) as decoded_body:
                    await self._unpack(coding, body, decoded_body)
                    body = decoded_body.take()
            return body

    async def _unpack(self, coding: str, body: bytes, decoded_body: _BodyBuffer) -> None:
        async with self._unpacking:
            until = time.monotonic() + SLICE_SECONDS
            for piece in decode(coding, body):
                decoded_body.add(piece)
                if time.monotonic() > until:
                    await asyncio.sleep(0)
                    until = time.monotonic() + SLICE_SECONDS

    @contextmanager
    def _buffer(self, limit: int) -> Generator[_BodyBuffer]:
        buffer = _BodyBuffer(self, limit)
        try:
            yield buffer
        finally:
            self.count(-buffer.size)

    def count(self, size: int) -> None:
        """Add `size` bytes to those that are buffered. Raises `Unavailable`, after it counted them, if there
        are too many."""
        self._buffered_bytes += size
        if size <= 0:
            return
        collector.count(size)  # also for bodies that are refused later
        if self._buffered_bytes > TOGETHER * self.most:
            raise Unavailable("Too many large requests come at once; try again in a moment.")


class _BodyBuffer:
    """The received or decoded pieces of one body."""

    def __init__(self, bodies: Bodies, limit: int) -> None:
        self.size = 0
        self._bodies = bodies
        self._limit = limit
        self._pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        """Add a piece. Raises `TooLarge`, `Unavailable`."""
        if self.size + len(piece) > self._limit:
            collector.count(len(piece))
            raise _too_large(self._limit)
        self.size += len(piece)
        self._bodies.count(len(piece))
        self._pieces.append(piece)

    def take(self) -> bytes:
        """The pieces, joined; the buffer is empty afterwards."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body is over {limit} bytes.", code="request_too_large")


MOST_CODINGS = 2
"""Codings that one body may have."""
TOO_MANY = f"The request body has more than {MEMBERS} compressed parts."
ACCEPT_ENCODING = "gzip, deflate, zstd"
"""The `Accept-Encoding` of a 415 reply."""


def codings_of(header: str) -> tuple[str, ...]:
    """The codings of a `Content-Encoding` header, the last first: the order of decoding. Raises
    `UnsupportedMedia`."""
    codings = names(header)
    for word in codings:
        if word not in CODINGS:
            fault = f"The content encoding {word[:40]!r} is not supported; supported: {', '.join(CODINGS)}."
            raise UnsupportedMedia(fault, code="unsupported_content_encoding")
    if len(codings) > MOST_CODINGS:
        fault = f"A body may be encoded {MOST_CODINGS} times at most, not {len(codings)} times."
        raise UnsupportedMedia(fault, code="unsupported_content_encoding")
    return tuple(reversed(codings))


def decode(coding: str, data: bytes) -> Iterator[bytes]:
    """`data` without a coding, in pieces. Raises `BadRequest` for invalid or incomplete data."""
    unpacker = Unpacker(coding)
    try:
        yield from unpacker.feed(data)
    except BadCoding as fault:
        message = TOO_MANY if fault.too_many else f"The request body is no valid {coding}."
        raise BadRequest(message) from None
    if not unpacker.whole:
        raise BadRequest(f"The request body is incomplete {coding} data.")


MAX_QUOTES = 2_000_000


def check_json(body: bytes) -> None:
    """Raises `BadRequest` for JSON that is too deep or has too many values; invalid JSON passes."""
    if body.count(b'"') > MAX_QUOTES:
        raise BadRequest(f"The request has more than {MAX_QUOTES} quotation marks.")
    if message := fault(body):
        raise BadRequest(f"The request {message}.")
