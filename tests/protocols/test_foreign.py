"""Content of one dialect for which a server of another has no equivalent: the tables of
`protocols/foreign.py`, checked against the SDKs' documentation, and the conversion of the rest."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from anthropic.types.beta import BetaContentBlockParam, BetaToolUnionParam
from openai.types.responses import ToolParam
from openai.types.responses.response_input_item_param import ResponseInputItemParam
from typing_extensions import get_type_hints

from tailrace.errors import NoForm
from tailrace.events.request import ModelRequest
from tailrace.protocols import foreign
from tests.protocols.test_every_field import CODECS, NEEDED, PASSED, TOGETHER, Object, asked, sent

TRANSLATED = {
    "chat": set[str](),
    "responses": {
        *("additional_tools", "custom", "custom_tool_call", "custom_tool_call_output"),
        *("function", "function_call", "function_call_output", "item_reference", "mcp_call"),
        *("message", "namespace", "reasoning", "tool_search_output"),
    },
    "messages": {
        *("custom", "document", "image", "mcp_tool_result", "mcp_tool_use", "redacted_thinking"),
        *("search_result", "text", "thinking", "tool_result", "tool_use"),
    },
}
"""Types that have a counterpart, or a place of their own (thoughts go back to their author)."""
REFUSED = {
    "responses": {
        *("apply_patch", "apply_patch_call", "apply_patch_call_output", "code_interpreter"),
        *("compaction", "compaction_trigger", "computer", "computer_call", "computer_call_output"),
        *("computer_use_preview", "configuration_update", "file_search", "local_shell"),
        *("local_shell_call", "local_shell_call_output", "mcp", "program", "program_output"),
        *("programmatic_tool_calling", "shell", "shell_call", "shell_call_output"),
    },
    "messages": {
        *("bash", "browser_toolset", "code_execution", "compaction", "computer"),
        *("computer_toolset", "container_upload", "fallback", "mcp_toolset", "memory"),
        *("text_editor", "tool_addition", "tool_removal", "web_fetch"),
    },
}
"""Types that carry meaning and have no counterpart."""
DOCUMENTED = {
    "responses": (ResponseInputItemParam, ToolParam),
    "messages": (BetaContentBlockParam, BetaToolUnionParam),
}


def types(union: Any) -> set[str]:
    """The types of a union of the SDK's, without their versions."""
    found: set[str] = set()
    for kind in get_args(union):
        if isinstance(kind, type):
            said = get_type_hints(kind).get("type")
            found |= {str(t) for each in (said, *get_args(said)) for t in get_args(each) or ()}
    return {foreign.VERSION.sub("", kind) for kind in found if "'" not in kind and "[" not in kind}


@pytest.mark.parametrize("dialect", DOCUMENTED)
def test_every_documented_type_has_its_place(dialect: str) -> None:
    """A newer SDK with more types fails here until each type has its conversion."""
    documented = set[str]().union(*map(types, DOCUMENTED[dialect]))
    left_out = foreign.ITEMS[dialect] | foreign.TOOLS[dialect]
    places = (TRANSLATED[dialect], REFUSED[dialect], left_out)
    assert sum(map(len, places)) == len(set().union(*places))
    assert set().union(*places) == documented


def to(dialect: str, client: str, fields: Object) -> Object:
    """The request to a server of a dialect, from a client of another."""
    made = asked(client, {**NEEDED[client], **fields})
    request = ModelRequest(items=made.input, instructions=made.instructions, settings=made.settings)
    body: Object = json.loads(CODECS[dialect].request(request, "m").body)
    return body


