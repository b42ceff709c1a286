"""Agents of other frameworks whose models never stop replying, whatever their input is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from tailrace.events import types as t
from tailrace.models.scenario import ScenarioStep
from tailrace.runs.bounded import RunBounds
from tailrace.runtimes.adapters.openai_agents.runtime import OpenAIAgentsRuntime
from tailrace.runtimes.adapters.pydantic_ai.runtime import PydanticAIRuntime
from tailrace.runtimes.contract import Runtime
from tailrace.runtimes.tools.contract import MAX_OUTPUT
from tests.support import langgraph_agents, openai_agents_agents, pydantic_ai_agents
from tests.support.house import House
from tests.support.specs import Spec, Steps
from tests.support.team import outputs


class ForEver:
    """The same step, repeated without end."""

    def __init__(self, step: ScenarioStep) -> None:
        self._step = step

    def __iter__(self) -> Iterator[ScenarioStep]:
        while True:
            yield self._step


def find() -> str:
    """Find a lot."""
    return "a" * 50_000_000


MAKERS: dict[str, Callable[[Spec], Runtime]] = {
    "langgraph": lambda spec: langgraph_agents.runtime(langgraph_agents.agent(spec)),
    "openai": lambda spec: OpenAIAgentsRuntime(openai_agents_agents.agent(spec), "lead"),
    "pydantic": lambda spec: PydanticAIRuntime(pydantic_ai_agents.agent(spec), "lead"),
}


async def state_of(runtime: Runtime, bounds: RunBounds) -> tuple[House, Any]:
    house = House(runtime, bounds=bounds)
    if hasattr(runtime, "keep_in"):
        runtime.keep_in(house.store)
    await house.supervisor.open()
    return house, await house.finished(await house.start(text="go"))


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        (RunBounds(events=3_000), "max_run_events"),
        (RunBounds(bytes=300_000), "max_run_bytes"),
        (RunBounds(open_bytes=50_000), "max_reply_bytes"),
    ],
)
@pytest.mark.parametrize("maker", MAKERS)
async def test_a_reply_without_end(maker: str, bounds: RunBounds, reason: str) -> None:
    replies = (cast("Steps", ForEver(ScenarioStep(text="word " * 10))),)
    house, state = await state_of(MAKERS[maker](Spec("lead", replies)), bounds)
    assert state.end == t.RunIncomplete(reason)
    assert state.items[0].content is not None, "what came before is kept"
    await house.supervisor.close()


@pytest.mark.parametrize("maker", MAKERS)
async def test_a_tool_s_answer_is_cut(maker: str) -> None:
    replies: tuple[Steps, ...] = (
        (ScenarioStep(call="find", arguments={}),),
        (ScenarioStep(text="done"),),
    )
    house, state = await state_of(MAKERS[maker](Spec("lead", replies, tools=(find,))), RunBounds())
    assert state.end == t.RunCompleted()
    (answer,) = outputs(state)
    assert MAX_OUTPUT < len(answer) < MAX_OUTPUT + 100
    await house.supervisor.close()
