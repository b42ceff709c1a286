"""Types that the Messages stream, its document and its errors share (anthropic 2.11's types)."""

from __future__ import annotations

from typing import cast

import msgspec

from tailrace.errors import CallerError
from tailrace.events.items import Json
from tailrace.events.types import (
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunIncomplete,
    Usage,
)
from tailrace.events.usage import Totals
from tailrace.protocols import failures, overflow
from tailrace.protocols.error_words import status_of
from tailrace.protocols.fields import Object, any_object

DIALECT = "messages"
VERSION = "anthropic-version"
"""The header that identifies a client of this dialect."""
SERVER = "tailrace"
"""The name of the MCP server under which a run's own functions are shown."""

REQUIRED_COUNTS = ("input_tokens", "output_tokens")
"""Counts that every `usage` has."""
COMPACTION_FIELDS = ("content", "encrypted_content")
"""The fields of a compaction delta."""

ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    410: "not_found_error",
    413: "request_too_large",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Error types by HTTP status; any other is `api_error`."""


def usage(totals: Totals) -> Object:
    """`usage` as Anthropic counts: `input_tokens` excludes tokens that were read from the cache or written
    to it."""
    return {
        "input_tokens": totals.input - totals.cached - totals.cache_write,
        "cache_creation_input_tokens": totals.cache_write,
        "cache_read_input_tokens": totals.cached,
        "output_tokens": totals.output,
        "output_tokens_details": {"thinking_tokens": totals.reasoning},
    }


def own(usage: Usage | None) -> Object:
    """The fields that a Messages server sent for a reply and `Usage` does not have."""
    return {} if usage is None else usage.details.get(DIALECT, {})


class UsageSum:
    """The counts of a run: those of its server for a single reply, sums for several."""

    def __init__(self) -> None:
        self._totals = Totals()
        self._theirs: Json = None

    def add(self, usage: Usage) -> None:
        """Add one model call."""
        self._totals += Totals.of(usage)
        self._theirs = _sum(self._theirs, own(usage).get("usage"))

    def total(self) -> Object:
        """`usage` of the last event."""
        ours, theirs = usage(self._totals), any_object(self._theirs)
        if not theirs or self._totals.calls != 1:
            return {**theirs, **ours}
        return {**{name: ours[name] for name in REQUIRED_COUNTS}, **theirs}


def first_usage(theirs: Object) -> Object:
    """`usage` of the first event: the server's counts, else zeros."""
    none = usage(Totals())
    return {**(dict.fromkeys(REQUIRED_COUNTS, 0) if theirs else none), **theirs}


def _sum(one: Json, other: Json) -> Json:
    """The sum of two counts, lists or objects; for texts the later one."""
    if isinstance(one, dict) and isinstance(other, dict):
        before, after = any_object(cast("Json", one)), any_object(cast("Json", other))
        return {name: _sum(before.get(name), after.get(name)) for name in {**before, **after}}
    if isinstance(one, list) and isinstance(other, list):
        return [*cast("list[Json]", one), *cast("list[Json]", other)]
    if isinstance(one, int) and isinstance(other, int):
        return one + other
    return cast("Json", one if other is None else other)


def in_pieces(block: Object) -> tuple[Object, list[Object]]:
    """The start and the deltas of a block of a type that only Messages servers make."""
    if "input" in block:
        text = msgspec.json.encode(block["input"]).decode()
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text}]
    if block.get("type") == "compaction":
        fields = {name: block[name] for name in COMPACTION_FIELDS if block.get(name) is not None}
        start = {name: value for name, value in block.items() if name not in fields}
        return {**start, "content": None}, [
            {"type": "compaction_delta", **fields}
        ] if fields else []
    return block, []


def stop(
    end: RunCompleted | RunIncomplete, last: Usage | None, *, client: bool, server: bool
) -> Object:
    """`stop_reason` and `stop_sequence`: the value that the server of `last` sent, the main agent's last
    reply; a limit of ours has the value of the model's own limit. Calls of tools that the `client` runs are
    a stop reason, those that ran on the `server`'s side are not."""
    reason = last.reason if last is not None else ""
    sequence = (last.stop_sequence if last is not None else "") or None
    if isinstance(end, RunIncomplete):
        limit = reason if reason == "model_context_window_exceeded" else "max_tokens"
        return {
            "stop_reason": "refusal" if end.reason == "content_filter" else limit,
            "stop_sequence": None,
        }
    if not reason or (reason == "tool_use" and server and not client):
        reason = "tool_use" if client else "end_turn"
    return {"stop_reason": reason, "stop_sequence": sequence}


def failure(end: RunFailed | RunCancelled) -> Object:
    """The `error` of a failed or cancelled run."""
    if isinstance(end, RunCancelled):
        return {"type": "api_error", "message": f"The run was cancelled by {end.by}."}
    status = failures.status(end)
    too_long = end.code == overflow.CODE
    fits = end.dialect == DIALECT and status_of(end.error_type) == status and not too_long
    kind = end.error_type if fits else ""
    message = overflow.in_anthropics_words(end.message) if too_long else end.message
    return {"type": kind or ERRORS.get(status, "api_error"), "message": message}


def error(detail: Object, request_id: str) -> Object:
    """An error as a body and as an event."""
    return {"type": "error", "error": detail, "request_id": request_id}


def error_body(fault: CallerError, request_id: str) -> bytes:
    """The body of an HTTP error."""
    detail = {"type": ERRORS.get(fault.status, "api_error"), "message": fault.message}
    return msgspec.json.encode(error(detail, request_id))
