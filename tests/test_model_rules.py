"""How requests to a chat server are formed: by its address, and by its configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace.assembly.models import codec, longest_user, rules_of
from tailrace.config import parse
from tailrace.events.items import Message, TextPart
from tailrace.events.request import ModelRequest, Settings
from tailrace.protocols.openai_chat.rules import OPENAI, Rules
from tailrace.protocols.openai_chat.upstream import ChatCodec

PLACES = {
    "https://api.openai.com/v1": (OPENAI, 64),
    "https://eu.api.openai.com/v1": (OPENAI, 64),
    "https://mine.openai.azure.com/openai/v1": (OPENAI, 64),
    "https://api.openai.com.example/v1": (Rules(), 0),
    "https://notapi.openai.com.evil.example/v1": (Rules(), 0),
    "https://api.deepseek.com": (Rules(), 0),
    "http://127.0.0.1:8000/v1": (Rules(), 0),
}


def model(base_url: str, more: str = "") -> Any:
    text = f'[models.m]\ndialect = "chat"\nbase_url = "{base_url}"\nmodel = "m"\n{more}\n'
    return parse(text).models["m"]


@pytest.mark.parametrize("base_url", PLACES)
def test_rules_follow_the_place(base_url: str) -> None:
    config = model(base_url)
    assert (rules_of(config), longest_user(config)) == PLACES[base_url]


def test_each_key_replaces_its_rule_alone() -> None:
    config = model("https://api.openai.com/v1", "system_first = true\nuser_max_length = 0")
    assert rules_of(config) == Rules(
        max_tokens_field="max_completion_tokens",
        developer_role="developer",
        system_first=True,
        custom_tools="custom",
        allowed_tools=True,
    )
    assert longest_user(config) == 0


@pytest.mark.parametrize(
    ("rules", "field"), [(OPENAI, "max_completion_tokens"), (Rules(), "max_tokens")]
)
def test_the_limit_has_the_servers_name(rules: Rules, field: str) -> None:
    items = (Message(role="developer", content=(TextPart("x"),)),)
    asked = ModelRequest(items=items, settings=Settings(max_output_tokens=50))
    body = json.loads(ChatCodec(rules).request(asked, "m").body)
    assert {name: body.get(name) for name in ("max_tokens", "max_completion_tokens")} == {
        "max_tokens": None,
        "max_completion_tokens": None,
        field: 50,
    }
    assert body["messages"][0]["role"] == rules.developer_role


@pytest.mark.parametrize(
    ("entry", "name", "asks"),
    [
        ("", "llama", False),
        ("", "gpt-5", True),
        ("encrypted_reasoning = true", "llama", True),
        ("encrypted_reasoning = false", "gpt-5", False),
    ],
)
def test_the_configuration_decides_about_encrypted_reasoning(
    entry: str, name: str, asks: bool
) -> None:
    text = (
        f'[models.m]\ndialect = "responses"\nbase_url = "http://h/v1"\nmodel = "{name}"\n{entry}\n'
    )
    config = parse(text).models["m"]
    body = json.loads(codec("responses", config).request(ModelRequest(items=()), name).body)
    assert body.get("include", []) == (["reasoning.encrypted_content"] if asks else [])


def test_what_a_client_includes_is_sent_whatever_is_configured() -> None:
    config = parse(
        '[models.m]\ndialect = "responses"\nbase_url = "http://h/v1"\nmodel = "m"\n'
        "encrypted_reasoning = false\n"
    ).models["m"]
    said = Settings(origin="responses", extra={"include": ["reasoning.encrypted_content"]})
    made = codec("responses", config).request(ModelRequest(items=(), settings=said), "m")
    assert json.loads(made.body)["include"] == ["reasoning.encrypted_content"]
