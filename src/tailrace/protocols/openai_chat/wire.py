"""JSON objects that both the chat stream and the chat document use."""

from __future__ import annotations

from tailrace.events.items import Json
from tailrace.events.types import RunCancelled, RunCompleted, RunFailed, RunIncomplete
from tailrace.events.usage import Totals
from tailrace.protocols import failures
from tailrace.protocols.fields import Object

SERVICE_TIERS = frozenset({"auto", "default", "flex", "scale", "priority"})
"""The values that the SDKs' types accept in every version checked; any other value is echoed as `default`."""


def usage(totals: Totals) -> Object:
    """The `usage` object of Chat Completions, where reasoning tokens are part of the completion."""
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
    """The `finish_reason` of the answer; it maps one to one to the status that Responses reports for the same
    run."""
    if isinstance(end, RunIncomplete):
        return "content_filter" if end.reason == "content_filter" else "length"
    return "tool_calls" if calls else "stop"


def failure(end: RunFailed | RunCancelled) -> Object:
    """The body of an error, for the stream and for an HTTP response."""
    if isinstance(end, RunFailed):
        return {"error": failures.error(failures.openai(end))}
    message = f"The run was cancelled by {end.by}."
    error: Object = {"message": message, "type": "server_error", "param": None, "code": "cancelled"}
    return {"error": error}


def annotation(responses: dict[str, Json]) -> Object | None:
    """A citation in Chat form: Responses' fields inside an object named by their type. None if the annotation
    is not a citation of a web page: AI SDK rejects a chunk with any other annotation."""
    if responses.get("type") != "url_citation":
        return None
    inner = {key: value for key, value in responses.items() if key != "type"}
    return {"type": "url_citation", "url_citation": inner}
