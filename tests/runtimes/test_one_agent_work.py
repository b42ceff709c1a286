"""The built-in agent: tools, subagents, pauses, limits, compaction, crashes; with scripted models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import Message, ProviderItem, text_of
from tailrace.events.request import ModelRequest, OutputFormat, Settings, ToolChoice, ToolSpec
from tailrace.models.priced import Price, PricedModel
from tailrace.models.scenario import ScenarioStep
from tailrace.runtimes.agent import AgentLimits
from tailrace.runtimes.one_agent import one_agent
from tailrace.runtimes.tools.contract import Progress, ToolContext
from tests.support.logs import request, user
from tests.support.team import Spy, agent, call, outputs, run, say, script, task, texts


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def boom() -> None:
    """Raise."""
    raise ValueError("no such luck")


async def test_several_calls_then_the_answer() -> None:
    calls = (call("add", a=1, b=2), call("add", a=3, b=4), call("boom"))
    state, _ = await run(agent("lead", calls, (say("done"),), tools=(add, boom)))
    assert outputs(state) == ["3", "7", "The tool failed (ValueError)."]
    assert texts(state) == ["done"]
    assert state.end == t.RunCompleted()


BAD_CALLS: list[tuple[Any, str]] = [
    (call("nobody"), "There is no tool named nobody."),
    (call("add", a="x", b=2), "The arguments do not fit"),
    (call("task", agent="nobody", prompt="x"), "Unknown agent: nobody. Known: helper."),
    (call("task", agent="helper"), "The arguments do not fit"),
    (call("ask_user", wrong=1), "The arguments do not fit"),
]


@pytest.mark.parametrize(("step", "answer"), BAD_CALLS)
async def test_an_invalid_call_is_answered_with_its_fault(step: Any, answer: str) -> None:
    helper = agent("helper", (say("hi"),))
    lead = agent("lead", (step,), (say("oh"),), tools=(add,), subagents=(helper,), asks_user=True)
    state, _ = await run(lead)
    assert outputs(state)[0].startswith(answer)
    assert texts(state) == ["oh"]


async def test_forty_calls_at_once_run_in_parallel() -> None:
    inside = 0
    most = 0

    async def slow(n: int) -> int:
        """Wait for the others."""
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        while most < 40:
            await asyncio.sleep(0)
        return n

    lead = agent("lead", tuple(call("slow", n=n) for n in range(40)), (say("ok"),), tools=(slow,))
    state, _ = await run(lead)
    assert outputs(state) == [str(n) for n in range(40)]


async def test_progress_of_a_tool_in_a_thread_is_in_the_log() -> None:
    def count(context: ToolContext) -> str:
        """Count."""
        context.progress(Progress("half", 1, 2))
        return "ok"

    _, events = await run(agent("lead", (call("count"),), (say("x"),), tools=(count,)))
    assert t.ToolProgress(0, "half", 1, 2) in [event.payload for event in events]


# subagents


async def test_subagents_work_in_parallel_each_under_its_own_name() -> None:
    helper = agent("helper", (call("add", a=1, b=1),), (say("two "), say("it is")), tools=(add,))
    lead = agent(
        "lead",
        (task("helper", "one"), task("helper", "two"), call("add", a=5, b=5)),
        (say("both"),),
        tools=(add,),
        subagents=(helper,),
    )
    state, events = await run(lead)
    assert outputs(state)[:3] == ["two it is", "two it is", "10"]
    assert texts(state, "helper") == texts(state, "helper#2") == ["two it is"]
    assert texts(state) == ["both"]
    started = [event for event in events if isinstance(event.payload, t.AgentStarted)]
    assert [(e.agent, e.payload.parent, e.payload.call) for e in started] == [  # type: ignore[union-attr]
        ("MAIN", "", None),
        ("helper", "MAIN", 0),
        ("helper#2", "MAIN", 1),
    ]
    assert state.replies == {"MAIN": 2, "helper": 2, "helper#2": 2}
    first = events[0].payload
    assert isinstance(first, t.RunStarted)
    assert [(entry.id, entry.parent) for entry in first.agents] == [
        ("MAIN", ""),
        ("helper", "MAIN"),
    ]


async def test_nested_subagents_and_usage_by_agent() -> None:
    deep = agent("deep", (say("bottom"),))
    middle = agent("middle", (task("deep", "go"),), (say("via middle"),), subagents=(deep,))
    state, _ = await run(agent("lead", (task("middle", "go"),), (say("top"),), subagents=(middle,)))
    assert outputs(state) == ["via middle", "bottom"]
    assert {agent for agent, _ in state.usage} == {"MAIN", "middle", "deep"}
    assert [entry.parent for entry in state.registry] == ["", "MAIN", "middle"]


async def test_a_subagent_sees_nothing_but_its_prompt() -> None:
    model = Spy((say("hi"),))
    helper = agent("helper", model=model, instructions="Help.")
    await run(
        agent("lead", (task("helper", "the task"),), (say("x"),), subagents=(helper,)),
        text="a secret",
        instructions="Of the request.",
    )
    (told,) = model.asked[0].items
    assert told == user("the task")
    assert model.asked[0].instructions == "Help."


async def test_a_subagent_that_fails_or_exceeds_its_turns_is_reported_to_its_parent() -> None:
    broken = agent("broken", (say("half"), ScenarioStep(fail="out of order")))
    endless = agent("endless", (call("add", a=1, b=1),), tools=(add,), limits=AgentLimits(turns=2))
    lead = agent(
        "lead",
        (task("broken", "x"), task("endless", "y")),
        (say("never mind"),),
        subagents=(broken, endless),
    )
    state, events = await run(lead)
    assert outputs(state)[:2] == [
        "The agent failed: out of order",
        "The agent stopped after 2 turns.",
    ]
    assert state.end == t.RunCompleted()
    ends = {e.agent: e.payload.status for e in events if isinstance(e.payload, t.AgentCompleted)}
    assert ends == {"broken": "failed", "endless": "incomplete", "MAIN": "completed"}


# limits


LIMITS = [
    (AgentLimits(turns=3), "max_turns"),
    (AgentLimits(tool_calls=4), "max_tool_calls"),
    (AgentLimits(tokens=50), "max_tokens"),
    (AgentLimits(cost=0.5), "max_cost"),
    (AgentLimits(seconds=0.05), "max_seconds"),
]


@pytest.mark.parametrize(("limits", "reason"), LIMITS)
async def test_a_limit_ends_the_run_as_incomplete_with_its_reason(
    limits: AgentLimits, reason: str
) -> None:
    async def wait() -> str:
        """Wait, without end where time is the limit."""
        if limits.seconds:
            await asyncio.Event().wait()
        return "ok"

    replies = script((call("wait"),), input=20, output=1)
    model = PricedModel(replies, Price(1000.0, 1000.0, 1000.0, 1000.0))
    state, _ = await run(agent("lead", model=model, tools=(wait,), limits=limits))
    assert state.end == t.RunIncomplete(reason)


@pytest.mark.parametrize(("own", "asked", "calls"), [(0, 2, 2), (1, 2, 1), (3, 2, 2)])
async def test_a_client_may_allow_fewer_calls_than_the_agent(
    own: int, asked: int, calls: int
) -> None:
    """`max_tool_calls` of a Responses request."""

    def count() -> str:
        """Count."""
        return "ok"

    lead = agent("lead", (call("count"),), tools=(count,), limits=AgentLimits(tool_calls=own))
    settings = Settings(origin="responses", extra={"max_tool_calls": asked})
    state, _ = await run(lead, settings=settings)
    assert state.end == t.RunIncomplete("max_tool_calls")
    assert outputs(state).count("ok") == calls


# history


async def test_a_long_history_is_compacted_and_the_agent_continues() -> None:
    model = Spy((call("add", a=1, b=1),), (say("the summary"),), (say("end"),), input=90)
    lead = agent("lead", model=model, tools=(add,), context_tokens=100)
    state, events = await run(lead, text="please add")
    kinds = [event.payload for event in events]
    assert t.CompactionStarted("context") in kinds
    (done,) = [kind for kind in kinds if isinstance(kind, t.CompactionCompleted)]
    said = [text_of(item.content) for item in done.replacement if isinstance(item, Message)]
    assert "the summary" in said[0]
    assert said[1] == "please add"
    assert model.asked[2].items[: len(done.replacement)] == done.replacement
    assert "the summary" not in texts(state)
    assert state.usage["MAIN", "m"].calls == 3
    assert state.replies["MAIN"] == 2


@pytest.mark.parametrize(
    ("summary", "finish", "why"),
    [
        ((), "stop", "The model gave no summary."),
        ((say(" \n"),), "stop", "The model gave no summary."),
        ((say("All that was"),), "length", "The summary was cut off (length)."),
        ((ScenarioStep(fail="The model is out."),), "stop", "The model is out."),
    ],
)
async def test_a_summary_that_is_none_does_not_take_the_place_of_the_past(
    summary: tuple[ScenarioStep, ...], finish: Any, why: str
) -> None:
    first = script((call("add", a=1, b=2),), input=90)
    model = Spy((say("never"),))
    model._replies = [first, script(summary, finish=finish), script((say("3"),))]
    lead = agent("lead", model=model, tools=(add,), context_tokens=100)
    state, events = await run(lead)
    (done,) = [e.payload for e in events if isinstance(e.payload, t.CompactionCompleted)]
    assert done == t.CompactionCompleted((), why)
    assert state.end == t.RunCompleted()
    assert texts(state)[-1] == "3"
    kinds = [type(item).__name__ for item in model.asked[-1].items]
    assert kinds == ["Message", "ToolCall", "ToolOutput"], "all that was said is told"


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORM = OutputFormat(kind="json_schema", name="x", schema=SCHEMA)


async def test_an_output_that_does_not_fit_is_requested_again() -> None:
    model = Spy((say("sorry"),), (say('{"a": "x"}'),), (say('{"a": 1}'),))
    lead = agent("lead", model=model, output=FORM)
    state, _ = await run(lead)
    assert state.end == t.RunCompleted()
    assert state.replies["MAIN"] == 3
    assert texts(state)[-1] == '{"a": 1}'
    state, _ = await run(agent("lead", (say("never"),), output=FORM))
    assert isinstance(state.end, t.RunFailed)
    assert "3 tries" in state.end.message


async def test_a_choice_forced_by_the_client_holds_for_the_first_reply_only() -> None:
    model = Spy((call("add", a=1, b=1),), (say("end"),))
    lead = agent("lead", model=model, tools=(add,))
    await run(lead, settings=Settings(tool_choice=ToolChoice(mode="required")))
    assert [asked.settings.tool_choice.mode for asked in model.asked] == ["required", "auto"]


async def test_a_clients_tool_ends_the_turn_beside_our_own() -> None:
    theirs = Settings(tools=(ToolSpec(name="show"),))
    lead = agent("lead", (call("show"), call("add", a=1, b=1)), (say("never"),), tools=(add,))
    state, _ = await run(lead, settings=theirs)
    assert [item.tool for item in state.items] == ["handed", "done"]
    assert state.end == t.RunCompleted()
    assert texts(state) == []


class Namespaced:
    """A model that calls `add` of the namespace `theirs`."""

    name = "namespaced"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[t.Payload], None]:
        item, space = 0, {"responses": {"namespace": "theirs"}}
        started = t.ItemStarted(item, "tool_call", name="add", call_id="c", details=space)
        yield [started, t.ItemCompleted(item, details=space), t.Usage("m", finish="tool_calls")]

    async def close(self) -> None:
        """There is nothing to release."""


async def test_a_function_in_a_clients_namespace_is_the_clients() -> None:
    """Codex's subagents are in a namespace; a tool of ours with the same name is another tool."""
    inner = {"type": "function", "name": "add"}
    space = {"type": "namespace", "name": "theirs", "tools": [inner]}
    theirs = Settings(tools=(ToolSpec(kind="provider", name="namespace", raw=space),))
    state, _ = await run(agent("lead", model=Namespaced(), tools=(add,)), settings=theirs)
    assert [item.tool for item in state.items] == ["handed"]
    assert state.end == t.RunCompleted()


