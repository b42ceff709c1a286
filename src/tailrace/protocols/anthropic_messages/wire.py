"""Shapes that the Messages stream, its document and its errors share (anthropic 2.11's types)."""

from __future__ import annotations

from typing import assert_never

import msgspec

from tailrace.errors import CallerError
from tailrace.events.types import (
    RunCancelled,
    RunCompleted,
    RunEnd,
    RunFailed,
    RunIncomplete,
    Usage,
)
from tailrace.events.usage import Totals
from tailrace.protocols.fields import Object

ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    410: "not_found_error",
    413: "request_too_large",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}
"""Error types by HTTP status; the rest is `api_error`."""

STATUS = {"invalid_request_error": 400, "rate_limit_error": 429, "api_error": 500}
"""The HTTP status of a run that failed, by the type of its error."""


def usage(totals: Totals) -> Object:
    """`usage` as Anthropic counts: what came from the cache or went into it is no `input_tokens`."""
    return {
        "input_tokens": totals.input - totals.cached - totals.cache_write,
        "cache_creation_input_tokens": totals.cache_write,
        "cache_read_input_tokens": totals.cached,
        "output_tokens": totals.output,
        "output_tokens_details": {"thinking_tokens": totals.reasoning},
    }


def ended(end: RunCompleted | RunIncomplete, last: Usage | None, *, calls: bool) -> Object:
    """Why the message ended; a limit of ours is told like the model's own. `last` is the main agent's last
    reply, whose server may have had a word of its own for it."""
    own = last.reason if last is not None else ""
    reason, sequence = own or "end_turn", (last.stop_sequence if last is not None else "") or None
    if isinstance(end, RunIncomplete):
        cut = own if own == "model_context_window_exceeded" else "max_tokens"
        reason, sequence = ("refusal" if end.reason == "content_filter" else cut), None
    elif calls:
        reason, sequence = "tool_use", None
    return {"stop_reason": reason, "stop_sequence": sequence}


def failure(end: RunFailed | RunCancelled) -> Object:
    """The `error` of a run that ended badly."""
    if isinstance(end, RunCancelled):
        return {"type": "api_error", "message": f"The run was cancelled by {end.by}."}
    kinds = {"rate_limit_exceeded": "rate_limit_error", "invalid_prompt": "invalid_request_error"}
    return {"type": kinds.get(end.code, "api_error"), "message": end.message}


def ended_badly(end: RunEnd) -> RunFailed | RunCancelled | None:
    """The end, if it is an error on this surface."""
    match end:
        case RunFailed() | RunCancelled():
            return end
        case RunCompleted() | RunIncomplete():
            return None
        case _:
            assert_never(end)


def error(detail: Object, request_id: str) -> Object:
    """An error as a body and as an event."""
    return {"type": "error", "error": detail, "request_id": request_id}


def error_body(fault: CallerError, request_id: str) -> bytes:
    """The body of an HTTP error."""
    detail = {"type": ERRORS.get(fault.status, "api_error"), "message": fault.message}
    return msgspec.json.encode(error(detail, request_id))
