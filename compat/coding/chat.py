"""The stand-in's Chat Completions: what a strict chat server refuses, what it reads, how it streams."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compat.coding.plan import Reply, Turn, arguments, fits

Body = Mapping[str, Any]
THOUGHT = "reasoning_content"


def refusal(body: Body) -> str:
    """What a strict server would not take, "" for nothing: DeepSeek's rules and the strictest templates'."""
    waiting: list[str] = []
    for n, message in enumerate(body["messages"]):
        if fault := _refused(n, message, waiting):
            return f"messages[{n}]: {fault}"
        waiting = _waiting(message, waiting)
    if waiting:
        return f"{waiting} have no result"
    odd = [
        tool
        for tool in body.get("tools", ())
        if tool["type"] != "function" or not fits(tool["function"]["name"])
    ]
    return f"tools: {str(odd)[:200]}" if odd else ""


def _refused(n: int, message: Body, waiting: Sequence[str]) -> str:
    """What is wrong with a message, when these calls have no result yet."""
    match message["role"]:
        case "tool":
            call = message["tool_call_id"]
            return "" if call in waiting else f"nothing called {call}"
        case _ if waiting:
            return f"{waiting} have no result"
        case "system":
            return "a system message that is not the first" if n else ""
        case "assistant":
            calls = [call["function"]["arguments"] for call in message.get("tool_calls", ())]
            if calls and not message.get(THOUGHT):
                return f"{THOUGHT} of a call did not come back"
            odd = [said for said in calls if not isinstance(json.loads(said), dict)]
            return f"arguments that are no object: {odd}" if odd else ""
        case "user":
            return ""
        case role:
            return f"role {role}"


def _waiting(message: Body, waiting: list[str]) -> list[str]:
    """The calls without a result after a message."""
    if message["role"] == "tool":
        return [call for call in waiting if call != message["tool_call_id"]]
    return [call["id"] for call in message.get("tool_calls", ())]


def turn(body: Body) -> Turn:
    """The conversation."""
    messages: Sequence[Body] = body["messages"]
    return Turn(
        tools=tuple(("", tool["function"]["name"]) for tool in body.get("tools", ())),
        called=tuple(
            call["function"]["name"] for m in messages for call in m.get("tool_calls", ())
        ),
        outputs=tuple(_text(m["content"]) for m in messages if m["role"] == "tool"),
        asked="\n".join(_text(m["content"]) for m in messages if m["role"] == "user"),
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)


def stream(reply: Reply, ids: Iterator[int]) -> Iterator[str]:
    """Server-sent events as DeepSeek sends them."""
    name = f"chatcmpl-{next(ids)}"

    def chunk(delta: Body, reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return _data(
            {
                "id": name,
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": [choice],
            }
        )

    yield chunk({"role": "assistant", "content": None, THOUGHT: ""})
    for word in _words(reply.thought or "So."):
        yield chunk({THOUGHT: word})
    for word in _words(reply.text):
        yield chunk({"content": word})
    for index, call in enumerate(reply.calls):
        head = {"name": call.name, "arguments": ""}
        start = {"index": index, "id": f"call_{next(ids)}", "type": "function", "function": head}
        yield chunk({"tool_calls": [start]})
        for piece in _words(json.dumps(arguments(call))):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, "tool_calls" if reply.calls else "stop")
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    yield _data(
        {
            "id": name,
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [],
            "usage": usage,
        }
    )
    yield "data: [DONE]\n\n"


def _data(value: Body) -> str:
    return f"data: {json.dumps(value)}\n\n"


def _words(text: str) -> list[str]:
    return [text[n : n + 8] for n in range(0, len(text), 8)]
