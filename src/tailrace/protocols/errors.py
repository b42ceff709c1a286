"""An error as OpenAI's servers answer it; the native surface answers in the same form."""

from __future__ import annotations

import msgspec

from tailrace.errors import CallerError


def error_body(error: CallerError, _: str = "") -> bytes:
    """`{"error": {message, type, param, code}}`; the request's id has no place in it."""
    detail = {
        "message": error.message,
        "type": error.kind,
        "param": error.param or None,
        "code": error.code or None,
    }
    return msgspec.json.encode({"error": detail})
