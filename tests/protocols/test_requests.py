"""Requests to model servers: what each dialect gets of a history and of another dialect's parameters."""

from __future__ import annotations

import msgspec

from tailrace.events import items as i
from tailrace.events.request import ModelRequest
from tailrace.protocols.anthropic_messages import messages as anthropic
from tailrace.protocols.openai_chat import request as chat
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_responses.upstream import ResponsesCodec

HISTORY: tuple[i.Item, ...] = (
    i.Message(role="developer", content=(i.TextPart("Be kind."),)),
    i.Message(
        role="user",
        content=(
            i.TextPart("What is this?"),
            i.ImagePart(url="data:image/png;base64,AAAA", detail="low"),
            i.FilePart(data="data:application/pdf;base64,AAAA", filename="a.pdf"),
        ),
    ),
    i.Message(role="assistant", content=(i.TextPart("Let me see."),)),
    i.ToolCall(call_id="c1", name="look", arguments='{"a":1}'),
    i.ToolCall(call_id="c2", name="look", arguments="{}"),
    i.ToolOutput(call_id="c1", output=(i.TextPart("one"),)),
    i.ToolOutput(call_id="c2", output=(i.TextPart("two"),)),
    i.Message(role="assistant", content=(i.TextPart("Done."),)),
    i.Message(role="user", content=(i.TextPart("Thanks."),)),
)


def test_anthropic_gets_one_message_a_turn() -> None:
    body = anthropic.encode(ModelRequest(items=HISTORY, instructions="You help."), "m")
    assert body["system"] == "You help.\n\nBe kind."
    assert [turn["role"] for turn in body["messages"]] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert [block["type"] for block in body["messages"][0]["content"]] == [
        "text",
        "image",
        "document",
    ]
    assert [block["type"] for block in body["messages"][1]["content"]] == [
        "text",
        "tool_use",
        "tool_use",
    ]
    assert body["messages"][1]["content"][1]["input"] == {"a": 1}
    assert body["max_tokens"] == anthropic.DEFAULT_MAX_TOKENS


def test_what_one_provider_wrote_goes_back_to_it_alone() -> None:
    thought = i.Reasoning(
        text=("hm",),
        details={
            "chat": {"reasoning_details": [{"id": 1}]},
            "responses": {"encrypted_content": "gAAA"},
            "messages": {"signature": "sig"},
        },
    )
    asked = ModelRequest(items=(*HISTORY[:2], thought, HISTORY[2]))
    chat_body = ChatCodec().request(asked, "m").body
    responses_body = ResponsesCodec().request(asked, "m").body
    anthropic_body = msgspec.json.encode(anthropic.encode(asked, "m"))
    for body, own, others in (
        (chat_body, b"reasoning_details", (b"gAAA", b"sig")),
        (responses_body, b"gAAA", (b"reasoning_details", b'"sig"')),
        (anthropic_body, b'"sig"', (b"reasoning_details", b"gAAA")),
    ):
        assert own in body
        assert not any(other in body for other in others)


def test_all_parameters_reach_a_server_of_the_same_dialect() -> None:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "temperature": 0,
        "top_p": 0.5,
        "seed": 7,
        "max_completion_tokens": 9,
        "stop": ["a", "b"],
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logprobs": True,
        "top_logprobs": 2,
        "reasoning_effort": "low",
        "verbosity": "low",
        "user": "u",
        "parallel_tool_calls": False,
        "service_tier": "flex",
        "logit_bias": {"1": 2},
        "some_vendor_flag": True,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": "d",
                    "parameters": {"type": "object"},
                    "strict": True,
                },
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
        },
    }
    settings = chat.decode(msgspec.json.encode(body)).request.settings
    asked = ModelRequest(
        items=(i.Message(role="user", content=(i.TextPart("x"),)),), settings=settings
    )
    sent = msgspec.json.decode(ChatCodec().request(asked, "m").body)
    assert sent == {**body, "stream": True, "stream_options": {"include_usage": True}}
    other = msgspec.json.decode(ResponsesCodec().request(asked, "m").body)
    assert "some_vendor_flag" not in other
    assert other["tool_choice"] == {"type": "function", "name": "f"}
    assert other["text"]["format"]["name"] == "n"
