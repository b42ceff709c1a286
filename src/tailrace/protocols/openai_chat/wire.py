"""Shapes both the chat stream and the chat document use."""

from __future__ import annotations

from tailrace.events.items import Json
from tailrace.events.types import RunCancelled, RunCompleted, RunFailed, RunIncomplete
from tailrace.events.usage import Totals
from tailrace.protocols import failures
from tailrace.protocols.fields import Object

SERVICE_TIERS = frozenset({"auto", "default", "flex", "scale", "priority"})
"""What the SDKs' types know in every version checked; others are echoed as the default."""


def usage(totals: Totals) -> Object:
    """`usage` as Chat Completions counts: reasoning is part of the completion."""
    return {
        "prompt_tokens": totals.input,
        "completion_tokens": totals.output,
        "total_tokens": totals.input + totals.output,
        "prompt_tokens_details": {
            "cached_tokens": totals.cached,
            "cache_write_tokens": totals.cache_write,
        },
        "completion_tokens_details": {"reasoning_tokens": totals.reasoning},
    }


def finish_reason(end: RunCompleted | RunIncomplete, *, calls: bool) -> str:
    """Why the answer stopped, one to one with what Responses says of the same run."""
    if isinstance(end, RunIncomplete):
        return "content_filter" if end.reason == "content_filter" else "length"
    return "tool_calls" if calls else "stop"


def failure(end: RunFailed | RunCancelled) -> Object:
    """The body of an error, in the stream and outside of it."""
    if isinstance(end, RunFailed):
        return {"error": failures.error(failures.openai(end))}
    message = f"The run was cancelled by {end.by}."
    error: Object = {"message": message, "type": "server_error", "param": None, "code": "cancelled"}
    return {"error": error}


def annotation(responses: dict[str, Json]) -> Object | None:
    """A citation in chat form: Responses' fields inside an object named by their type. None for what is no
    citation of a web page: AI SDK takes any other for no chunk at all."""
    if responses.get("type") != "url_citation":
        return None
    inner = {key: value for key, value in responses.items() if key != "type"}
    return {"type": "url_citation", "url_citation": inner}
