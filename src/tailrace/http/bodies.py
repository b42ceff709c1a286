"""Reading request bodies: not too large, not too slowly, and not too much of all together.

What has come of a body is held until it is whole, so callers that send slowly and at once would fill the
memory though each is within its own limit.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from tailrace.errors import BadRequest, TooLarge, Unavailable
from tailrace.http import bounds

SECONDS = 120.0
"""How long a client may take to send a body."""
TOGETHER = 16
"""Bodies of the largest size that there is room for at once."""


class Bodies:
    """The bodies on their way in."""

    def __init__(self, most: int) -> None:
        """`most` bytes are in one body at most."""
        self._most = most
        self._held = 0

    async def read(self, http: Request, limits: list[int]) -> bytes:
        """The request's whole body, where the caller has `limits` of its own. Raises `TooLarge`,
        `BadRequest` for what is too deep or comes too slowly, `Unavailable` when there is no room."""
        try:
            async with asyncio.timeout(SECONDS):
                body = await self._whole(http, min([self._most, *filter(None, limits)]))
        except TimeoutError:
            raise BadRequest(f"The request body took more than {SECONDS:g} s.") from None
        bounds.check(body)
        await asyncio.sleep(
            0
        )  # of a large body that took long, and so does decoding it: others are next
        return body

    async def _whole(self, http: Request, limit: int) -> bytes:
        declared = http.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in http.stream():
                size += len(chunk)
                self._held += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                if self._held > TOGETHER * self._most:
                    raise Unavailable(
                        "Too many large requests come at once; try again in a moment."
                    )
                chunks.append(chunk)
            return b"".join(chunks)
        finally:
            self._held -= size


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body is over {limit} bytes.", code="request_too_large")
