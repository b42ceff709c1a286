"""Reading request bodies: not too large, also unpacked, not too slowly, and not too much of all together.

What has come of a body is held until it is whole, so callers that send slowly and at once would fill the
memory though each is within its own limit. What a body is unpacked to counts like what comes; one is unpacked
at a time, in slices, so that everybody else is served meanwhile.
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
"""How long a client may take to send a body."""
TOGETHER = 16
"""Bodies of the largest size that there is room for at once."""
SLICE_SECONDS = 0.002
"""So long a body is unpacked before others are served."""


class Bodies:
    """The bodies on their way in."""

    def __init__(self, most: int) -> None:
        """`most` bytes are in one body at most."""
        self.most = most
        self._held = 0
        self._unpacking = asyncio.Lock()

    async def read(self, http: Request, limits: list[int]) -> bytes:
        """The request's whole body without its content codings, where the caller has `limits` of its own.
        Raises `TooLarge`, `UnsupportedMedia`, `BadRequest` for what is too deep or comes too slowly,
        `Unavailable` when there is no room."""
        limit = min([self.most, *filter(None, limits)])
        named = codings.named(", ".join(http.headers.getlist("content-encoding")))
        try:
            async with asyncio.timeout(SECONDS):
                body = await self._whole(http, limit, named)
        except TimeoutError:
            raise BadRequest(f"The request body took more than {SECONDS:g} s.") from None
        bounds.check(body)
        await asyncio.sleep(0)  # a large body took long, and so does decoding it: others are next
        return body

    async def _whole(self, http: Request, limit: int, named: tuple[str, ...]) -> bytes:
        declared = http.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        with self._holding(limit) as came:
            async for chunk in http.stream():
                came.add(chunk)
            body = came.take()
            for coding in named if body else ():
                with self._holding(limit) as unpacked:
                    await self._unpack(coding, body, unpacked)
                    body = unpacked.take()
            return body

    async def _unpack(self, coding: str, body: bytes, unpacked: _Held) -> None:
        async with self._unpacking:
            until = time.monotonic() + SLICE_SECONDS
            for piece in codings.unpacked(coding, body):
                unpacked.add(piece)
                if time.monotonic() > until:
                    await asyncio.sleep(0)
                    until = time.monotonic() + SLICE_SECONDS

    @contextmanager
    def _holding(self, limit: int) -> Generator[_Held]:
        held = _Held(self, limit)
        try:
            yield held
        finally:
            self.count(-held.size)

    def count(self, size: int) -> None:
        """So much more is held, or less. Raises `Unavailable`, and counts it, when that is too much."""
        self._held += size
        if size <= 0:
            return
        collector.count(size)  # also of bodies that are refused in the end
        if self._held > TOGETHER * self.most:
            raise Unavailable("Too many large requests come at once; try again in a moment.")


class _Held:
    """What has come of one body. Raises `TooLarge`, `Unavailable` when it is too much."""

    def __init__(self, bodies: Bodies, limit: int) -> None:
        self.size = 0
        self._bodies = bodies
        self._limit = limit
        self._pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        if self.size + len(piece) > self._limit:  # first: what is too large would be so at any time
            collector.count(len(piece))
            raise _too_large(self._limit)
        self.size += len(piece)
        self._bodies.count(len(piece))
        self._pieces.append(piece)

    def take(self) -> bytes:
        """All of it in one."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body is over {limit} bytes.", code="request_too_large")
