"""The chat stream of any legal log: the order of chunks, and the result of the SDK's helper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from tailrace.events import types as t
from tailrace.events.history import lasting
from tailrace.protocols.openai_chat import reply, stream
from tailrace.protocols.openai_chat.chunks import DONE
from tests.support import strict
from tests.support.legal_logs import legal_logs
from tests.support.logs import NODE, RUN, call, log, text

USAGE = stream.ChatStreamOptions(include_usage=True)


def encode(events: Sequence[t.Event], options: stream.ChatStreamOptions = USAGE) -> list[bytes]:
    return stream.ChatEncoder(RUN, options).encode(events)


def chunks(
    events: Sequence[t.Event], options: stream.ChatStreamOptions = USAGE
) -> list[dict[str, Any]]:
    return [msgspec.json.decode(data) for data in strict.data_of(encode(events, options))]


@pytest.mark.req("R37")
@pytest.mark.req("R176")
@pytest.mark.req("R189")
@given(events=legal_logs())
def test_any_log_keeps_the_order(events: Sequence[t.Event]) -> None:
    made, frames = chunks(events), encode(events)
    assert all(frame.decode().splitlines()[1:] == [""] for frame in frames)
    *body, last = made
    if isinstance(events[-1].payload, t.RunFailed | t.RunCancelled):
        assert set(last) == {"error"}
        assert frames[-1] != DONE
    else:
        finish = body.pop()
        assert frames[-1] == DONE
        assert (last["choices"], last["usage"]["total_tokens"] >= 0) == ([], True)
        assert finish["choices"][0]["finish_reason"]
        assert finish["choices"][0]["delta"] == {}
    assert body[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    for chunk in body:
        assert chunk["usage"] is None
        assert chunk["choices"][0]["finish_reason"] is None
        assert "role" not in chunk["choices"][0]["delta"] or chunk is body[0]
    names = ("id", "object", "created", "model", "service_tier")
    assert len({tuple(chunk[name] for name in names) for chunk in body}) == 1


@given(events=legal_logs())
def test_usage_is_sent_on_request_and_changes_nothing_else(events: Sequence[t.Event]) -> None:
    asked = [chunk for chunk in chunks(events) if chunk.get("choices") != []]
    for chunk in asked:
        chunk.pop("usage", None)
    assert chunks(events, stream.ChatStreamOptions()) == asked


@given(events=legal_logs())
def test_the_sdks_helper_adds_up_to_the_document(events: Sequence[t.Event]) -> None:
    document, status = reply.completion(RUN, events, stream.ChatStreamOptions())
    if status != 200:
        return
    state: Any = ChatCompletionStreamState()
    for chunk in chunks(lasting(events))[
        :-2
    ]:  # the finish chunk makes the helper raise on a cut answer
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    made = state.current_completion_snapshot.choices[0].message
    message = msgspec.json.decode(document)["choices"][0]["message"]
    assert (made.content or "") == (message["content"] or "")
    assert (made.refusal or "") == (message["refusal"] or "")
    calls = [(c.id, c.function.name, c.function.arguments) for c in made.tool_calls or ()]
    assert calls == [
        (c["id"], c["function"]["name"], c["function"]["arguments"])
        for c in message.get("tool_calls", ())
    ]


@given(events=legal_logs())
def test_only_deep_agent_nodes_make_a_difference(events: Sequence[t.Event]) -> None:
    shown = {t.RUN_NODE} | {
        event.node
        for event in events
        if isinstance(event.payload, t.NodeStarted) and event.payload.node_type == "deep_agent"
    }
    assert encode([event for event in events if event.node in shown]) == encode(events)


def content(body: Sequence[t.Payload | t.Draft]) -> str:
    made = chunks(log(body, end=t.RunCompleted()))
    deltas = [chunk["choices"][0]["delta"] for chunk in made if chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


def test_replies_are_parted_and_one_replys_messages_are_not() -> None:
    usage = t.Usage("m")
    assert content([*text(0, "a"), *text(1, "b"), usage]) == "ab"
    assert content([*text(0, "a"), usage, *text(1, "b"), usage]) == "a\n\nb"
    assert content([*text(0), usage, *text(1, "b"), usage]) == "b"


def test_another_agents_usage_does_not_part_a_sentence() -> None:
    body: list[t.Payload | t.Draft] = [
        t.Draft(t.AgentStarted("a", "subagent", t.MAIN), NODE, "a#1"),
        t.ItemStarted(0, "message"),
        t.TextDelta(0, "one "),
        t.Draft(t.Usage("m"), NODE, "a#1"),
        t.TextDelta(0, "sentence"),
        t.ItemCompleted(0),
    ]
    assert content(body) == "one sentence"


@pytest.mark.req("R17")
def test_client_calls_have_contiguous_indexes_and_server_calls_are_hidden() -> None:
    body = [
        *call(0, "find", "{}", runs_on="server"),
        *call(1, "a", "{}"),
        *call(2, "b", "{", "}"),
        t.ToolStarted(0),
        t.ToolCompleted(0, "ok"),
    ]
    made = chunks(log(body, end=t.RunCompleted()))
    calls = [c for m in made for ch in m["choices"] for c in ch["delta"].get("tool_calls", ())]
    assert [(c["index"], c.get("id")) for c in calls] == [
        (0, "call_1"),
        (0, None),
        (1, "call_2"),
        (1, None),
        (1, None),
    ]
    assert [c["function"]["arguments"] for c in calls] == ["", "{}", "", "{", "}"]
    finishes = [ch["finish_reason"] for m in made for ch in m["choices"]]
    assert finishes[-1] == "tool_calls"
