"""Content parts of unknown types or with unknown fields: a server of the client's own dialect gets them
unchanged, in any role; for other servers they are refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import BadRequest, ModelFailed
from tailrace.events import stored
from tailrace.events import types as t
from tailrace.events.request import ModelRequest, RunRequest
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.contract import UpstreamCodec
from tailrace.protocols.openai_chat import request as chat
from tailrace.protocols.openai_chat.rules import Rules
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_responses import request as responses
from tailrace.protocols.openai_responses.upstream import ResponsesCodec

CODECS: dict[str, UpstreamCodec] = {
    "chat": ChatCodec(Rules(system_first=False)),
    "responses": ResponsesCodec(),
    "messages": MessagesCodec(),
}
NOVEL = st.sampled_from(("video_url", "novel", "document_url", "input_video", "thinking")).flatmap(
    lambda kind: st.fixed_dictionaries(
        {"type": st.just(kind)},
        optional={kind: st.just({"url": "https://h/v.mp4"}), "text": st.just("x"), "n": st.none()},
    )
)
CHAT = st.one_of(
    NOVEL,
    st.just({"type": "text", "text": "See"}),
    st.just({"type": "text", "text": "See", "cache_control": {"type": "ephemeral"}}),
    st.just({"type": "refusal", "refusal": "No"}),
    st.just({"type": "image_url", "image_url": {"url": "https://h/a.png", "novel": 1}, "n": 1}),
    st.just({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}),
)
RESPONSES = st.one_of(
    NOVEL,
    st.just({"type": "input_text", "text": "See"}),
    st.just({"type": "input_text", "text": "See", "novel": 1}),
    st.just({"type": "refusal", "refusal": "No"}),
    st.just({"type": "input_image", "image_url": "https://h/a.png", "novel": [1]}),
)


def asked(made: RunRequest) -> ModelRequest:
    """The request to the model, after the client's request was in the log."""
    log = [t.Event(0, 0, "", "", t.RunStarted(made))]
    (event,) = stored.decode(stored.frame(log).body)
    assert isinstance(event.payload, t.RunStarted)
    kept = event.payload.request
    return ModelRequest(items=kept.input, settings=kept.settings)


def by_chat(*messages: dict[str, Any]) -> ModelRequest:
    body = {"model": "m", "messages": list(messages)}
    return asked(chat.decode(json.dumps(body).encode()).request)


def by_responses(*items: dict[str, Any]) -> ModelRequest:
    body = {"model": "m", "input": list(items)}
    return asked(responses.decode(json.dumps(body).encode()).request)


def sent(dialect: str, request: ModelRequest) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(CODECS[dialect].request(request, "m").body)
    return body


@pytest.mark.parametrize("role", ["user", "assistant", "system"])
@given(parts=st.lists(CHAT, min_size=1, max_size=4))
def test_a_chat_clients_message_is_read_part_by_part(
    role: str, parts: list[dict[str, Any]]
) -> None:
    plain = [{"type": "text", "text": "See"}]
    (message,) = sent("chat", by_chat({"role": role, "content": parts}))["messages"]
    if all(part in plain for part in parts):
        assert message["content"] == "See" * len(parts)  # in the form that every server accepts
    else:
        assert message == {"role": role, "content": parts}


@pytest.mark.parametrize("role", ["user", "developer", "system"])
@given(parts=st.lists(RESPONSES, min_size=1, max_size=4))
def test_a_responses_clients_message_is_read_part_by_part(
    role: str, parts: list[dict[str, Any]]
) -> None:
    item = {"type": "message", "role": role, "content": parts}
    output = {"type": "function_call_output", "call_id": "c", "output": parts}
    assert sent("responses", by_responses(item, output))["input"] == [item, output]


@pytest.mark.parametrize("dialect", ["responses", "messages"])
@pytest.mark.parametrize("role", ["user", "assistant", "tool"])
def test_what_only_chat_servers_know_is_refused_elsewhere(dialect: str, role: str) -> None:
    more: dict[str, Any] = {"tool_call_id": "c"} if role == "tool" else {}
    said = by_chat({"role": role, "content": [{"type": "video_url", "video_url": {}}], **more})
    with pytest.raises(ModelFailed, match="'video_url'") as caught:
        sent(dialect, said)
    assert (caught.value.status, caught.value.param) == (400, "messages")


@pytest.mark.parametrize("dialect", ["chat", "messages"])
@pytest.mark.parametrize("kind", ["message", "function_call_output"])
def test_what_only_responses_servers_know_is_refused_elsewhere(dialect: str, kind: str) -> None:
    parts = [{"type": "input_video", "video_url": "https://h/v.mp4"}]
    item = {"type": kind, "role": "user", "content": parts, "call_id": "c", "output": parts}
    with pytest.raises(ModelFailed, match="'input_video'") as caught:
        sent(dialect, by_responses(item))
    assert (caught.value.status, caught.value.param) == (400, "input")


@pytest.mark.parametrize("kind", [None, 5, [], {}])
def test_a_part_without_a_type_is_none(kind: Any) -> None:
    for ask in (by_chat, by_responses):
        with pytest.raises(BadRequest) as caught:
            ask({"role": "user", "content": [{"type": kind}]})
        assert caught.value.param.endswith("[0].content[0].type")
