"""The stand-in's Responses: what OpenAI's API refuses, what it reads, how it streams."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

from compat.coding.plan import Reply, Turn, fits

Body = Mapping[str, Any]
BRINGS = ("additional_tools", "tool_search_output")
CALLS = ("function_call", "custom_tool_call", "tool_search_call")
OUTPUTS = ("function_call_output", "custom_tool_call_output", "tool_search_output")
HEARD = (*OUTPUTS, "additional_tools", "agent_message")
"""Items that are not the model's own; messages may be."""


def refusal(body: Body) -> str:
    """What the API would not take of who stores nothing, "" for nothing."""
    items = body["input"]
    for n, item in enumerate(items):
        if fault := _refused(item, items[:n]):
            return f"input[{n}]: {fault}"
    called, answered = (
        {item["call_id"] for item in items if item["type"] in kinds} for kinds in (CALLS, OUTPUTS)
    )
    if called != answered:
        return f"calls {called}, outputs {answered}"
    odd = [tool for _, tool in _tools(body) if not fits(tool["name"])]
    return f"tools: {str(odd)[:200]}" if odd else ""


def _refused(item: Body, before: Sequence[Body]) -> str:
    """What is wrong with an item behind others. A call needs the thought of its reply."""
    kind = item["type"]
    if kind == "reasoning":
        text = "".join(part["text"] for part in item["summary"])
        known = item.get("encrypted_content") == seal(text)
        return "" if known else "encrypted_content could not be verified"
    if kind in CALLS:
        reply = takewhile(lambda one: one["type"] not in HEARD, reversed(before))
        thought = any(one["type"] == "reasoning" for one in reply)
        return "" if thought else f"{kind} without its required reasoning item"
    return "" if kind in (*HEARD, "message") else f"type {kind}"


def _tools(body: Body) -> Iterator[tuple[str, Body]]:
    """What can be called, with its namespace: of the request, and of the conversation."""
    brought = [item for item in body["input"] if item["type"] in BRINGS]
    for tool in (*body.get("tools", ()), *(tool for item in brought for tool in item["tools"])):
        for one in tool.get("tools", [tool]):
            if one["type"] == "tool_search":
                yield "", {"name": "tool_search"}
            elif one["type"] in ("function", "custom"):
                yield (tool["name"] if "tools" in tool else ""), one


def seal(thought: str) -> str:
    """A thought that only this server can read."""
    return "gAAA" + "".join(f"{ord(letter):02x}" for letter in thought)


def turn(body: Body) -> Turn:
    """The conversation."""
    items = body["input"]
    return Turn(
        tools=tuple((namespace, tool["name"]) for namespace, tool in _tools(body)),
        called=tuple(item.get("name", "tool_search") for item in items if item["type"] in CALLS),
        outputs=tuple(_text(item.get("output", "")) for item in items if item["type"] in OUTPUTS),
        asked="\n".join(
            _text(item["content"])
            for item in items
            if item["type"] == "agent_message" or item.get("role") == "user"
        ),
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or part.get("encrypted_content", "") for part in content)


def stream(reply: Reply, ids: Iterator[int]) -> Iterator[str]:
    """Server-sent events as the API sends them."""
    name = f"resp_{next(ids)}"
    number = 0

    def event(kind: str, **fields: Any) -> str:
        nonlocal number
        number += 1
        value = {"type": kind, "sequence_number": number - 1, **fields}
        return f"event: {kind}\ndata: {json.dumps(value)}\n\n"

    def response(status: str, output: list[Body], usage: Body | None) -> Body:
        return {
            "id": name,
            "object": "response",
            "created_at": 1,
            "status": status,
            "model": "m",
            "output": output,
            "usage": usage,
        }

    yield event("response.created", response=response("in_progress", [], None))
    yield event("response.in_progress", response=response("in_progress", [], None))
    output: list[Body] = []
    thought = reply.thought or "So."
    item: dict[str, Any] = {"type": "reasoning", "id": f"rs_{next(ids)}", "summary": []}
    at = {"item_id": item["id"], "output_index": 0, "summary_index": 0}
    part = {"type": "summary_text", "text": thought}
    yield event("response.output_item.added", output_index=0, item=item)
    yield event("response.reasoning_summary_part.added", **at, part={**part, "text": ""})
    yield event("response.reasoning_summary_text.delta", **at, delta=thought)
    yield event("response.reasoning_summary_text.done", **at, text=thought)
    yield event("response.reasoning_summary_part.done", **at, part=part)
    item = {**item, "summary": [part], "encrypted_content": seal(thought)}
    yield event("response.output_item.done", output_index=0, item=item)
    output.append(item)
    if reply.text:
        n = len(output)
        item = {"type": "message", "id": f"msg_{next(ids)}", "role": "assistant", "content": []}
        at = {"item_id": item["id"], "output_index": n, "content_index": 0}
        shown: Body = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        yield event(
            "response.output_item.added", output_index=n, item={**item, "status": "in_progress"}
        )
        yield event("response.content_part.added", **at, part={**shown, "text": ""})
        yield event("response.output_text.delta", **at, delta=reply.text, logprobs=[])
        yield event("response.output_text.done", **at, text=reply.text, logprobs=[])
        yield event("response.content_part.done", **at, part=shown)
        item = {**item, "status": "completed", "content": [shown]}
        yield event("response.output_item.done", output_index=n, item=item)
        output.append(item)
    for call in reply.calls:
        n = len(output)
        if call.name == "tool_search":
            item = {
                "type": CALLS[2],
                "id": f"tsc_{next(ids)}",
                "call_id": f"call_{next(ids)}",
                "execution": "client",
                "status": "completed",
                "arguments": call.arguments,
            }
            yield event("response.output_item.added", output_index=n, item=item)
            yield event("response.output_item.done", output_index=n, item=item)
            output.append(item)
            continue
        custom = isinstance(call.arguments, str)
        text = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
        field = "input" if custom else "arguments"
        item = {
            "type": CALLS[custom],
            "id": f"fc_{next(ids)}",
            "call_id": f"call_{next(ids)}",
            "name": call.name,
            **({"namespace": call.namespace} if call.namespace else {}),
        }
        at = {"item_id": item["id"], "output_index": n}
        begun = {**item, "status": "in_progress", field: ""}
        events = f"response.{CALLS[custom]}_{field}"
        yield event("response.output_item.added", output_index=n, item=begun)
        yield event(f"{events}.delta", **at, delta=text)
        yield event(f"{events}.done", **at, **{field: text})
        item = {**item, "status": "completed", field: text}
        yield event("response.output_item.done", output_index=n, item=item)
        output.append(item)
    usage = {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 18,
    }
    yield event("response.completed", response=response("completed", output, usage))
