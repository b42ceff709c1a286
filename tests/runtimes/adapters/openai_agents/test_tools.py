"""Tools of OpenAI Agents SDK agents: their results and their failures."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agents import (
    Agent,
    CustomTool,
    ShellTool,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrail,
    ToolOutputGuardrail,
    ToolOutputText,
    function_tool,
)
from agents.testing import ModelStep, ScriptedModel
from openai.types.responses import ResponseOutputItem
from pydantic import TypeAdapter

from tailrace.events import types as t
from tailrace.events.request import Settings, ToolChoice
from tailrace.runtimes.adapters.openai_agents.runtime import OpenAIAgentsRuntime
from tests.support.house import open_house
from tests.support.openai_agents_agents import (
    Scripted,
    Streams,
    answer,
    event,
    response,
    run,
    tool,
)
from tests.support.specs import until
from tests.support.team import call, outputs, say


async def test_a_tools_exception_is_reported_by_its_error_function() -> None:
    def broken() -> str:
        """Break."""
        raise ValueError("secret")

    replies = ((call("broken"),), (say("I see"),))
    model = Scripted("lead", replies)
    state = await run(Agent(name="lead", model=model, tools=[function_tool(broken)]))
    assert state.end == t.RunCompleted()
    assert "An error occurred" in outputs(state)[0]
    assert "secret" not in outputs(state)[0], "the SDK's default keeps it from the model"
    assert state.items[0].output is not None
    assert state.items[0].output.is_error
    strict = function_tool(broken, failure_error_function=None)
    state = await run(Agent(name="lead", model=Scripted("lead", replies), tools=[strict]))
    assert state.end == t.RunFailed("server_error", "The agent raised ValueError.")
    assert outputs(state) == ["The tool failed (ValueError)."]


async def test_a_tool_that_takes_too_long() -> None:
    async def hang() -> str:
        """Hang."""
        await asyncio.Event().wait()
        return ""

    slow = function_tool(hang, timeout=0.01)
    lead = Agent(name="lead", model=Scripted("lead", ((call("hang"),), (say("ok"),))), tools=[slow])
    state = await run(lead)
    assert state.end == t.RunCompleted()
    assert "timed out" in outputs(state)[0]
    assert state.items[0].output is not None
    assert state.items[0].output.is_error


async def test_a_custom_tool_and_parts_as_a_result() -> None:
    async def shout(context: Any, text: str) -> str:
        return text.upper()

    def parts() -> list[ToolOutputText]:
        """Make parts."""
        return [ToolOutputText(text="a"), ToolOutputText(text="b")]

    calls = [
        {"type": "custom_tool_call", "id": "x", "call_id": "c1", "name": "shout", "input": "hey"},
        {"type": "function_call", "id": "y", "call_id": "c2", "name": "parts", "arguments": "{}"},
    ]
    done = [event("response.completed", response=response(calls))]
    said = TypeAdapter(list[ResponseOutputItem]).validate_python([answer("ok")])
    model = ScriptedModel([ModelStep.stream(done), said])
    loud = CustomTool(name="shout", description="Shout.", on_invoke_tool=shout)
    state = await run(Agent(name="lead", model=model, tools=[loud, tool(parts)]))
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["HEY", "ab"]
    assert state.items[0].started.custom


@pytest.mark.parametrize("before", [True, False])
async def test_a_guardrails_text_in_place_of_a_tool_is_its_result(before: bool) -> None:
    ran: list[str] = []

    def look() -> str:
        """Look."""
        ran.append("look")
        return "secret"

    def instead(data: Any) -> ToolGuardrailFunctionOutput:
        return ToolGuardrailFunctionOutput.reject_content("Not for you.")

    looking = tool(look)
    if before:
        looking.tool_input_guardrails = [ToolInputGuardrail(instead)]
    else:
        looking.tool_output_guardrails = [ToolOutputGuardrail(instead)]
    replies = ((call("look"),), (say("ok"),))
    state = await run(Agent(name="lead", model=Scripted("lead", replies), tools=[looking]))
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["Not for you."]
    assert len(ran) == (0 if before else 1)
    last = Agent(
        name="lead",
        model=Scripted("lead", replies),
        tools=[looking],
        tool_use_behavior="stop_on_first_tool",
    )
    state = await run(last)
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["Not for you."]
    assert state.replies == {"MAIN": 1}


async def test_a_tool_that_is_not_there_fails_the_run() -> None:
    state = await run(Agent(name="lead", model=Scripted("lead", ((call("nothing"),),))))
    assert isinstance(state.end, t.RunFailed)
    assert "nothing" in state.end.message


async def test_an_approval_that_cannot_be_requested_fails_the_run() -> None:
    action = {"commands": ["ls"], "timeout_ms": None, "max_output_length": None}
    shell = {
        "type": "shell_call", "id": "s", "call_id": "s1", "status": "completed", "action": action,
    }  # fmt: skip
    model = Streams(event("response.completed", response=response([shell])))
    asks = ShellTool(executor=lambda request: "out", needs_approval=True)
    state = await run(Agent(name="lead", model=model, tools=[asks]))
    assert isinstance(state.end, t.RunFailed)
    assert "approval" in state.end.message


async def test_waiting_for_a_person_is_not_taking_too_long() -> None:
    async def pay() -> str:
        """Pay."""
        return "paid"

    async def busy() -> str:
        """Take longer than the other may."""
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, done.set)
        await done.wait()
        return "done"

    calls = (call("pay"), call("busy"))
    paying = function_tool(pay, timeout=0.01, needs_approval=True)
    lead = Agent(name="lead", model=Scripted("lead", (calls,)), tools=[paying, tool(busy)])
    state = await run(lead)
    assert state.phase == "waiting"
    assert [item.tool for item in state.items] == ["asked", "done"]


async def test_a_cancelled_run_ends_when_its_tools_have_cleaned_up() -> None:
    cleaned: list[str] = []

    async def hang() -> str:
        """Hang."""
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(50):
                await asyncio.sleep(0)
            cleaned.append("tool")
        return ""

    lead = Agent(name="lead", model=Scripted("lead", ((call("hang"),),)), tools=[tool(hang)])
    house = await open_house(OpenAIAgentsRuntime(lead, "lead"))
    name = await house.start()
    await until(house, name, lambda s: "running" in [item.tool for item in s.items])
    await house.supervisor.cancel(name, "a test")
    assert cleaned == ["tool"]
    await house.supervisor.close()


async def test_a_forced_choice_holds_for_the_first_reply() -> None:
    def look() -> str:
        """Look."""
        return "seen"

    model = Scripted("lead", ((call("look"),), (say("ok"),)))
    settings = Settings(tool_choice=ToolChoice(mode="required"))
    await run(Agent(name="lead", model=model, tools=[tool(look)]), settings=settings)
    assert [asked["settings"].tool_choice for asked in model.asked] == ["required", None]
