"""Agents of Pydantic AI over its own function model, which plays a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from pydantic_ai import Agent, Tool
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel

from tailrace.events.state import RunState
from tailrace.models.scenario import ScenarioStep
from tailrace.runtimes.adapters.pydantic_ai.runtime import PydanticAIRuntime
from tests.support.house import House, open_house
from tests.support.specs import Spec, Steps, next_reply


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
    """The framework's fake model, which plays the script."""

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        given = replies_given(messages)
        for index, step in enumerate(next_reply(replies, given)):
            async for piece in played(step, index, f"call_{name}_{given}_{index}"):
                yield piece

    return FunctionModel(stream_function=stream, model_name="fake")


async def played(step: ScenarioStep, index: int, call_id: str) -> AsyncIterator[Any]:
    if step.text is not None:
        yield step.text
    elif step.reasoning is not None:
        yield {index: DeltaThinkingPart(content=step.reasoning, signature="sig")}
    elif step.call is not None:
        arguments = msgspec.json.encode(step.arguments or {}).decode()
        half = len(arguments) // 2
        yield {index: DeltaToolCall(name=step.call, tool_call_id=step.call_id or call_id)}
        yield {index: DeltaToolCall(json_args=arguments[:half])}
        yield {index: DeltaToolCall(json_args=arguments[half:])}
    elif step.delay_ms is not None:
        await asyncio.sleep(step.delay_ms / 1000)
    elif step.fail is not None:
        raise ModelHTTPError(500, "fake", {"message": step.fail})


def agent(spec: Spec) -> Agent[None, Any]:
    """An ordinary agent of the framework."""
    tools = [Tool(each, requires_approval=each.__name__ in spec.approve) for each in spec.tools]
    tools += [Tool(calling(agent(below)), name=below.name) for below in spec.below]
    return Agent(model(spec.name, spec.replies), name=spec.name, tools=tools)


def calling(other: Agent[None, Any]) -> Any:
    async def run_other(prompt: str) -> str:
        """Run another agent."""
        return str((await other.run(prompt)).output)

    return run_other


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
