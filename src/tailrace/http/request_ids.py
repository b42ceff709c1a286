"""The id of a request, on every reply: what a client tells when it asks why, and what the audit names.

A reply about a run has the run's own id, given where it is made. Whatever else answers (a route that nobody
needs a key for, a guard before the routes, the protocol itself) has one from here.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAMES = ("x-request-id", "request-id")
"""What OpenAI's and Anthropic's clients look for."""


def fresh_id() -> str:
    """The id of a request that starts no run."""
    return f"req_{secrets.token_hex(12)}"


def request_id(id: str) -> dict[str, str]:
    """The id of a request under all of its names."""
    return dict.fromkeys(NAMES, id)


def lines(headers: Mapping[str, str]) -> bytes:
    """Headers as they go over the wire, for a reply that is made before there is a request."""
    return b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())


class Identified:
    """Gives an id to each reply that has none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def identified(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if not any(name == b"x-request-id" for name, _ in headers):
                    more = request_id(fresh_id()).items()
                    headers += [(name.encode(), value.encode()) for name, value in more]
                    message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, identified if scope["type"] == "http" else send)
