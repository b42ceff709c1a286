"""The classification of a model server's server-sent events, before a dialect reads them. Pure.

One table for all dialects. For an event with data:

| data | meaning |
|---|---|
| none, `null`, a number, a ping by name, type or text | nothing |
| `[DONE]` | the end |
| a JSON object | an event of the dialect, unless it reports an error |
| any other, in an event named `error` or under an `error:` field | an error with the server's text |
| any other | a failure: it cannot be read |

Lines that are not an event are kept: at the end they may be all of the reply (a document, a page).
"""

from __future__ import annotations

import re
from enum import Enum
from typing import cast

import msgspec

from tailrace.errors import ModelFailed, NoReply, Undecodable
from tailrace.events.items import Json
from tailrace.protocols.fields import Object, any_object
from tailrace.protocols.framing import json_bounds, loose_json
from tailrace.protocols.framing.sse import SseEvent
from tailrace.protocols.operators_faults import NO_REPLY
from tailrace.protocols.secrets import scrub
from tailrace.protocols.upstream_errors import MAX_MESSAGE, server_failure

EXCERPT = 200
PINGS = frozenset({"ping", "keepalive", "heartbeat"})
LONGEST_PING = 120
_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.DOTALL | re.IGNORECASE)


class Mark(Enum):
    """The kinds of events other than those of the dialect."""

    NOTHING = 0
    END = 1


def sort(event: SseEvent) -> SseEvent | Mark:
    """An event whose data is a JSON object, or its other kind. Raises `ModelFailed` for a reported failure
    and for data that cannot be read."""
    data = event.data
    if data[:1] != b"{":
        data = data.strip()
        if data[:1] != b"{":
            return _other(event.event, data)
        event = SseEvent(event.event, data)
    if excess := json_bounds.fault(data):
        raise Undecodable(f"The model server sent an event that {excess}.", status=502)
    if event.event and word(event.event) in PINGS:
        return Mark.NOTHING
    short = len(data) < LONGEST_PING and b'"type"' in data
    if short and word(str(value_object(data).get("type"))) in PINGS:
        return Mark.NOTHING
    return event


def _other(name: str, data: bytes) -> Mark:
    if name.lower() == "error":
        raise server_failure(text(data))
    if data.strip(b'"') == b"[DONE]":
        return Mark.END
    if not data or word(name) in PINGS or word(text(data)) in PINGS:
        return Mark.NOTHING
    value = loosely(data)
    if isinstance(value, list) and value:
        raise_reported(any_object(value[0]))
    if data in (b"null", b"[]", b'""') or isinstance(value, (int, float)):
        return Mark.NOTHING
    raise unreadable("it is not JSON", scrub(excerpt(data)))


def raise_reported(value: Object) -> None:
    """Raise the failure that an object reports: in a field `error`, or by its type."""
    error = value.get("error")
    if isinstance(error, dict) and any(any_object(error).values()):
        raise server_failure(words(error), value)
    if isinstance(error, str | list) and error:
        raise server_failure(words(error), value)
    if "error" in (value.get("object"), value.get("type"), value.get("status")) or error is True:
        raise server_failure(words(value), value)


def unreadable(why: str, excerpt: str = "") -> Undecodable:
    """The failure for data that is not an event of its dialect: a sentence of ours, with the beginning of
    the data."""
    ours = f"The model server sent an event that cannot be read: {why}"
    message = f"{ours}: {excerpt}." if excerpt else f"{ours}."
    return Undecodable(message, status=502, public=f"{ours}." if excerpt else "")


def words(value: Json) -> str:
    """The message of an error of any of the usual shapes, or `""`."""
    for _ in range(4):
        if isinstance(value, list):
            value = next(iter(cast("list[Json]", value)), None)
        elif isinstance(value, dict):
            fields = any_object(value)
            keys = ("error", "message", "detail", "msg", "errors", "error_msg", "code", "type")
            value = next((fields[name] for name in keys if fields.get(name)), None)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"error {value}"
    return value if isinstance(value, str) else ""


def message(body: bytes) -> str:
    """The text of an error's body: its message, or the body itself; bounded."""
    content = words(loosely(body)).strip() or text(body).strip()
    if content in ("{}", "[]", "null"):
        return ""
    return content[:MAX_MESSAGE] if not content.startswith("<") else plain(content)


def raise_only_words(value: Object) -> None:
    """Raise a failure if an object holds only a message: `{"detail": "Not Found"}`."""
    if any(
        isinstance(value.get(name), str) and value[name] for name in ("message", "detail", "msg")
    ):
        raise server_failure(words(value), value)


def no_stream(body: bytes) -> ModelFailed:
    """The failure for a page, a text or a document instead of the requested stream: a proxy in front of the
    server sent it (a login, a busy gateway), or the address is wrong."""
    content = text(body)
    page = content.lstrip().startswith("<")
    what = "a page" if page else "a document" if value_object(body) else "a text"
    ours = f"The model server answered with {what} instead of a stream"
    message = f"{ours}: {scrub(plain(content))}"
    return NoReply(message, status=502, code=NO_REPLY, retryable=True, public=f"{ours}.")


def plain(page: str) -> str:
    """A page in one line: its title, or its text."""
    title = _TITLE.search(page)
    return " ".join(_TAG.sub(" ", title[1] if title else page).split())[:EXCERPT]


def excerpt(data: bytes) -> str:
    """The beginning of a server's data, in one line."""
    return " ".join(text(data[:EXCERPT]).split())


def text(data: bytes) -> str:
    """Bytes as text, also if they are not UTF-8; a JSON string as its value."""
    value = loosely(data) if data[:1] == b'"' else None
    return value if isinstance(value, str) else data.decode("utf-8", "replace")


def word(name: str) -> str:
    """A word without punctuation and case, which differ between servers."""
    return re.sub(r"[^a-z]", "", name.lower()) if len(name) < LONGEST_PING else ""


def loosely(data: bytes) -> Json:
    """The value of nearly valid JSON; None if it cannot be read."""
    if json_bounds.fault(data):
        return None
    try:
        return loose_json.decode(data)
    except (ValueError, RecursionError):
        return None


def is_json(data: bytes) -> bool:
    """Whether data is strictly valid JSON."""
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def value_object(data: bytes) -> Object:
    """As `loosely`, for an object; empty for any other value."""
    return any_object(loosely(data))
