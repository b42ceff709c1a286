"""Fields of a chat server that only this dialect has reach a Chat client, streamed and as a document."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from tailrace.events import types as t
from tailrace.events.items import ImagePart, Message
from tailrace.protocols.openai_chat import reply, stream
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tests.support import strict
from tests.support.chat_replies import OSLO, STOP, Json, f, frames, tool
from tests.support.logs import RUN, log, text

ALL = stream.ChatStreamOptions(include_usage=True)


def shown(*chunks: Json) -> tuple[Json, Json, list[Json]]:
    """The document, the message that the SDK's helper accumulates, and the chunks, of a server's reply."""
    decoder = ChatCodec().decoder("m")
    events = log([*decoder.feed(frames(*chunks))], end=t.RunCompleted())
    document, status = reply.completion(RUN, events, stream.ChatStreamOptions())
    assert status == 200
    made = stream.ChatEncoder(RUN, ALL).encode(events)
    streamed = [msgspec.json.decode(data) for data in strict.data_of(made)]
    state: Any = ChatCompletionStreamState()
    for chunk in streamed:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return msgspec.json.decode(document), state.current_completion_snapshot, streamed


DETAILS = [{"type": "reasoning.text", "text": "Hm", "index": 0, "signature": "S"}]
SIGNED = {"google": {"thought_signature": "S"}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
FIELDS: dict[str, tuple[Json, str, Json]] = {
    "details of reasoning": (
        {"delta": {"reasoning": "Hm", "reasoning_details": DETAILS}},
        "reasoning_details",
        DETAILS,
    ),
    "that nothing was thought": (
        {"delta": {"reasoning_content": "", "content": "ok"}},
        "reasoning_content",
        "",
    ),
    "a message's signature": (
        {"delta": {"content": "ok", "extra_content": SIGNED}},
        "extra_content",
        SIGNED,
    ),
    "pictures": (
        {"delta": {"content": "ok", "images": [PICTURE, PICTURE]}},
        "images",
        [{"index": 0, **PICTURE}, {"index": 1, **PICTURE}],
    ),
    "sound": (
        {"delta": {"audio": {"id": "a", "data": "AA", "transcript": "ok", "expires_at": 7}}},
        "audio",
        {"id": "a", "data": "AA", "transcript": "ok", "expires_at": 7},
    ),
    "sound of a server that tells no more of it": (
        {"delta": {"audio": {"data": "AA"}}},
        "audio",
        {"id": "", "data": "AA", "transcript": "", "expires_at": 0},
    ),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_a_message_arrives(name: str) -> None:
    chunk, field, value = FIELDS[name]
    document, helped, _ = shown(chunk, STOP)
    assert document["choices"][0]["message"][field] == value
    if field in ("reasoning_details", "images"):
        assert getattr(helped.choices[0].message, field) == value


def test_a_calls_signature_arrives() -> None:
    document, helped, _ = shown(tool(f("w", OSLO, index=0, id="a", extra_content=SIGNED)), STOP)
    (call,) = document["choices"][0]["message"]["tool_calls"]
    function = {"name": "w", "arguments": OSLO}
    assert call == {"id": "a", "type": "function", "function": function, "extra_content": SIGNED}
    assert helped.choices[0].message.tool_calls[0].extra_content == SIGNED


def test_fields_of_the_reply_arrive() -> None:
    counts = {
        "prompt_tokens": 5,
        "completion_tokens": 3,
        "cost": 0.25,
        "prompt_tokens_details": {"audio_tokens": 2},
    }
    about = {"system_fingerprint": "fp_1", "service_tier": "flex", "choices": [], "usage": counts}
    document, _, streamed = shown({"delta": {"content": "ok"}}, STOP, about)
    for told in (document, streamed[-1]):
        assert (told["system_fingerprint"], told["service_tier"]) == ("fp_1", "flex")
        assert (told["usage"]["cost"], told["usage"]["prompt_tokens"]) == (0.25, 5)
        assert told["usage"]["prompt_tokens_details"]["audio_tokens"] == 2


def test_absent_counts_are_not_reported_as_zero() -> None:
    document, _, streamed = shown({"delta": {"content": "ok"}}, STOP)
    assert not document.get("usage")
    assert streamed[-1]["choices"]
    counted, _, _ = shown(
        {"delta": {"content": "ok"}}, STOP, {"choices": [], "usage": {"prompt_tokens": 5}}
    )
    assert counted["usage"]["prompt_tokens"] == 5


def test_a_picture_of_any_server_is_shown() -> None:
    picture = Message(role="assistant", content=(ImagePart("http://a/b.png"),))
    events = log(
        [
            t.ItemStarted(0, "image"),
            t.ItemCompleted(0, content=picture),
            *text(1, "ok"),
            t.Usage("m"),
        ],
        end=t.RunCompleted(),
    )
    document, _ = reply.completion(RUN, events, stream.ChatStreamOptions())
    message = msgspec.json.decode(document)["choices"][0]["message"]
    assert message["images"][0]["image_url"] == {"url": "http://a/b.png"}


TAGGED: list[Json] = [
    {"delta": {"role": "assistant", "content": "", "channel": "analysis"}},
    {"delta": {"reasoning": "Hm", "channel": "analysis", "novel": {"a": 1}}},
    {"delta": {"reasoning": "m", "channel": "analysis"}, "token_ids": [1]},
    {"delta": {"content": "o", "channel": "final"}, "content_filter_results": {"hate": 0}},
    {"delta": {"content": "k", "channel": "final"}, "content_filter_results": {"hate": 1}},
    {"delta": {}, "finish_reason": "stop", "stop_reason": 7, "matched_stop": "x"},
]


def _pieces(chunks: list[Json]) -> list[Json]:
    """The fields beside each piece of text, and the last chunk's choice."""
    own = ("index", "delta", "finish_reason", "logprobs")
    said: list[Json] = []
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        delta = choice["delta"]
        words = delta.get("reasoning_content") or delta.get("reasoning") or delta.get("content")
        beside = {k: v for k, v in choice.items() if k not in own}
        if words or choice.get("finish_reason"):
            names = ("role", "content", "reasoning", "reasoning_content", "refusal")
            said.append([words, {k: v for k, v in delta.items() if k not in names}, beside])
    return said


