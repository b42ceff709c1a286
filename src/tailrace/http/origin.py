"""Requests of web pages that nobody allowed are refused: an open server on loopback is any page's to reach.

A browser says in `Origin` which page asks, also for the simple requests that it sends without asking first.
Other clients send none.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tailrace.errors import Forbidden
from tailrace.protocols.errors import error_body

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""What only reads; a page cannot read the reply of another origin."""


class OriginGuard:
    """Lets through what no page asks, what pages of this machine ask, and what `allowed` origins ask."""

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE:
            origin = Headers(scope=scope).get("origin")
            if origin is not None and not self._may(origin):
                fault = Forbidden(f"The origin {origin[:200]!r} is not in cors_origins.")
                reply = Response(error_body(fault), fault.status, media_type="application/json")
                await reply(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _may(self, origin: str) -> bool:
        return "*" in self._allowed or origin in self._allowed or _here(origin)


def _here(origin: str) -> bool:
    """Whether a page was served by this very machine."""
    host = urlsplit(origin).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
