"""Graphs of LangGraph, run by LangGraph: their input, and the events that describe their work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypedDict

import pytest
from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel

from tailrace.errors import ConfigError
from tailrace.events import items as i
from tailrace.events import types as t
from tailrace.events.request import Settings
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.models.scenario import ScenarioStep
from tailrace.runtimes.adapters.langgraph import anatomy
from tailrace.runtimes.adapters.langgraph.anatomy import tool_names
from tailrace.runtimes.adapters.langgraph.runtime import LangGraphRuntime
from tailrace.runtimes.contract import Runtime
from tests.runtimes.adapters.contract_suite import Contract
from tests.support.langgraph_agents import ScriptModel, agent, model, opened, run, tool
from tests.support.specs import PAINT, Spec, send, spec
from tests.support.team import call, outputs, say, texts


class TestLangGraph(Contract):
    """The suite, over `create_agent`."""

    failed_tool_fails_the_run = True
    answers_wait_for_others = True

    @pytest.fixture(autouse=True)
    def _store(self) -> None:
        self.store = MemoryStore()

    def build(self, spec: Spec) -> Runtime:
        made = LangGraphRuntime(agent(spec), spec.name)
        made.keep_in(self.store)
        return made


# input


async def test_a_request_becomes_messages_and_settings() -> None:
    scripted = model("lead", (say("ok"),))
    lead = create_agent(scripted, system_prompt="You are it.")
    picture = i.ImagePart(url="data:image/png;base64,iVBORw0KGgo=")
    given = i.Message(role="user", content=(i.TextPart("What is this?"), picture))
    history = [
        i.Message(role="system", content=(i.TextPart("Be loud."),)),
        given,
        i.ToolCall(call_id="c1", name="look", arguments='{"at": 1}'),
        i.ToolCall(call_id="c2", name="paint", arguments="{}"),
        i.ToolOutput(call_id="c1", output=(i.TextPart("seen"),)),
        i.Message(role="assistant", content=(i.TextPart("A dot."),)),
    ]
    settings = Settings(temperature=0.5, tools=(PAINT,))
    await run(lead, history=history, text="Sure?", instructions="Be kind.", settings=settings)
    messages, options = scripted.asked.pop()
    assert [message.type for message in messages] == [
        "system", "system", "human", "ai", "tool", "tool", "ai", "human",
    ]  # fmt: skip
    assert messages[1].text == "Be kind.\n\nBe loud."
    image = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
    assert messages[2].content == [{"type": "text", "text": "What is this?"}, image]
    assert messages[3].tool_calls[0]["args"] == {"at": 1}  # type: ignore[attr-defined]
    assert {message.text for message in messages[4:6]} == {
        "seen",
        "There is no result of this call.",
    }
    assert options["temperature"] == 0.5
    assert [each["function"]["name"] for each in options["tools"]] == ["paint"]


@pytest.mark.parametrize(
    ("choice", "names"), [("any", ["look", "paint"]), ({"name": "look"}, ["look"])]
)
async def test_the_clients_tools_are_offered_where_the_model_may_choose(
    choice: Any, names: list[str]
) -> None:
    scripted = model("lead", (say("ok"),))
    bound = scripted.bind_tools([{"name": "look"}], tool_choice=choice)

    async def ask(state: MessagesState) -> Any:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    await run(builder.compile(), settings=Settings(tools=(PAINT,)))
    assert tool_names(scripted.asked[0][1]) == set(names)


async def test_a_graph_without_messages_needs_a_mapping_for_its_input() -> None:
    class State(TypedDict):
        topic: str
        tone: str

    async def write(state: State, runtime: Any) -> Any:
        return {"tone": (await scripted.ainvoke(state["topic"])).text}

    scripted = model("lead", (say("calm"),))
    builder = StateGraph(State)
    builder.add_node("write", write)
    builder.add_edge(START, "write")
    graph = builder.compile()
    with pytest.raises(ConfigError, match="no messages"):
        LangGraphRuntime(graph, "lead")
    with pytest.raises(ConfigError, match="compile it"):
        LangGraphRuntime(builder, "lead")
    state = await run(graph, {"input": lambda request: {"topic": request.agent}})
    assert texts(state) == ["calm"]
    assert scripted.asked[0][0][0].text == "helper"


# output


class Answer(BaseModel):
    colour: str


async def test_a_call_that_is_the_answer_in_a_form_is_shown_as_the_answer() -> None:
    def look() -> str:
        """Look."""
        return "seen"

    scripted = model("lead", (call("look"),), (call("Answer", colour="red"),))
    lead = create_agent(scripted, tools=[tool(look)], response_format=ToolStrategy(Answer))
    state = await run(lead)
    assert state.end == t.RunCompleted()
    assert [item.started.kind for item in state.items] == ["tool_call", "message"]
    assert texts(state) == ['{"colour":"red"}']
    assert state.finish == "stop"


async def test_calls_that_reach_no_tool_are_answered_too() -> None:
    def add(a: int) -> int:
        """Add."""
        return a

    replies = ((call("add", a="x"), call("nothing")), (call("add", a=1),), (say("ok"),))
    state = await run(create_agent(model("lead", *replies), tools=[tool(add)]))
    assert state.end == t.RunCompleted()
    assert "valid integer" in outputs(state)[0]
    assert "nothing is not a valid tool" in outputs(state)[1]
    assert outputs(state)[2] == "1"
    assert [item.has_begun for item in state.items[:3]] == [True, False, True]


async def test_a_call_with_arguments_that_are_not_json_is_answered() -> None:
    class Broken(ScriptModel):
        async def _astream(self, *args: Any, **options: Any) -> AsyncIterator[ChatGenerationChunk]:
            piece = tool_call_chunk(name="look", id="c1", args="at one", index=0)
            message = AIMessageChunk(content="", tool_call_chunks=[piece])
            yield ChatGenerationChunk(message=message)

    def look(at: int) -> str:
        """Look."""
        return "seen"

    state = await run(create_agent(Broken(), tools=[tool(look)]))
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["The arguments are not a JSON object."]


async def test_code_that_is_not_asynchronous_takes_part_from_its_threads() -> None:
    def look() -> str:
        """Look."""
        return "seen"

    helper = create_agent(
        model("helper", (call("look"),), (say("helped"),)), tools=[tool(look)], name="helper"
    )
    scripted = model("lead", (call("ask_helper"),), (say("done"),))

    def ask_helper() -> str:
        """Ask."""
        return str(
            helper.invoke({"messages": [{"role": "user", "content": "do it"}]})["messages"][-1].text
        )

    def ask(state: MessagesState) -> Any:
        return {"messages": [scripted.bind_tools([]).invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_node("tools", ToolNode([tool(ask_helper)]))
    builder.add_edge(START, "ask")
    builder.add_conditional_edges("ask", tools_condition)
    builder.add_edge("tools", "ask")
    state = await run(builder.compile())
    assert state.end == t.RunCompleted()
    assert texts(state) == ["done"]
    assert texts(state, "helper") == ["helped"]
    assert outputs(state) == ["helped", "seen"]
    assert state.replies == {"MAIN": 2, "helper": 2}
    assert state.agents == {"MAIN": "closed", "helper": "closed"}


async def test_a_graph_in_the_last_node_is_an_agent_that_answers() -> None:
    async def note(state: MessagesState) -> Any:
        return {"messages": [AIMessage("Noted. ", id="n")]}

    builder = StateGraph(MessagesState)
    builder.add_node("note", note)
    builder.add_node("writer", create_agent(model("w", (say("a poem"),))))
    builder.add_edge(START, "note")
    builder.add_edge("note", "writer")
    state = await run(builder.compile())
    assert state.end == t.RunCompleted()
    assert texts(state, "writer") == ["a poem"]
    assert texts(state) == [], "the answer is there once"
    assert [(entry.parent, entry.kind) for entry in state.registry] == [
        ("", "main"),
        ("MAIN", "main"),
    ]


async def test_a_tool_that_calls_a_model_is_an_agent_also_when_it_streams_it() -> None:
    small = model("small", (say("short "), say("text")))

    async def shorten(text: str) -> str:
        """Shorten."""
        return "".join([chunk.text async for chunk in small.astream(text)])

    lead = create_agent(
        model("lead", (call("shorten", text="long"),), (say("ok"),)), tools=[tool(shorten)]
    )
    state = await run(lead)
    assert state.end == t.RunCompleted()
    assert texts(state) == ["ok"]
    assert texts(state, "shorten") == ["short text"]
    assert outputs(state) == ["short text"]
    assert state.agents == {"MAIN": "closed", "shorten": "closed"}


async def test_deep_agents_show_their_agents_and_files() -> None:
    replies = (
        (
            call("task", description="look", subagent_type="scout"),
            call("task", description="look again", subagent_type="scout"),
            call("write_file", file_path="/a.txt", content="hello"),
        ),
        (say("done"),),
    )
    scout = {
        "name": "scout",
        "description": "Looks.",
        "system_prompt": "Look.",
        "model": model("scout", (call("ls", path="/"),), (say("found"),)),
    }
    lead = create_deep_agent(model("lead", *replies), subagents=[scout])  # type: ignore[list-item]
    node: Any = lead.nodes["tools"].bound
    assert [name for name, each in node.tools_by_name.items() if anatomy.is_repeatable(each)] == [
        "task"
    ]
    house = await opened(lead)
    name = await house.start()
    state = await house.finished(name)
    events = [event.payload for event in await house.directory.events(name)]
    await house.supervisor.close()
    files = [e.data for e in events if isinstance(e, t.Custom) and e.name == "files"]
    assert [each["/a.txt"]["content"] for each in files] == ["hello"]
    assert state.end == t.RunCompleted()
    assert texts(state) == ["done"]
    assert outputs(state)[:2] == ["found", "found"]
    assert state.replies == {"MAIN": 2, "scout": 2, "scout#2": 2}
    assert state.dispatches == {0: ["scout"], 1: ["scout#2"]}


async def test_custom_events_of_a_graph_are_the_runs() -> None:
    async def work(state: MessagesState) -> None:
        get_stream_writer()({"done": 3})

    builder = StateGraph(MessagesState)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    house = await opened(builder.compile())
    name = await house.start()
    await house.finished(name)
    events = [event.payload for event in await house.directory.events(name)]
    assert t.Custom("custom", {"done": 3}) in events
    await house.supervisor.close()


# limits and failures


async def test_the_frameworks_own_limit_ends_the_run_early() -> None:
    def again() -> str:
        """Continue."""
        return "more"

    lead = create_agent(model("lead", (call("again"),)), tools=[tool(again)])
    state = await run(lead.with_config(recursion_limit=5))
    assert state.end == t.RunIncomplete("max_turns")


@pytest.mark.parametrize("below", [False, True])
async def test_a_graph_that_loops_forever_reaches_our_limit(below: bool) -> None:
    """The limit also applies to a subagent that loops, and across pauses."""
    asked = 0

    def again() -> str:
        """Continue."""
        nonlocal asked
        asked += 1
        return "more"

    looping = spec("looping", (call("again"),), tools=(again,))
    lead = spec("lead", (send("looping"),), below=(looping,)) if below else looping
    state = await run(agent(lead), {"max_turns": 7})
    assert state.end == t.RunIncomplete("max_turns")
    assert asked == 7
    assert state.replies["looping" if below else t.MAIN] == 7


async def test_a_failure_that_the_graph_deals_with_is_no_failure_of_the_run() -> None:
    broken = model("broken", (say("so "), ScenarioStep(fail="secret")))
    fine = model("fine", (say("fine"),))
    lead = create_agent(broken, middleware=[ModelFallbackMiddleware(fine)])
    state = await run(lead)
    assert state.end == t.RunCompleted()
    assert [item.status for item in state.items] == ["incomplete", "completed"]
    assert texts(state)[-1] == "fine"


async def test_an_overloaded_model_server_is_reported_without_its_text() -> None:
    class Enough(Exception):
        status_code = 429

    class Full(ScriptModel):
        async def _astream(self, *args: Any, **options: Any) -> AsyncIterator[ChatGenerationChunk]:
            raise Enough("secret-key")
            yield

    state = await run(create_agent(Full()))
    said = "The agent's model answered 429."
    assert state.end == t.RunFailed("rate_limit_exceeded", said, status=429)


async def test_outside_our_runs_agents_do_what_they_did() -> None:
    lead = create_agent(model("lead", (say("plain"),)))
    after = await lead.ainvoke({"messages": [{"role": "user", "content": "Hi"}]})
    assert after["messages"][-1].text == "plain"
    chunks = [chunk.text async for chunk in model("m", (say("a"), say("b"))).astream("Hi")]
    assert "".join(chunks) == "ab"


async def test_the_operators_log_has_the_reason_of_a_model_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = await run(create_agent(model("broken", (ScenarioStep(fail="no such key"),))))
    assert isinstance(state.end, t.RunFailed)
    assert "no such key" not in state.end.message
    assert "no such key" in caplog.text
