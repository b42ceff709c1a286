"""Calls and their results as content blocks, each with the deltas that follow its start. Pure."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tailrace.events import types as t
from tailrace.events.items import ToolCall
from tailrace.events.pauses import ASK_USER
from tailrace.protocols.anthropic_messages import wire
from tailrace.protocols.anthropic_messages.wire import DIALECT
from tailrace.protocols.fields import Object, object_in
from tailrace.protocols.questions import OpenQuestion

Block: TypeAlias = tuple[Object, list[Object]]
"""A block, and its deltas."""


def client_call(call: ToolCall, *, whole: bool) -> Block:
    """A call of a tool of the client, with the other fields of its Messages server. One that a limit cut off
    (not `whole`) has its arguments unchanged."""
    own: Object = dict(call.details.get(DIALECT, {}).get("block", {}))
    text = _arguments(call) if whole else call.arguments
    return {**_call("tool_use", call.call_id, call.name), **own}, _input(text)


def server_call(start: t.ItemStarted, call: ToolCall) -> Block:
    """A call that runs on our side."""
    block = _call("mcp_tool_use", call.call_id, call.name)
    return {**block, "server_name": start.server_label or wire.SERVER}, _input(_arguments(call))


def question_call(question: OpenQuestion) -> Block:
    """An open question as a call of a tool of the client."""
    return _call("tool_use", question.call_id, ASK_USER), _input(question.arguments_json)


def server_result(start: t.ItemStarted, end: t.ToolCompleted) -> Object:
    """The result of a call that ran on our side."""
    return {
        "type": "mcp_tool_result",
        "tool_use_id": start.call_id,
        "is_error": end.is_error,
        "content": [{"type": "text", "text": end.output}],
    }


def _call(kind: str, id: str, name: str) -> Object:
    return {"type": kind, "id": id, "name": name, "input": {}}


def _input(text: str) -> list[Object]:
    return [{"type": "input_json_delta", "partial_json": text}] if text else []


def _arguments(call: ToolCall) -> str:
    """A call's arguments as a JSON object in text, also if the model wrote something else."""
    if object_in(call.arguments) is not None:
        return call.arguments or "{}"
    return msgspec.json.encode({"arguments": call.arguments}).decode()
