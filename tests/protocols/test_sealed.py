"""Data that servers of other dialects must get back travels through a Messages client, in signatures, and
through a Responses client, in `encrypted_content`."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tailrace.events import items as i
from tailrace.events import types as t
from tailrace.events.request import ModelRequest, Settings
from tailrace.protocols.anthropic_messages import reply, stream
from tailrace.protocols.anthropic_messages.content import decode_messages
from tailrace.protocols.anthropic_messages.messages import MessageTurns
from tailrace.protocols.offered import Names
from tailrace.protocols.openai_responses import reply as responses_reply
from tailrace.protocols.openai_responses import request as responses_request
from tailrace.protocols.openai_responses.stream import ResponsesStreamOptions
from tailrace.protocols.openai_responses.upstream import ResponsesCodec
from tests.support.logs import RUN, log

Object = dict[str, Any]
SIGNED = {"chat": {"call": {"extra_content": {"google": {"thought_signature": "sig"}}}}}

THOUGHTS: dict[str, tuple[list[t.Payload], i.Reasoning]] = {
    "of a chat server": (
        [t.ReasoningDelta(0, "hm")],
        i.Reasoning(text=("hm",), details={"chat": {"field": "reasoning_content"}}),
    ),
    "without a word": (
        [],
        i.Reasoning(details={"responses": {"encrypted_content": "gAAA"}}),
    ),
    "a summary": (
        [t.ReasoningSummaryDelta(0, "hm")],
        i.Reasoning(summary=("hm",), details={"responses": {"encrypted_content": "gAAA"}}),
    ),
    "that needs nothing": ([t.ReasoningDelta(0, "hm")], i.Reasoning(text=("hm",))),
}


def given_back(payloads: list[t.Payload]) -> tuple[list[Object], tuple[i.Item, ...]]:
    """The content that a client is shown, and the items that it sends back with its next request."""
    events = log([*payloads, t.Usage("m")], end=t.RunCompleted())
    document, status = reply.message(RUN, events, stream.MessagesStreamOptions())
    assert status == 200
    content = msgspec.json.decode(document)["content"]
    return content, decode_messages([{"role": "assistant", "content": content}])


@pytest.mark.parametrize("name", THOUGHTS)
def test_a_thought_comes_back_whole(name: str) -> None:
    deltas, thought = THOUGHTS[name]
    done = t.ItemCompleted(0, details=thought.details)
    content, items = given_back([t.ItemStarted(0, "reasoning"), *deltas, done])
    assert [block["type"] for block in content] == ["thinking"]
    assert items == (thought,)
    turns = MessageTurns("messages", Names((), "messages", "messages"))
    for item in items:
        turns.add(item)
    assert turns.turns == []  # a Messages server would refuse a signature of another server


def test_what_belongs_to_a_call_comes_back_with_it() -> None:
    content, items = given_back(
        [
            t.ItemStarted(0, "tool_call", name="f", call_id="c"),
            t.ArgumentsDelta(0, '{"a":1}'),
            t.ItemCompleted(0, details=SIGNED),
        ]
    )
    assert [block["type"] for block in content] == ["thinking", "tool_use"]
    assert items == (i.ToolCall(call_id="c", name="f", arguments='{"a":1}', details=SIGNED),)


@pytest.mark.parametrize("signature", ["tailrace.", "tailrace.!", "tailrace.e30", "tailrace.W10="])
def test_what_only_looks_like_ours_is_a_signature(signature: str) -> None:
    block = {"type": "thinking", "thinking": "hm", "signature": signature}
    (item,) = decode_messages([{"role": "assistant", "content": [block]}])
    assert item == i.Reasoning(text=("hm",), details={"messages": {"signature": signature}})


def kept_by_client(payloads: list[t.Payload], *included: str, codex: bool = False) -> list[Object]:
    """The items that a Responses client keeps of a reply. `codex`: of a thought only the summary and the
    secret, as Codex does, which requests the secret."""
    document = responses_reply.response(RUN, done(payloads), ResponsesStreamOptions(included))
    output: list[Object] = msgspec.json.decode(document)["output"]
    return [{**item, "content": None} if codex and "summary" in item else item for item in output]


def done(payloads: list[t.Payload]) -> list[t.Event]:
    return log([*payloads, t.Usage("m")], end=t.RunCompleted())


def decoded(output: list[Object]) -> tuple[i.Item, ...]:
    return responses_request.decode(
        msgspec.json.encode({"model": "m", "input": output})
    ).request.input


FOREIGN: dict[str, tuple[list[t.Payload], i.Reasoning]] = {
    "of a chat server": THOUGHTS["of a chat server"],
    "of a Messages server": (
        [t.ReasoningDelta(0, "hm")],
        i.Reasoning(text=("hm",), details={"messages": {"signature": "sig"}}),
    ),
    "redacted": ([], i.Reasoning(details={"messages": {"data": "secret"}})),
    "a summary": (
        [t.ReasoningSummaryDelta(0, "hm")],
        i.Reasoning(summary=("hm",), details={"chat": {"reasoning_details": [{"data": "x"}]}}),
    ),
}
ENCRYPTED = "reasoning.encrypted_content"


@pytest.mark.parametrize("codex", [False, True])
@pytest.mark.parametrize("name", FOREIGN)
def test_a_thought_comes_back_whole_from_a_responses_client(name: str, codex: bool) -> None:
    deltas, thought = FOREIGN[name]
    completed = t.ItemCompleted(0, details=thought.details)
    payloads: list[t.Payload] = [t.ItemStarted(0, "reasoning"), *deltas, completed]
    output = kept_by_client(payloads, *([ENCRYPTED] if codex else []), codex=codex)
    assert [item["type"] for item in output] == ["reasoning"]
    assert decoded(output) == (thought,)
    # A Responses server gets the readable parts, and nothing that it would have to decrypt.
    settings = Settings(origin="responses")
    asked = ResponsesCodec().request(ModelRequest(items=decoded(output), settings=settings), "m")
    assert "encrypted" not in str(msgspec.json.decode(asked.body)["input"])


def test_what_needs_nothing_has_no_seal() -> None:
    payloads: list[t.Payload] = [
        t.ItemStarted(0, "reasoning"),
        t.ReasoningDelta(0, "hm"),
        t.ItemCompleted(0),
    ]
    (item,) = kept_by_client(payloads, ENCRYPTED)
    assert "encrypted_content" not in item


def test_what_belongs_to_a_call_comes_back_with_it_from_a_responses_client() -> None:
    call: list[t.Payload] = [
        t.ItemStarted(0, "tool_call", name="f", call_id="c", runs_on="client"),
        t.ArgumentsDelta(0, '{"a":1}'),
        t.ItemCompleted(0, details=SIGNED),
    ]
    output = kept_by_client(call)
    assert [item["type"] for item in output] == ["function_call", "reasoning"]
    assert len({item["id"] for item in output}) == 2
    named, gap = decoded(output)
    assert isinstance(named, i.ToolCall)
    assert named.details["chat"] == SIGNED["chat"]
    assert gap == i.Reasoning()
    # Items that are named by their ids stay in their places.
    reference: Object = {"type": "item_reference", "id": "msg_x_0"}
    body = msgspec.json.encode({"model": "m", "input": [*output, reference]})
    assert responses_request.decode(body).references == ((2, "msg_x_0"),)


def test_a_call_that_runs_here_has_no_seal() -> None:
    call: list[t.Payload] = [
        t.ItemStarted(0, "tool_call", name="f", call_id="c", runs_on="server"),
        t.ItemCompleted(0, details=SIGNED),
        t.ToolStarted(0),
        t.ToolCompleted(0, "ok"),
    ]
    assert [item["type"] for item in kept_by_client(call)] == ["mcp_call"]


@pytest.mark.parametrize("secret", ["gAAA", "tailrace.", "tailrace.!", "tailrace.W10=", 7])
def test_what_only_looks_like_ours_is_the_servers_secret(secret: Any) -> None:
    item = {"type": "reasoning", "summary": [], "encrypted_content": secret}
    assert decoded([item]) == (i.Reasoning(details={"responses": {"encrypted_content": secret}}),)
