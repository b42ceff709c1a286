"""The end of a Responses server's reply: its usage, its other fields, and all forms of a failure."""

from __future__ import annotations

from collections.abc import Mapping

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.protocols.fields import Object, any_object, without_empty
from tailrace.protocols.openai_responses.item_details import OTHERS, PARTS, SUMMARY
from tailrace.protocols.openai_responses.upstream_item import Key, Kind, objects, part_of, word
from tailrace.protocols.upstream_errors import server_failure
from tailrace.protocols.upstream_events import words

DIALECT = "responses"
FAILURES = ("error", "response.error", "response.failed", "response.cancelled")
ECHO = frozenset(
    {
        "background",
        "completed_at",
        "conversation",
        "created_at",
        "error",
        "frequency_penalty",
        "id",
        "incomplete_details",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "object",
        "output",
        "output_text",
        "parallel_tool_calls",
        "presence_penalty",
        "previous_response_id",
        "prompt_cache_key",
        "reasoning",
        "safety_identifier",
        "status",
        "store",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "usage",
        "user",
    }
)
"""Fields of a Response object that the run sets itself, or that repeat the request."""
REASONS = frozenset({"max_output_tokens", "content_filter"})
_COUNT_FIELDS: Mapping[str, frozenset[str]] = {
    "": frozenset({"input_tokens", "output_tokens", "total_tokens"}),
    "input_tokens_details": frozenset({"cached_tokens", "cache_write_tokens"}),
    "output_tokens_details": frozenset({"reasoning_tokens"}),
}
_ITEM_FIELDS: Mapping[Kind, frozenset[str]] = {
    "message": frozenset({"type", "id", "status", "role", "content", "phase"}),
    "reasoning": frozenset({"type", "id", "status", "summary", "content", "encrypted_content"}),
    "tool_call": frozenset({"type", "id", "status", "call_id", "name", "arguments", "input"}),
    "provider": frozenset(),
}
"""Fields of an item that its canonical form has, or that tailrace sets itself."""


_OF_PART = frozenset({"type", "text", "refusal", "annotations", "logprobs"})
"""Fields of a part that its canonical form has."""


def details(kind: Kind, item: Object, ordinals: Mapping[Key, int]) -> dict[str, Json]:
    """The fields of a finished item that only this dialect has; for reasoning, its encrypted content and the
    id. `ordinals` are the canonical ordinals of its texts."""
    own = {name: value for name, value in item.items() if name not in _ITEM_FIELDS[kind]}
    if kind in ("message", "reasoning"):
        own |= _of_parts(item, ordinals)
    own = {name: value for name, value in own.items() if value is not None}
    if kind == "reasoning" and item.get("encrypted_content"):
        own["encrypted_content"] = item["encrypted_content"]
        if item.get("id"):
            own["id"] = item["id"]
    return {DIALECT: own} if own else {}


def _of_parts(item: Object, ordinals: Mapping[Key, int]) -> dict[str, Json]:
    """The additional fields of the parts of an item, by their canonical ordinals, and the parts that have no
    canonical form (`item_details.py`)."""
    parts: dict[str, Json] = {}
    for field, name in (("content", PARTS), ("summary", SUMMARY)):
        more: dict[str, Json] = {}
        others: dict[str, Json] = {}
        for n, part in enumerate(objects(item.get(field))):
            text = part_of(part, n, field)
            rest = {k: v for k, v in part.items() if k not in _OF_PART and v is not None}
            if text is None and part.get("type"):
                others[str(n)] = part
            elif text is not None and text.key in ordinals and rest:
                more[str(ordinals[text.key])] = rest
        parts |= without_empty({name: more, OTHERS[field]: others})
    return parts


def usage(model: str, response: Object, *, calls: bool) -> t.Usage:
    """The token counts of the reply, its finish reason, and the additional fields of the final response."""
    counts = any_object(response.get("usage"))
    before = any_object(counts.get("input_tokens_details"))
    after = any_object(counts.get("output_tokens_details"))
    incomplete = any_object(response.get("incomplete_details"))
    reason = word(incomplete.get("reason"))
    finish: t.Finish = "tool_calls" if calls else "stop"
    if response.get("status") == "incomplete" or reason:
        finish = "content_filter" if reason == "content_filter" else "length"
    own: Object = {k: v for k, v in response.items() if k not in ECHO and v is not None}
    if more := _other_counts(counts):
        own["usage"] = more
    if reason and incomplete not in [{"reason": each} for each in REASONS]:
        own["incomplete_details"] = incomplete
    return t.Usage(
        model,
        input=_count(counts.get("input_tokens")),
        cached=_count(before.get("cached_tokens")),
        cache_write=_count(before.get("cache_write_tokens")),
        output=_count(counts.get("output_tokens")),
        reasoning=_count(after.get("reasoning_tokens")),
        finish=finish,
        response_id=word(response.get("id")),
        details={DIALECT: own} if own else {},
    )


def is_failure(kind: str, data: Object) -> bool:
    """Whether an event reports in any form that the reply failed."""
    if kind in FAILURES or data.get("object") == "error":
        return True
    return not data.get("type") and any(data.get(name) for name in ("error", "detail"))


def is_failed(response: Object) -> bool:
    """Whether a final response is a failure, whatever the type of its event is."""
    return bool(response.get("error")) or response.get("status") in ("failed", "cancelled")


def failure(data: Object) -> ModelFailed:
    """The error of a failed reply: flat, nested, or in the response. Its `code` and `param` are unchanged."""
    response = any_object(data.get("response"))
    nested = data.get("error") or response.get("error") or data.get("detail")
    fields = any_object(nested) or data
    message = word(fields.get("message")) or words(nested or data)
    if response.get("status") == "cancelled" or data.get("type") == "response.cancelled":
        message = message or "The model server cancelled the reply."
    error = {**fields, "code": fields.get("code") or data.get("code")}
    if error.get("type") in FAILURES:
        del error["type"]  # the type of the event, not of the error
    return server_failure(message, error).but(dialect=DIALECT)


def _other_counts(counts: Object) -> Object:
    """The fields of a `usage` other than the counts that tailrace adds up."""
    more = {
        k: v for k, v in counts.items() if k not in _COUNT_FIELDS and k not in _COUNT_FIELDS[""]
    }
    for name, counted_fields in _COUNT_FIELDS.items():
        inner = {k: v for k, v in any_object(counts.get(name)).items() if k not in counted_fields}
        if name and inner:
            more[name] = inner
    return {k: v for k, v in more.items() if v is not None}


def _count(value: Json) -> int:
    """A number of tokens; some servers send fractions. 0 if the value is not a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0
    return max(int(value), 0) if abs(value) < 2**62 else 0
