"""Requests of `useChat`: which parts of them a model receives, and which requests are refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tailrace.errors import BadRequest
from tailrace.events.history import NOT_RUN
from tailrace.events.items import (
    AudioPart,
    FilePart,
    ImagePart,
    Item,
    Message,
    Reasoning,
    TextPart,
    ToolCall,
    ToolOutput,
    text_of,
)
from tailrace.protocols.ai_sdk_ui import request, wire
from tailrace.protocols.ai_sdk_ui.messages import DENIAL, PartResult
from tailrace.protocols.decisions import CallDecision
from tests.support.logs import user

ASK = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
MORE = {"id": "u2", "role": "user", "parts": [{"type": "text", "text": "More"}]}


def _decode(**fields: Any) -> request.SendUiMessages:
    return request.decode(msgspec.json.encode({"id": "c1", "messages": [ASK], **fields}))


def _tool(name: str = "find", **fields: Any) -> dict[str, Any]:
    part = {"type": f"tool-{name}", "toolCallId": f"call_{name}", "input": {"a": 1}, **fields}
    return {"state": "output-available", "output": "ok", **part}


def _said(*parts: dict[str, Any]) -> tuple[Item, ...]:
    """The items of an earlier assistant message."""
    made = {"id": "a1", "role": "assistant", "parts": list(parts)}
    asked = _decode(messages=[ASK, made, MORE]).request
    assert asked.history[0] == user("Hi")
    assert asked.input == (user("More"),)
    return asked.history[1:]


def test_the_last_message_is_the_input_and_the_rest_the_history() -> None:
    asked = _decode(
        messages=[
            {"id": "s", "role": "system", "parts": [{"type": "text", "text": "Be kind."}]},
            ASK,
            {"id": "a", "role": "assistant", "parts": [{"type": "text", "text": "Hello"}]},
            MORE,
        ],
        trigger="submit-message",
        messageId=None,
        appsOwn={"x": 1},
    )
    assert [item.role for item in asked.request.history if isinstance(item, Message)] == [
        "system",
        "user",
        "assistant",
    ]
    assert asked.request.input == (user("More"),)
    assert (asked.request.session, asked.request.client_names) == ("c1", "")
    assert asked.has_history
    assert not asked.results


def test_a_client_may_send_only_what_is_new() -> None:
    asked = request.decode(msgspec.json.encode({"id": "c1", "message": MORE}))
    assert (asked.has_history, asked.request.history, asked.request.input) == (
        False,
        (),
        (user("More"),),
    )


def test_messages_of_version_4_are_strings() -> None:
    old = [{"role": "user", "content": "Hi"}, {"role": "user", "content": "More"}]
    asked = _decode(messages=old).request
    assert (*asked.history, *asked.input) == (user("Hi"), user("More"))


def test_files_by_their_kind() -> None:
    files = [
        {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AA"},
        {"type": "file", "mediaType": "audio/mpeg", "url": "data:audio/mpeg;base64,AA"},
        {"type": "file", "mediaType": "application/pdf", "url": "http://a/b", "filename": "b"},
        {"type": "file", "mediaType": "application/pdf", "url": "data:application/pdf;base64,A"},
        {"type": "data-location", "data": 7},
    ]
    (message,) = _decode(messages=[{"role": "user", "parts": files}]).request.input
    assert isinstance(message, Message)
    assert message.content == (
        ImagePart(url="data:image/png;base64,AA"),
        AudioPart(data="AA", format="mp3"),
        FilePart(url="http://a/b", filename="b"),
        FilePart(data="data:application/pdf;base64,A"),
    )


def test_an_assistants_message_is_sent_call_by_call() -> None:
    items = _said(
        {"type": "step-start"},
        {"type": "reasoning", "text": "Hm.", "state": "done"},
        _tool("find"),
        {"type": "dynamic-tool", "toolName": "price", **_tool("price"), "providerExecuted": True}
        | {"type": "dynamic-tool", "state": "output-error", "errorText": "no"},
        {"type": "step-start"},
        {"type": "text", "text": "Found.", "state": "done"},
        {"type": "source-url", "sourceId": "s", "url": "http://a/"},
        {"type": "data-toolCall", "data": {}},
    )
    assert items == (
        Reasoning(summary=("Hm.",)),
        ToolCall(call_id="call_find", name="find", arguments='{"a":1}'),
        ToolCall(call_id="call_price", name="price", arguments='{"a":1}'),
        ToolOutput(call_id="call_price", output=(TextPart("no"),), is_error=True),
        ToolOutput(call_id="call_find", output=(TextPart("ok"),)),
        Message(role="assistant", content=(TextPart("Found."),)),
    )


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (_tool(state="input-streaming"), None),
        (_tool(state="input-available"), NOT_RUN),
        (_tool(state="approval-requested"), NOT_RUN),
        (_tool(output={"b": [1]}), '{"b":[1]}'),
        (_tool(output=None), "null"),
        (_tool(state="output-error", errorText="broken"), "broken"),
        (_tool(state="output-denied"), DENIAL),
    ],
)
def test_every_call_that_is_sent_has_an_output(part: dict[str, Any], told: str | None) -> None:
    items = _said(part)
    if told is None:
        assert items == ()
        return
    call, output = items
    assert isinstance(call, ToolCall)
    assert isinstance(output, ToolOutput)
    assert (call.call_id, text_of(output.output)) == (output.call_id, told)
    assert output.is_error == (part["state"] != "output-available")


def test_output_of_subagents_is_not_the_main_agents() -> None:
    items = _said(
        {"type": "text", "text": "Two look."},
        _tool("task"),
        {"type": "data-subagent", "data": {"id": "researcher"}},
        {"type": "text", "text": "Looking."},
        _tool("find"),
        {"type": "data-subagent-end", "data": None},
        {"type": "text", "text": "Done."},
    )
    assert [item.name for item in items if isinstance(item, ToolCall)] == ["task"]
    assert [text_of(item.content) for item in items if isinstance(item, Message)] == [
        "Two look.",
        "Done.",
    ]


def test_what_a_user_threw_in_is_the_users_word() -> None:
    said = {"type": "steering-message", "id": "x", "parts": [{"type": "text", "text": "Wait"}]}
    assert _said({"type": "text", "text": "I go."}, said)[1] == user("Wait")


def test_outputs_of_the_clients_tools_are_what_is_new() -> None:
    last = {"id": "a1", "role": "assistant"}
    parts = [{"type": "step-start"}, _tool("show"), {**_tool("find"), "providerExecuted": True}]
    asked = _decode(messages=[ASK, {**last, "parts": parts}])
    assert asked.request.input == (ToolOutput(call_id="call_show", output=(TextPart("ok"),)),)
    assert [item.call_id for item in asked.request.history if isinstance(item, ToolOutput)] == [
        "call_find"
    ]
    assert asked.request.client_names == "a1"
    assert asked.results == (PartResult("call_show", "messages[1].parts[1]", text="ok"),)


def test_nothing_new_is_no_input() -> None:
    last = {"id": "a1", "role": "assistant", "parts": [{"type": "text", "text": "Done."}]}
    asked = _decode(messages=[ASK, last])
    assert (asked.request.input, asked.results) == ((), ())


def test_approvals_in_the_message_and_beside_it() -> None:
    approval = {"id": "apr_x_1", "approved": False, "reason": "too dear"}
    part = _tool("pay", state="approval-responded", approval=approval)
    last = {"id": "a1", "role": "assistant", "parts": [part]}
    asked = _decode(messages=[ASK, last])
    where = "messages[1].parts[0].approval"
    assert asked.results == (
        PartResult("apr_x_1", where, CallDecision(approved=False, reason="too dear")),
    )
    assert asked.request.include == (wire.APPROVALS,), "whoever answers so, knows the form"
    plain = {"id": "a1", "role": "assistant", "parts": [_tool("pay", state="input-available")]}
    beside = _decode(messages=[ASK, plain], approvals=[{"id": "apr_x_1", "approved": True}])
    assert beside.results == (PartResult("apr_x_1", "approvals[0]", CallDecision(approved=True)),)
    assert beside.request.include == ()
    assert _decode(toolApproval=True).request.include == (wire.APPROVALS,)


def test_what_an_app_may_add() -> None:
    schema = {"type": "object", "properties": {}}
    asked = _decode(
        agent=7,
        system="Be brief.",
        tools={"a": {"description": "A.", "inputSchema": schema}, "b": {"parameters": schema}},
    )
    assert asked.agent == "7"
    assert asked.request.instructions == "Be brief."
    tools = asked.request.settings.tools
    assert [(tool.name, tool.description, tool.parameters) for tool in tools] == [
        ("a", "A.", schema),
        ("b", "", schema),
    ]


def _messages(*parts: Any, role: str = "assistant") -> dict[str, Any]:
    return {"messages": [{"role": role, "parts": list(parts)}, ASK]}


PART = "messages[0].parts[0]"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no chat": ({"id": ""}, "id"),
    "a chat of a wrong type": ({"id": 7}, "id"),
    "messages of a wrong type": ({"messages": "hi"}, "messages"),
    "no message": ({"messages": []}, "messages"),
    "a message of a wrong type": ({"messages": ["hi"]}, "messages[0]"),
    "an unknown role": ({"messages": [{**ASK, "role": "tool"}]}, "messages[0].role"),
    "no parts": ({"messages": [{"role": "user"}]}, "messages[0].parts"),
    "parts of a wrong type": ({"messages": [{"role": "user", "parts": {}}]}, "messages[0].parts"),
    "a system message last": ({"messages": [{**ASK, "role": "system"}]}, "messages"),
    "a part of a wrong type": (_messages(1), PART),
    "a part without a type": (_messages({}), f"{PART}.type"),
    "an unknown part": (_messages({"type": "hologram"}), f"{PART}.type"),
    "an unknown part of a user": (
        _messages({"type": "hologram"}, role="user"),
        f"{PART}.type",
    ),
    "a tool of a user": (_messages(_tool(), role="user"), f"{PART}.type"),
    "a text without text": (_messages({"type": "text"}), f"{PART}.text"),
    "a file without an address": (
        _messages({"type": "file", "mediaType": "image/png"}, role="user"),
        f"{PART}.url",
    ),
    "a call without an id": (_messages({"type": "tool-x"}), f"{PART}.toolCallId"),
    "a call without a name": (
        _messages({"type": "dynamic-tool", "toolCallId": "c"}),
        f"{PART}.toolName",
    ),
    "a call in an unknown state": (_messages(_tool(state="odd")), f"{PART}.state"),
    "an error without a text": (_messages(_tool(state="output-error")), f"{PART}.errorText"),
    "an approval that says nothing": (
        _messages(_tool(state="approval-responded", approval={"id": "x"})),
        f"{PART}.approval.approved",
    ),
    "an approval of nothing": (
        _messages(_tool(state="approval-responded", approval={"approved": True})),
        f"{PART}.approval.id",
    ),
    "steering without parts": (_messages({"type": "steering-message"}), f"{PART}.parts"),
    "an agent of a wrong type": ({"agent": ["a"]}, "agent"),
    "tools of a wrong type": ({"tools": ["a"]}, "tools"),
    "a tool of a wrong type": ({"tools": {"a": 1}}, "tools.a"),
    "a schema of a wrong type": ({"tools": {"a": {"inputSchema": 1}}}, "tools.a.inputSchema"),
    "a system of a wrong type": ({"system": 1}, "system"),
    "approvals of a wrong type": ({"approvals": {}}, "approvals"),
    "an approval beside without an id": (
        {"approvals": [{"approved": True}]},
        "approvals[0].id",
    ),
    "an approval beside that says nothing": (
        {"approvals": [{"id": "x"}]},
        "approvals[0].approved",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_names_its_place(name: str) -> None:
    fields, param = REFUSED[name]
    with pytest.raises(BadRequest) as refused:
        _decode(**fields)
    assert refused.value.param == param


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(BadRequest, match="hologram"):
        _decode(**_messages({"type": "hologram"}))
    with pytest.raises(BadRequest, match="messages"):
        request.decode(b'{"id": "c1"}')
