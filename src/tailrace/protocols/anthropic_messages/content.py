"""A client's messages as canonical items (anthropic 2.11's `MessageParam`): the mirror of `messages.py`.

A message's blocks become items in their order. Calls of our own tools, which this surface shows as
`mcp_tool_use` and `mcp_tool_result`, are calls and outputs again; blocks that only the provider's servers
understand are kept as they came. `details["messages"]` keeps what goes back to such a server only:
signatures, the mark up to where a prompt is cached, and under `blocks`, by a part's place, what else its
block says (marks, citations, how a document is to be read).
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
from tailrace.protocols.anthropic_messages.messages import DIALECT, SYSTEM_BREAK
from tailrace.protocols.fields import (
    Object,
    any_object,
    as_list,
    as_object,
    given,
    nested,
    optional,
    text,
)

CACHE = "cache_control"
MODELLED: dict[str, tuple[str, ...]] = {
    "text": ("type", "text"),
    "image": ("type", "source"),
    "document": ("type", "source", "title"),
}
"""Fields of a block that its part holds; for documents of text and search results it holds none."""
ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
CALLS = ("tool_use", "mcp_tool_use")
RESULTS = ("tool_result", "mcp_tool_result")
WORDS = ("text", "content")
"""Sources of documents that are text."""
NON_EMPTY = (
    "all messages must have non-empty content except for the optional final assistant message"
)
"""The API's own words; clients look for them."""


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


def decode_system(value: Json) -> tuple[str, list[Object]]:
    """`system`: a string, or text blocks; the blocks as well where they say more than their text."""
    if value is None or isinstance(value, str):
        return value or "", []
    blocks = [as_object(block, f"system.{n}") for n, block in enumerate(as_list(value, "system"))]
    for n, block in enumerate(blocks):
        if block.get("type") != "text":
            raise _unknown(block, f"system.{n}")
    said = SYSTEM_BREAK.join(text(b, "text", f"system.{n}") for n, b in enumerate(blocks))
    return said, blocks if any(_more(block) for block in blocks) else []


def check_places(value: Json) -> None:
    """What version 2026-10-21 has no more: documents an assistant says, citations of a user's text."""
    for n, message in enumerate(as_list(value, "messages")):
        fields = as_object(message, f"messages.{n}")
        blocks = fields.get("content")
        for m, block in enumerate(as_list(blocks, "") if isinstance(blocks, list) else ()):
            place = f"messages.{n}.content.{m}"
            said = as_object(block, place)
            if fields.get("role") == "assistant" and said.get("type") == "document":
                raise BadRequest(f"{place}: documents are in user messages only", param=place)
            cites = said.get("type") == "text" and said.get("citations") is not None
            if fields.get("role") == "user" and cites:
                place += ".citations"
                raise BadRequest(f"{place}: not supported in user messages", param=place)


def _message(message: Object, where: str) -> Iterator[Item]:
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise BadRequest(
            f"{where}.role: must be 'user' or 'assistant', not {role!r}", param=f"{where}.role"
        )
    # An assistant's may be empty: replies without a word stand in many histories, and are left out.
    if role == "user" and message.get("content") in ("", []):
        raise BadRequest(f"{where}: {NON_EMPTY}", param=f"{where}.content")
    parts: list[Part] = []
    kept: Object = {}

    def said() -> Iterator[Item]:
        if parts:
            yield Message(role=ROLES[role], content=tuple(parts), details=_details({}, kept))
        parts.clear()
        kept.clear()

    for block, place in _blocks(message.get("content"), f"{where}.content"):
        part = _part(block, place)
        if part is None:
            yield from said()
            yield _item(block, place)
        else:
            _keep(kept, len(parts), block)
            parts.append(part)
    yield from said()


def _keep(kept: Object, place: int, block: Object) -> None:
    """Put by what a part does not hold of its block."""
    more = _more(block)
    if more:
        kept[str(place)] = more


def _more(block: Object) -> Object:
    kind = block["type"]
    whole = kind == "document" and any_object(block.get("source")).get("type") in WORDS
    modelled = () if whole else MODELLED.get(kind, ())
    return {name: value for name, value in block.items() if name not in modelled}


def _details(own: Object, kept: Object) -> Object:
    """What an item keeps for servers of this dialect: of itself, and of its parts."""
    found = own | ({"blocks": dict(kept)} if kept else {})
    return {DIALECT: found} if found else {}


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
        case "search_result":
            return TextPart(_words(block.get("content"), f"{where}.content"))
        case _:
            return None


def _document(block: Object, where: str) -> Part:
    title = optional(block, "title", str, default="", where=where)
    source = nested(block, "source")
    if source.get("type") in WORDS:
        return TextPart(_words(source.get("data") or source.get("content"), f"{where}.source"))
    url, file_id = _source(block, where)
    inline = url.startswith("data:")
    return FilePart(
        file_id=file_id,
        data=url if inline else "",
        url="" if inline else url,
        filename=title,
    )


def _words(content: Json, where: str) -> str:
    """The text of a document or a search result."""
    parts = [part for block, place in _blocks(content, where) if (part := _part(block, place))]
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))


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
            details=_details(_cached(block), {}),
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
    content, parts, kept = block.get("content"), list[Part](), dict[str, Json]()
    for said, place in () if content is None else _blocks(content, f"{where}.content"):
        part = _part(said, place)
        if part is None:
            raise _unknown(said, place)
        _keep(kept, len(parts), said)
        parts.append(part)
    return ToolOutput(
        call_id=text(block, "tool_use_id", where),
        output=tuple(parts),
        is_error=optional(block, "is_error", bool, default=False, where=where),
        details=_details(_cached(block), kept),
    )


def _cached(block: Object) -> Object:
    return given({CACHE: block.get(CACHE)})


def _unknown(block: Object, where: str) -> BadRequest:
    return BadRequest(f"{where}.type: {block.get('type')!r} is not known", param=f"{where}.type")
