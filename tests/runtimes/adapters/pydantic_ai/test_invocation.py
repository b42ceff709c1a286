"""Agents of Pydantic AI stop and continue: for a person's decision, over restarts, nested."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic_ai import Agent, RunContext, Tool
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ModelHTTPError, ModelRetry
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ThinkingPart,
    ToolCallPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel

from tailrace.events import types as t
from tailrace.events.answers import Approval, Reply
from tailrace.models.scenario import ScenarioStep
from tailrace.runtimes.adapters.pydantic_ai.runtime import PydanticAIRuntime
from tests.support.house import open_house
from tests.support.pydantic_ai_agents import again, model, replies_given, run
from tests.support.specs import until
from tests.support.team import call, outputs, say, texts

# approvals


async def test_a_tool_may_request_approval_while_it_runs() -> None:
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


# continuation


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
    await until(first, name, lambda state: any(item.has_begun for item in state.items))
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
    assert state.dispatches == {0: ["helper", "helper#2"]}
    assert state.replies == {"MAIN": 2, "helper": 1, "helper#2": 1}
    await second.supervisor.close()


async def test_an_agent_below_that_fails_is_the_tools_to_deal_with() -> None:
    helper = Agent(model("helper", ((say("so"), ScenarioStep(fail="x")),)), name="helper")

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