@pytest.mark.parametrize("kind", ["additional_tools", "tool_search_output"])
async def test_a_tool_added_during_the_run_is_the_clients(kind: str) -> None:
    brought = ProviderItem(
        dialect="responses", data={"type": kind, "tools": [{"type": "function", "name": "late"}]}
    )
    lead = agent("lead", (call("late"), call("add", a=1, b=1)), (say("never"),), tools=(add,))
    state, _ = await run(lead, input=(brought,))
    assert [item.tool for item in state.items] == ["handed", "done"]
    assert state.end == t.RunCompleted()


async def test_parameters_of_the_run_are_not_sent_to_an_agents_model() -> None:
    """OpenAI refuses metadata without `store`."""
    model = Spy((say("ok"),))
    said = {"metadata": {"a": "b"}, "store": True, "logit_bias": {"1": 2}}
    await run(agent("lead", model=model), settings=Settings(origin="chat", extra=said))
    assert [asked.settings.extra for asked in model.asked] == [{"logit_bias": {"1": 2}}]


CHOICE = ToolChoice(mode="none")
NO_CHOICE = (ToolChoice(), None)


@pytest.mark.parametrize(
    ("tools", "choice", "told"),
    [
        ((add,), CHOICE, (CHOICE, True)),
        ((), CHOICE, NO_CHOICE),
        ((), ToolChoice(), NO_CHOICE),
        ((), ToolChoice(mode="required"), (ToolChoice(mode="required"), True)),
    ],
)
async def test_a_choice_without_tools_is_refused_only_if_it_requires_a_call(
    tools: tuple[Any, ...], choice: ToolChoice, told: Any
) -> None:
    """A client cannot know that the agent has no tools; servers refuse a choice among no tools."""
    model = Spy((say("ok"),))
    asked = Settings(tool_choice=choice, parallel_tool_calls=True)
    await run(agent("lead", model=model, tools=tools), settings=asked)
    (settings,) = [each.settings for each in model.asked]
    assert (settings.tool_choice, settings.parallel_tool_calls) == told


class Refusing(Spy):
    """A model that refuses every request with a choice of tools."""

    def refusal(self, request: ModelRequest) -> ModelFailed | None:
        chosen = request.settings.tool_choice != ToolChoice()
        return ModelFailed("No", status=400) if chosen or not request.items else None


def test_a_choice_among_an_agents_tools_is_for_its_run_to_judge() -> None:
    """The tools of a run are not known before it."""
    loop = one_agent(agent("lead", model=Refusing(), tools=(add,)), {})
    only = ToolChoice(mode="required", names=("add",))
    asked = request(settings=Settings(tool_choice=only, origin="messages"))
    assert loop.refusal(asked) is None
    assert loop.refusal(request(input=())) is not None
