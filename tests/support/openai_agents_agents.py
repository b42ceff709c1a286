"""Agents of the OpenAI Agents SDK over a model of its own type, which plays a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, cast

import httpx2
import msgspec
import openai
from agents import Agent, FunctionTool, Model, ModelResponse, Usage, function_tool
from agents.items import TResponseStreamEvent
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tailrace.events.state import RunState
from tailrace.models.scenario import ScenarioStep
from tailrace.runtimes.adapters.openai_agents.runtime import OpenAIAgentsRuntime
from tests.support.house import House, open_house
from tests.support.specs import Spec, Steps, next_reply

_event: TypeAdapter[TResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
_MINE = ("reasoning", "function_call", "custom_tool_call")


def replies_given(told: Sequence[Any]) -> int:
    """Replies since the last user message."""
    given, mine_before = 0, False
    for item in reversed(told):
        if item.get("role") == "user":
            break
        mine = item.get("type") in _MINE or item.get("role") == "assistant"
        given += mine and not mine_before
        mine_before = mine
    return given


class Scripted(Model):
    """Plays the script, and records its requests."""

    def __init__(self, name: str, replies: tuple[Steps, ...]) -> None:
        self.asked: list[dict[str, Any]] = []
        self._name = name
        self._replies = replies

    async def get_response(self, *arguments: Any, **more: Any) -> ModelResponse:
        """Only outside our runs, which stream replies."""
        async for made in self.stream_response(*arguments, **more):
            if made.type == "response.completed":
                return ModelResponse(made.response.output, Usage(), made.response.id)
        raise AssertionError("a reply has an end")

    async def stream_response(
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: Any,
        tools: list[Any],
        output_schema: Any,
        *_: Any,
        **__: Any,
    ) -> AsyncGenerator[TResponseStreamEvent]:
        told = [{"role": "user", "content": input}] if isinstance(input, str) else input
        self.asked.append(
            {
                "instructions": system_instructions,
                "input": told,
                "settings": model_settings,
                "tools": tools,
                "schema": output_schema,
            }
        )
        given = replies_given(told)
        made_before = replies_given([item for item in told if item.get("role") != "user"])
        output: list[dict[str, Any]] = []
        for step in next_reply(self._replies, given):
            if step.delay_ms is not None:
                await asyncio.sleep(step.delay_ms / 1000)
            if step.fail is not None:
                raise failure(step.fail)
            for made in played(
                step, len(output), f"{self._name}_{made_before}_{len(output)}", output
            ):
                yield event(**made)
        yield event("response.completed", response=response(output))


def failure(text: str) -> Exception:
    """The error that the SDK's client raises for a server's failure."""
    asked = httpx2.Request("POST", "http://model.test")
    answer = httpx2.Response(500, request=asked)
    return openai.InternalServerError(text, response=cast("Any", answer), body=None)


def event(type: str, **fields: Any) -> TResponseStreamEvent:
    """A stream event of Responses."""
    return _event.validate_python({"type": type, "sequence_number": 0, **fields})


def response(output: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A complete response."""
    counts = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    details = {
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 1},
    }
    return {
        "id": "resp_1",
        "created_at": 0,
        "model": "fake",
        "object": "response",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {**counts, **details},
        **more,
    }


def played(
    step: ScenarioStep, index: int, id: str, output: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The events of one step; text after text continues the same item."""
    at = {"output_index": index, "item_id": id}
    item: dict[str, Any]
    if step.text is not None:
        part = {"type": "output_text", "text": step.text, "annotations": []}
        item = {"type": "message", "id": id, "role": "assistant", "status": "completed"}
        delta = {"type": "response.output_text.delta", "content_index": 0, "logprobs": []}
        if output and output[-1]["type"] == "message":
            output[-1]["content"][0]["text"] += step.text
            return [{**delta, **at, "output_index": index - 1, "delta": step.text}]
        output.append({**item, "content": [part]})
        return [
            {"type": "response.output_item.added", **at, "item": {**item, "content": []}},
            {**delta, **at, "delta": step.text},
        ]
    if step.reasoning is not None:
        item = {"type": "reasoning", "id": id, "summary": [], "encrypted_content": "sig"}
        output.append({**item, "content": [{"type": "reasoning_text", "text": step.reasoning}]})
        delta = {"type": "response.reasoning_text.delta", "content_index": 0}
        return [
            {"type": "response.output_item.added", **at, "item": item},
            {**delta, **at, "delta": step.reasoning},
            {"type": "response.output_item.done", **at, "item": output[-1]},
        ]
    if step.call is None:
        return []
    arguments = msgspec.json.encode(step.arguments or {}).decode()
    half = len(arguments) // 2
    call_id = step.call_id or f"call_{id}"
    item = {"type": "function_call", "id": id, "call_id": call_id, "name": step.call}
    output.append({**item, "arguments": arguments})
    delta = {"type": "response.function_call_arguments.delta", **at}
    return [
        {"type": "response.output_item.added", **at, "item": {**item, "arguments": ""}},
        {**delta, "delta": arguments[:half]},
        {**delta, "delta": arguments[half:]},
        {"type": "response.output_item.done", **at, "item": output[-1]},
    ]


def answer(text: str, id: str = "msg_1") -> dict[str, Any]:
    """An output message."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "type": "message", "id": id, "role": "assistant", "status": "completed", "content": [part],
    }  # fmt: skip


class Streams(Model):
    """A model that streams the events of a test."""

    def __init__(self, *events: Any) -> None:
        self._events = events

    async def get_response(self, *arguments: Any, **more: Any) -> ModelResponse:
        raise AssertionError("replies are streamed")

    async def stream_response(self, *arguments: Any, **more: Any) -> Any:
        for each in self._events:
            yield each


def tool(function: Callable[..., Any], **fields: Any) -> FunctionTool:
    """A tool of the SDK that reports an error to the model; by default the SDK's tools do not."""
    return function_tool(function, failure_error_function=_told, **fields)


def _told(context: Any, error: Exception) -> str:
    return f"It failed: {error}"


def agent(spec: Spec) -> Agent[Any]:
    """An ordinary agent of the SDK."""
    tools: list[Any] = [
        tool(each, needs_approval=each.__name__ in spec.approve) for each in spec.tools
    ]
    tools += [calling(agent(below)) for below in spec.below]
    return Agent(name=spec.name, model=Scripted(spec.name, spec.replies), tools=tools)


def calling(other: Agent[Any]) -> FunctionTool:
    """An agent as a tool; its input is named `prompt`, as in the specs."""
    made = other.as_tool(tool_name=other.name, tool_description="Let it work.")
    invoke = made.on_invoke_tool

    async def renamed(context: Any, arguments: str) -> Any:
        prompt = msgspec.json.decode(arguments)["prompt"]
        return await invoke(context, msgspec.json.encode({"input": prompt}).decode())

    made.on_invoke_tool = renamed
    return made


async def run(agent: Agent[Any], **fields: Any) -> RunState:
    """One run from its start to its end, or to its pause."""
    house = await open_house(OpenAIAgentsRuntime(agent, "lead"))
    state = await house.finished(await house.start(**fields))
    await house.supervisor.close()
    return state


async def again(house: House, agent: Agent[Any], **options: Any) -> House:
    """The next process, after the end of the previous one."""
    await house.supervisor.drain()
    second = House(OpenAIAgentsRuntime(agent, "lead", **options), house.store)
    await second.supervisor.open()
    return second
