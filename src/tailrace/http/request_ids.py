"""The id of a request, on every reply: a client quotes it in a question, and the audit log has it.

A reply about a run has the run's id, from the route. Every other reply (of a route without a key, of a guard
before the routes, of the protocol) gets one here.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAMES = ("x-request-id", "request-id")
"""The headers that OpenAI's and Anthropic's clients read."""


def fresh_id() -> str:
    """The id of a request that starts no run."""
    return f"req_{secrets.token_hex(12)}"


def request_id(id: str) -> dict[str, str]:
    """The headers with the id of a request."""
    return dict.fromkeys(NAMES, id)


def lines(headers: Mapping[str, str]) -> bytes:
    """Headers as bytes, for a reply without an ASGI request."""
    return b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())


class RequestIds:
    """Gives an id to each reply that has none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if not any(name == b"x-request-id" for name, _ in headers):
                    more = request_id(fresh_id()).items()
                    headers += [(name.encode(), value.encode()) for name, value in more]
                    message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_with_id if scope["type"] == "http" else send)
