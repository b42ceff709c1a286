"""Streams as Messages servers, and the proxies before other servers, really send them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.events import items as i
from tailrace.events.state import RunState
from tests.support.anthropic_replies import (
    START,
    STOP,
    TEXT,
    THINKING,
    Object,
    begin,
    call,
    end,
    given_input,
    piece,
    read,
    stop,
)


def said(state: RunState) -> list[tuple[str, ...]]:
    """The content of the reply, item by item."""
    return [_said(item.content) for item in state.items if item.content is not None]


def _said(item: i.Item) -> tuple[str, ...]:
    match item:
        case i.Message():
            return ("text", *(part.text for part in item.content if isinstance(part, i.TextPart)))
        case i.Reasoning():
            return ("thinking", "".join(item.text), item.details["messages"].get("signature", ""))
        case i.ToolCall():
            return ("call", item.call_id, item.arguments)
        case i.ProviderItem():
            return ("block", msgspec.json.encode(item.data, order="sorted").decode())
        case _:
            raise AssertionError(item)


OK = ("text", "ok")
READ: dict[str, tuple[list[Object | bytes], list[tuple[str, ...]]]] = {
    "calls that overlap": (
        [
            begin(0, call("t1")),
            begin(1, call("t2")),
            given_input(0, '{"city":'),
            given_input(1, '{"city":"Rome"}'),
            given_input(0, '"Oslo"}'),
            stop(0),
            stop(1),
            end("tool_use"),
            STOP,
        ],
        [("call", "t1", '{"city":"Oslo"}'), ("call", "t2", '{"city":"Rome"}')],
    ),
    "texts that overlap": (
        [
            begin(0, TEXT),
            piece(0, "text", "o"),
            begin(1, TEXT),
            piece(1, "text", "no"),
            piece(0, "text", "k"),
            stop(1),
            stop(0),
            end("end_turn"),
            STOP,
        ],
        [OK, ("text", "no")],
    ),
    "a thought that is never stopped": (
        [
            begin(0, THINKING),
            piece(0, "thinking", "hmm"),
            begin(1, TEXT),
            piece(1, "text", "ok"),
            stop(1),
            piece(0, "signature", "S"),
            end("end_turn"),
            STOP,
        ],
        [("thinking", "hmm", "S"), OK],
    ),
    "nothing is ever stopped": (
        [
            begin(0, call("t1")),
            given_input(0, "{}"),
            begin(1, TEXT),
            piece(1, "text", "ok"),
            begin(2, call("t2")),
            end("tool_use"),
            STOP,
        ],
        [("call", "t1", "{}"), OK, ("call", "t2", "{}")],
    ),
    "an index that is null": (
        [
            begin(None, THINKING),
            piece(None, "thinking", "hmm"),
            stop(None),
            begin(None, TEXT),
            piece(None, "text", "ok"),
            stop(None),
            end("end_turn"),
            STOP,
        ],
        [("thinking", "hmm", ""), OK],
    ),
    "an index that is always 0": (
        [
            begin(0, call("t1")),
            given_input(0, "{}"),
            begin(0, TEXT),
            piece(0, "text", "ok"),
            stop(0),
            end("tool_use"),
            STOP,
        ],
        [("call", "t1", "{}"), OK],
    ),
    "a block that never began": (
        [piece(0, "text", "o"), piece(0, "text", "k"), stop(0), stop(7), end("end_turn"), STOP],
        [OK],
    ),
    "texts, thoughts and input that are null": (
        [
            begin(0, {"type": "thinking", "thinking": None, "signature": None}),
            piece(0, "thinking", None),
            piece(0, "thinking", "hmm"),
            piece(0, "signature", "S"),
            piece(0, "signature", None),
            stop(0),
            begin(1, {"type": "text", "text": None}),
            piece(1, "text", "ok"),
            piece(1, "text", None),
            piece(1, "citations", None, "citation"),
            stop(1),
            begin(2, {**call("t1"), "input": None}),
            given_input(2, None),
            stop(2),
            end("tool_use"),
            STOP,
        ],
        [("thinking", "hmm", "S"), OK, ("call", "t1", "{}")],
    ),
    "input as an object": (
        [
            begin(0, {**call("t1"), "input": {"a": 1}}),
            stop(0),
            begin(1, call("t2")),
            given_input(1, {"a": 2}),
            stop(1),
            end("tool_use"),
            STOP,
        ],
        [("call", "t1", '{"a":1}'), ("call", "t2", '{"a":2}')],
    ),
    "a call without an id": (
        [begin(0, call(None)), stop(0), begin(1, call("")), stop(1), end("tool_use"), STOP],
        [("call", "call_0", "{}"), ("call", "call_1", "{}")],
    ),
    "a text that begins with the block": (
        [begin(0, {"type": "text", "text": "o"}), piece(0, "text", "k"), stop(0), end("end_turn")],
        [OK],
    ),
    "texts in a row": (
        [
            begin(0, TEXT),
            piece(0, "text", "o"),
            stop(0),
            begin(1, {**TEXT, "text": ""}),
            stop(1),
            begin(2, TEXT),
            piece(2, "text", "k"),
            stop(2),
            end("end_turn"),
            STOP,
        ],
        [("text", "o", "k")],
    ),
    "deltas of odd types": (
        [
            begin(0, TEXT),
            piece(0, "song", "la"),
            piece(0, "thinking", "hmm"),
            {"type": "content_block_delta", "index": 0, "delta": None},
            {"type": "content_block_delta", "index": 0, "delta": "x"},
            {"type": "content_block_delta", "index": [0]},
            piece(0, "text", "ok"),
            stop(0),
            end("end_turn"),
            STOP,
        ],
        [OK],
    ),
    "a block of a type to come": (
        [
            begin(0, {"type": "song", "words": "l", "notes": [1]}),
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "song_delta", "words": "a", "notes": [2], "key": "C"},
            },
            stop(0),
            end("end_turn"),
            STOP,
        ],
        [("block", '{"key":"C","notes":[1,2],"type":"song","words":"la"}')],
    ),
    "a compaction": (
        [
            begin(0, {"type": "compaction", "content": None}),
            piece(0, "compaction", "first", "content"),
            piece(0, "compaction", "So far", "content"),
            stop(0),
            end("compaction"),
            STOP,
        ],
        [("block", '{"content":"So far","type":"compaction"}')],
    ),
    "no message_stop": (
        [begin(0, TEXT), piece(0, "text", "ok"), end("end_turn")],
        [OK],
    ),
    "no message_delta": (
        [begin(0, TEXT), piece(0, "text", "ok"), stop(0), STOP],
        [OK],
    ),
    "events without a type of their own": (
        [
            b'event: content_block_delta\ndata: {"index":0,"delta":{"type":"text_delta","text":"ok"}}\n\n',
            b"data: {}\n\n",
            b'data: {"type":null}\n\n',
            end("end_turn"),
            STOP,
        ],
        [OK],
    ),
    "a whole message at once": (
        [
            {
                "type": "message",
                "id": "msg_up",
                "content": [
                    {**THINKING, "thinking": "hmm", "signature": "S"},
                    {**TEXT, "text": "ok"},
                    {**call("t1"), "input": {"a": 1}},
                ],
                "stop_reason": "tool_use",
                "usage": {"input_tokens": 5, "output_tokens": 3},
            }
        ],
        [("thinking", "hmm", "S"), OK, ("call", "t1", '{"a":1}')],
    ),
    "odd counts": (
        [
            {
                "type": "message_start",
                "message": {"usage": {"input_tokens": 5.0, "cache_read_input_tokens": None}},
            },
            begin(0, TEXT),
            piece(0, "text", "ok"),
            end("end_turn", output_tokens=3.7, server_tool_use=None, output_tokens_details=7),
            STOP,
        ],
        [OK],
    ),
    "no message at its start": (
        [{"type": "message_start", "message": None}, piece(0, "text", "ok"), end("end_turn"), STOP],
        [OK],
    ),
}


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("name", READ)
def test_what_is_odd_and_harmless_is_read_over(name: str, size: int) -> None:
    events, wanted = READ[name]
    state, failure = read([START, *events], size=size)
    assert failure is None
    assert said(state) == wanted
    assert (state.total().input, state.total().output) in ((5, 3), (0, 3), (5, 1))


EVENTS = st.sampled_from(
    [
        START,
        *(begin(index, block) for index in (0, 1, None) for block in (TEXT, THINKING, call("t"))),
        *(piece(index, kind, "x") for index in (0, 1, 2) for kind in ("text", "thinking")),
        piece(0, "signature", "S"),
        piece(1, "citations", {"type": "song"}, "citation"),
        given_input(1, "{}"),
        begin(2, {"type": "song"}),
        *(stop(index) for index in (0, 1, 2, None)),
        {"type": "content_block_start"},
        {"type": "content_block_delta"},
        {"type": "ping"},
        end("end_turn"),
    ]
)


@given(events=st.lists(EVENTS, max_size=25))
def test_whatever_the_order_the_log_is_legal_and_holds_every_text(events: list[Object]) -> None:
    """`read` folds the log, which refuses illegal events."""
    state, failure = read([*events, end("end_turn"), STOP])
    assert failure is None
    assert state.is_finished
    assert not state.open
