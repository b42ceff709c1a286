"""The Response object and its parts as JSON (openai 3.52 and 2.54; fields that both validate strictly).

A client may send values that only its model server knows (such as an effort of "ultra"). They are passed on
unchanged, but the Response object echoes only the values that both SDK versions know.
"""

from __future__ import annotations

from typing import cast

from msgspec import Struct

from tailrace.events.items import Item, Json, Message, Reasoning, RefusalPart, TextPart
from tailrace.events.request import RunRequest, Settings
from tailrace.events.types import RunEnd, RunFailed, RunIncomplete
from tailrace.events.usage import Totals
from tailrace.protocols import failures, overflow, sealed
from tailrace.protocols.fields import Object, any_object, without_empty
from tailrace.protocols.openai_responses import item_details, items, tools

INCOMPLETE_REASONS = frozenset({"max_output_tokens", "content_filter"})
"""The reasons in the SDK types that a run can have."""

ERROR_CODES = frozenset(
    {
        "server_error",
        "rate_limit_exceeded",
        "invalid_prompt",
        "data_residency_mismatch",
        "bio_policy",
        "vector_store_timeout",
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_content_policy_violation",
        "invalid_image_mode",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
    }
)
SPOKEN_CODES = frozenset({overflow.CODE, failures.BUSY, "insufficient_quota"})
"""Codes that OpenAI's servers send though their schema does not have them."""
EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
SUMMARIES = frozenset({"auto", "concise", "detailed"})
VERBOSITIES = frozenset({"low", "medium", "high"})
SERVICE_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
CITATIONS = frozenset({"url_citation", "file_citation", "container_file_citation", "file_path"})

KEPT_BACK = frozenset({"id", "encrypted_content"})
"""Fields of a server's item that are not shown: tailrace generates its own `id`, and encrypted content is
shown on request only."""

SECRETS = frozenset({"authorization", "headers"})
"""Fields of an `mcp` tool that are never shown again."""


class ResponseState(Struct, frozen=True, kw_only=True):
    """The fields of a Response object that do not repeat its request. Times are in seconds since the epoch;
    `server_fields`: the model server's fields for its last reply, without those that the run sets itself or
    that repeat the request."""

    metadata: dict[str, str]
    status: str
    created_at: int
    completed_at: int | None
    output: list[Json]
    usage: Json
    end: RunEnd | None
    server_fields: Object


def response(id: str, request: RunRequest, state: ResponseState) -> Object:
    """Encode a Response object."""
    settings = request.settings
    extra = settings.extra if settings.origin == items.DIALECT else {}
    return {
        "id": id,
        "object": "response",
        "created_at": state.created_at,
        "status": state.status,
        "background": request.background,
        "completed_at": state.completed_at,
        "conversation": {"id": request.conversation} if request.conversation else None,
        "error": _error(state.end),
        "frequency_penalty": settings.frequency_penalty or 0.0,
        "incomplete_details": _incomplete(state.end),
        "instructions": request.instructions or None,
        "max_output_tokens": settings.max_output_tokens,
        "max_tool_calls": extra.get("max_tool_calls"),
        "metadata": state.metadata,
        "model": request.model,
        "output": state.output,
        "parallel_tool_calls": settings.parallel_tool_calls is not False,
        "presence_penalty": settings.presence_penalty or 0.0,
        "previous_response_id": request.previous or None,
        "prompt_cache_key": extra.get("prompt_cache_key"),
        "reasoning": {
            "effort": _in_values(settings.reasoning_effort, EFFORTS),
            "summary": _in_values(settings.reasoning_summary, SUMMARIES),
        },
        "safety_identifier": extra.get("safety_identifier"),
        "service_tier": _in_values(settings.service_tier, SERVICE_TIERS) or "default",
        "store": request.store,
        "temperature": _or(settings.temperature, 1.0),
        "text": {
            "format": tools.encode_format(settings.output),
            "verbosity": _in_values(settings.verbosity, VERBOSITIES) or "medium",
        },
        "tool_choice": tools.encode_choice(settings),
        "tools": _tools(settings),
        "top_logprobs": settings.top_logprobs or 0,
        "top_p": _or(settings.top_p, 1.0),
        "truncation": "auto" if request.truncation == "auto" else "disabled",
        "usage": state.usage,
        "user": settings.user or None,
        **state.server_fields,
    }


