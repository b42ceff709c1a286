"""An agent behaves the same alone and as the only node of a workflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tailrace.events import types as t
from tailrace.events.answers import Approval, Reply
from tailrace.events.items import Message, TextPart, ToolCall, ToolOutput
from tailrace.events.request import ModelRequest, OutputFormat, Settings, ToolChoice, ToolSpec
from tailrace.models.contract import Model
from tailrace.models.scenario import ScenarioStep
from tailrace.runtimes.agent import Agent, AgentLimits
from tailrace.runtimes.contract import Runtime
from tailrace.runtimes.nodes.contract import NodeSpec
from tailrace.runtimes.nodes.deep_agent import DeepAgentNode
from tailrace.runtimes.one_agent import one_agent
from tailrace.runtimes.tools.functions import tool
from tailrace.runtimes.workflow import Workflow
from tests.support.house import open_house
from tests.support.logs import user
from tests.support.team import Spy, agent, call, say, task

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORM = OutputFormat(kind="json_schema", name="x", schema=SCHEMA)
WEATHER = ToolSpec(name="get_weather", parameters={"type": "object"})


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool(approval=True)
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


PAST = (
    user("What is 1 + 2?"),
    ToolCall(call_id="c1", name="add", arguments='{"a":1,"b":2}'),
    ToolOutput(call_id="c1", output=(TextPart("3"),)),
    Message(role="assistant", content=(TextPart("3"),)),
)

AGENTS: dict[str, Callable[[Spy], Agent]] = {
    "plain": lambda model: agent("it", model=model),
    "instructed": lambda model: agent("it", model=model, instructions="You help."),
    "with tools": lambda model: agent("it", model=model, tools=(add, pay), asks_user=True),
    "formed": lambda model: agent("it", model=model, output=FORM),
    "leading": lambda model: agent(
        "it", model=model, subagents=(agent("helper", (say("hi"),), instructions="Help."),)
    ),
    "limited": lambda model: agent("it", model=model, tools=(add,), limits=AgentLimits(turns=2)),
}

REQUESTS: dict[str, dict[str, Any]] = {
    "bare": {},
    "instructions": {"instructions": "Answer in verse."},
    "history": {"history": PAST},
    "settings": {
        "settings": Settings(
            temperature=0.3,
            max_output_tokens=7,
            stop=("x",),
            user="ann",
            origin="chat",
            extra={"top_k": 3},
        )
    },
    "client tools": {
        "settings": Settings(tools=(WEATHER,), tool_choice=ToolChoice(names=("get_weather",)))
    },
    "another form": {"settings": Settings(output=FORM)},
    "another model": {"model": "other"},
}

TALKS: dict[str, tuple[tuple[ScenarioStep, ...], ...]] = {
    "text": ((say("Hello."),),),
    "calls": ((call("add", a=1, b=2), call("add", a=3, b=4)), (say('{"a":1}'),)),
    "for the client": ((say("Let me see."), call("get_weather", city="Oslo")),),
    "subagent": ((task("helper", "do it"),), (say("done"),)),
    "asks": ((call("pay", amount=5), call("ask_user", message="Which?")), (say("ok"),)),
    "no form": ((say("not JSON"),), (say('{"a":1}'),)),
    "fails": ((say("half"), ScenarioStep(fail="The model is out.", code="rate_limit_exceeded")),),
}


def alone(made: Agent, models: dict[str, Model]) -> Runtime:
    return one_agent(made, models)


def as_node(made: Agent, models: dict[str, Model]) -> Runtime:
    spec = NodeSpec(id="only", type="deep_agent")
    return Workflow([spec], {"only": DeepAgentNode(made, t.MAIN, models)})


Seen = tuple[list[Any], list[ModelRequest], list[ModelRequest]]


async def seen(
    make: Callable[[Agent, dict[str, Model]], Runtime],
    made: Callable[[Spy], Agent],
    steps: tuple[tuple[ScenarioStep, ...], ...],
    **fields: Any,
) -> Seen:
    """The content of the log without the names of node and workflow, and the requests to the models."""
    more = fields.pop("script", {})
    model, other = Spy(*steps, **more), Spy(*steps, **more)
    house = await open_house(make(made(model), {"other": other}))
    run = await house.start(**fields)
    state = await house.finished(run)
    while state.phase == "waiting":
        answers: list[Approval | Reply] = [
            *(
                Approval(n, approved=True)
                for n, item in enumerate(state.items)
                if item.tool == "asked"
            ),
            *(Reply(name, "red") for name, phase in state.asks.items() if phase == "asked"),
        ]
        await house.supervisor.answer(run, tuple(answers))
        state = await house.finished(run)
    events = await house.directory.events(run)
    await house.supervisor.close()
    told = [(event.agent, _nameless(event.payload)) for event in events]
    return [each for each in told if not isinstance(each[1], _OF_NODES)], model.asked, other.asked


_OF_NODES = t.NodeStarted | t.NodeCompleted | t.NodeFailed


def _nameless(payload: t.Payload) -> Any:
    """The content without the node's name: a failure's sentence, a call's key."""
    match payload:
        case t.RunFailed():
            return ("failed", payload.code, payload.message.removeprefix("Node only failed: "))
        case t.ToolStarted():
            return ("tool", payload.item)
        case _:
            return payload


@pytest.mark.parametrize("of", AGENTS)
@pytest.mark.parametrize("asked", REQUESTS)
async def test_an_agent_does_as_a_node_what_it_does_alone(of: str, asked: str) -> None:
    for talk, steps in TALKS.items():
        one, other = [
            await seen(make, AGENTS[of], steps, **REQUESTS[asked]) for make in (alone, as_node)
        ]
        assert other == one, talk
        assert one[1] or one[2]


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter"])
async def test_its_run_ends_as_its_model_s_last_reply_did(finish: str) -> None:
    one, other = [
        await seen(make, AGENTS["plain"], ((say("And so on"),),), script={"finish": finish})
        for make in (alone, as_node)
    ]
    assert other == one
    ends = {
        "stop": t.RunCompleted(),
        "length": t.RunIncomplete("max_output_tokens"),
        "content_filter": t.RunIncomplete("content_filter"),
    }
    assert one[0][-1][1] == ends[finish]


async def test_the_client_s_instructions_come_after_the_agent_s() -> None:
    for make in (alone, as_node):
        _, asked, _ = await seen(
            make, AGENTS["instructed"], TALKS["text"], instructions="Answer in verse."
        )
        assert asked[0].instructions == "You help.\n\nAnswer in verse."


async def test_each_of_several_agents_gets_the_clients_options_and_keeps_its_model() -> None:
    models = {"a": Spy((say("a"),)), "b": Spy((say("b"),))}
    other = Spy((say("no"),))
    nodes = {
        name: DeepAgentNode(
            agent(name, model=model, instructions=f"You are {name}."), name, {"other": other}
        )
        for name, model in models.items()
    }
    flow = Workflow([NodeSpec(id=name, type="deep_agent") for name in nodes], nodes)
    house = await open_house(flow)
    run = await house.start(instructions="In verse.", model="other")
    assert (await house.finished(run)).end == t.RunCompleted()
    await house.supervisor.close()
    for name, model in models.items():
        assert [asked.instructions for asked in model.asked] == [f"You are {name}.\n\nIn verse."]
    assert not other.asked
