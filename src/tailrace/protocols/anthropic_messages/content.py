"""A client's messages as canonical items (anthropic 2.11's `MessageParam`): the mirror of `messages.py`.

The blocks of a message become items in their order; blocks that only the provider's servers understand, and
types that do not exist yet, are kept unchanged. Calls of tools that ran on a server (`mcp_tool_use`,
`mcp_tool_result`) are calls and outputs for all other dialects. `details["messages"]` keeps data for
servers of this dialect only:

- of thinking: all fields of its block but the text (signatures);
- of calls and outputs, under `block`: the fields that items do not have, and `type` if it differs;
- of items in a message of an unusual role, under `role`: that role;
- of parts, under `blocks`, by their index: the other fields of their blocks (`parts.py`);
- of the first item of a message with fields besides role and content, under `turn`: those fields. System
  messages always have it, since they keep their position; the other items of such a message have null.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import replace

from tailrace.errors import BadRequest
from tailrace.events.items import (
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
from tailrace.protocols import sealed
from tailrace.protocols.anthropic_messages import parts
from tailrace.protocols.anthropic_messages.messages import SYSTEM_BREAK
from tailrace.protocols.anthropic_messages.parts import blocks, unknown
from tailrace.protocols.anthropic_messages.wire import DIALECT
from tailrace.protocols.fields import (
    Object,
    as_list,
    as_object,
    body_object,
    objects,
    optional,
    text,
)

ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
CALLS = ("tool_use", "mcp_tool_use")
RESULTS = ("tool_result", "mcp_tool_result")
OF_CALL = ("id", "name", "input")
OF_RESULT = ("tool_use_id",)
NON_EMPTY = (
    "all messages must have non-empty content except for the optional final assistant message"
)
"""The API's own wording; clients compare it."""


def decode_messages(value: Json) -> tuple[Item, ...]:
    """The whole `messages` list. Raises `BadRequest` with the position as `param`."""
    messages = as_list(value, "messages")
    if not messages:
        raise BadRequest("messages: at least one message is required", param="messages")
    items = sealed.unseal(
        item
        for n, message in enumerate(messages)
        for item in _message(as_object(message, f"messages.{n}"), f"messages.{n}")
    )
    return tuple(item for item in items if item != sealed.GAP)


def place(body: bytes, item: Item, part: Part | None) -> str:
    """The position in a request of the block of an item, or of a part of it; `""` if it has none."""
    for n, message in enumerate(objects(body_object(body).get("messages"))):
        for block, where in blocks(message.get("content") or [], f"messages.{n}.content"):
            if part is None and isinstance(item, ProviderItem) and block == item.data:
                return where
            inner = block.get("content") if block.get("type") in RESULTS else None
            for each, place in blocks(inner or [], f"{where}.content"):
                if parts.as_text(each, place) == part:
                    return place
            if part is not None and parts.decode(block, where) == part:
                return where
    return ""


def decode_system(value: Json) -> tuple[str, list[Object]]:
    """`system`: a string, or text blocks, which are kept because they may have other fields and are cached
    one by one."""
    if value is None or isinstance(value, str):
        return value or "", []
    system_blocks = [
        as_object(block, f"system.{n}") for n, block in enumerate(as_list(value, "system"))
    ]
    for n, block in enumerate(system_blocks):
        if block.get("type") != "text":
            raise unknown(block, f"system.{n}")
    words = SYSTEM_BREAK.join(text(b, "text", f"system.{n}") for n, b in enumerate(system_blocks))
    return words, system_blocks


def check_places(value: Json) -> None:
    """Content that version 2026-10-21 no longer allows: documents of an assistant, citations of a user's
    text."""
    for n, message in enumerate(as_list(value, "messages")):
        fields = as_object(message, f"messages.{n}")
        content = fields.get("content")
        for m, block in enumerate(as_list(content, "") if isinstance(content, list) else ()):
            place = f"messages.{n}.content.{m}"
            part = as_object(block, place)
            if fields.get("role") == "assistant" and part.get("type") == "document":
                raise BadRequest(f"{place}: documents are in user messages only", param=place)
            cites = part.get("type") == "text" and part.get("citations") is not None
            if fields.get("role") == "user" and cites:
                place += ".citations"
                raise BadRequest(f"{place}: not supported in user messages", param=place)


def _message(message: Object, where: str) -> Iterator[Item]:
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise BadRequest(
            f"{where}.role: must be 'user' or 'assistant', not {role!r}", param=f"{where}.role"
        )
    # An assistant message may be empty: many histories contain empty replies, and they are omitted.
    content = message.get("content", [] if role == "system" else None)
    if role == "user" and content in ("", []):
        raise BadRequest(f"{where}: {NON_EMPTY}", param=f"{where}.content")
    rest = {name: value for name, value in message.items() if name not in ("role", "content")}
    items = _items(content, ROLES[role], f"{where}.content")
    return _with_places(items, ROLES[role], rest) if rest or role == "system" else items


