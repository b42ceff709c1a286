"""Agents of the OpenAI Agents SDK that hand the conversation over to each other."""

from __future__ import annotations

from typing import Any

from agents import (
    Agent,
    Handoff,
    handoff,
)

from tailrace.events import types as t
from tailrace.events.answers import Approval
from tailrace.events.history import made_by
from tailrace.events.items import ToolOutput
from tailrace.models.scenario import ScenarioStep
from tailrace.runtimes.adapters.openai_agents.runtime import OpenAIAgentsRuntime
from tests.support.house import open_house
from tests.support.openai_agents_agents import (
    Scripted,
    again,
    run,
    tool,
)
from tests.support.specs import FOREVER, until
from tests.support.team import call, outputs, say, texts


def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def triage(*replies: tuple[ScenarioStep, ...], to: tuple[Agent[Any] | Handoff, ...]) -> Agent[Any]:
    """An agent that hands over."""
    return Agent(name="triage", model=Scripted("triage", replies), handoffs=list(to))


async def test_the_agent_that_takes_over_gives_the_answer() -> None:
    deep = Agent(name="deep", model=Scripted("deep", ((say("It is so."),),)))
    expert = triage((say("Ask another. "), call("transfer_to_deep")), to=(deep,))
    expert.name = "expert"
    first = (say("One moment. "), call("transfer_to_expert"), call("transfer_to_expert"))
    lead = triage(first, to=(expert,))
    state = await run(lead, instructions="Be kind.")
    assert state.end == t.RunCompleted()
    kinds = {entry.id: (entry.kind, entry.parent) for entry in state.registry}
    assert kinds == {
        "MAIN": ("main", ""),
        "expert": ("main", "MAIN"),
        "deep": ("main", "expert"),
    }
    assert state.dispatches == {1: ["expert"], 4: ["deep"]}
    assert outputs(state) == [
        "It is so.",
        "Multiple handoffs detected, ignoring this one.",
        "It is so.",
    ]
    assert state.agents == {"MAIN": "closed", "expert": "closed", "deep": "closed"}
    assert texts(state, "deep") == ["It is so."]
    last = next(item for item in made_by(state) if isinstance(item, ToolOutput))
    assert last.call_id == state.items[1].started.call_id, "the next turn knows what was said"
    assert isinstance(deep.model, Scripted)
    assert deep.model.asked[0]["instructions"] == "Be kind.", "it answers the client"


async def test_a_conversation_may_come_back() -> None:
    helper = Agent[Any](name="helper", model=Scripted("helper", ((call("transfer_to_triage"),),)))
    replies = ((call("transfer_to_helper"),), (say("x"),), (say("Back again."),))
    lead = triage(*replies, to=(helper,))
    helper.handoffs = [lead]
    state = await run(lead)
    assert state.end == t.RunCompleted()
    assert state.dispatches == {0: ["helper"], 1: ["triage"]}
    assert texts(state, "triage") == ["Back again."]


async def test_a_handoff_continues_after_a_crash_and_a_pause() -> None:
    made: list[str] = []

    def lead(hang: bool) -> Agent[Any]:
        async def look() -> str:
            """Look."""
            made.append("look")
            return "seen"

        ask = (FOREVER,) if hang else (call("pay", amount=3),)
        expert = Agent(
            name="expert",
            # it receives the complete conversation: its replies follow those of the other agent
            model=Scripted("expert", ((say("x"),), (call("look"),), ask, (say("done"),))),
            tools=[tool(look), tool(pay, needs_approval=True)],
        )
        return triage((call("transfer_to_expert"),), to=(expert,))

    first = await open_house(OpenAIAgentsRuntime(lead(hang=True), "lead"))
    name = await first.start()
    await until(first, name, lambda state: "seen" in outputs(state))
    second = await again(first, lead(hang=False))
    state = await second.finished(name)
    assert state.phase == "waiting"
    third = await again(second, lead(hang=False))
    await third.supervisor.answer(name, (Approval(2, approved=True),))
    state = await third.finished(name)
    assert state.end == t.RunCompleted()
    assert made == ["look"]
    assert outputs(state) == ["done", "seen", "paid 3"]
    assert state.dispatches == {0: ["expert"]}
    assert state.replies == {"MAIN": 1, "expert": 3}
    await third.supervisor.close()


async def test_an_agent_that_took_over_may_fail() -> None:
    bad = Agent(name="bad", model=Scripted("bad", ((say("so"), ScenarioStep(fail="secret")),)))
    state = await run(triage((call("transfer_to_bad"),), to=(handoff(bad),)))
    assert state.end == t.RunFailed("server_error", "The model server answered 500.", status=500)
    assert outputs(state) == ["The agent failed."]
    assert state.agents == {"MAIN": "closed", "bad": "closed"}
