"""Agents of Pydantic AI, run by Pydantic AI, over its own function model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext, Tool
from pydantic_ai.capabilities import ProcessEventStream
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ModelHTTPError, ModelRetry
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel
from pydantic_ai.models.test import TestModel as FakeModel

from tailrace.events import items as i
from tailrace.events import types as t
from tailrace.events.answers import Approval, Reply
from tailrace.events.request import OutputFormat, Settings
from tailrace.events.state import RunState
from tailrace.models.scenario import Step
from tailrace.runtimes.adapters.pydantic_ai import PydanticAIRuntime
from tailrace.runtimes.contract import Runtime
from tests.runtimes.adapters.contract_suite import Contract
from tests.support.house import House, open_house
from tests.support.specs import Spec, Steps, next_reply, until
from tests.support.team import call, outputs, say, texts


def replies_given(messages: Sequence[ModelMessage]) -> int:
    """Replies since the last user message."""
    given = 0
    for message in reversed(messages):
        if isinstance(message, ModelResponse):
            given += 1
        elif any(isinstance(part, UserPromptPart) for part in message.parts):
            break
    return given


def model(name: str, replies: tuple[Steps, ...]) -> FunctionModel:
    """The framework's fake model, saying what the script says."""

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        given = replies_given(messages)
        for index, step in enumerate(next_reply(replies, given)):
            async for piece in played(step, index, f"call_{name}_{given}_{index}"):
                yield piece

    return FunctionModel(stream_function=stream, model_name="fake")


async def played(step: Step, index: int, call_id: str) -> AsyncIterator[Any]:
    if step.text is not None:
        yield step.text
    elif step.reasoning is not None:
        yield {index: DeltaThinkingPart(content=step.reasoning, signature="sig")}
    elif step.call is not None:
        arguments = msgspec.json.encode(step.arguments or {}).decode()
        half = len(arguments) // 2
        yield {index: DeltaToolCall(name=step.call, tool_call_id=call_id)}
        yield {index: DeltaToolCall(json_args=arguments[:half])}
        yield {index: DeltaToolCall(json_args=arguments[half:])}
    elif step.delay_ms is not None:
        await asyncio.sleep(step.delay_ms / 1000)
    elif step.fail is not None:
        raise ModelHTTPError(500, "fake", {"message": step.fail})


def agent(spec: Spec) -> Agent[None, Any]:
    """An ordinary agent of theirs."""
    tools = [Tool(each, requires_approval=each.__name__ in spec.approve) for each in spec.tools]
    tools += [Tool(calling(agent(below)), name=below.name) for below in spec.below]
    return Agent(model(spec.name, spec.replies), name=spec.name, tools=tools)


def calling(other: Agent[None, Any]) -> Any:
    async def run_other(prompt: str) -> str:
        """Let another agent work."""
        return str((await other.run(prompt)).output)

    return run_other


class TestPydanticAI(Contract):
    """The suite."""

    failed_tool_fails_the_run = True

    def build(self, spec: Spec) -> Runtime:
        return PydanticAIRuntime(agent(spec), spec.name)


async def run(agent: Agent[Any, Any], **fields: Any) -> RunState:
    house = await open_house(PydanticAIRuntime(agent, "lead"))
    state = await house.finished(await house.start(**fields))
    await house.supervisor.close()
    return state


async def again(house: House, agent: Agent[Any, Any]) -> House:
    await house.supervisor.drain()
    second = House(PydanticAIRuntime(agent, "lead"), house.store)
    await second.supervisor.open()
    return second


# what goes in


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


# what the model answers with


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
async def test_a_client_may_ask_for_json_of_a_schema(name: str) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = OutputFormat(kind="json_schema", name=name, schema=schema)
    replies = ((call("final_result", n=1),),)
    state = await run(Agent(model("lead", replies)), settings=Settings(output=wanted))
    assert texts(state) == ['{"n":1}']


async def test_models_that_do_not_stream_and_agents_with_a_handler_of_their_own() -> None:
    heard: list[Any] = []

    async def handler(context: RunContext[Any], events: Any) -> None:
        async for event in events:
            heard.append(event)

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
    assert [item.begun for item in state.items[:3]] == [False, False, True]


async def test_the_frameworks_own_limit_ends_the_run_early() -> None:
    def again() -> str:
        """Go on."""
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


# people


