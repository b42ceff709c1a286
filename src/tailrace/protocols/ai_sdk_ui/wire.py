"""Chunks of the stream, and the AI SDK's names for our values.

Every chunk here has only fields that all versions from 5.0.0 on know: the early ones end the chat at any
other. So values without a field of their own (the reason of a reply's end, its usage) are in
`messageMetadata` and `providerMetadata`, under the key `tailrace`.
"""

from __future__ import annotations

import msgspec

from tailrace.events import types as t
from tailrace.events.items import Json, Part
from tailrace.events.usage import Totals
from tailrace.protocols import media
from tailrace.protocols.fields import Object, any_object, without_empty
from tailrace.protocols.framing.data_event import frame

KEY = "tailrace"
STATUS_ABANDONED = "abandoned"
"""The status of a part that a crash interrupted and another reply replaced: it is not part of the answer."""
APPROVALS = "tool-approval-request"
"""In a request's `include`: this client knows approvals (AI SDK 6 and later)."""
DONE = b"data: [DONE]\n\n"
RESERVED_NAMES = frozenset(
    {
        "approval",
        "conversationId",
        "question",
        "streamProgress",
        "subagent",
        "subagent-end",
        "toolCall",
    }
)
"""Names of data parts with a meaning here; custom events of the same name are not shown."""

DOCUMENT = "text/plain"
"""The media type of a cited document: the chunk requires one, a citation has none (as in the AI SDK)."""
OURS: Object = {"providerExecuted": True, "dynamic": True}
"""On every chunk of a tool that runs here, so that no client tries to run it."""


def data(name: str, value: Json) -> Object:
    """A data part that stays in the message."""
    return {"type": f"data-{name}", "data": value}


def progress(response: str) -> bytes:
    """The position after a chunk, as a template without its number."""
    value = {"responseId": response, "sequenceNumber": 0, "terminal": False}
    chunk = {**data("streamProgress", value), "transient": True}
    return frame(chunk).replace(b"%", b"%%").replace(b":0,", b":%d,", 1)


def arguments(text: str, *, custom: bool) -> Json:
    """A call's arguments as a JSON value, or as text if they are not JSON."""
    if custom:
        return text
    try:
        value = msgspec.json.decode(text or "{}")
        msgspec.json.encode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError):
        return text
    return value


def file(part: Part) -> Object | None:
    """An image or audio as a chunk; None without a URL."""
    media_source = media.source_of(part)
    if media_source is None:
        return None
    return {"type": "file", "url": media_source.url, "mediaType": media_source.media_type}


def source(annotation: dict[str, Json], id: str) -> Object | None:
    """A citation as a chunk: of a URL, or of a document by its name; None for one that has neither."""
    url, title = annotation.get("url"), annotation.get("title")
    if isinstance(url, str) and url:
        title_field = {"title": title} if isinstance(title, str) else {}
        return {"type": "source-url", "sourceId": id, "url": url, **title_field}
    name = annotation.get("filename") or annotation.get("file_id")
    if not isinstance(name, str) or not name:
        return None
    document = {"type": "source-document", "sourceId": id, "mediaType": DOCUMENT}
    return {**document, "title": name, "filename": name}


def finish_reason(end: t.RunCompleted | t.RunIncomplete, *, calls: bool) -> str:
    """The reason why the reply stopped, in the AI SDK's terms."""
    if isinstance(end, t.RunIncomplete):
        return "content-filter" if end.reason == "content_filter" else "length"
    return "tool-calls" if calls else "stop"


def usage(totals: Totals) -> Object:
    """Tokens in the fields of the AI SDK's `LanguageModelUsage`."""
    fields: Object = {
        "inputTokens": totals.input,
        "outputTokens": totals.output,
        "totalTokens": totals.input + totals.output,
    }
    more = {"cachedInputTokens": totals.cached, "reasoningTokens": totals.reasoning}
    return {**fields, **without_empty({name: count for name, count in more.items() if count})}


def cut(status: str) -> Object:
    """The `providerMetadata` of a part that ended before it was complete."""
    return {KEY: {"status": status}}


def is_abandoned(part: Object) -> bool:
    """Whether a part that a client sends back has this mark."""
    return (
        any_object(any_object(part.get("providerMetadata")).get(KEY)).get("status")
        == STATUS_ABANDONED
    )
