"""A call that a limit cut off is incomplete, on every surface and for every server's dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace.events import types as t
from tailrace.protocols.anthropic_messages import reply as messages
from tailrace.protocols.anthropic_messages.stream import MessagesEncoder
from tailrace.protocols.anthropic_messages.stream import MessagesStreamOptions as MessagesOptions
from tailrace.protocols.cut_calls import CutCalls, is_whole
from tailrace.protocols.openai_chat.reply import completion
from tailrace.protocols.openai_chat.stream import ChatStreamOptions as ChatOptions
from tailrace.protocols.openai_responses.reply import response
from tailrace.protocols.openai_responses.stream import ResponsesStreamOptions as ResponsesOptions
from tests.protocols.test_upstream_errors import CODECS
from tests.support.logs import RUN, log

Json = Any
CUT_OFF = '{"city": "Os'


def chat(calls: list[tuple[str, str]], reason: str) -> bytes:
    """A reply with calls (name, arguments), and its finish reason."""
    made: list[Json] = []
    for n, (name, arguments) in enumerate(calls):
        call = {"index": n, "id": f"c{n}", "function": {"name": name, "arguments": arguments}}
        made.append({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    finish = "tool_calls" if reason == "end" else reason
    made.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return b"".join(f"data: {json.dumps(each)}\n\n".encode() for each in made) + b"data: [DONE]\n\n"


def anthropic(calls: list[tuple[str, str]], reason: str) -> bytes:
    made: list[Json] = [{"type": "message_start", "message": {"id": "m", "usage": {}}}]
    for n, (name, arguments) in enumerate(calls):
        block = {"type": "tool_use", "id": f"c{n}", "name": name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": arguments}
        made.append({"type": "content_block_start", "index": n, "content_block": block})
        made.append({"type": "content_block_delta", "index": n, "delta": delta})
        made.append({"type": "content_block_stop", "index": n})
    stop = {"end": "tool_use", "length": "max_tokens", "content_filter": "refusal"}[reason]
    made += [{"type": "message_delta", "delta": {"stop_reason": stop}}, {"type": "message_stop"}]
    return events(made)


def responses(calls: list[tuple[str, str]], reason: str) -> bytes:
    """A server that ends its items before it knows the reason, and marks no item."""
    made: list[Json] = []
    items: list[Json] = []
    for n, (name, arguments) in enumerate(calls):
        item = {"type": "function_call", "id": f"f{n}", "call_id": f"c{n}", "name": name}
        item = {**item, "arguments": arguments, "status": "completed"}
        items.append(item)
        begun = {**item, "arguments": "", "status": "in_progress"}
        made.append({"type": "response.output_item.added", "output_index": n, "item": begun})
        made.append({"type": "response.output_item.done", "output_index": n, "item": item})
    ended: Json = {"status": "completed", "output": items}
    kind = "response.completed"
    if reason != "end":
        why = "max_output_tokens" if reason == "length" else reason
        ended |= {"status": "incomplete", "incomplete_details": {"reason": why}}
        kind = "response.incomplete"
    return events([*made, {"type": kind, "response": ended}])


def events(made: list[Json]) -> bytes:
    return b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in made)


SAYS = {"chat": chat, "messages": anthropic, "responses": responses}
FIT = ("f", '{"a": 1}')
CALLS: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "cut": ([("f", CUT_OFF)], ["incomplete"]),
    "one whole, one cut": ([FIT, ("f", CUT_OFF)], ["completed", "incomplete"]),
    "whole": ([FIT], ["completed"]),
    "cut before its arguments": ([FIT, ("f", "")], ["completed", "incomplete"]),
    "none wanted, and another follows": ([("f", ""), FIT], ["completed", "completed"]),
    "a list": ([("f", "[1]")], ["incomplete"]),
}


@pytest.mark.parametrize("dialect", SAYS)
@pytest.mark.parametrize("reason", ["length", "content_filter", "end"])
@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_a_limit_cut_off_is_incomplete(dialect: str, reason: str, name: str) -> None:
    calls, statuses = CALLS[name]
    decoder = CODECS[dialect].decoder("m")
    made = [*decoder.feed(SAYS[dialect](calls, reason)), *decoder.close()]
    assert decoder.failure is None
    ended = {p.item: p.status for p in made if isinstance(p, t.ItemCompleted)}
    assert [ended[n] for n in range(len(calls))] == (
        statuses if reason != "end" else ["completed"] * len(calls)
    )
    assert isinstance(made[-1], t.Usage)
    said = {p.item: p.text for p in made if isinstance(p, t.ArgumentsDelta)}
    assert said == {n: arguments or "{}" for n, (_, arguments) in enumerate(calls)}, "as they came"


FREE: list[t.Payload] = [
    t.ItemStarted(0, "tool_call", name="f", call_id="c", custom=True),
    t.ArgumentsDelta(0, "ls"),
]


@pytest.mark.parametrize(
    ("more", "finish", "status"),
    [
        ([], "length", "incomplete"),
        ([], "tool_calls", "completed"),
        ([t.ItemStarted(1, "message")], "length", "completed"),
    ],
)
def test_a_custom_call_is_cut_where_nothing_follows(
    more: list[t.Payload], finish: t.Finish, status: str
) -> None:
    payloads: list[t.Payload] = [*FREE, t.ItemCompleted(0), *more, t.Usage("m", finish=finish)]
    (end,) = [
        payload for payload in CutCalls().mend(payloads) if isinstance(payload, t.ItemCompleted)
    ]
    assert end.status == status


def test_in_pieces_it_is_the_same() -> None:
    payloads: list[t.Payload] = [*FREE, t.ItemCompleted(0), t.Usage("m", finish="length")]
    calls = CutCalls()
    assert [p for each in payloads for p in calls.mend([each])] == CutCalls().mend(payloads)


@pytest.mark.parametrize(
    ("text", "whole"),
    [("{}", True), ('{"a":{"b":[]}}', True), ("", False), ("[]", False), ("[" * 9999, False)],
)
def test_arguments_are_an_object(text: str, *, whole: bool) -> None:
    assert is_whole(text) == whole


def cut(partial: str) -> list[t.Payload]:
    """A reply that a limit cut off in a call."""
    return [
        t.ItemStarted(0, "tool_call", name="f", call_id="c", runs_on="client"),
        t.ArgumentsDelta(0, partial),
        t.ItemCompleted(0, "incomplete"),
        t.Usage("m", finish="length"),
    ]


INPUTS: list[tuple[str, Json]] = [
    ('{"a": 1, "b": "x, y', {"a": 1}),
    ('{"a": [1, 2], "b": {"c": 3, "d"', {"a": [1, 2]}),
    ('{"a": "}, \\"", "b": 2, "c": "\\', {"a": '}, "', "b": 2}),
    ('{"a": 1', {}),
    ('{"a": 1,', {"a": 1}),
    ("{", {}),
    ("not JSON,", {}),
]


@pytest.mark.parametrize(("partial", "shown"), INPUTS)
def test_a_messages_document_has_the_parameters_that_were_whole(partial: str, shown: Json) -> None:
    payloads = cut(partial)
    logged = log(payloads, end=t.RunIncomplete("max_output_tokens"))
    body, status = messages.message(RUN, logged, MessagesOptions())
    document = json.loads(body)
    assert (status, document["stop_reason"]) == (200, "max_tokens")
    assert document["content"] == [{"type": "tool_use", "id": "c", "name": "f", "input": shown}]


LIMITED = t.RunIncomplete("max_output_tokens")


def test_what_chat_and_responses_show_of_it() -> None:
    logged = log(cut(CUT_OFF), end=LIMITED)
    document = json.loads(completion(RUN, logged, ChatOptions())[0])["choices"][0]
    assert document["finish_reason"] == "length"
    assert document["message"]["tool_calls"][0]["function"]["arguments"] == CUT_OFF
    whole = json.loads(response(RUN, logged, ResponsesOptions()))
    assert whole["status"] == "incomplete"
    assert whole["incomplete_details"]["reason"] == "max_output_tokens"
    (item,) = whole["output"]
    assert (item["status"], item["arguments"]) == ("incomplete", CUT_OFF)


def test_a_messages_stream_shows_the_result_of_the_call() -> None:
    frames = b"".join(
        MessagesEncoder(RUN, MessagesOptions()).encode(log(cut(CUT_OFF), end=LIMITED))
    )
    assert b'"partial_json":' + json.dumps(CUT_OFF).encode() in frames
    assert b'"stop_reason":"max_tokens"' in frames
    nothing = b"".join(MessagesEncoder(RUN, MessagesOptions()).encode(log(cut(""), end=LIMITED)))
    assert b"tool_use" in nothing
    assert b"input_json_delta" not in nothing


def test_an_interrupted_call_that_is_made_again_is_not_shown() -> None:
    begun = cut(CUT_OFF)
    again: list[t.Payload] = [
        t.ItemStarted(1, "tool_call", name="f", call_id="d", runs_on="client"),
        t.ArgumentsDelta(1, '{"a": 1}'),
        t.ItemCompleted(1),
        t.Usage("m", finish="tool_calls"),
    ]
    taken = t.RunAttempt(2, "gone", keeps_replies=True)
    steps = [*begun[:2], taken, t.ReplyAbandoned(), begun[2], *again]
    frames = b"".join(
        MessagesEncoder(RUN, MessagesOptions()).encode(log(steps, end=t.RunCompleted()))
    )
    assert frames.count(b"tool_use") == 2, "one block, and the reason to stop"
    assert b'"id":"d"' in frames
