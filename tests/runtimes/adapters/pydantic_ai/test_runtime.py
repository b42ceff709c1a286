"""Agents of Pydantic AI, run by Pydantic AI: their input, and the events that describe their work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext
from pydantic_ai.capabilities import ProcessEventStream
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel as FakeModel

from tailrace.events import items as i
from tailrace.events import types as t
from tailrace.events.request import OutputFormat, Settings
from tailrace.runtimes.adapters.pydantic_ai.runtime import PydanticAIRuntime
from tailrace.runtimes.contract import Runtime
from tests.runtimes.adapters.contract_suite import Contract
from tests.support.house import open_house
from tests.support.pydantic_ai_agents import agent, model, run
from tests.support.specs import Spec
from tests.support.team import call, outputs, say, texts


class TestPydanticAI(Contract):
    """The suite."""

    failed_tool_fails_the_run = True

    def build(self, spec: Spec) -> Runtime:
        return PydanticAIRuntime(agent(spec), spec.name)


# input


async def test_a_request_becomes_prompt_history_and_instructions() -> None:
    seen: list[tuple[list[ModelMessage], str | None]] = []

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        seen.append((list(messages), info.instructions))
        yield "ok"

    lead = Agent(
        FunctionModel(stream_function=stream), instructions="Be brief.", system_prompt="You are it."
    )
    picture = i.ImagePart(url="data:image/png;base64,iVBORw0KGgo=")
    given = i.Message(role="user", content=(i.TextPart("What is this?"), picture))
    await run(lead, input=(given,), instructions="Be kind.")
    messages, instructions = seen.pop()
    assert instructions == "Be brief.\n\nBe kind."
    system, prompt = messages[0].parts
    assert isinstance(system, SystemPromptPart)
    assert isinstance(prompt, UserPromptPart)
    assert prompt.content[0] == "What is this?"
    assert isinstance(prompt.content[1], BinaryContent)

    history = [
        i.Message(role="system", content=(i.TextPart("Be loud."),)),
        given,
        i.ToolCall(call_id="c1", name="look", arguments="{}"),
        i.ToolCall(call_id="c2", name="paint", arguments="{}"),
        i.ToolOutput(call_id="c1", output=(i.TextPart("seen"),)),
        i.Message(role="assistant", content=(i.TextPart("A dot."),)),
    ]
    await run(lead, history=history, text="Sure?")
    messages, instructions = seen.pop()
    assert "Be loud." in str(instructions)
    kinds = [type(part) for message in messages for part in message.parts]
    assert kinds == [
        UserPromptPart, ToolCallPart, ToolCallPart, ToolReturnPart, ToolReturnPart, TextPart, UserPromptPart,
    ]  # fmt: skip


# the form of the answer


class Answer(BaseModel):
    colour: str
    size: int


async def test_an_output_tool_is_the_answer_and_not_a_call() -> None:
    right = {"colour": "red", "size": 3}
    replies = ((call("final_result", colour="red", size="big"),), (call("final_result", **right),))
    state = await run(Agent(model("lead", replies), output_type=Answer))
    assert state.end == t.RunCompleted()
    assert state.finish == "stop"
    assert [item.started.kind for item in state.items] == ["message", "message"]
    assert msgspec.json.decode(texts(state)[1]) == right


@pytest.mark.parametrize("name", ["", "Answer"])
async def test_a_client_can_request_json_of_a_schema(name: str) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = OutputFormat(kind="json_schema", name=name, schema=schema)
    replies = ((call("final_result", n=1),),)
    state = await run(Agent(model("lead", replies)), settings=Settings(output=wanted))
    assert texts(state) == ['{"n":1}']


async def test_models_that_do_not_stream_and_agents_with_a_handler_of_their_own() -> None:
    heard: list[Any] = []

    async def handler(context: RunContext[Any], events: Any) -> None:
        heard.extend([event async for event in events])

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[ThinkingPart("hm"), TextPart("whole")])

    state = await run(Agent(FunctionModel(answer), capabilities=[ProcessEventStream(handler)]))
    assert [item.started.kind for item in state.items] == ["reasoning", "message"]
    assert texts(state) == ["whole"]
    assert heard
    state = await run(Agent(FakeModel(custom_output_text="tested")))
    assert texts(state) == ["tested"]


async def test_calls_that_reach_no_tool_are_answered_too() -> None:
    def add(a: int) -> int:
        """Add."""
        return a

    replies = ((call("add", a="x"), call("nothing")), (call("add", a=1),), (say("ok"),))
    state = await run(Agent(model("lead", replies), tools=[add], retries=3))
    assert state.end == t.RunCompleted()
    assert [item.tool for item in state.items[:3]] == ["done"] * 3
    assert "valid integer" in outputs(state)[0]
    assert "nothing" in outputs(state)[1]
    assert outputs(state)[2] == "1"
    assert [item.has_begun for item in state.items[:3]] == [False, False, True]


async def test_the_frameworks_own_limit_ends_the_run_early() -> None:
    def again() -> str:
        """Continue."""
        return "more"

    state = await run(Agent(model("lead", ((call("again"),),)), tools=[again]))
    assert state.end == t.RunIncomplete("max_turns")
    assert state.replies == {"MAIN": 50}


async def test_dependencies_are_made_from_the_request() -> None:
    def who(context: RunContext[str]) -> str:
        """Say who."""
        return context.deps

    lead = Agent(model("lead", ((call("who"),), (say("ok"),))), tools=[who], deps_type=str)
    runtime = PydanticAIRuntime(lead, "lead", deps=lambda request: request.model)
    house = await open_house(runtime)
    assert outputs(await house.finished(await house.start())) == ["helper"]
    await house.supervisor.close()
