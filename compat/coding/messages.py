"""The stand-in's Messages: what Anthropic's API refuses, what it reads, how it streams."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from compat.coding.plan import Reply, Turn, arguments, fits

Body = Mapping[str, Any]


def refusal(body: Body) -> str:
    """What the API would not take, "" for nothing."""
    spoken = [m for m in body["messages"] if m["role"] != "system"]
    waiting: set[str] = set()
    for n, message in enumerate(spoken):
        if n and message["role"] == spoken[n - 1]["role"]:
            return f"messages.{n}: two messages of {message['role']} in a row"
        blocks = _blocks(message["content"])
        if fault := _results(blocks, waiting) or next(filter(None, map(_refused, blocks)), ""):
            return f"messages.{n}: {fault}"
        waiting = {block["id"] for block in blocks if block["type"] == "tool_use"}
        if waiting and blocks[0]["type"] != "thinking":
            return f"messages.{n}: Expected `thinking` before `tool_use`"
    if waiting:
        return f"{waiting} have no result"
    odd = [tool for tool in body.get("tools", ()) if not fits(tool["name"])]
    return f"tools: {str(odd)[:200]}" if odd else ""


def _results(blocks: list[Body], waiting: set[str]) -> str:
    """What is wrong with the results that a message begins with."""
    results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    if sorted(results) != sorted(waiting):
        return f"results {results} of {waiting}"
    late = any(block["type"] == "tool_result" for block in blocks[len(results) :])
    return "a result after something else" if late else ""


def _refused(block: Body) -> str:
    match block["type"]:
        case "text" if not block["text"]:
            return "a text without a character"
        case "thinking" if block["signature"] != sign(block["thinking"]):
            return "Invalid `signature` in `thinking` block"
        case "tool_use" if not isinstance(block["input"], dict):
            return "an input that is no object"
        case _:
            return ""


def sign(thought: str) -> str:
    """The signature of a thought."""
    return "sig" + "".join(f"{ord(letter):02x}" for letter in thought)


def _blocks(content: Any) -> list[Body]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def turn(body: Body) -> Turn:
    """The conversation."""
    blocks = [(m["role"], block) for m in body["messages"] for block in _blocks(m["content"])]
    results = [block for _, block in blocks if block["type"] == "tool_result"]
    return Turn(
        tools=tuple(("", tool["name"]) for tool in body.get("tools", ())),
        called=tuple(block["name"] for _, block in blocks if block["type"] == "tool_use"),
        outputs=tuple(
            "\n".join(part.get("text", "") for part in _blocks(block.get("content", "")))
            for block in results
        ),
        asked="\n".join(
            block["text"] for role, block in blocks if role == "user" and block["type"] == "text"
        ),
    )


def stream(reply: Reply, ids: Iterator[int]) -> Iterator[str]:
    """Server-sent events as the API sends them."""
    message: Body = {
        "id": f"msg_{next(ids)}",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 1},
    }
    yield _event({"type": "message_start", "message": message})
    yield _event({"type": "ping"})
    thought = reply.thought or "So."
    blocks: list[tuple[Body, list[Body]]] = []
    thinking: list[Body] = [
        {"type": "thinking_delta", "thinking": thought},
        {"type": "signature_delta", "signature": sign(thought)},
    ]
    blocks += [({"type": "thinking", "thinking": "", "signature": ""}, thinking)]
    if reply.text:
        blocks += [({"type": "text", "text": ""}, [{"type": "text_delta", "text": reply.text}])]
    for call in reply.calls:
        start: Body = {
            "type": "tool_use",
            "id": f"toolu_{next(ids)}",
            "name": call.name,
            "input": {},
        }
        text = json.dumps(arguments(call))
        half = len(text) // 2
        deltas: list[Body] = [
            {"type": "input_json_delta", "partial_json": t} for t in ("", text[:half], text[half:])
        ]
        blocks += [(start, deltas)]
    for index, (block, pieces) in enumerate(blocks):
        yield _event({"type": "content_block_start", "index": index, "content_block": block})
        for delta in pieces:
            yield _event({"type": "content_block_delta", "index": index, "delta": delta})
        yield _event({"type": "content_block_stop", "index": index})
    end = {"stop_reason": "tool_use" if reply.calls else "end_turn", "stop_sequence": None}
    yield _event({"type": "message_delta", "delta": end, "usage": {"output_tokens": 7}})
    yield _event({"type": "message_stop"})


def _event(value: Body) -> str:
    return f"event: {value['type']}\ndata: {json.dumps(value)}\n\n"
