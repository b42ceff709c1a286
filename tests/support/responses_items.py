"""Input items of Responses requests, and their canonical items."""

from __future__ import annotations

from typing import Any

from tailrace.events.items import (
    AudioPart,
    FilePart,
    ImagePart,
    Item,
    Message,
    ProviderItem,
    Reasoning,
    RefusalPart,
    TextPart,
    ToolCall,
    ToolOutput,
)

INPUT: list[dict[str, Any]] = [
    {"role": "user", "content": "Hi"},
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be."}]},
    {
        "role": "user",
        "content": [
            {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
            {"type": "input_file", "file_data": "data:text/plain;base64,AA", "filename": "a"},
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        ],
    },
    {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "phase": "commentary",
        "content": [
            {"type": "output_text", "text": "Yes", "annotations": [{"type": "x"}], "logprobs": []},
            {"type": "refusal", "refusal": "No"},
        ],
    },
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "S"}],
        "content": [{"type": "reasoning_text", "text": "R"}],
        "encrypted_content": "gA",
    },
    {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}", "id": "fc_1"},
    {"type": "function_call_output", "call_id": "c1", "output": "found"},
    {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "x"},
    {
        "type": "custom_tool_call_output",
        "call_id": "c2",
        "output": [{"type": "input_text", "text": "ok"}],
    },
    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
]


def came(**more: Any) -> dict[str, Any]:
    """The content of an item of this dialect beyond its canonical form."""
    return {"responses": more}


DECODED: tuple[Item, ...] = (
    Message(role="user", content=(TextPart("Hi"),), details=came(**{"$form": "string"})),
    Message(role="developer", content=(TextPart("Be."),), details=came()),
    Message(
        role="user",
        content=(
            ImagePart("data:image/png;base64,AA", detail="low"),
            FilePart(data="data:text/plain;base64,AA", filename="a"),
            AudioPart("AA", "wav"),
        ),
        details=came(),
    ),
    Message(
        role="assistant",
        phase="commentary",
        content=(TextPart("Yes", ({"type": "x"},)), RefusalPart("No")),
        details=came(id="msg_1", status="completed", **{"$parts": {"0": {"logprobs": []}}}),
    ),
    Reasoning(summary=("S",), text=("R",), details=came(id="rs_1", encrypted_content="gA")),
    ToolCall(call_id="c1", name="find", arguments="{}", details=came(id="fc_1")),
    ToolOutput(call_id="c1", output=(TextPart("found"),), details=came()),
    ToolCall(call_id="c2", name="patch", arguments="x", custom=True, details=came()),
    ToolOutput(
        call_id="c2",
        output=(TextPart("ok"),),
        details=came(type="custom_tool_call_output", **{"$form": "list"}),
    ),
    ProviderItem(dialect="responses", data=INPUT[-1]),
)
