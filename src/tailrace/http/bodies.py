"""Reading request bodies: bounds on size, also after decoding, on time, and on all bodies together.

A body is buffered until it is complete, so many slow callers could fill the memory although each is within
its own limit. Decoded bytes count like received ones. One body is decoded at a time, in slices, so that other
requests are served meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager

from starlette.requests import Request

from tailrace.errors import BadRequest, TooLarge, Unavailable
from tailrace.http import bounds, codings
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
        encodings = codings.codings_of(", ".join(http.headers.getlist("content-encoding")))
        try:
            async with asyncio.timeout(SECONDS):
                body = await self._whole(http, limit, encodings)
        except TimeoutError:
            raise BadRequest(f"The request body took more than {SECONDS:g} s.") from None
        bounds.check(body)
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
            for piece in codings.decode(coding, body):
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
