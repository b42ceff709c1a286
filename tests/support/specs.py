"""Agents in a framework's own form, described once: the model's replies, the tools. A `Spec`'s replies are
those of a scripted model: the n-th reply answers a request that has n - 1 replies since the last user
message, whichever object sends it, so an agent that was created again after a restart continues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tailrace.events.request import ToolSpec
from tailrace.events.state import RunState
from tailrace.models.scenario import ScenarioStep
from tests.support.house import House
from tests.support.team import call

FOREVER = ScenarioStep(delay_ms=60_000)
PAINT = ToolSpec(name="paint", parameters={"type": "object", "properties": {"colour": {}}})
Steps = tuple[ScenarioStep, ...]


@dataclass(frozen=True)
class Spec:
    """An agent: the replies of its model, its tools, which of them need approval, and its subagents. A
    subagent is called by a tool of its name with the argument `prompt`."""

    name: str
    replies: tuple[Steps, ...]
    tools: tuple[Callable[..., Any], ...] = ()
    approve: frozenset[str] = frozenset()
    below: tuple[Spec, ...] = ()


def spec(name: str, *replies: Steps, **more: Any) -> Spec:
    """A spec."""
    return Spec(name, replies, **more)


def next_reply(replies: tuple[Steps, ...], given: int) -> Steps:
    """The reply after so many replies."""
    return replies[min(given, len(replies) - 1)]


def send(name: str) -> ScenarioStep:
    """A step that runs a subagent."""
    return call(name, prompt="do it")


def reason(text: str) -> ScenarioStep:
    """A step."""
    return ScenarioStep(reasoning=text)


async def until(house: House, run: str, ready: Callable[[RunState], bool]) -> RunState:
    """The state, once it satisfies the condition; fails if the run stops before."""
    while not ready(state := await house.directory.state(run)):
        assert state.end is None, state.end
        await asyncio.sleep(0)
    return state
