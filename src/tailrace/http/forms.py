"""In which form an error is told where no route says: by the path that was asked, and by whose client asks.

A client of Anthropic's sends `anthropic-version` with whatever it asks, and reads their form alone.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Scope

from tailrace.errors import CallerError
from tailrace.http.guard import ErrorBody
from tailrace.protocols.anthropic_messages.wire import VERSION
from tailrace.protocols.anthropic_messages.wire import error_body as messages_body
from tailrace.protocols.errors import error_body
from tailrace.protocols.session_lines.request import error_body as session_body

SESSIONS = "/api/stream"
MESSAGES = ("/messages", "/messages/count_tokens")


def body_of(fault: CallerError, id: str, scope: Scope) -> bytes:
    """The body that tells an error of a request."""
    headers = Headers(raw=scope.get("headers", []))
    return _form(scope.get("path", ""), headers)(fault, id)


def _form(path: str, headers: Headers) -> ErrorBody:
    if path.startswith(SESSIONS):
        return session_body
    if path.endswith(MESSAGES) or VERSION in headers:
        return messages_body
    return error_body
