"""Agents of the OpenAI Agents SDK, run by its runner: their input, and the events that describe their
work."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    Model,
    ModelProvider,
    ModelSettings,
    RunConfig,
    RunContextWrapper,
    Runner,
    input_guardrail,
    output_guardrail,
    set_trace_processors,
    trace,
)
from agents.models.chatcmpl_converter import Converter
from agents.tracing import TracingProcessor
from pydantic import BaseModel

from tailrace.events import items as i
from tailrace.events import types as t
from tailrace.events.request import OutputFormat, Settings, ToolChoice
from tailrace.runtimes.adapters.openai_agents.runtime import OpenAIAgentsRuntime
from tailrace.runtimes.contract import Runtime
from tests.runtimes.adapters.contract_suite import Contract
from tests.support.house import open_house
from tests.support.openai_agents_agents import (
    Scripted,
    agent,
    run,
    tool,
)
from tests.support.specs import PAINT, Spec
from tests.support.team import call, outputs, say, texts


class TestOpenAIAgents(Contract):
    """The suite."""

    told_of_a_failed_tool = "It failed: no good"  # its tools say so themselves
    repeated_ids_fail_the_run = "Use a unique call ID"

    def build(self, spec: Spec) -> Runtime:
        return OpenAIAgentsRuntime(agent(spec), spec.name)


# input


async def test_a_request_becomes_input_instructions_and_settings() -> None:
    model = Scripted("lead", ((say("ok"),),))
    lead = Agent(
        name="lead",
        model=model,
        instructions="Be brief.",
        model_settings=ModelSettings(temperature=0.5, top_p=0.5),
    )
    picture = i.ImagePart(url="data:image/png;base64,iVBORw0KGgo=")
    given = i.Message(role="user", content=(i.TextPart("What is this?"), picture))
    history = [
        i.Message(role="developer", content=(i.TextPart("Be loud."),)),
        given,
        i.Reasoning(summary=("hm",), details={"responses": {"id": "rs_1"}}),
        i.ToolCall(call_id="c1", name="look", arguments="{}"),
        i.ToolCall(call_id="c2", name="paint", arguments="{}"),
        i.ToolOutput(call_id="c1", output=(i.TextPart("seen"),)),
        i.ProviderItem(dialect="messages", data={"type": "thinking"}),
        i.Message(role="assistant", content=(i.TextPart("A dot."),)),
    ]
    settings = Settings(
        temperature=0.1, reasoning_effort="low", tools=(PAINT,), tool_choice=ToolChoice(names=("paint",))
    )  # fmt: skip
    await run(lead, history=history, text="Sure?", instructions="Be kind.", settings=settings)
    asked = model.asked.pop()
    assert asked["instructions"] == "Be brief.\n\nBe kind."
    told = asked["input"]
    kinds = [item["type"] if item["type"] != "message" else item["role"] for item in told]
    assert kinds == [
        "developer", "user", "function_call", "function_call",
        "function_call_output", "function_call_output", "assistant", "user",
    ]  # fmt: skip
    assert {item["call_id"]: item["output"] for item in told if "output" in item} == {
        "c1": "seen",
        "c2": "There is no result of this call.",
    }
    assert told[1]["content"][1]["image_url"] == picture.url
    assert Converter.items_to_messages(told), "as Chat Completions, too"
    chosen = asked["settings"]
    assert (chosen.temperature, chosen.top_p, chosen.tool_choice) == (0.1, 0.5, "paint")
    assert chosen.reasoning.effort == "low"
    (offered,) = asked["tools"]
    assert (offered.name, offered.params_json_schema) == ("paint", PAINT.parameters)


async def test_a_models_name_brings_the_settings_that_the_sdk_has_for_it() -> None:
    asked: list[str | None] = []
    model = Scripted("lead", ((say("ok"),),))

    class Provider(ModelProvider):
        def get_model(self, model_name: str | None) -> Model:
            asked.append(model_name)
            return model

    provider = Provider()
    lead = Agent[Any](name="lead", model="gpt-5")
    runtime = OpenAIAgentsRuntime(lead, "lead", run_config=RunConfig(model_provider=provider))
    house = await open_house(runtime)
    assert texts(await house.finished(await house.start())) == ["ok"]
    await house.supervisor.close()
    assert asked == ["gpt-5"]
    assert model.asked[0]["settings"].verbosity == "low"


async def test_context_is_made_from_the_request() -> None:
    def who(context: RunContextWrapper[str]) -> str:
        """Say who."""
        return context.context

    replies = ((call("who"),), (say("ok"),))
    lead = Agent(name="lead", model=Scripted("lead", replies), tools=[tool(who)])
    house = await open_house(
        OpenAIAgentsRuntime(lead, "lead", context=lambda request: request.model)
    )
    assert outputs(await house.finished(await house.start())) == ["helper"]
    await house.supervisor.close()


# output


class Answer(BaseModel):
    colour: str


async def test_structured_output_is_text() -> None:
    replies = ((say('{"colour":'), say('"red"}')),)
    model = Scripted("lead", replies)
    state = await run(Agent(name="lead", model=model, output_type=Answer))
    assert state.end == t.RunCompleted()
    assert texts(state) == ['{"colour":"red"}']
    state = await run(Agent(name="lead", model=Scripted("x", ((say("red"),),)), output_type=Answer))
    assert isinstance(state.end, t.RunFailed)


async def test_a_client_can_request_json_of_a_schema() -> None:
    model = Scripted("lead", ((say('{"n":1}'),),))
    wanted = OutputFormat(kind="json_schema", name="count", schema={"type": "object"}, strict=True)
    state = await run(Agent(name="lead", model=model), settings=Settings(output=wanted))
    assert texts(state) == ['{"n":1}']
    schema = model.asked[0]["schema"]
    assert (schema.name(), schema.json_schema()) == ("count", {"type": "object"})
    assert schema.is_strict_json_schema()


# limits and failures


async def test_the_sdks_own_limit_ends_the_run_early() -> None:
    def again() -> str:
        """Continue."""
        return "more"

    replies = tuple((call("again", n=n),) for n in range(11))
    state = await run(Agent(name="lead", model=Scripted("lead", replies), tools=[tool(again)]))
    assert state.end == t.RunIncomplete("max_turns")
    assert state.replies == {"MAIN": 10}


async def test_an_input_guardrail_ends_the_run_as_filtered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    judge = Agent(name="judge", model=Scripted("judge", ((say("bad"),),)))

    @input_guardrail(run_in_parallel=False)
    async def strict(context: Any, agent: Any, input: Any) -> GuardrailFunctionOutput:
        found = await Runner.run(judge, input)
        return GuardrailFunctionOutput(None, tripwire_triggered=found.final_output == "bad")

    model = Scripted("lead", ((say("hi"),),))
    state = await run(Agent(name="lead", model=model, input_guardrails=[strict]))
    assert state.end == t.RunIncomplete("content_filter")
    assert texts(state, "judge") == ["bad"]
    assert not model.asked
    assert "the guardrail strict stopped a run" in caplog.text


async def test_an_output_guardrail_ends_the_run_as_filtered() -> None:
    @output_guardrail
    async def strict(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, tripwire_triggered="secret" in output)

    model = Scripted("lead", ((say("a secret"),),))
    state = await run(Agent(name="lead", model=model, output_guardrails=[strict]))
    assert state.end == t.RunIncomplete("content_filter")
    assert len(model.asked) == 1


# no trace leaves the process


class Recorder(TracingProcessor):
    """Receives every trace and span that is not disabled."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_trace_start(self, trace: Any) -> None:
        self.heard.append(trace)

    def on_trace_end(self, trace: Any) -> None: ...
    def on_span_start(self, span: Any) -> None:
        self.heard.append(span)

    def on_span_end(self, span: Any) -> None: ...
    def shutdown(self) -> None: ...
    def force_flush(self) -> None: ...


async def test_nothing_is_traced() -> None:
    helper = Agent(name="helper", model=Scripted("helper", ((say("helped"),),)))

    async def ask() -> str:
        """Ask another agent, with a configuration of its own."""
        config = RunConfig(workflow_name="mine", tracing_disabled=False)
        return str((await Runner.run(helper, "Hi", run_config=config)).final_output)

    def in_a_thread() -> str:
        """Ask it from a thread, without a configuration."""
        return str(asyncio.run(Runner.run(helper, "Hi")).final_output)

    replies = ((call("ask"), call("in_a_thread")), (say("ok"),))
    lead = Agent(name="lead", model=Scripted("lead", replies), tools=[tool(ask), tool(in_a_thread)])
    recorder = Recorder()
    set_trace_processors([recorder])
    try:
        state = await run(lead)
        assert outputs(state) == ["helped", "helped"]
        assert not recorder.heard
        with trace("outside"):
            await Runner.run(helper, "Hi")
        assert recorder.heard, "elsewhere it does what it did"
    finally:
        set_trace_processors([])
