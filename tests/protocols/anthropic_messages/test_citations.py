"""The citations of a reply: unchanged for an Anthropic client, and in its own form for each other client."""

from __future__ import annotations

from typing import Any

import msgspec

from tailrace.events import types as t
from tailrace.protocols.anthropic_messages import stream as messages
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.openai_chat import stream as chat
from tailrace.protocols.openai_responses import stream as responses
from tests.support import strict
from tests.support.logs import RUN, log

DOCUMENT = {
    "type": "char_location",
    "cited_text": "The grass is green.",
    "document_index": 1,
    "document_title": "Meadows",
    "file_id": None,
    "start_char_index": 0,
    "end_char_index": 19,
}
PAGE = {
    "type": "web_search_result_location",
    "url": "https://a.example/",
    "title": "A",
    "cited_text": "Grass",
    "encrypted_index": "Eo8B",
}
RESULT = {
    "type": "search_result_location",
    "cited_text": "Green",
    "title": "B",
    "source": "https://b.example/",
    "search_result_index": 0,
    "start_block_index": 0,
    "end_block_index": 1,
}
CITED: list[dict[str, Any]] = [DOCUMENT, PAGE, RESULT]


def _sse(*events: dict[str, Any]) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))
        for event in events
    )


def _quoted() -> list[t.Event]:
    """A run whose model server cited all three."""
    delta = {"type": "content_block_delta", "index": 0}
    opened = {"type": "text", "text": "", "citations": []}
    reply = _sse(
        {"type": "message_start", "message": {"usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": opened},
        {**delta, "delta": {"type": "text_delta", "text": "Green."}},
        *({**delta, "delta": {"type": "citations_delta", "citation": each}} for each in CITED),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}},
        {"type": "message_stop"},
    )
    decoder = MessagesCodec().decoder("m")
    made = [*decoder.feed(reply), *decoder.close()]
    assert decoder.failure is None
    return log(made, end=t.RunCompleted())


def _data(frames: list[bytes]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(data) for data in strict.data_of(frames)]


def test_a_client_of_this_dialect_gets_them_unchanged() -> None:
    frames = messages.MessagesEncoder(RUN, messages.MessagesStreamOptions()).encode(_quoted())
    strict.messages(frames)
    told = _data(frames)
    deltas = [event["delta"] for event in told if event["type"] == "content_block_delta"]
    assert [d["citation"] for d in deltas if d["type"] == "citations_delta"] == CITED


def test_responses_names_pages_by_address_and_documents_by_place() -> None:
    frames = responses.ResponsesEncoder(RUN, responses.ResponsesStreamOptions()).encode(_quoted())
    strict.responses(frames)
    ((item),) = _data(frames)[-1]["response"]["output"]
    page, length = {"type": "url_citation", "start_index": 0}, len("Green.")
    assert item["content"][0]["annotations"] == [
        {"type": "file_citation", "file_id": "", "filename": "Meadows", "index": 1},
        {**page, "url": PAGE["url"], "title": "A", "end_index": length},
        {**page, "url": RESULT["source"], "title": "B", "end_index": length},
    ]


def test_chat_knows_pages_only() -> None:
    frames = chat.ChatEncoder(RUN, chat.ChatStreamOptions()).encode(_quoted())
    strict.chat(frames)
    told = _data(frames)
    deltas = [choice["delta"] for chunk in told for choice in chunk["choices"]]
    notes = [note for delta in deltas for note in delta.get("annotations", ())]
    assert [note["url_citation"]["url"] for note in notes] == [PAGE["url"], RESULT["source"]]


def test_what_no_sdk_knows_is_no_citation_on_responses() -> None:
    odd = t.AnnotationAdded(0, {"type": "file", "file": {"hash": "x"}})
    said: list[t.Payload] = [t.ItemStarted(0, "message"), t.TextDelta(0, "A"), odd]
    made = log([*said, t.ItemCompleted(0), t.Usage("m")], end=t.RunCompleted())
    frames = responses.ResponsesEncoder(RUN, responses.ResponsesStreamOptions()).encode(made)
    strict.responses(frames)
    assert not [event for event in _data(frames) if "annotation.added" in event["type"]]
    assert _data(frames)[-1]["response"]["output"][0]["content"][0]["annotations"] == []