CALLED: Object = {
    "type": "mcp_call",
    "id": "mcp_1",
    "server_label": "s",
    "name": "look",
    "arguments": '{"a":1}',
    "output": "found",
}
HELLO = {"type": "message", "role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("output", "said"),
    [({}, "found"), ({"output": None, "error": {"code": 3}}, '{"code":3}')],
)
def test_a_call_that_ran_at_a_server_is_a_call_with_its_result(output: Object, said: str) -> None:
    items = [HELLO, {**CALLED, **output}, HELLO]
    _, call, result, _ = to("chat", "responses", {"input": items})["messages"]
    assert call["tool_calls"] == [
        {"id": "mcp_1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    ]
    assert (result["tool_call_id"], result["content"]) == ("mcp_1", said)
    _, call, result = to("messages", "responses", {"input": items})["messages"]
    assert call["content"] == [
        {"type": "tool_use", "id": "mcp_1", "name": "look", "input": {"a": 1}}
    ]
    assert result["content"][0]["content"] == [{"type": "text", "text": said}]
    assert to("responses", "responses", {"input": items})["input"] == items


CHOICES: dict[str, list[Object]] = {
    "chat": [
        {"tool_choice": "none"},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"parallel_tool_calls": False},
    ],
    "responses": [
        {"tool_choice": "none"},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "name": "f"}},
        {"parallel_tool_calls": True},
    ],
    "messages": [
        {"tool_choice": {"type": "auto"}},
        {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        {"tool_choice": {"type": "tool", "name": "f"}},
        {"tool_choice": {"type": "none"}},
    ],
}


@pytest.mark.parametrize(("dialect", "said"), [(d, each) for d in CHOICES for each in CHOICES[d]])
def test_a_choice_without_tools_is_the_server_s_to_judge(dialect: str, said: Object) -> None:
    body = sent(dialect, {**NEEDED[dialect], **said})
    assert {name: body.get(name) for name in said} == said


DEMANDS = ("required", "any", "tool", "function")
ELSEWHERE = [(c, d, each) for c in CHOICES for d in CHOICES if c != d for each in CHOICES[c]]


@pytest.mark.parametrize(("client", "dialect", "said"), ELSEWHERE)
def test_a_choice_of_another_dialect_without_tools_is_required_or_omitted(
    client: str, dialect: str, said: Object
) -> None:
    choice = said.get("tool_choice")
    if (choice["type"] if isinstance(choice, dict) else choice) in DEMANDS:
        with pytest.raises(NoForm) as caught:
            to(dialect, client, said)
        assert caught.value.param == "tool_choice"
    else:
        assert "tool_choice" not in to(dialect, client, said)


PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}
ILLUSTRATED = {
    "type": "document",
    "source": {"type": "content", "content": [{"type": "text", "text": "See"}, PICTURE]},
    "citations": {"enabled": True},
}


def test_a_document_with_images_reaches_servers_of_its_dialect_unchanged() -> None:
    said = {"messages": [{"role": "user", "content": [ILLUSTRATED]}]}
    assert sent("messages", {**NEEDED["messages"], **said})["messages"] == said["messages"]


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED_SO = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
NO = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No"}]}
URL = {"type": "image_url", "image_url": {"url": "https://h/a.png"}}
SPEECHES: dict[str, tuple[Object, list[Object]]] = {
    # an assistant message in Chat, and the items that a Responses server receives
    "nothing, in a list": ({"content": []}, []),
    "nothing at all": ({"content": None}, []),
    "a text without a character": ({"content": ""}, []),
    "a part without a character": ({"content": [{"type": "text", "text": ""}]}, []),
    "a field that only chat servers know": ({"content": [], "prefix": True}, []),
    "a refusal": ({"content": None, "refusal": "No"}, [NO]),
    "a refusal beside nothing": ({"content": [], "refusal": "No"}, [NO]),
    "a refusal beside no words": ({"content": "", "refusal": "No"}, [NO]),
    "a refusal as a part": ({"content": [{"type": "refusal", "refusal": "No"}]}, [NO]),
    "a call": ({"content": None, "tool_calls": [CALL]}, [CALLED_SO]),
    "a call beside nothing": ({"content": [], "tool_calls": [CALL]}, [CALLED_SO]),
    "a call beside no words": ({"content": "", "tool_calls": [CALL]}, [CALLED_SO]),
    "no calls": ({"content": [], "tool_calls": []}, []),
    "a picture": ({"content": [URL]}, []),
    "a thought": ({"content": [], "reasoning_content": "Hm"}, []),
}


