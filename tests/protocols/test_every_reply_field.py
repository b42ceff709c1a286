"""Every documented field of a reply, in one dialect in and out; the counterpart of `test_every_field.py`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import anthropic.types as anthropic
import msgspec
import pytest
from anthropic.types import beta
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessage,
)
from openai.types.responses import Response

from tailrace.events import types as t
from tailrace.events.history import conversation
from tailrace.events.request import ModelRequest
from tailrace.events.state import RunState, fold
from tailrace.protocols.anthropic_messages import reply as messages_reply
from tailrace.protocols.anthropic_messages import stream as messages_stream
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.contract import UpstreamCodec
from tailrace.protocols.openai_chat import reply as chat_reply
from tailrace.protocols.openai_chat import stream as chat_stream
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_responses import reply as responses_reply
from tailrace.protocols.openai_responses import stream as responses_stream
from tailrace.protocols.openai_responses.upstream import ResponsesCodec
from tailrace.runtimes import node_lifecycle
from tests.support.logs import RUN
from tests.support.logs import request as logged

Object = dict[str, Any]
CODECS: dict[str, UpstreamCodec] = {
    "chat": ChatCodec(),
    "responses": ResponsesCodec(),
    "messages": MessagesCodec(),
}


def log(dialect: str, frames: Sequence[Object]) -> list[t.Event]:
    """The log of a gateway's run over a reply."""
    state, events = RunState(), list[t.Event]()

    def add(drafts: Sequence[t.Draft]) -> None:
        events.extend(state.advance(draft, 0) for draft in drafts)

    add([t.Draft(t.RunStarted(logged()))])
    add(node_lifecycle.opening(state, "helper"))
    decoder = CODECS[dialect].decoder("m")
    said = node_lifecycle.ModelReply(state)
    add(
        said.convert(
            decoder.feed(b"".join(b"data: %b\n\n" % msgspec.json.encode(f) for f in frames))
        )
    )
    add(said.convert(decoder.close()))
    assert decoder.failure is None, decoder.failure
    add(node_lifecycle.ending(state))
    return events


OWN = "ours"
"""The mark of a field that belongs to the run: ids, times, names, or what the client requested."""
CHAT_REPLY: Object = {
    "id": OWN,
    "choices": OWN,
    "created": OWN,
    "model": OWN,
    "object": OWN,
    "metadata": OWN,  # for stored completions; a stream has none
    "obfuscation": OWN,
    "moderation": {"results": []},
    "service_tier": "flex",
    "system_fingerprint": "fp",
    "usage": OWN,
}
CHAT_MESSAGE: Object = {
    "role": OWN,
    "content": "See",
    "function_call": OWN,  # replaced by `tool_calls` long ago; no request asks for it
    "refusal": "No",
    "annotations": [
        {
            "type": "url_citation",
            "url_citation": {"url": "http://a/", "title": "A", "start_index": 0, "end_index": 1},
        }
    ],
    "audio": {"id": "a", "data": "AA==", "transcript": "x", "expires_at": 1},
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}


