"""The place, in a framework's list of messages, of messages that arrived with an answer."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from tailrace.events import types as t
from tailrace.events.state import fold
from tailrace.runtimes.adapters.langgraph import messages as langgraph_messages
from tailrace.runtimes.adapters.late_input import (
    LateInput,
    agents_of_request,
    insert_late,
    late_inputs,
)
from tailrace.runtimes.adapters.openai_agents import items as openai_agents_items
from tailrace.runtimes.adapters.pydantic_ai import messages as pydantic_ai_messages
from tailrace.runtimes.node_lifecycle import NODE
from tests.support.logs import call, log, user


@pytest.mark.parametrize(
    ("replies", "shown"),
    [
        (0, "uataaX"),  # no reply followed
        (1, "uataXa"),
        (2, "uatXaa"),
        (3, "uXataa"),
        (4, "uXataa"),  # the framework left out older replies
    ],
)
def test_a_message_stands_before_the_replies_that_followed_it(replies: int, shown: str) -> None:
    listed = list("uataa")
    begins = [n for n, each in enumerate(listed) if each == "a"]
    assert "".join(insert_late(listed, begins, [(replies, ["X"])])) == shown


def test_messages_keep_their_order() -> None:
    said = [(1, ["1", "2"]), (1, ["3"]), (0, ["4"])]
    assert "".join(insert_late(list("ua"), [1], said)) == "u123a4"
    assert insert_late([], [], [(2, ["x"])]) == ["x"]


SAID = [LateInput((user("one"),), 1), LateInput((user("two"),), 0)]


def test_in_the_words_of_pydantic_ai() -> None:
    """The message follows the results in the same request: providers accept no two requests in a row, and
    the last one has the instructions."""
    calls = [ToolCallPart("pay", "{}", f"c{n}") for n in (1, 2)]
    results = [ToolReturnPart("pay", "paid", f"c{n}") for n in (1, 2)]
    asked: list[Any] = [
        ModelRequest([UserPromptPart("go")], instructions="i"),
        ModelResponse([calls[0]]),
        ModelRequest([results[0]], instructions="i"),
        ModelResponse([TextPart("again"), calls[1]]),
        ModelRequest([results[1]], instructions="i"),
    ]
    made: list[Any] = pydantic_ai_messages.with_late_inputs(asked, SAID)
    assert [len(each.parts) for each in asked] == [1, 1, 1, 2, 1], (
        "the framework's own stay as they are"
    )
    words = [[getattr(part, "content", part.part_kind) for part in each.parts] for each in made]
    assert words == [
        ["go"],
        ["tool-call"],
        ["paid", "one"],
        ["again", "tool-call"],
        ["paid", "two"],
    ]
    assert made[-1].instructions == "i"


def test_in_the_words_of_langchain() -> None:
    asked: list[Any] = [
        HumanMessage("go"),
        AIMessage("", tool_calls=[{"name": "pay", "args": {}, "id": "c1"}]),
        ToolMessage("paid", tool_call_id="c1"),
        AIMessage("", tool_calls=[{"name": "pay", "args": {}, "id": "c2"}]),
        ToolMessage("paid twice", tool_call_id="c2"),
    ]
    made = langgraph_messages.with_late_inputs(asked, SAID)
    assert [str(each.content) for each in made] == [
        "go",
        "",
        "paid",
        "one",
        "",
        "paid twice",
        "two",
    ]
    assert len(asked) == 5


def test_in_the_words_of_the_openai_agents_sdk() -> None:
    """A reply in this SDK is several items in a row."""
    asked: list[Any] = [
        {"role": "user", "content": "go"},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "pay", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "paid"},
        {"role": "assistant", "content": "again", "type": "message"},
        {"type": "function_call", "call_id": "c2", "name": "pay", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c2", "output": "paid"},
    ]
    made: Any = openai_agents_items.with_late_inputs(asked, SAID)
    assert [each.get("role", each.get("type")) for each in made] == [
        "user", "reasoning", "function_call", "function_call_output", "user",
        "assistant", "function_call", "function_call_output", "user",
    ]  # fmt: skip
    assert openai_agents_items.with_late_inputs("go", []) == "go"


def test_agents_of_the_request_get_late_messages() -> None:
    """An agent that a call started does not; one that the framework runs inside the main agent does."""
    called = call(0, "task", runs_on="server")
    sent = t.AgentStarted("sent", "subagent", t.MAIN, 0)
    inside = t.AgentStarted("inside", "subagent", t.MAIN)
    below = t.AgentStarted("below", "subagent", "sent")
    state = fold(
        log(
            [
                *called,
                t.Usage("m"),
                t.ToolStarted(0),
                t.Draft(sent, NODE, "sent"),
                t.Draft(below, NODE, "below"),
                t.Draft(inside, NODE, "inside"),
            ]
        )
    )
    assert agents_of_request(state) == {t.MAIN, "inside"}
    assert late_inputs(state, {t.MAIN}) == []
