"""Requests of web pages that nobody allowed are refused: an open server on loopback is any page's to reach.

A browser says in `Origin` which page asks, also for the simple requests that it sends without asking first.
Other clients send none. Nor does a browser say it where a page reads from its own origin; and a page whose
name its owner makes lead to this machine (DNS rebinding) is of the server's origin. The name stays in `Host`.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tailrace.auth.gate import Gate
from tailrace.errors import Forbidden, LogError
from tailrace.http.forms import body_of
from tailrace.http.request_ids import fresh_id, request_id

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
                await _refusal(fault, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _may(self, origin: str) -> bool:
        return "*" in self._allowed or origin in self._allowed or _here(origin)


class NameGuard:
    """Lets through who asks an open server by a name of this machine, or by that of an `allowed` origin.

    A server that wants a key may be asked by any name: a page has none.
    """

    def __init__(self, app: ASGIApp, gate: Gate, allowed: Sequence[str]) -> None:
        self._app = app
        self._gate = gate
        self._any = "*" in allowed
        self._names = frozenset(host for url in allowed if (host := _host(url)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = Headers(scope=scope).get("host", "") if scope["type"] == "http" else ""
        if name and not self._known(f"http://{name}") and await self._open():
            fault = Forbidden(
                f"Without tokens this server is for this machine alone, and no name of it is {name[:200]!r}: "
                "ask it as localhost, name that in cors_origins, or make a token."
            )
            await _refusal(fault, scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _known(self, url: str) -> bool:
        return self._any or _host(url) in self._names or _here(url)

    async def _open(self) -> bool:
        try:
            return await self._gate.stands_open()
        except LogError:
            return False  # nobody is let in while it cannot be said


def _refusal(fault: Forbidden, scope: Scope) -> Response:
    id = fresh_id()
    body = body_of(fault, id, scope)
    return Response(body, fault.status, request_id(id), media_type="application/json")


def _here(url: str) -> bool:
    """Whether a URL is of this very machine."""
    host = _host(url)
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _host(url: str) -> str:
    """The host of a URL; `""` for what is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