@pytest.mark.parametrize("name", SPEECHES)
def test_assistant_messages_are_made_valid(name: str) -> None:
    said, told = SPEECHES[name]
    hello = {"role": "user", "content": "Hi"}
    asked = {"messages": [hello, {"role": "assistant", **said}, hello]}
    _, *made, _ = to("responses", "chat", asked)["input"]
    assert [item for item in made if item["type"] != "reasoning"] == told
    turns = to("messages", "chat", asked)["messages"]
    assert all(turn["content"] for turn in turns)
    words = [b["type"] for t in turns if t["role"] == "assistant" for b in t["content"]]
    assert set(words) <= {"text", "tool_use"}


@pytest.mark.parametrize("name", SPEECHES)
def test_assistant_messages_keep_their_position_for_chat_servers(name: str) -> None:
    said, _ = SPEECHES[name]
    hello = {"role": "user", "content": "Hi"}
    _, spoken, *_ = sent(
        "chat", {**NEEDED["chat"], "messages": [hello, {"role": "assistant", **said}]}
    )["messages"]
    assert spoken["role"] == "assistant"
    for field in ("prefix", "refusal", "tool_calls", "reasoning_content"):
        assert spoken.get(field) == (said.get(field) or None)
    if said.get("content"):
        assert spoken["content"] in (said["content"], "")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"role": "user", "content": []}, {"type": "message", "role": "user"}),
        ({"role": "user", "content": ""}, {"type": "message", "role": "user"}),
        ({"role": "system", "content": []}, {"type": "message", "role": "system"}),
    ],
)
def test_an_empty_message_of_another_role_is_kept(said: Object, told: Object) -> None:
    (made,) = to("responses", "chat", {"messages": [said]})["input"]
    assert made == {**told, "content": [{"type": "input_text", "text": ""}]}


def test_a_result_of_nothing_is_an_empty_text() -> None:
    asked = {
        "messages": [
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c", "content": []},
        ]
    }
    *_, made = to("responses", "chat", asked)["input"]
    assert made == {"type": "function_call_output", "call_id": "c", "output": ""}


HEARD: list[Object] = [
    {"audio": {"id": "audio_1"}},
    {"content": "See", "audio": {"id": "audio_1"}},
    {"function_call": {"name": "f", "arguments": "{}"}},
    {"content": None, "tool_calls": [CALL], "audio": {"id": "audio_1"}},
]


@pytest.mark.parametrize("dialect", ["responses", "messages"])
@pytest.mark.parametrize("said", HEARD)
def test_what_only_chat_servers_know_of_a_message_is_refused(said: Object, dialect: str) -> None:
    asked = {"messages": [{"role": "assistant", **said}]}
    with pytest.raises(NoForm) as caught:
        to(dialect, "chat", asked)
    assert caught.value.field in said
    (made,) = sent("chat", {**NEEDED["chat"], **asked})["messages"][:1]
    assert made[caught.value.field] == said[caught.value.field]


SOURCES: dict[str, tuple[Object, str]] = {
    "a text": ({"type": "text", "media_type": "text/plain", "data": "words"}, "words"),
    "parts": ({"type": "content", "content": [{"type": "text", "text": "words"}]}, "words"),
    "one text": ({"type": "content", "content": "words"}, "words"),
}


@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize("name", SOURCES)
def test_a_document_is_its_words_under_what_it_is_called(name: str, dialect: str) -> None:
    source, words = SOURCES[name]
    for head, told in (
        ({}, words),
        ({"title": "T"}, f"T\n\n{words}"),
        ({"title": "T", "context": "C"}, f"T\nC\n\n{words}"),
    ):
        block = {"type": "document", "source": source, **head}
        said = {"messages": [{"role": "user", "content": [block]}]}
        body = to(dialect, "messages", said)
        (made,) = body.get("messages") or body["input"]
        content = made["content"]
        assert (content if isinstance(content, str) else content[0]["text"]) == told
        assert sent("messages", {**NEEDED["messages"], **said})["messages"] == said["messages"]