async def test_a_tool_may_find_out_late_that_it_needs_a_yes() -> None:
    paid: list[tuple[int, bool]] = []

    def lead() -> Agent[None, Any]:
        def pay(context: RunContext[None], amount: int) -> str:
            """Pay."""
            if amount > 10 and not context.tool_call_approved:
                raise ApprovalRequired
            paid.append((amount, context.tool_call_approved))
            return f"paid {amount}"

        calls = (call("pay", amount=5), call("pay", amount=50))
        return Agent(model("lead", (calls, (say("ok"),))), tools=[pay])

    first = await open_house(PydanticAIRuntime(lead(), "lead"))
    name = await first.start()
    state = await first.finished(name)
    assert [item.tool for item in state.items] == ["done", "asked"]
    second = await again(first, lead())
    await second.supervisor.answer(name, (Approval(1, approved=True),))
    state = await second.finished(name)
    assert state.end == t.RunCompleted()
    assert paid == [(5, False), (50, True)]
    await second.supervisor.close()


async def test_a_tool_may_put_its_result_off() -> None:
    def lead() -> Agent[None, Any]:
        def ask(what: str) -> str:
            """Ask."""
            raise CallDeferred(metadata={"message": what}, kind="question")

        return Agent(model("lead", ((call("ask", what="Which?"),), (say("ok"),))), tools=[ask])

    first = await open_house(PydanticAIRuntime(lead(), "lead"))
    name = await first.start()
    state = await first.finished(name)
    (question,) = state.questions.values()
    assert (state.phase, question.message, question.item) == ("waiting", "Which?", 0)
    second = await again(first, lead())
    await second.supervisor.answer(name, (Reply(question.request_id, "red"),))
    state = await second.finished(name)
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["red"]
    await second.supervisor.close()


# going on


async def test_what_only_the_model_server_understands_comes_back_after_a_crash() -> None:
    seen: list[ModelMessage] = []

    def lead(hang: bool) -> Agent[None, Any]:
        async def look() -> str:
            """Look."""
            if hang:
                await asyncio.Event().wait()
            return "seen"

        async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
            seen[:] = messages
            if replies_given(messages):
                yield "ok"
                return
            yield {0: DeltaThinkingPart(content="hm", signature="sig")}
            yield {1: DeltaToolCall(name="look", json_args="{}", tool_call_id="c1")}

        tools = [Tool(look, metadata={"after_crash": "retry"})]
        return Agent(FunctionModel(stream_function=stream), tools=tools)

    first = await open_house(PydanticAIRuntime(lead(hang=True), "lead"))
    name = await first.start()
    await until(first, name, lambda state: any(item.begun for item in state.items))
    second = await again(first, lead(hang=False))
    state = await second.finished(name)
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["seen"], "such a tool may be called again"
    thought, called = seen[1].parts
    assert isinstance(thought, ThinkingPart)
    assert (thought.content, thought.signature, thought.provider_name) == ("hm", "sig", "function")
    assert isinstance(called, ToolCallPart)
    assert isinstance(seen[2], ModelRequest)
    await second.supervisor.close()


async def test_a_tool_that_runs_several_agents_finds_each_where_it_was() -> None:
    asked: list[str] = []

    def lead(hang: bool) -> Agent[None, Any]:
        def helper() -> Agent[None, Any]:
            async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
                prompt = str(messages[-1].parts[-1].content)  # type: ignore[union-attr]
                asked.append(prompt)
                if prompt == "two" and hang:
                    yield "half"
                    await asyncio.Event().wait()
                yield prompt.upper()

            return Agent(FunctionModel(stream_function=stream), name="helper", instructions="Help.")

        async def both() -> str:
            """Let two work, one after the other."""
            one = await helper().run("one")
            two = await helper().run("two")
            return f"{one.output} {two.output}"

        return Agent(model("lead", ((call("both"),), (say("ok"),))), tools=[both])

    first = await open_house(PydanticAIRuntime(lead(hang=True), "lead"))
    name = await first.start()
    await until(first, name, lambda state: "two" in asked and bool(state.open))
    second = await again(first, lead(hang=False))
    state = await second.finished(name)
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["ONE TWO"]
    assert asked == ["one", "two", "two"]
    assert state.dispatched == {0: ["helper", "helper#2"]}
    assert state.replies == {"MAIN": 2, "helper": 1, "helper#2": 1}
    await second.supervisor.close()


async def test_an_agent_below_that_fails_is_the_tools_to_deal_with() -> None:
    helper = Agent(model("helper", ((say("so"), Step(fail="x")),)), name="helper")

    async def careful() -> str:
        """Try."""
        try:
            return str((await helper.run("go")).output)
        except ModelHTTPError:
            raise ModelRetry("It failed.") from None

    state = await run(Agent(model("lead", ((call("careful"),), (say("ok"),))), tools=[careful]))
    assert state.end == t.RunCompleted()
    assert "It failed." in outputs(state)[0]
    assert texts(state, "helper") == ["so"]


async def test_outside_our_runs_agents_do_what_they_did() -> None:
    lead = Agent(model("lead", ((say("plain"),),)))
    async with lead.run_stream("Hi") as streamed:
        assert await streamed.get_output() == "plain"
