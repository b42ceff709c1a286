"""Agents and graphs of LangGraph over a model of the framework's own type, which plays a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import Field

from tailrace.events.state import RunState
from tailrace.models.scenario import ScenarioStep
from tailrace.runtimes.adapters.langgraph.runtime import LangGraphRuntime
from tests.support.house import House, open_house
from tests.support.specs import Spec, Steps, next_reply


class ModelBroke(Exception):
    """The error that a model server's client raises."""

    status_code = 500


class ScriptModel(BaseChatModel):
    """A chat model that streams the steps of a script; `asked` has its requests."""

    name: str = "fake"
    replies: tuple[Any, ...] = ()
    asked: list[tuple[list[BaseMessage], dict[str, Any]]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "script"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=list(tools), **kwargs)

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        """For graphs that run in threads."""
        self.asked.append((list(messages), kwargs))
        given = replies_given(messages)
        whole: AIMessageChunk | None = None
        for index, step in enumerate(next_reply(self.replies, given)):
            for chunk in pieces(step, f"call_{self.name}_{given}_{index}", index):
                whole = chunk if whole is None else whole + chunk
        assert whole is not None
        calls = whole.tool_calls
        message = AIMessage(content=whole.content, tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        self.asked.append((list(messages), kwargs))
        given = replies_given(messages)
        for index, step in enumerate(next_reply(self.replies, given)):
            if step.delay_ms is not None:
                await asyncio.sleep(step.delay_ms / 1000)
            elif step.fail is not None:
                raise ModelBroke(step.fail)
            for chunk in pieces(step, f"call_{self.name}_{given}_{index}", index):
                yield ChatGenerationChunk(message=chunk)
        used = UsageMetadata(input_tokens=3, output_tokens=2, total_tokens=5)
        yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=used))


def pieces(step: ScenarioStep, call_id: str, index: int) -> list[AIMessageChunk]:
    """A step as the chunks of a model."""
    if step.text is not None:
        return [AIMessageChunk(content=step.text)]
    if step.reasoning is not None:
        return [AIMessageChunk(content="", additional_kwargs={"reasoning_content": step.reasoning})]
    if step.call is not None:
        arguments = msgspec.json.encode(step.arguments or {}).decode()
        half = len(arguments) // 2
        parts = [(step.call, step.call_id or call_id, ""), (None, None, arguments[:half])]
        parts.append((None, None, arguments[half:]))
        return [
            AIMessageChunk(
                content="",
                tool_call_chunks=[tool_call_chunk(name=name, id=id, args=args, index=index)],
            )
            for name, id, args in parts
        ]
    return []


def replies_given(messages: Sequence[BaseMessage]) -> int:
    """Replies since the last user message."""
    given = 0
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            given += 1
        elif isinstance(message, HumanMessage):
            break
    return given


def model(name: str, *replies: Steps) -> ScriptModel:
    """A model."""
    return ScriptModel(name=name, replies=replies)


def tool(function: Callable[..., Any], **more: Any) -> BaseTool:
    """A tool of the framework from a plain function."""
    if asyncio.iscoroutinefunction(function):
        return StructuredTool.from_function(coroutine=function, **more)
    return StructuredTool.from_function(function, **more)


def agent(spec: Spec) -> Any:
    """An ordinary agent of the framework."""
    tools = [tool(each) for each in spec.tools]
    again = {"after_crash": "retry"}  # such a tool only runs the agent
    tools += [tool(calling(agent(each)), name=each.name, metadata=again) for each in spec.below]
    gate = [HumanInTheLoopMiddleware(interrupt_on=dict.fromkeys(spec.approve, True))]
    return create_agent(
        model(spec.name, *spec.replies),
        tools=tools,
        name=spec.name,
        middleware=gate if spec.approve else [],
    )


def calling(other: Any) -> Any:
    async def run_other(prompt: str) -> str:
        """Run another agent."""
        after = await other.ainvoke({"messages": [{"role": "user", "content": prompt}]})
        return str(after["messages"][-1].text)

    return run_other


def runtime(graph: Any, house: House | None = None, **more: Any) -> LangGraphRuntime:
    """A graph as a runtime."""
    return LangGraphRuntime(graph, "lead", **more)


async def opened(graph: Any, before: House | None = None, **more: Any) -> House:
    """A house for a graph; after the end of another house, with its store."""
    runs = runtime(graph, **more)
    if before is None:
        house = await open_house(runs)
        runs.keep_in(house.store)
        return house
    await before.supervisor.drain()
    runs.keep_in(before.store)
    house = House(runs, before.store)
    await house.supervisor.open()
    return house


async def run(graph: Any, more: dict[str, Any] | None = None, **fields: Any) -> RunState:
    """One run of a graph, to its end or its pause."""
    house = await opened(graph, **(more or {}))
    state = await house.finished(await house.start(**fields))
    await house.supervisor.close()
    return state


def note_of(file: Path) -> Callable[[str], None]:
    """Records what tools did, for a test outside of the process."""

    def note(what: str) -> None:
        with file.open("a", encoding="utf-8") as notes:
            notes.write(what + "\n")

    return note