@pytest.mark.parametrize("dialect", ["chat", "responses", "messages"])
@pytest.mark.parametrize("client", ["chat", "responses"])
def test_whether_calls_come_at_once_is_left_out_where_there_are_none(
    client: str, dialect: str
) -> None:
    body = to(dialect, client, {"parallel_tool_calls": False})
    assert ("parallel_tool_calls" in body) == (client == dialect)


@pytest.mark.parametrize(
    ("asked_for", "told"), [("none", None), ("minimal", "low"), ("low", "low"), ("xhigh", "xhigh")]
)
def test_how_hard_to_think_in_the_words_of_messages(asked_for: str, told: str | None) -> None:
    """That API refuses OpenAI's smallest efforts."""
    for client, said in (
        ("chat", {"reasoning_effort": asked_for}),
        ("responses", {"reasoning": {"effort": asked_for}}),
    ):
        config = to("messages", client, said).get("output_config", {})
        assert config.get("effort") == told


def test_other_servers_reasoning_is_not_text_for_responses_servers() -> None:
    """OpenAI refuses them: `Invalid 'input[1].content': array too long`."""
    user: Object = {"role": "user", "content": "Hi"}
    said: Object = {"role": "assistant", "content": "Ho", "reasoning_content": "hm"}
    items = to("responses", "chat", {"messages": [user, said, user]})["input"]
    assert [item.get("type", "message") for item in items] == ["message"] * 3
    thought: Object = {"type": "thinking", "thinking": "hm", "signature": "theirs"}
    blocks: Object = {"role": "assistant", "content": [thought, {"type": "text", "text": "Ho"}]}
    items = to("responses", "messages", {"messages": [user, blocks, user]})["input"]
    assert [item.get("type", "message") for item in items] == ["message"] * 3
    own: Object = {
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "hm"}],
    }
    (_, kept, _) = to("responses", "responses", {"input": [user, own, user]})["input"]
    assert kept["content"] == own["content"], "a client of the dialect knows its server"


CACHES = ("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier")
"""OpenAI's parameters, in both its dialects; other servers refuse them, and Codex sends some by default."""
OF_CHAT = {
    *(*CACHES, "frequency_penalty", "logit_bias", "metadata", "moderation", "prediction"),
    *("presence_penalty", "seed", "store"),
}
OF_RESPONSES = {
    *(*CACHES, "access_programs", "context_management", "image", "include"),
    *("max_tool_calls", "moderation", "truncation"),
}
OF_MESSAGES = {
    *("billing_policy", "cache_control", "compaction", "context_management", "diagnostics"),
    *("fallback_credit_token", "fallbacks", "service_tier", "speed"),
}
LEFT_OUT: dict[tuple[str, str], set[str]] = {
    ("chat", "responses"): {*OF_CHAT, "stop"},
    ("chat", "messages"): {
        *OF_CHAT,
        *("logprobs", "response_format", "service_tier", "top_logprobs", "verbosity"),
    },
    ("responses", "chat"): OF_RESPONSES,
    ("responses", "messages"): {*OF_RESPONSES, "service_tier", "text", "top_logprobs"},
    ("messages", "chat"): OF_MESSAGES,
    ("messages", "responses"): {*OF_MESSAGES, "stop_sequences"},
}
"""Documented parameters that servers of another dialect do not receive. Of `text` and `response_format`
this is a request for any JSON, which the prompt states as well."""


@pytest.mark.parametrize(("client", "dialect"), LEFT_OUT)
def test_every_parameter_is_translated_refused_or_known_to_be_left_out(
    client: str, dialect: str
) -> None:
    silent: set[str] = set()
    for name, value in PASSED[client].items():
        beside = {other: PASSED[client][other] for other in TOGETHER.get(name, ())}
        try:
            told = to(dialect, client, {**beside, name: value})
        except NoForm:
            continue
        if name not in NEEDED[client] and told == to(dialect, client, beside):
            silent.add(name)
    assert silent == LEFT_OUT[client, dialect]
