"""The response of a model server, bounded before it is decoded: interim replies (1xx), and the body of the
reply.

aiohttp reads past interim replies in a loop that never yields to the event loop, and bounds neither their
number nor their bytes; here they are counted.

We request `identity`. A body that is compressed anyway is decompressed in slices, with a turn of the event
loop after each, because a kilobyte may become a megabyte. A body that expands beyond `RATIO` is an attack
and is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Any

import aiohttp
from aiohttp.connector import Connection

from tailrace.errors import LimitReached, NoReply
from tailrace.protocols.framing.codings import CODINGS, BadCoding, Unpacker, names
from tailrace.protocols.operators_faults import NO_REPLY

MAX_INTERIM = 16
"""Maximum number of interim replies to one request. Servers send `100 Continue` once, `102` and `103`
several times."""
FREE = 1_048_576
SLICE = 32_768
"""Bytes that are decoded before other tasks get a turn: a flood of comments takes milliseconds to read."""
RATIO = 200
"""Beyond `FREE` bytes, the maximum ratio of decompressed to received bytes. Deltas reach about 30."""


def unpacker(header: str) -> Unpacker | None:
    """The decompressor for this `Content-Encoding`; None for an uncompressed reply. Raises `NoReply`."""
    codings = names(header)
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in CODINGS:
        listing = ", ".join(codings)[:40]
        raise _unreadable(
            f"The model server encoded its reply as {listing!r}, unasked, and that is not read here."
        )
    return Unpacker(codings[0])


class ReplyBody:
    """The bytes of one reply, from `read`, which returns `b""` at the end."""

    def __init__(self, read: Callable[[], Awaitable[bytes]], header: str, most: int) -> None:
        """`most` decompressed bytes are read; 0 is no limit. Raises `NoReply`."""
        self._read = read
        self._unpacker = unpacker(header)
        self._most = most
        self._bytes_in = self._bytes_out = self._size = 0

    async def pieces(self, first: bytes) -> AsyncGenerator[bytes, None]:
        """The body, whose beginning `first` was read already, with a turn of the event loop after each
        piece but the last that has arrived. Raises `LimitReached`, `NoReply`."""
        data = first
        while data:
            for piece in self._unpack(data):
                for start in range(0, len(piece), SLICE):
                    if start:
                        await asyncio.sleep(0)
                    self._size += len(piece[start : start + SLICE])
                    yield piece[start : start + SLICE]
                    if self._most and self._size > self._most:
                        raise LimitReached("max_reply_bytes")
                if self._unpacker is not None:
                    await asyncio.sleep(0)
            data = await self._read()

    def _unpack(self, data: bytes) -> Iterator[bytes]:
        if self._unpacker is None:
            yield data
            return
        self._bytes_in += len(data)
        size = 0
        try:
            for piece in self._unpacker.feed(data):
                size += len(piece)
                if self._bytes_out + size > FREE + RATIO * self._bytes_in:
                    raise _unreadable(
                        f"The model server sent a reply that unpacks to over {RATIO} times its size."
                    )
                yield piece
        except BadCoding:
            raise _unreadable("The model server's reply is not encoded as it says.") from None
        self._bytes_out += size


def _unreadable(message: str) -> NoReply:
    return NoReply(message, status=502, code=NO_REPLY, retryable=True)


class InterimResponse(aiohttp.ClientResponse):
    """A reply whose interim replies are counted. `start` raises `aiohttp.ClientPayloadError` for too many."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol: Any = connection.protocol
        read, count = protocol.read, 0

        async def read_counting() -> Any:
            nonlocal count
            count += 1
            if count > MAX_INTERIM:
                raise aiohttp.ClientPayloadError(f"over {MAX_INTERIM} interim replies")
            return await read()

        protocol.read = read_counting
        try:
            return await super().start(connection)
        finally:
            del protocol.read  # the connection serves other requests
