"""`POST /jobs`: the form is our own, so an unknown key is an error."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from tailrace.errors import BadRequest
from tailrace.events import stored
from tailrace.events import types as t
from tailrace.events.items import Message, TextPart, ToolOutput
from tailrace.events.request import RunRequest, Settings
from tailrace.protocols.node_stream import request, stream
from tests.support import rubbish
from tests.support.logs import RUN, user

ITEMS = (user("Hi"), ToolOutput(call_id="c1", output=(TextPart("ok"),)))
FULL: dict[str, Any] = {
    "agent": "helper",
    "input": msgspec.to_builtins(ITEMS),
    "instructions": "Be brief.",
    "metadata": {"team": "a"},
    "settings": {"temperature": 0.5, "tools": [{"name": "find"}]},
}


def decode(**fields: Any) -> RunRequest:
    return request.decode(json.dumps({"agent": "helper", "input": "Hi", **fields}).encode())


def test_a_job_in_full() -> None:
    made = request.decode(json.dumps(FULL).encode())
    assert made.input == ITEMS
    assert (made.agent, made.model, made.surface) == ("helper", "helper", "native")
    assert (made.instructions, made.metadata) == ("Be brief.", {"team": "a"})
    assert made.settings == msgspec.convert(FULL["settings"], Settings)


def test_a_string_is_a_user_message() -> None:
    assert decode().input == (Message(role="user", content=(TextPart("Hi"),)),)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"agent": ""}, "agent"),
        ({"agent": 5}, "agent"),
        ({"input": 5}, "input"),
        ({"input": [{"type": "odd"}]}, "input"),
        ({"input": [{"type": "message", "role": "robot"}]}, "input"),
        ({"settings": {"temperature": "hot"}}, "settings"),
        ({"settings": 5}, "settings"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"model": "x"}, "model"),
    ],
)
def test_a_mistake_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize("missing", ["agent", "input"])
def test_a_missing_field_is_named(missing: str) -> None:
    body = {key: value for key, value in FULL.items() if key != missing}
    with pytest.raises(BadRequest, match=missing):
        request.decode(json.dumps(body).encode())


@given(body=rubbish.bodies(FULL))
def test_rubbish_is_refused_or_can_be_kept_and_shown(body: bytes) -> None:
    made = rubbish.only_caller_errors(request.decode, body)
    if made is None:
        return
    log = [t.Event(0, 0, "", "", t.RunStarted(made))]
    assert stored.decode(stored.frame(log).body) == log
    stream.NodeStreamEncoder(RUN).encode(log)