def _with_places(items: Iterable[Item], role: Role, rest: Object) -> Iterator[Item]:
    """The items of a message that keeps its position and has the fields `rest`; a message without content
    becomes an empty item."""
    turn: Object | None = rest
    for item in items:
        own: Object = item.details.get(DIALECT, {})
        yield replace(item, details={**item.details, DIALECT: {**own, "turn": turn}})
        turn = None
    if turn is not None:
        yield Message(role=role, details={DIALECT: {"turn": turn}})


def _items(content: Json, role: Role, where: str) -> Iterator[Item]:
    contents: list[Part] = []
    details: Object = {}

    def message() -> Iterator[Item]:
        if contents:
            yield Message(role=role, content=tuple(contents), details=_details({}, details))
        contents.clear()
        details.clear()

    for block, place in blocks(content, where):
        part = parts.decode(block, place)
        if part is None:
            yield from message()
            yield _of(role, _item(block, role, place))
        else:
            _keep(details, len(contents), parts.more(block, part))
            contents.append(part)
    yield from message()


def _of(role: Role, item: Item) -> Item:
    """An item, with the role of its message if that is not the usual one for such items."""
    usual = "user" if isinstance(item, ToolOutput) else "assistant"
    if role == usual or isinstance(item, ProviderItem):
        return item
    own: Object = item.details.get(DIALECT, {})
    return replace(item, details={**item.details, DIALECT: {**own, "role": role}})


def _keep(details: Object, place: int, more: Object) -> None:
    """Keep the fields of a block that its part does not have."""
    if more:
        details[str(place)] = more


def _details(own: Object, blocks: Object) -> Object:
    """The details of an item for servers of this dialect: fields of its block, and of its parts."""
    fields = own | ({"blocks": dict(blocks)} if blocks else {})
    return {DIALECT: fields} if fields else {}


def _item(block: Object, role: Role, where: str) -> Item:
    kind = block.get("type")
    if not isinstance(kind, str):
        raise unknown(block, where)
    if kind in CALLS:
        arguments = msgspec.json.encode(as_object(block.get("input"), f"{where}.input")).decode()
        return ToolCall(
            call_id=text(block, "id", where),
            name=text(block, "name", where),
            arguments=arguments,
            details=_details(_rest(block, OF_CALL, CALLS[0]), {}),
        )
    if kind in RESULTS:
        return _result(block, where)
    if kind == "thinking":
        return _thinking(block, where)
    if kind == "redacted_thinking":
        text(block, "data", where)
        return Reasoning(details={DIALECT: _without(block, ("type",))})
    return ProviderItem(dialect=DIALECT, data=block, role=role)


def _thinking(block: Object, where: str) -> Item:
    words = text(block, "thinking", where)
    signature = optional(block, "signature", str, default="", where=where)
    texts = (words,) if words else ()
    foreign = sealed.open_thought(signature, texts)
    if foreign is not None:
        return foreign
    own = _without(block, ("type", "thinking"))
    return Reasoning(text=texts, details={DIALECT: own or {"type": "thinking"}})


def _result(block: Object, where: str) -> ToolOutput:
    content, contents, details = block.get("content"), list[Part](), dict[str, Json]()
    for inner, place in () if content is None else blocks(content, f"{where}.content"):
        part = parts.as_text(inner, place)
        _keep(details, len(contents), parts.more(inner, part))
        if part != TextPart("") or details.get(str(len(contents))):
            contents.append(part)
    failed = optional(block, "is_error", bool, default=False, where=where)
    fields = (*OF_RESULT, *(["is_error"] if failed else ()), *(["content"] if content else ()))
    own = _rest(block, fields, RESULTS[0])
    return ToolOutput(
        call_id=text(block, "tool_use_id", where),
        output=tuple(contents),
        is_error=failed,
        details=_details(own, details),
    )


def _rest(block: Object, fields: tuple[str, ...], kind: str) -> Object:
    """The fields that an item does not have, and the type if it is not the usual one."""
    names = fields if block["type"] != kind else (*fields, "type")
    rest = {name: value for name, value in block.items() if name not in names}
    return {"block": rest} if rest else {}


def _without(block: Object, names: tuple[str, ...]) -> Object:
    """A block's other fields, without empty ones."""
    return {name: value for name, value in block.items() if name not in names and value is not None}