def test_fields_beside_a_piece_of_text_stay_beside_it() -> None:
    document, _, streamed = shown(*TAGGED)
    assert _pieces(streamed) == _pieces([{"choices": [chunk]} for chunk in TAGGED])
    (choice,) = document["choices"]
    message = choice["message"]
    assert (message["content"], message["reasoning_content"]) == ("ok", "Hmm")
    assert (message["channel"], message["novel"]) == ("final", {"a": 1})
    assert (choice["stop_reason"], choice["matched_stop"]) == (7, "x")
    assert (choice["content_filter_results"], choice["token_ids"]) == ({"hate": 1}, [1])


MESSAGES: dict[str, Json] = {
    "a text": {"content": "ok"},
    "parts": {"content": [{"type": "text", "text": "ok"}]},
    "a refusal": {"content": None, "refusal": "No"},
    "a call": {
        "content": None,
        "tool_calls": [{"id": "c", **{"function": {"name": "f", "arguments": "{}"}}}],
    },
    "a thought alone": {"content": "", "reasoning": "Hm"},
}


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("form", ["delta", "message"])
def test_unknown_fields_come_with_any_content_of_a_message(name: str, form: str) -> None:
    said = {"role": "assistant", **MESSAGES[name], "channel": "final", "novel": [{"a": 1}]}
    document, _, streamed = shown({form: said, "finish_reason": "stop", "stop_reason": 7})
    (choice,) = document["choices"]
    assert (choice["message"]["channel"], choice["message"]["novel"]) == ("final", [{"a": 1}])
    assert choice["stop_reason"] == 7
    told = [d for chunk in streamed for c in chunk["choices"] if "channel" in (d := c["delta"])]
    assert [(d["channel"], d["novel"]) for d in told] == [("final", [{"a": 1}])]
