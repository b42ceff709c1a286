"""Agents of the built-in loop over scripted models, run by a real supervisor."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from tailrace.events import types as t
from tailrace.events.request import ModelRequest
from tailrace.events.state import RunState
from tailrace.models.scenario import Scenario, ScenarioReply, ScenarioStep
from tailrace.models.scripted import ScriptedModel
from tailrace.runtimes.agent import Agent
from tailrace.runtimes.one_agent import one_agent
from tailrace.runtimes.tools.functions import FunctionTool
from tests.support.house import House, open_house


def say(text: str) -> ScenarioStep:
    """A step."""
    return ScenarioStep(text=text)


def call(name: str, **arguments: Any) -> ScenarioStep:
    """A step."""
    return ScenarioStep(call=name, arguments=arguments)


def task(agent: str, prompt: str) -> ScenarioStep:
    """A step that calls a subagent."""
    return call("task", agent=agent, prompt=prompt)


def script(*replies: tuple[ScenarioStep, ...], **more: Any) -> ScriptedModel:
    """A model that gives these replies one after the other, and then repeats the last one."""
    return ScriptedModel(
        "m", Scenario(tuple(ScenarioReply(steps=steps, **more) for steps in replies))
    )


class Spy:
    """A model that sends its replies in the order of the calls, for any request, and records the requests."""

    name = "m"

    def __init__(self, *replies: tuple[ScenarioStep, ...], **more: Any) -> None:
        self.asked: list[ModelRequest] = []
        self._replies = [script(steps, **more) for steps in replies]

    def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[t.Payload], None]:
        self.asked.append(request)
        place = min(len(self.asked), len(self._replies))
        return self._replies[place - 1].stream(request)

    async def close(self) -> None:
        """There is nothing to release."""


def agent(
    name: str,
    *replies: tuple[ScenarioStep, ...],
    tools: tuple[Callable[..., Any], ...] = (),
    **fields: Any,
) -> Agent:
    """An agent whose model plays the script."""
    functions = {function.__name__: FunctionTool(function) for function in tools}
    below = {each.name: each for each in fields.pop("subagents", ())}
    model = fields.pop("model", None) or script(*replies)
    return Agent(name=name, model=model, tools=functions, subagents=below, **fields)


async def house_of(root: Agent, **settings: Any) -> House:
    """A supervisor that runs this agent."""
    return await open_house(one_agent(root, {}), **settings)


async def run(root: Agent, **fields: Any) -> tuple[RunState, list[t.Event]]:
    """One run from its start to its end, or to its pause."""
    house = await house_of(root)
    name = await house.start(**fields)
    state = await house.finished(name)
    events = await house.directory.events(name)
    await house.supervisor.close()
    return state, events


def outputs(state: RunState) -> list[str]:
    """The outputs of a run's tools, in the order of their calls."""
    return [item.output.output for item in state.items if item.output is not None]


def texts(state: RunState, agent: str = t.MAIN) -> list[str]:
    """The messages of an invocation."""
    found: list[str] = []
    for item in state.items:
        content = item.content
        if item.agent == agent and content is not None and item.started.kind == "message":
            found.append("".join(part.text for part in content.content))  # type: ignore[union-attr]
    return found