def chat_document(more: Object, delta: Object) -> Object:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    first = {**chunk, **more, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    last = {**chunk, **more, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    events = log("chat", [first, last])
    body, status = chat_reply.completion(
        RUN, events, chat_stream.ChatStreamOptions(include_usage=True)
    )
    assert status == 200
    document: Object = json.loads(body)
    return document


def test_every_field_of_a_chat_reply_has_its_place() -> None:
    documented = {*ChatCompletion.model_fields, *ChatCompletionChunk.model_fields}
    assert documented == set(CHAT_REPLY)
    assert set(ChatCompletionMessage.model_fields) == set(CHAT_MESSAGE)


@pytest.mark.parametrize("name", [n for n, v in CHAT_REPLY.items() if v != OWN])
def test_a_chat_reply_shows_the_field(name: str) -> None:
    document = chat_document({name: CHAT_REPLY[name]}, {"content": "See"})
    assert document[name] == CHAT_REPLY[name]


@pytest.mark.parametrize("first", [True, False])
def test_unknown_fields_beside_the_choices_are_passed_on(first: bool) -> None:
    """Perplexity's sources and Azure's filters: in any of the chunks that begin or end a reply."""
    said = {"citations": ["http://a/"], "provider": "p", "prompt_filter_results": [{"n": 1}]}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    none: Object = {"choices": []}
    last: Object = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    text: Object = {"choices": [{"index": 0, "delta": {"content": "See"}}]}
    frames = [{**none, **(said if first else {})}, text, {**last, **({} if first else said)}]
    events = log("chat", [{**chunk, **frame} for frame in frames])
    body, _ = chat_reply.completion(RUN, events, chat_stream.ChatStreamOptions())
    document = json.loads(body)
    assert {name: document[name] for name in said} == said
    chunks = chat_stream.ChatEncoder(RUN, chat_stream.ChatStreamOptions()).encode(events)
    ended = json.loads(chunks[-2].removeprefix(b"data: "))
    assert {name: ended[name] for name in said} == said


@pytest.mark.parametrize("name", [n for n, v in CHAT_MESSAGE.items() if v != OWN])
def test_a_chat_message_shows_the_field(name: str) -> None:
    (choice,) = chat_document({}, {"content": "See", name: CHAT_MESSAGE[name]})["choices"]
    got = choice["message"][name]
    if name == "tool_calls":
        got = [{k: v for k, v in call.items() if k != "index"} for call in got]
    assert got == CHAT_MESSAGE[name]


def test_unknown_fields_of_a_message_are_shown_and_not_sent_back() -> None:
    """Groq sends its tools in pieces with an index; its server refuses them in a request."""
    first = {"index": 0, "type": "search", "arguments": "{", "found": [1]}
    then = {"index": 0, "type": "search", "arguments": "}", "found": [2], "output": "x"}
    pieces = [{"executed_tools": [first]}, {"executed_tools": [then, {"index": 1, "type": "y"}]}]
    deltas: list[Object] = [
        {"role": "assistant", "content": "S"},
        *pieces,
        {"content": "ee"},
        {},
    ]
    frames: list[Object] = [
        {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    frames[-1]["choices"][0]["finish_reason"] = "stop"
    events = log("chat", frames)
    body, _ = chat_reply.completion(RUN, events, chat_stream.ChatStreamOptions())
    (choice,) = json.loads(body)["choices"]
    whole = {**then, "arguments": "{}", "found": [1, 2]}
    assert choice["message"]["executed_tools"] == [whole, {"index": 1, "type": "y"}]
    assert choice["message"]["content"] == "See"
    asked = ModelRequest(items=conversation(fold(events), begin=()))
    (back,) = json.loads(ChatCodec().request(asked, "m").body)["messages"]
    assert back == {"role": "assistant", "content": "See"}


ASKED = "asked"
"""The mark of a field that repeats a value of the client's request."""
RESPONSE: Object = {
    "id": OWN,
    "created_at": OWN,
    "completed_at": OWN,
    "object": OWN,
    "output": OWN,
    "status": OWN,
    "error": OWN,
    "usage": OWN,
    "conversation": OWN,
    **dict.fromkeys(
        (
            *("background", "instructions", "max_output_tokens", "max_tool_calls", "metadata"),
            *("model", "parallel_tool_calls", "previous_response_id", "prompt_cache_key"),
            *("reasoning", "safety_identifier", "temperature", "text", "tool_choice", "tools"),
            *("top_logprobs", "top_p", "truncation", "user"),
        ),
        ASKED,
    ),
    "access_programs": ["p"],
    "image": {"quality": "low"},
    "incomplete_details": {"reason": "max_messages"},
    "input_transformations": [{"type": "x"}],
    "moderation": {"results": []},
    "prompt": {"id": "p"},
    "prompt_cache_diagnostics": {"hit": True},
    "prompt_cache_options": {"ttl": "1h"},
    "prompt_cache_retention": "24h",
    "service_tier": "flex",
    "tool_usage": {"web_search": 1},
}


def test_every_field_of_a_response_has_its_place() -> None:
    assert set(Response.model_fields) == set(RESPONSE)


@pytest.mark.parametrize("name", [n for n, v in RESPONSE.items() if v not in (OWN, ASKED)])
def test_a_response_shows_the_field(name: str) -> None:
    part = {"type": "output_text", "text": "See", "annotations": []}
    item = {"type": "message", "id": "m", "role": "assistant", "content": [part]}
    response = {"id": "r", "status": "completed", "output": [item], name: RESPONSE[name]}
    events = log("responses", [{"type": "response.completed", "response": response}])
    body = responses_reply.response(RUN, events, responses_stream.ResponsesStreamOptions())
    assert json.loads(body)[name] == RESPONSE[name]


TEXT: Object = {"type": "output_text", "text": "See", "annotations": [], "logprobs": []}
NOVEL: Object = {"type": "output_novel", "novel": {"a": [1, None]}}
PARTS: dict[str, list[Object]] = {
    "behind a text": [TEXT, NOVEL],
    "before a text": [NOVEL, TEXT],
    "between texts": [NOVEL, TEXT, NOVEL, {**TEXT, "text": "too", "beside": 1}, NOVEL],
    "beside a refusal": [{"type": "refusal", "refusal": "No"}, NOVEL],
    "alone": [NOVEL],
}


def _reply(item: Object, *, streamed: bool) -> list[Object]:
    """A reply that brings an item piece by piece, or in its final response alone."""
    place: Object = {"output_index": 0, "item_id": item["id"]}
    begun: list[Object] = [
        {"type": "response.output_item.added", "item": {**item, "content": []}, **place},
        *(
            {"type": f"response.content_part.{when}", "content_index": n, "part": part, **place}
            for n, part in enumerate(item["content"])
            for when in ("added", "done")
        ),
        {"type": "response.output_item.done", "item": item, **place},
    ]
    response = {"id": "r", "status": "completed", "output": [item]}
    ended = {"type": "response.completed", "response": response}
    return [*(begun if streamed else ()), ended]


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("kind", ["message", "reasoning"])
@pytest.mark.parametrize("name", PARTS)
def test_unknown_parts_are_shown_and_sent_back(name: str, kind: str, streamed: bool) -> None:
    thought = {"type": "reasoning_text", "text": "Hm"}
    parts = PARTS[name]
    if kind == "reasoning":
        parts = [part if part == NOVEL else thought for part in parts]
    item: Object = {"type": kind, "id": "up_1", "status": "completed", "content": parts}
    item |= (
        {"role": "assistant"} if kind == "message" else {"summary": [], "encrypted_content": "S"}
    )
    events = log("responses", _reply(item, streamed=streamed))
    options = responses_stream.ResponsesStreamOptions(("reasoning.encrypted_content",))
    document = json.loads(responses_reply.response(RUN, events, options))
    assert document["output"][0]["content"] == parts
    frames = responses_stream.ResponsesEncoder(RUN, options).encode(events)
    told = [json.loads(f.partition(b"data: ")[2]) for f in frames if b"output_item.done" in f[:40]]
    assert told[0]["item"]["content"] == parts
    asked = ModelRequest(items=conversation(fold(events), begin=()))
    (back,) = json.loads(CODECS["responses"].request(asked, "m").body)["input"]
    keeps = [
        {k: v for k, v in part.items() if v != []} for part in parts
    ]  # an empty list is absent
    assert back["content"] == keeps
    for other in ("chat", "messages"):  # their servers do not know such a part
        assert b"novel" not in CODECS[other].request(asked, "m").body


MESSAGE: Object = {
    "id": OWN,
    "type": OWN,
    "role": OWN,
    "model": OWN,
    "content": OWN,
    "usage": OWN,
    "container": {"id": "c", "expires_at": "2026-01-01T00:00:00Z"},
    "context_management": {"applied_edits": []},
    "diagnostics": {"a": 1},
    "input_transformations": [{"type": "x"}],
    "stop_details": {"type": "refusal", "category": "x"},
    "stop_reason": "pause_turn",
    "stop_sequence": "x",
}


def test_every_field_of_a_message_has_its_place() -> None:
    assert {*anthropic.Message.model_fields, *beta.BetaMessage.model_fields} == set(MESSAGE)


@pytest.mark.parametrize("where", ["message_start", "message_delta"])
@pytest.mark.parametrize("name", [n for n, v in MESSAGE.items() if v != OWN])
def test_a_message_shows_the_field(name: str, where: str) -> None:
    told = {name: MESSAGE[name]}
    delta = {"stop_reason": "end_turn", **(told if where == "message_delta" else {})}
    start = {"id": "m", "usage": {}, **(told if where == "message_start" else {})}
    if where == "message_start" and name in ("stop_reason", "stop_sequence"):
        delta = {}  # a message whose start has its end
    events = log(
        "messages",
        [
            {"type": "message_start", "message": start},
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "text", "text": "See"},
            },
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", **delta}, "usage": {}},
            {"type": "message_stop"},
        ],
    )
    body, status = messages_reply.message(RUN, events, messages_stream.MessagesStreamOptions())
    assert status == 200
    if where == "message_delta" or name not in ("stop_reason", "stop_sequence"):
        assert json.loads(body)[name] == MESSAGE[name]
