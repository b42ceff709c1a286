"""A request for something that its agent cannot do is refused with the parameter's name; no run begins."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.servers import ChildServer

CONFIG = """
[server]
data = "data"
{server}

[agents.graph]
entry = "helper_tools:graph"

[agents.pydantic]
entry = "helper_tools:pydantic"

[agents.typed]
entry = "helper_tools:typed"

[agents.openai]
entry = "helper_tools:openai"

[agents.typed_openai]
entry = "helper_tools:typed_openai"
"""
TOOLS = """
from agents import Agent as OpenAIAgent
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from tailrace.models.scenario import ScenarioStep
from tests.support.openai_agents_agents import Scripted


class Answer(BaseModel):
    a: int


builder = StateGraph(MessagesState)
builder.add_node("node", lambda state: {"messages": [AIMessage("hello")]})
builder.add_edge(START, "node")
graph = builder.compile()
pydantic = Agent(TestModel(custom_output_text="hello"))
typed = Agent(TestModel(), output_type=Answer)
openai = OpenAIAgent(name="openai", model=Scripted("o", ((ScenarioStep(text="hello"),),)))
typed_openai = OpenAIAgent(name="typed_openai", model=Scripted("o", ()), output_type=Answer)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer, None, None]:
    child = ChildServer(tmp_path_factory.mktemp("lacking"), config=CONFIG, tools=TOOLS)
    yield child.start(fresh=True)
    child.kill()
    assert "Traceback" not in child.errors()


SAID = [{"role": "user", "content": "hi"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


class Case(NamedTuple):
    path: str
    body: dict[str, Any]
    param: str


def chat(param: str, **fields: Any) -> Case:
    return Case("/v1/chat/completions", {"messages": SAID, **fields}, param)


def responses(param: str, **fields: Any) -> Case:
    return Case("/v1/responses", {"input": "hi", **fields}, param)


def messages(param: str, **fields: Any) -> Case:
    return Case("/v1/messages", {"messages": SAID, "max_tokens": 9, **fields}, param)


TOOL = {"name": "t", "parameters": SCHEMA}
CHAT_TOOL = {"type": "function", "function": TOOL}
NAMED = {"name": "x", "schema": SCHEMA}
CUSTOM = {"type": "custom", "name": "c"}
CASES: dict[str, dict[str, Case]] = {
    "json_schema": {
        "chat": chat(
            "response_format", response_format={"type": "json_schema", "json_schema": NAMED}
        ),
        "responses": responses("text.format", text={"format": {"type": "json_schema", **NAMED}}),
        "messages": messages(
            "output_config.format",
            output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
        ),
    },
    "json_object": {
        "chat": chat("response_format", response_format={"type": "json_object"}),
        "responses": responses("text.format", text={"format": {"type": "json_object"}}),
    },
    "tool_choice": {
        "chat": chat("tool_choice", tools=[CHAT_TOOL], tool_choice="required"),
        "responses": responses(
            "tool_choice", tools=[{"type": "function", **TOOL}], tool_choice="required"
        ),
        "messages": messages(
            "tool_choice",
            tools=[{"name": "t", "input_schema": SCHEMA}],
            tool_choice={"type": "tool", "name": "t"},
        ),
    },
    "stop": {
        "chat": chat("stop", stop=["x"]),
        "messages": messages("stop_sequences", stop_sequences=["x"]),
    },
    "logprobs": {
        "chat": chat("logprobs", logprobs=True),
        "responses": responses("include", include=["message.output_text.logprobs"]),
    },
    "seed": {"chat": chat("seed", seed=3)},
    "custom_tools": {
        "chat": chat("tools", tools=[{"type": "custom", "custom": {"name": "c"}}]),
        "responses": responses("tools", tools=[CUSTOM]),
    },
}
LACKS = {
    "graph": set(CASES),
    "pydantic": {"json_object", "tool_choice", "logprobs", "custom_tools"},
    "typed": {"json_schema", "json_object", "tool_choice", "logprobs", "custom_tools"},
    "openai": {"json_object", "stop", "seed", "logprobs", "custom_tools"},
    "typed_openai": {"json_schema", "json_object", "stop", "seed", "logprobs", "custom_tools"},
}


@pytest.mark.parametrize(
    ("agent", "feature", "surface"),
    [
        (agent, feature, surface)
        for agent, features in LACKS.items()
        for feature in sorted(features)
        for surface in CASES[feature]
    ],
)
def test_a_feature_that_an_agent_lacks_is_refused(
    server: ChildServer, agent: str, feature: str, surface: str
) -> None:
    case = CASES[feature][surface]
    before = httpx.get(server.url + "/jobs").json()["data"]
    reply = httpx.post(server.url + case.path, json={"model": agent, **case.body}, timeout=20)
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert f"{agent} cannot " in error["message"]
    assert error.get("param", case.param) == case.param
    if surface == "messages":
        assert error["message"].startswith(f"{case.param}: ")
    assert httpx.get(server.url + "/jobs").json()["data"] == before, "no run began"


PLAIN = chat(
    "",
    stop=None,
    logprobs=False,
    tool_choice="auto",
    tools=[CHAT_TOOL],
    response_format={"type": "text"},
)


@pytest.mark.parametrize("agent", ["pydantic", "openai", "graph"])
def test_a_request_with_the_defaults_of_sdks_is_served(server: ChildServer, agent: str) -> None:
    body = {"model": agent, **PLAIN.body, "tools": None}
    reply = httpx.post(server.url + PLAIN.path, json=body, timeout=20)
    assert reply.json()["choices"][0]["message"]["content"] == "hello"
