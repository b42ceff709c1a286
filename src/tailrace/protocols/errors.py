"""An error in the form of OpenAI's servers; the native surface uses the same form."""

from __future__ import annotations

import msgspec

from tailrace.errors import CallerError


def error_body(error: CallerError, _: str = "") -> bytes:
    """`{"error": {message, type, param, code}}`; the request's id is not part of it."""
    detail = {
        "message": error.message,
        "type": error.kind,
        "param": error.param or None,
        "code": error.code or None,
    }
    return msgspec.json.encode({"error": detail})
