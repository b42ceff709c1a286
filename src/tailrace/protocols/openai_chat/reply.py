"""A run as one `chat.completion` document, and this surface's errors."""

from __future__ import annotations

import msgspec

from tailrace.events import ids
from tailrace.events.items import Item, Json, Message, Reasoning, RefusalPart, TextPart, ToolCall
from tailrace.events.state import RunState
from tailrace.events.types import RunCancelled, RunFailed
from tailrace.protocols.fields import Object, given
from tailrace.protocols.openai_chat import wire
from tailrace.protocols.openai_chat.stream import SEPARATOR, SHOWN_NODE

_json = msgspec.json.Encoder().encode


def completion(run: str, state: RunState) -> bytes:
    """The document of a run that ended well or incomplete."""
    request, end = state.started(), state.end
    if end is None or isinstance(end, RunFailed | RunCancelled):
        raise ValueError("only a run that gave an answer has a completion")
    content = _contents(state)
    message = _message(content, _client_calls(state), _words(state))
    logprobs = [p for item in content for p in _logprobs(item)]
    choice: Object = {
        "index": 0,
        "message": message,
        "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
        "finish_reason": wire.finish_reason(end, calls="tool_calls" in message),
    }
    return _json(
        {
            "id": ids.chat_id(run),
            "object": "chat.completion",
            "created": state.started_at // 1000,
            "model": request.model,
            "choices": [choice],
            "usage": wire.usage(state.total()),
            "service_tier": request.settings.service_tier or "default",
            "system_fingerprint": None,
        }
    )


def failure(state: RunState) -> bytes | None:
    """The error body of a run that gave no answer, else None."""
    if isinstance(state.end, RunFailed | RunCancelled):
        return _json(wire.failure(state.end))
    return None


def _contents(state: RunState) -> list[Item]:
    return [
        item.content
        for item in state.items
        if item.content is not None and state.node_types.get(item.node) == SHOWN_NODE
    ]


def _client_calls(state: RunState) -> list[ToolCall]:
    return [
        item.content
        for item in state.items
        if isinstance(item.content, ToolCall) and item.started.runs_on == "client"
    ]


def _words(state: RunState) -> str:
    """All text, reply by reply, as the stream joins it."""
    replies: dict[tuple[int, int], str] = {}
    for item in state.items:
        if isinstance(item.content, Message) and state.node_types.get(item.node) == SHOWN_NODE:
            said = "".join(p.text for p in item.content.content if isinstance(p, TextPart))
            key = (item.attempt, item.reply)
            replies[key] = replies.get(key, "") + said
    return SEPARATOR.join(text for text in replies.values() if text)


def _message(content: list[Item], calls: list[ToolCall], words: str) -> Object:
    parts = [item.content for item in content if isinstance(item, Message)]
    refusal = "".join(p.refusal for some in parts for p in some if isinstance(p, RefusalPart))
    annotations = [
        wire.annotation(note)
        for some in parts
        for p in some
        if isinstance(p, TextPart)
        for note in p.annotations
    ]
    thoughts = "".join(
        text
        for item in content
        if isinstance(item, Reasoning)
        for text in (*item.summary, *item.text)
    )
    message: Object = {
        "role": "assistant",
        "content": words if words or not (calls or refusal) else None,
        "refusal": refusal or None,
    }
    extra = given({"annotations": annotations, "reasoning_content": thoughts})
    if calls:
        extra["tool_calls"] = [_call(call) for call in calls]
    return {**message, **extra}


def _call(call: ToolCall) -> Object:
    kind, field = ("custom", "input") if call.custom else ("function", "arguments")
    return {
        "id": call.call_id,
        "type": kind,
        kind: {"name": call.name, field: call.arguments},
    }


def _logprobs(item: Item) -> list[Json]:
    if not isinstance(item, Message):
        return []
    return [p for part in item.content if isinstance(part, TextPart) for p in part.logprobs]
