"""Agents of the OpenAI Agents SDK stop and continue: for a person's decision, over restarts, nested."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agents import (
    Agent,
    CustomTool,
    ModelRetrySettings,
    ModelSettings,
    Runner,
    ShellTool,
    function_tool,
)

from tailrace.events import types as t
from tailrace.events.answers import Approval
from tailrace.events.request import Settings
from tailrace.models.scenario import ScenarioStep
from tailrace.runtimes.adapters.openai_agents.runtime import OpenAIAgentsRuntime
from tests.support.house import open_house
from tests.support.openai_agents_agents import (
    Scripted,
    again,
    event,
    failure,
    response,
    run,
    tool,
)
from tests.support.specs import FOREVER, PAINT, reason, until
from tests.support.team import call, outputs, say, texts


def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


# approvals


async def test_a_tool_may_need_approval_depending_on_its_arguments() -> None:
    asked: list[int] = []

    async def much(context: Any, arguments: dict[str, Any], call_id: str) -> bool:
        await asyncio.sleep(0)
        asked.append(arguments["amount"])
        return bool(arguments["amount"] > 10)

    def lead() -> Agent[Any]:
        replies = ((call("pay", amount=5), call("pay", amount=50)), (say("ok"),))
        return Agent(
            name="lead", model=Scripted("lead", replies), tools=[tool(pay, needs_approval=much)]
        )

    first = await open_house(OpenAIAgentsRuntime(lead(), "lead"))
    name = await first.start()
    state = await first.finished(name)
    assert [item.tool for item in state.items] == ["done", "asked"]
    second = await again(first, lead())
    await second.supervisor.answer(name, (Approval(1, approved=True),))
    state = await second.finished(name)
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["paid 5", "paid 50"]
    assert asked == [5, 50], "nobody is asked about what was answered"
    await second.supervisor.close()


@pytest.mark.parametrize("approved", [True, False])
async def test_a_custom_tool_may_need_approval(approved: bool) -> None:
    async def shout(context: Any, text: str) -> str:
        return text.upper()

    said = {"type": "custom_tool_call", "id": "x", "call_id": "c1", "name": "shout", "input": "hey"}

    class Model(Scripted):
        async def stream_response(self, *arguments: Any, **more: Any) -> Any:
            if len(arguments[1]) > 1:
                async for each in super().stream_response(*arguments, **more):
                    yield each
            else:
                yield event("response.completed", response=response([said]))

    def lead() -> Agent[Any]:
        loud = CustomTool(
            name="shout", description="Shout.", on_invoke_tool=shout, needs_approval=True
        )
        return Agent(name="lead", model=Model("lead", ((say("ok"),),)), tools=[loud])

    first = await open_house(OpenAIAgentsRuntime(lead(), "lead"))
    name = await first.start()
    state = await first.finished(name)
    assert (state.phase, state.items[0].tool) == ("waiting", "asked")
    second = await again(first, lead())
    await second.supervisor.answer(name, (Approval(0, approved=approved),))
    state = await second.finished(name)
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["HEY" if approved else "A person refused this call."]
    await second.supervisor.close()


async def test_a_clients_call_beside_one_that_waits_for_approval() -> None:
    def lead() -> Agent[Any]:
        replies = ((call("pay", amount=1), call("paint", colour="red")), (say("never"),))
        return Agent(
            name="lead", model=Scripted("lead", replies), tools=[tool(pay, needs_approval=True)]
        )

    first = await open_house(OpenAIAgentsRuntime(lead(), "lead"))
    name = await first.start(settings=Settings(tools=(PAINT,)))
    state = await first.finished(name)
    assert (state.phase, [item.tool for item in state.items]) == ("waiting", ["asked", "handed"])
    second = await again(first, lead())
    await second.supervisor.answer(name, (Approval(0, approved=True),))
    state = await second.finished(name)
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["paid 1"]
    assert (state.finish, state.replies) == ("tool_calls", {"MAIN": 1})
    await second.supervisor.close()


# nested agents


async def test_a_failed_subagent_is_reported_by_its_tools_error_function() -> None:
    helper = Agent(
        name="helper", model=Scripted("helper", ((say("so"), ScenarioStep(fail="secret")),))
    )
    replies = ((call("helper", input="go"),), (say("ok"),))
    below = helper.as_tool("helper", "Helps.")
    state = await run(Agent(name="lead", model=Scripted("lead", replies), tools=[below]))
    assert state.end == t.RunCompleted()
    assert "An error occurred" in outputs(state)[0]
    assert state.items[0].output is not None
    assert state.items[0].output.is_error
    assert texts(state, "helper") == ["so"]
    assert state.items[1].status == "incomplete"


async def test_agents_below_that_stream() -> None:
    heard: list[str] = []

    def helper() -> Agent[Any]:
        return Agent(name="helper", model=Scripted("helper", ((say("help"), say("ed")),)))

    def listen(payload: Any) -> None:
        heard.append(payload["event"].type)

    async def loose() -> str:
        """Start an agent and do not read its stream."""
        Runner.run_streamed(helper(), "go")
        return "left"

    async def strict() -> str:
        """Read the stream of an agent."""
        streamed = Runner.run_streamed(helper(), "go")
        pieces = [
            each.data.delta
            async for each in streamed.stream_events()
            if each.type == "raw_response_event" and each.data.type == "response.output_text.delta"
        ]
        return "|".join(pieces)

    calls = (call("below", input="go"), call("loose"), call("strict"))
    below = helper().as_tool("below", "Helps.", on_stream=listen)
    lead = Agent(
        name="lead",
        model=Scripted("lead", (calls, (say("ok"),))),
        tools=[below, tool(loose), tool(strict)],
    )
    house = await open_house(OpenAIAgentsRuntime(lead, "lead"))
    name = await house.start()
    state = await house.finished(name)
    events = [(e.agent, e.payload) for e in await house.directory.events(name)]
    await house.supervisor.close()
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["helped", "left", "help|ed"]
    for number, (below_id,) in state.dispatches.items():
        result = next(e for e in events if e[1] == state.items[number].output)
        assert events.index((below_id, t.AgentCompleted())) < events.index(result)
    assert "raw_response_event" in heard
    assert state.replies == {"MAIN": 2, "helper": 1, "helper#2": 1, "helper#3": 1}
    assert set(state.agents.values()) == {"closed"}
    assert texts(state, "helper#3") == ["helped"]


async def test_cancel_stops_an_agent_below_that_streams() -> None:
    helper = Agent(name="helper", model=Scripted("helper", ((say("so"), FOREVER),)))

    async def loose() -> str:
        """Start an agent and do not read its stream."""
        Runner.run_streamed(helper, "go")
        await asyncio.Event().wait()
        return ""

    lead = Agent(name="lead", model=Scripted("lead", ((call("loose"),),)), tools=[tool(loose)])
    house = await open_house(OpenAIAgentsRuntime(lead, "lead"))
    name = await house.start()
    await until(house, name, lambda s: any(item.parts for item in s.items))
    await house.supervisor.cancel(name, "a test")
    state = await house.directory.state(name)
    assert state.end == t.RunCancelled("a test")
    assert len(asyncio.all_tasks()) <= 2, "the sweeper and this test"
    await house.supervisor.close()


# continuation


async def test_what_only_the_model_server_understands_comes_back_after_a_crash() -> None:
    def lead(hang: bool) -> Agent[Any]:
        async def look() -> str:
            """Look."""
            if hang:
                await asyncio.Event().wait()
            return "seen"

        replies = ((reason("hm"), say("Let me see."), call("look")), (say("ok"),))
        return Agent(name="lead", model=Scripted("lead", replies), tools=[tool(look)])

    first = await open_house(OpenAIAgentsRuntime(lead(hang=True), "lead"))
    name = await first.start()
    await until(first, name, lambda state: any(item.has_begun for item in state.items))
    resumed = lead(hang=False)
    second = await again(first, resumed, retry={"look"})
    state = await second.finished(name)
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["seen"], "such a tool may be called again"
    assert isinstance(resumed.model, Scripted)
    (asked,) = resumed.model.asked
    _, thought, message, called, result = asked["input"]
    assert (thought["id"], thought["encrypted_content"]) == ("lead_0_0", "sig")
    assert thought["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert message["id"] == "lead_0_1"
    assert message["content"][0]["text"] == "Let me see."
    assert (called["id"], called["call_id"]) == ("lead_0_2", "call_lead_0_2")
    assert result["output"] == "seen"
    await second.supervisor.close()


async def test_what_the_sdk_did_out_of_our_sight_is_not_done_twice() -> None:
    action = {"commands": ["ls"], "timeout_ms": None, "max_output_length": None}
    shell: dict[str, Any] = {
        "type": "shell_call", "id": "s", "call_id": "s1", "status": "completed", "action": action,
    }  # fmt: skip
    look = {"type": "function_call", "id": "f", "call_id": "c1", "name": "pay", "arguments": "{}"}
    ran: list[Any] = []

    class Model(Scripted):
        async def stream_response(self, *arguments: Any, **more: Any) -> Any:
            output = [shell, {**look, "arguments": '{"amount": 1}'}]
            yield event("response.completed", response=response(output))

    def lead() -> Agent[Any]:
        def execute(request: Any) -> str:
            ran.append(request)
            return "out"

        shell_tool = ShellTool(executor=execute)
        tools: list[Any] = [shell_tool, tool(pay, needs_approval=True)]
        return Agent(name="lead", model=Model("lead", ()), tools=tools)

    first = await open_house(OpenAIAgentsRuntime(lead(), "lead"))
    name = await first.start()
    state = await first.finished(name)
    assert state.phase == "waiting"
    second = await again(first, lead())
    await second.supervisor.answer(name, (Approval(1, approved=True),))
    state = await second.finished(name)
    assert isinstance(state.end, t.RunFailed)
    assert "shell_call" in state.end.message
    assert len(ran) == 1
    await second.supervisor.close()


async def test_a_reply_that_the_sdk_requests_again_is_kept_once() -> None:
    failed: list[str] = []

    class Model(Scripted):
        async def stream_response(self, *arguments: Any, **more: Any) -> Any:
            async for each in super().stream_response(*arguments, **more):
                yield each
                if not failed and each.type == "response.output_text.delta":
                    failed.append(each.delta)
                    raise failure("broken off")

    def lead() -> Agent[Any]:
        again = ModelRetrySettings(max_retries=1, policy=lambda context: True)
        replies = ((say("Let me see."), call("pay", amount=1)), (say("ok"),))
        return Agent(
            name="lead",
            model=Model("lead", replies),
            model_settings=ModelSettings(retry=again),
            tools=[tool(pay, needs_approval=True)],
        )

    first = await open_house(OpenAIAgentsRuntime(lead(), "lead"))
    name = await first.start()
    state = await first.finished(name)
    assert [item.status for item in state.items] == ["incomplete", "completed", "completed"]
    resumed = lead()
    second = await again(first, resumed)
    await second.supervisor.answer(name, (Approval(2, approved=True),))
    state = await second.finished(name)
    assert state.end == t.RunCompleted()
    assert isinstance(resumed.model, Scripted)
    told = resumed.model.asked[0]["input"]
    assert [item.get("role", item.get("type")) for item in told] == [
        "user", "assistant", "function_call", "function_call_output",
    ]  # fmt: skip
    await second.supervisor.close()


async def test_outside_our_runs_agents_do_what_they_did() -> None:
    def look() -> str:
        """Look."""
        return "seen"

    replies = ((call("look"),), (say("plain"),))
    lead = Agent(name="lead", model=Scripted("lead", replies), tools=[function_tool(look)])
    assert (await Runner.run(lead, "Hi")).final_output == "plain"
    streamed = Runner.run_streamed(lead, "Hi")
    async for _ in streamed.stream_events():
        pass
    assert streamed.final_output == "plain"
