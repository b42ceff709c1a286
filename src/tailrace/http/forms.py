"""The form of an error before any route: by the path, and by the client.

Anthropic's clients send `anthropic-version` with every request, and read only their own form.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Scope

from tailrace.errors import CallerError
from tailrace.http.guard import ErrorBody
from tailrace.protocols.anthropic_messages.wire import VERSION
from tailrace.protocols.anthropic_messages.wire import error_body as messages_body
from tailrace.protocols.failures import error_body
from tailrace.protocols.session_lines.request import error_body as session_body

SESSIONS = "/api/stream"
MESSAGES = ("/messages", "/messages/count_tokens")


def body_of(fault: CallerError, id: str, scope: Scope) -> bytes:
    """The error body in the form of a request's surface."""
    headers = Headers(raw=scope.get("headers", []))
    return _form(scope.get("path", ""), headers)(fault, id)


def _form(path: str, headers: Headers) -> ErrorBody:
    if path.startswith(SESSIONS):
        return session_body
    if path.endswith(MESSAGES) or VERSION in headers:
        return messages_body
    return error_body
