"""The Response object and its parts as JSON (openai 3.52 and 2.54; fields both validate strictly).

A client may ask for what only its model server knows (an effort of "ultra"). It is passed on as asked, but
the Response object echoes only the values both SDK versions know.
"""

from __future__ import annotations

from typing import cast

from tailrace.events.items import Json, Message, Reasoning, RefusalPart, TextPart
from tailrace.events.request import RunRequest, Settings
from tailrace.events.types import RunEnd, RunFailed, RunIncomplete
from tailrace.events.usage import Totals
from tailrace.protocols.fields import Object
from tailrace.protocols.openai_responses import items, tools

INCOMPLETE_REASONS = frozenset({"max_output_tokens", "content_filter"})
"""Of the reasons the SDK types allow, those a run of ours can have."""

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
EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
SUMMARIES = frozenset({"auto", "concise", "detailed"})
VERBOSITIES = frozenset({"low", "medium", "high"})
SERVICE_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
CITATIONS = frozenset({"url_citation", "file_citation", "container_file_citation", "file_path"})

SECRETS = frozenset({"authorization", "headers"})
"""Fields of an `mcp` tool that nobody gets to see again."""


def response(
    id: str,
    request: RunRequest,
    *,
    metadata: dict[str, str],
    status: str,
    created_at: int,
    completed_at: int | None,
    output: list[Json],
    usage: Json,
    end: RunEnd | None,
) -> Object:
    """A Response object. Times in seconds since the epoch."""
    settings = request.settings
    extra = settings.extra if settings.origin == items.DIALECT else {}
    return {
        "id": id,
        "object": "response",
        "created_at": created_at,
        "status": status,
        "background": request.background,
        "completed_at": completed_at,
        "conversation": {"id": request.conversation} if request.conversation else None,
        "error": _error(end),
        "frequency_penalty": settings.frequency_penalty or 0.0,
        "incomplete_details": _incomplete(end),
        "instructions": request.instructions or None,
        "max_output_tokens": settings.max_output_tokens,
        "max_tool_calls": extra.get("max_tool_calls"),
        "metadata": metadata,
        "model": request.model,
        "output": output,
        "parallel_tool_calls": settings.parallel_tool_calls is not False,
        "presence_penalty": settings.presence_penalty or 0.0,
        "previous_response_id": request.previous or None,
        "prompt_cache_key": extra.get("prompt_cache_key"),
        "reasoning": {
            "effort": _known(settings.reasoning_effort, EFFORTS),
            "summary": _known(settings.reasoning_summary, SUMMARIES),
        },
        "safety_identifier": extra.get("safety_identifier"),
        "service_tier": _known(settings.service_tier, SERVICE_TIERS) or "default",
        "store": request.store,
        "temperature": _or(settings.temperature, 1.0),
        "text": {
            "format": tools.encode_format(settings.output),
            "verbosity": _known(settings.verbosity, VERBOSITIES) or "medium",
        },
        "tool_choice": tools.encode_choice(settings),
        "tools": _tools(settings),
        "top_logprobs": settings.top_logprobs or 0,
        "top_p": _or(settings.top_p, 1.0),
        "truncation": "auto" if request.truncation == "auto" else "disabled",
        "usage": usage,
        "user": settings.user or None,
    }


def usage(totals: Totals) -> Object:
    """`usage`, with every field some SDK version requires."""
    return {
        "input_tokens": totals.input,
        "input_tokens_details": {
            "cached_tokens": totals.cached,
            "cache_write_tokens": totals.cache_write,
        },
        "output_tokens": totals.output,
        "output_tokens_details": {"reasoning_tokens": totals.reasoning},
        "total_tokens": totals.input + totals.output,
    }


def is_citation(annotation: Json) -> bool:
    """Whether it is an annotation of the API: AI SDK takes a text with any other for no event at all."""
    return isinstance(annotation, dict) and cast("Object", annotation).get("type") in CITATIONS


def text_part(part: TextPart | None = None) -> Object:
    """An `output_text` part; without `part`, as it is when it opens."""
    return {
        "type": "output_text",
        "text": part.text if part else "",
        "annotations": list(filter(is_citation, part.annotations)) if part else [],
        "logprobs": list(part.logprobs) if part else [],
    }


def message(id: str, item: Message, status: str) -> Object:
    """An output message."""
    content: list[Json] = [
        {"type": "refusal", "refusal": part.refusal}
        if isinstance(part, RefusalPart)
        else text_part(part)
        for part in item.content
        if isinstance(part, (TextPart, RefusalPart))
    ]
    shown: Object = {
        "id": id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }
    if item.phase:
        shown["phase"] = item.phase
    return shown


def reasoning(id: str, item: Reasoning, *, encrypted: bool) -> Object:
    """A reasoning item; `encrypted` adds the content only the provider can read."""
    shown: Object = {
        "id": id,
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in item.summary],
    }
    if item.text:
        shown["content"] = [{"type": "reasoning_text", "text": text} for text in item.text]
    secret = item.details.get("responses", {}).get("encrypted_content")
    if encrypted and secret:
        shown["encrypted_content"] = secret
    return shown


def _error(end: RunEnd | None) -> Json:
    if not isinstance(end, RunFailed):
        return None
    code = end.code if end.code in ERROR_CODES else "server_error"
    return {"code": code, "message": end.message, "type": error_type(end.code)}


def error_type(code: str) -> str:
    """The type that goes with an error's code. AI SDK takes a failed response without one for no JSON."""
    return "rate_limit_error" if code == "rate_limit_exceeded" else "server_error"


def _incomplete(end: RunEnd | None) -> Json:
    """OpenAI's reasons as they are; limits of ours as the nearest one, with the true one beside it."""
    if not isinstance(end, RunIncomplete):
        return None
    if end.reason in INCOMPLETE_REASONS:
        return {"reason": end.reason}
    return {"reason": "max_output_tokens", "limit": end.reason}


def _known(value: str, values: frozenset[str]) -> str | None:
    return value if value in values else None


def _tools(settings: Settings) -> list[Json]:
    return [
        {key: value for key, value in tool.items() if key not in SECRETS}
        for tool in tools.encode_tools(settings.tools)
    ]


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
