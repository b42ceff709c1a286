"""Hypothesis strategies for streams of Anthropic's API, and how its SDK reads a stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpx2
import msgspec
from anthropic.lib.streaming._beta_messages import accumulate_event
from hypothesis import strategies as st

from tests.support import anthropic_params as params

Object = dict[str, Any]
PIECES = st.lists(params.WORDS, min_size=1, max_size=3)
CITATIONS = (
    {
        "type": "web_search_result_location",
        "url": "https://a.example/",
        "title": "A",
        "cited_text": "Grass",
        "encrypted_index": "Eo8B",
    },
    {
        "type": "page_location",
        "cited_text": "Green",
        "document_index": 0,
        "document_title": None,
        "start_page_number": 1,
        "end_page_number": 2,
    },
)
CALLER = {"type": "code_execution_20260120", "tool_id": "srvtoolu_1"}


def _deltas(kind: str, name: str, pieces: Iterable[str]) -> list[Object]:
    return [{"type": kind, name: piece} for piece in pieces]


@st.composite
def _text(draw: st.DrawFn) -> tuple[Object, list[Object]]:
    cited = draw(st.lists(st.sampled_from(CITATIONS), max_size=2))
    start: Object = {"type": "text", "text": ""} | ({"citations": []} if cited else {})
    told = _deltas("citations_delta", "citation", cited)  # type: ignore[arg-type]
    return start, [*told, *_deltas("text_delta", "text", draw(PIECES))]


@st.composite
def _thinking(draw: st.DrawFn) -> tuple[Object, list[Object]]:
    said = _deltas("thinking_delta", "thinking", draw(PIECES | st.just([])))
    signed = _deltas("signature_delta", "signature", draw(st.lists(params.WORDS, max_size=1)))
    return {"type": "thinking", "thinking": "", "signature": ""}, [*said, *signed]


@st.composite
def _call(draw: st.DrawFn) -> tuple[Object, list[Object]]:
    kind = draw(st.sampled_from(("tool_use", "server_tool_use", "mcp_tool_use")))
    given = msgspec.json.encode(draw(params.OBJECT)).decode()
    cut = draw(st.integers(0, len(given)))
    more: Object = draw(st.sampled_from(({}, {"caller": CALLER}, {"server_name": "s"})))
    start = {
        "type": kind,
        "id": draw(st.uuids().map(str)),
        "name": "web_search",
        "input": {},
        **more,
    }
    return start, _deltas("input_json_delta", "partial_json", ["", given[:cut], given[cut:]])


@st.composite
def _compaction(draw: st.DrawFn) -> tuple[Object, list[Object]]:
    said = {"content": draw(params.WORDS), "encrypted_content": draw(st.none() | params.WORDS)}
    return {"type": "compaction", "content": None}, [{"type": "compaction_delta", **said}]


WHOLE = (
    "redacted_thinking",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "advisor_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "mcp_tool_result",
    "container_upload",
    "mcp_tool_listing",
    "fallback",
)
"""Blocks that arrive without deltas."""


def _whole() -> st.SearchStrategy[tuple[Object, list[Object]]]:
    known = params.block(*WHOLE) | st.just({"type": "song", "notes": ["a"]})
    return known.map(lambda block: (block, []))


BLOCKS = st.one_of(_text(), _thinking(), _call(), _compaction(), _whole())
USAGE: Object = {
    "input_tokens": 7,
    "cache_creation_input_tokens": 2,
    "cache_read_input_tokens": 3,
    "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 1,
    "service_tier": "priority",
    "inference_geo": "global",
}
COUNTED: Object = {
    "input_tokens": 9,
    "output_tokens": 4,
    "output_tokens_details": {"thinking_tokens": 1},
    "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0},
    "iterations": [{"type": "message", "input_tokens": 9, "output_tokens": 4}],
}
CONTAINER = {"id": "container_1", "expires_at": "2026-12-01T00:00:00Z"}
TOLD = st.fixed_dictionaries(
    {},
    optional={
        "stop_details": st.just({"type": "refusal", "category": "cyber", "explanation": None}),
        "container": st.just(CONTAINER),
    },
)
BESIDE = st.fixed_dictionaries(
    {},
    optional={
        "context_management": st.just({"applied_edits": [{"type": "clear_thinking_20251015"}]}),
        "input_transformations": st.just([{"type": "image_resized"}]),
    },
)
REASONS = (
    "end_turn",
    "tool_use",
    "stop_sequence",
    "pause_turn",
    "compaction",
    "max_tokens",
    "refusal",
    "model_context_window_exceeded",
    "yet_to_come",
)


@st.composite
def streams(draw: st.DrawFn) -> list[Object]:
    """The events of a legal reply."""
    blocks = draw(st.lists(BLOCKS, max_size=6))
    reason = draw(st.sampled_from(REASONS))
    message: Object = {
        "id": "msg_up",
        "type": "message",
        "role": "assistant",
        "model": "up",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": USAGE,
    }
    events: list[Object] = [{"type": "message_start", "message": message}]
    for index, (start, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [
            {"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas
        ]
        events.append({"type": "content_block_stop", "index": index})
    delta = {
        "stop_reason": reason,
        "stop_sequence": "x" if reason == "stop_sequence" else None,
        **draw(TOLD),
    }
    events.append({"type": "message_delta", "delta": delta, "usage": COUNTED, **draw(BESIDE)})
    return [*events, {"type": "message_stop"}]


def sse(events: Iterable[Object]) -> bytes:
    """Events as a server sends them."""
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))
        for event in events
    )


def read(events: Iterable[Object]) -> Object:
    """The message that the SDK builds from a stream."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        if event["type"] != "ping":
            snapshot = accumulate_event(
                event=event,  # type: ignore[arg-type]
                current_snapshot=snapshot,
                json_bufs=buffers,
                request_headers=httpx2.Headers(),
            )
    message: Object = snapshot.to_dict(mode="json", warnings=False)
    return message
