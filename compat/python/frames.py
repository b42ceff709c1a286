"""What the frames of four surfaces tell, read by hand, as a client without a library does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Frame = dict[str, Any]


class Told:
    """What one reply has told, surface by surface the same."""

    def __init__(self) -> None:
        self.text = ""
        self.thoughts = ""
        self.refusal = ""
        self.error = ""
        self.end = ""
        self.calls: list[Frame] = []
        self.kinds: list[str] = []


def chat(frame: Frame, told: Told) -> None:
    if "error" in frame:
        told.error = frame["error"]["message"]
    for choice in frame.get("choices", ()):
        delta = choice["delta"]
        told.text += delta.get("content") or ""
        told.thoughts += delta.get("reasoning_content") or ""
        told.refusal += delta.get("refusal") or ""
        told.end = choice["finish_reason"] or told.end
        for call in delta.get("tool_calls") or ():
            if "id" in call:
                told.calls.append({"id": call["id"], "arguments": ""})
            told.calls[call["index"]]["arguments"] += call["function"]["arguments"]


def responses(frame: Frame, told: Told) -> None:
    kind = frame["type"].removeprefix("response.")
    told.kinds.append(kind)
    if kind == "output_text.delta":
        told.text += frame["delta"]
    elif kind == "reasoning_summary_text.delta":
        told.thoughts += frame["delta"]
    elif kind == "refusal.delta":
        told.refusal += frame["delta"]
    elif kind == "function_call_arguments.done":
        told.calls.append({"arguments": frame["arguments"]})
    elif kind == "error":
        told.error = frame["message"]
    elif kind in ("completed", "incomplete", "failed"):
        reason = (frame["response"]["incomplete_details"] or {}).get("reason", "stop")
        told.end = {"max_output_tokens": "length"}.get(reason, reason)


def messages(frame: Frame, told: Told) -> None:
    kind = frame["type"]
    delta = frame.get("delta") or {}
    if kind == "content_block_start":
        told.kinds.append(frame["content_block"]["type"])
    elif kind == "content_block_delta":
        told.text += delta.get("text", "")
        told.thoughts += delta.get("thinking", "")
        if told.kinds[-1] == "tool_use" and "partial_json" in delta:
            told.calls.append({"arguments": delta["partial_json"]})
    elif kind == "message_delta":
        told.end = {"end_turn": "stop", "max_tokens": "length"}.get(delta["stop_reason"], "")
    elif kind == "error":
        told.error = frame["error"]["message"]


def native(frame: Frame, told: Told) -> None:
    if frame["node_type"] == "deep_agent" and frame["agent_id"] not in (None, "MAIN"):
        told.kinds.append(frame["agent_id"])
        return
    payload = frame["payload"]
    kind = payload["type"]
    told.kinds.append(kind)
    if kind == "text.delta":
        told.text += payload["text"]
    elif kind == "refusal.delta":
        told.refusal += payload["text"]
    elif kind == "reasoning_summary.delta":
        told.thoughts += payload["text"]
    elif kind == "arguments.delta":
        told.calls.append({"arguments": payload["text"]})
    elif kind == "run.failed":
        told.error = payload["message"]
    elif kind == "run.incomplete":
        told.end = "length" if payload["reason"] == "max_output_tokens" else payload["reason"]
    elif kind == "run.completed":
        told.end = "stop"


READ: dict[str, Callable[[Frame, Told], None]] = {
    "chat": chat,
    "responses": responses,
    "messages": messages,
    "native": native,
}
