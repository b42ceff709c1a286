"""Refuses requests of web pages from other origins: any page can reach a server on loopback.

A browser sends `Origin` with every request that may change something, also with the simple ones that need no
preflight. Other clients send none. A browser sends none for reads of its own origin; and a page whose host
name resolves to this machine (DNS rebinding) has the server's origin, but its name is still in `Host`.
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
"""Methods that only read; a page cannot read the reply of another origin."""


class OriginGuard:
    """Passes requests without an origin, of pages of this machine, and of `origins`; others get
    403."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE:
            origin = Headers(scope=scope).get("origin")
            if origin is not None and not self._is_allowed(origin):
                fault = Forbidden(f"The origin {origin[:200]!r} is not in cors_origins.")
                await _refusal(fault, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_allowed(self, origin: str) -> bool:
        return "*" in self._origins or origin in self._origins or _is_this_machine(origin)


class NameGuard:
    """A server without tokens passes requests whose `Host` is this machine or one of `origins`; others get
    403.

    A server with tokens passes every host: a page has no token.
    """

    def __init__(self, app: ASGIApp, gate: Gate, origins: Sequence[str]) -> None:
        self._app = app
        self._gate = gate
        self._any_name = "*" in origins
        self._names = frozenset(host for url in origins if (host := _host(url)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = Headers(scope=scope).get("host", "") if scope["type"] == "http" else ""
        if name and not self._is_local_or_allowed(f"http://{name}") and await self._open():
            fault = Forbidden(
                f"Without tokens this server is for this machine alone, and no name of it is {name[:200]!r}: "
                "ask it as localhost, name that in cors_origins, or make a token."
            )
            await _refusal(fault, scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_local_or_allowed(self, url: str) -> bool:
        return self._any_name or _host(url) in self._names or _is_this_machine(url)

    async def _open(self) -> bool:
        try:
            return await self._gate.stands_open()
        except LogError:
            return False  # every request is authenticated while this is unknown


def _refusal(fault: Forbidden, scope: Scope) -> Response:
    id = fresh_id()
    body = body_of(fault, id, scope)
    return Response(body, fault.status, request_id(id), media_type="application/json")


def _is_this_machine(url: str) -> bool:
    """Whether a URL's host is this machine."""
    host = _host(url)
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _host(url: str) -> str:
    """The host of a URL; `""` for an invalid URL."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