def usage(totals: Totals, more: Object) -> Object:
    """Encode `usage`, with every field that some SDK version requires, and the additional fields of the
    server (`more`)."""
    before, after = (any_object(more.get(f"{way}_tokens_details")) for way in ("input", "output"))
    return {
        **more,
        "input_tokens": totals.input,
        "input_tokens_details": {
            "cached_tokens": totals.cached,
            "cache_write_tokens": totals.cache_write,
            **before,
        },
        "output_tokens": totals.output,
        "output_tokens_details": {"reasoning_tokens": totals.reasoning, **after},
        "total_tokens": totals.input + totals.output,
    }


def is_citation(annotation: Json) -> bool:
    """Whether it is an annotation of the API: AI SDK rejects the whole event if a text has any other
    annotation."""
    return isinstance(annotation, dict) and cast("Object", annotation).get("type") in CITATIONS


def text_part(part: TextPart | None = None) -> Object:
    """Encode an `output_text` part; without `part`, its initial form."""
    return {
        "type": "output_text",
        "text": part.text if part else "",
        "annotations": list(filter(is_citation, part.annotations)) if part else [],
        "logprobs": list(part.logprobs) if part else [],
    }


def message(id: str, item: Message, status: str) -> Object:
    """Encode an output message."""
    content: list[Json] = [
        {"type": "refusal", "refusal": part.refusal}
        if isinstance(part, RefusalPart)
        else text_part(part)
        for part in item.content
        if isinstance(part, (TextPart, RefusalPart))
    ]
    fields: Object = {
        "id": id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }
    if item.phase:
        fields["phase"] = item.phase
    return _whole(item, fields)


def own(item: Item) -> Object:
    """The fields of an item that only this dialect has, unchanged; fields that tailrace sets itself take
    precedence over them."""
    details = any_object(item.details.get(items.DIALECT))
    return {k: v for k, v in details.items() if k not in KEPT_BACK and not k.startswith("$")}


def _whole(item: Item, fields: Object) -> Object:
    """An item with all the fields that its server sent."""
    details = any_object(item.details.get(items.DIALECT))
    return {**own(item), **item_details.with_parts(fields, details)}


def has_others(item: Message) -> bool:
    """Whether a server sent parts that only this dialect has."""
    return item_details.OTHERS["content"] in any_object(item.details.get(items.DIALECT))


def reasoning(id: str, item: Reasoning, *, encrypted: bool) -> Object:
    """Encode a reasoning item; `encrypted` adds the content that only the provider can read. Data that a
    server of another dialect must get back is always included, because no other field of the item carries
    it."""
    fields: Object = {
        "id": id,
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in item.summary],
    }
    if item.text:
        fields["content"] = [{"type": "reasoning_text", "text": text} for text in item.text]
    secret = any_object(item.details.get(items.DIALECT)).get("encrypted_content")
    if items.DIALECT not in item.details:
        fields |= without_empty({"encrypted_content": sealed.of_reasoning(item, whole=encrypted)})
    elif encrypted and secret:
        fields["encrypted_content"] = secret
    return _whole(item, fields)


def _error(end: RunEnd | None) -> Json:
    if not isinstance(end, RunFailed):
        return None
    failure = failures.openai(end)
    error: Object = {"code": _code(end, failure), "message": failure.message, "type": failure.type}
    if failure.retry_after is not None:
        error["retry_after"] = failure.retry_after
    return {**error, "param": failure.param} if failure.param else error


def _code(end: RunFailed, failure: failures.OpenAIError) -> str:
    """A code that clients of a Response object know, or a server's own. Codex decides by it whether to end a
    turn or to retry."""
    if (
        end.dialect in failures.OPENAI
        or failure.code in ERROR_CODES
        or failure.code in SPOKEN_CODES
    ):
        return failure.code
    if failure.status == 429:
        return "rate_limit_exceeded"
    return "invalid_prompt" if failure.status < 500 else "server_error"


def _incomplete(end: RunEnd | None) -> Json:
    """`incomplete_details`: OpenAI's reasons are unchanged; a limit of the run is shown as the nearest
    reason, with the limit's name beside it. A server's own reason is in `server_fields`."""
    if not isinstance(end, RunIncomplete):
        return None
    if end.reason in INCOMPLETE_REASONS:
        return {"reason": end.reason}
    return {"reason": "max_output_tokens", "limit": end.reason}


def _in_values(value: str, values: frozenset[str]) -> str | None:
    return value if value in values else None


def _tools(settings: Settings) -> list[Json]:
    return [
        {key: value for key, value in tool.items() if key not in SECRETS}
        for tool in tools.encode_tools(settings, "echoed")
    ]


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
