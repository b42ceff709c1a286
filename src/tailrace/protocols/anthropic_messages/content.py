"""A client's messages as canonical items (anthropic 2.11's `MessageParam`): the mirror of `messages.py`.

A message's blocks become items in their order. Calls of our own tools, which this surface shows as
`mcp_tool_use` and `mcp_tool_result`, are calls and outputs again; blocks that only the provider's servers
understand are kept as they came. `details["messages"]` keeps what goes back to such a server only:
signatures, and the mark up to where a prompt is cached.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tailrace.errors import BadRequest
from tailrace.events.items import (
    FilePart,
    ImagePart,
    Item,
    Json,
    Message,
    Part,
    ProviderItem,
    Reasoning,
    Role,
    TextPart,
    ToolCall,
    ToolOutput,
)
from tailrace.protocols.anthropic_messages.messages import DIALECT
from tailrace.protocols.fields import Object, as_list, as_object, nested, optional, text

CACHE = "cache_control"
ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
CALLS = ("tool_use", "mcp_tool_use")
RESULTS = ("tool_result", "mcp_tool_result")


def decode_messages(value: Json) -> tuple[Item, ...]:
    """The whole `messages` list. Raises `BadRequest` with the place as `param`."""
    messages = as_list(value, "messages")
    if not messages:
        raise BadRequest("messages: at least one message is required", param="messages")
    return tuple(
        item
        for n, message in enumerate(messages)
        for item in _message(as_object(message, f"messages.{n}"), f"messages.{n}")
    )


def decode_system(value: Json) -> str:
    """`system`: a string, or text blocks."""
    if value is None or isinstance(value, str):
        return value or ""
    blocks = [as_object(block, f"system.{n}") for n, block in enumerate(as_list(value, "system"))]
    for n, block in enumerate(blocks):
        if block.get("type") != "text":
            raise _unknown(block, f"system.{n}")
    return "\n\n".join(text(block, "text", f"system.{n}") for n, block in enumerate(blocks))


def _message(message: Object, where: str) -> Iterator[Item]:
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise BadRequest(
            f"{where}.role: must be 'user' or 'assistant', not {role!r}", param=f"{where}.role"
        )
    parts: list[Part] = []
    kept: Object = {}
    for block, place in _blocks(message.get("content"), f"{where}.content"):
        part = _part(block, place)
        if part is not None:
            parts.append(part)
            kept = _cached(block)
            continue
        if parts:
            yield Message(role=ROLES[role], content=tuple(parts), details=kept)
            parts, kept = [], {}
        yield _item(block, place)
    if parts:
        yield Message(role=ROLES[role], content=tuple(parts), details=kept)


def _blocks(content: Json, where: str) -> Iterator[tuple[Object, str]]:
    if isinstance(content, str):
        yield {"type": "text", "text": content}, where
        return
    if not isinstance(content, list):
        raise BadRequest(f"{where}: must be a string or a list of blocks", param=where)
    for n, block in enumerate(as_list(content, where)):
        yield as_object(block, f"{where}.{n}"), f"{where}.{n}"


def _part(block: Object, where: str) -> Part | None:
    """A block that is content of a message; None for one that is an item of its own."""
    match block.get("type"):
        case "text":
            return TextPart(text(block, "text", where))
        case "image":
            url, file_id = _source(block, where)
            return ImagePart(url=url, file_id=file_id)
        case "document":
            return _document(block, where)
        case _:
            return None


def _document(block: Object, where: str) -> Part:
    title = optional(block, "title", str, default="", where=where)
    source = nested(block, "source")
    if source.get("type") in ("text", "content"):
        words = source.get("data") or source.get("content")
        parts = [p for b, place in _blocks(words, f"{where}.source") if (p := _part(b, place))]
        return TextPart("\n".join(part.text for part in parts if isinstance(part, TextPart)))
    url, file_id = _source(block, where)
    inline = url.startswith("data:")
    return FilePart(
        file_id=file_id,
        data=url if inline else "",
        url="" if inline else url,
        filename=title,
    )


def _source(block: Object, where: str) -> tuple[str, str]:
    """(URL, file id) of a block's source: inline data as a data URL."""
    source, place = as_object(block.get("source"), f"{where}.source"), f"{where}.source"
    match source.get("type"):
        case "base64":
            kind = text(source, "media_type", place)
            return f"data:{kind};base64,{text(source, 'data', place)}", ""
        case "url":
            return text(source, "url", place), ""
        case "file":
            return "", text(source, "file_id", place)
        case _:
            raise _unknown(source, place)


def _item(block: Object, where: str) -> Item:
    kind = block.get("type")
    if not isinstance(kind, str):
        raise _unknown(block, where)
    if kind in CALLS:
        return ToolCall(
            call_id=text(block, "id", where),
            name=text(block, "name", where),
            arguments=msgspec.json.encode(as_object(block.get("input"), f"{where}.input")).decode(),
        )
    if kind in RESULTS:
        return _result(block, where)
    if kind == "thinking":
        words = text(block, "thinking", where)
        signature = optional(block, "signature", str, default="", where=where)
        kept: Object = {DIALECT: {"signature": signature}} if signature else {}
        return Reasoning(text=(words,) if words else (), details=kept)
    if kind == "redacted_thinking":
        return Reasoning(details={DIALECT: {"data": text(block, "data", where)}})
    if kind.endswith(("_tool_use", "_tool_result")) or kind in ("container_upload", "compaction"):
        return ProviderItem(dialect=DIALECT, data=block)
    raise _unknown(block, where)


def _result(block: Object, where: str) -> ToolOutput:
    content = block.get("content")
    parts = () if content is None else tuple(_output(content, f"{where}.content"))
    return ToolOutput(
        call_id=text(block, "tool_use_id", where),
        output=parts,
        is_error=optional(block, "is_error", bool, default=False, where=where),
        details=_cached(block),
    )


def _output(content: Json, where: str) -> Iterator[Part]:
    for block, place in _blocks(content, where):
        part = _part(block, place)
        if part is None:
            raise _unknown(block, place)
        yield part


def _cached(block: Object) -> Object:
    mark = block.get(CACHE)
    return {} if mark is None else {DIALECT: {CACHE: mark}}


def _unknown(block: Object, where: str) -> BadRequest:
    return BadRequest(f"{where}.type: {block.get('type')!r} is not known", param=f"{where}.type")
