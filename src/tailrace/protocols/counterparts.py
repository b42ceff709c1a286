"""Items of OpenAI's Responses that other dialects can express, translated to their general form.

A message between two agents of the client (`agent_message`, sent by Codex) becomes a user's message. Its
`encrypted_content` is a parameter that OpenAI's servers encrypt (`"encrypted": true`); if a server of
another dialect wrote it, it is plain text. A search for tools that the client runs (`tool_search` with
`execution: client`) becomes a function call and its result, which lists the tools that were found; those
tools are then offered as functions (`events/tools.py`).
"""

from __future__ import annotations

import msgspec

from tailrace.events.items import (
    Item,
    Json,
    Message,
    ProviderItem,
    TextPart,
    ToolCall,
    ToolOutput,
)
from tailrace.events.tools import SEARCH, declarations
from tailrace.protocols.fields import any_object, objects
from tailrace.protocols.offered import Names

DIALECT = "responses"
CALL = f"{SEARCH}_call"
OUTPUT = f"{SEARCH}_output"
_TEXTS = ("text", "encrypted_content")
_json = msgspec.json.Encoder().encode


def counterpart(item: ProviderItem, names: Names) -> Item | None:
    """The item in its general form, None if it has none; tools get their `names` at that server."""
    if item.dialect != DIALECT:
        return None
    data, call_id = item.data, item.data.get("call_id")
    match data.get("type"):
        case "agent_message":
            return Message(role="user", content=(TextPart(_text(data.get("content"))),))
        case kind if kind in (CALL, OUTPUT) and isinstance(call_id, str):
            if kind == CALL:
                arguments = _json(any_object(data.get("arguments"))).decode()
                return ToolCall(call_id=call_id, name=SEARCH, arguments=arguments)
            return ToolOutput(call_id=call_id, output=(TextPart(_function_names(item, names)),))
        case _:
            return None


def _text(content: Json) -> str:
    texts = (part.get(name) for part in objects(content) for name in _TEXTS)
    return "".join(text for text in texts if isinstance(text, str))


def _function_names(item: ProviderItem, names: Names) -> str:
    functions = [
        names.of(*tool.key) for tool in declarations((), (item,)) if tool.spec.kind != "provider"
    ]
    return f"Found, and now offered: {', '.join(functions)}" if functions else "Nothing was found."
