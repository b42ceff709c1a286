"""The content of a UI message before the run that continues it, as chunks.

Outputs of the client's tools start a run of their own, in the same message. A client that resumes builds the
message again from the replay (AI SDK 6 and 7), so a replay of such a run begins with the content that the
client itself sent. Content for a screen only (data parts, citations, messages of subagents) is not in a run's
log and is not repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from tailrace.events.items import (
    Item,
    Json,
    Message,
    ProviderItem,
    Reasoning,
    ToolCall,
    ToolOutput,
    text_of,
)
from tailrace.events.request import RunRequest
from tailrace.protocols.ai_sdk_ui import wire
from tailrace.protocols.fields import Object


def chunks(request: RunRequest) -> list[Object]:
    """The chunks of one step; none if the run began a message of its own."""
    if not request.client_names:
        return []
    items = (*request.history, *request.input)
    users = [n for n, item in enumerate(items) if isinstance(item, Message) and item.role == "user"]
    last_turn = items[users[-1] + 1 if users else 0 :]
    theirs = {item.call_id for item in request.input if isinstance(item, ToolOutput)}
    step = [chunk for n, item in enumerate(last_turn) for chunk in _item(item, f"past_{n}", theirs)]
    return [{"type": "start-step"}, *step, {"type": "finish-step"}] if step else []


def _item(item: Item, id: str, theirs: set[str]) -> Iterator[Object]:
    match item:
        case Message():
            yield from _text("text", id, text_of(item.content))
        case Reasoning():
            yield from _text("reasoning", id, "\n\n".join((*item.summary, *item.text)))
        case ToolCall():
            names: Object = {"toolCallId": item.call_id, "toolName": item.name}
            value = wire.arguments(item.arguments, custom=item.custom)
            chunk = {"type": "tool-input-available", **names, "input": value}
            yield {**chunk, **_flags(item.call_id, theirs)}
        case ToolOutput():
            text = text_of(item.output)
            result: Object = {"errorText": text} if item.is_error else {"output": _output(text)}
            kind = "tool-output-error" if item.is_error else "tool-output-available"
            yield {
                "type": kind,
                "toolCallId": item.call_id,
                **result,
                **_flags(item.call_id, theirs),
            }
        case ProviderItem():
            pass  # no part of a UI message becomes such an item
        case _:
            assert_never(item)


def _text(kind: str, id: str, text: str) -> Iterator[Object]:
    if text:
        yield {"type": f"{kind}-start", "id": id}
        yield {"type": f"{kind}-delta", "id": id, "delta": text}
        yield {"type": f"{kind}-end", "id": id}


def _flags(call_id: str, theirs: set[str]) -> Object:
    return {} if call_id in theirs else wire.OURS


def _output(text: str) -> Json:
    """An output that the client sent as an object is an object again."""
    return wire.arguments(text, custom=False) if text[:1] in ("{", "[") else text
