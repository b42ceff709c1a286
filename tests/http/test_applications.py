"""The set-up of an application, in TOML and in Python: values for a framework, factories of graphs, functions
of every kind, and a lifespan."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.forks import Forks, forking
from tests.support.servers import ChildServer, select_a_moment

CONFIG = """
[server]
data = "data"
{server}

[agents.pydantic]
entry = "helper_tools:pydantic"
deps = "helper_tools:deps"

[agents.openai]
entry = "helper_tools:openai"
context = "helper_tools:deps"

[agents.graph]
entry = "helper_tools:graph"
context = "helper_tools:deps"
config = "helper_tools:config"
input = "helper_tools:graph_input"

[agents.waits]
entry = "helper_tools:waits"
context = "helper_tools:deps"

[agents.factory]
entry = "helper_tools:make_graph"

[agents.async_factory]
entry = "helper_tools:make_graph_later"

[agents.managed_factory]
entry = "helper_tools:managed_graph"

[agents.not_a_graph]
entry = "helper_tools:make_nothing"

[agents.generator]
entry = "helper_tools:generator"

[agents.coroutine]
entry = "helper_tools:coroutine"

[agents.object]
entry = "helper_tools:agent_object"

[agents.broken]
entry = "helper_tools:graph"
context = "helper_tools:broken"
"""
TOOLS = """
import threading
from contextlib import asynccontextmanager
from pathlib import Path

from agents import Agent as OpenAIAgent
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from pydantic_ai import Agent, RunContext
from pydantic_ai.models.function import FunctionModel

from tailrace import current_run
from tailrace.models.scenario import ScenarioStep
from tests.support.openai_agents_agents import Scripted


def note(what):
    with (Path(__file__).parent / "notes.txt").open("a") as file:
        file.write(what + "\\n")


@asynccontextmanager
async def deps(request):
    note("made " + request.agent)
    yield {"shop": "north", "agent": request.agent}
    note("left " + request.agent)


def broken(request):
    raise ValueError("a secret")


async def config(request):
    return {"configurable": {"colour": "red"}, "tags": ["t"], "recursion_limit": 7}


def graph_input(request):
    return {"messages": [("user", "made by input")]}


async def says(messages, info):
    yield info.instructions or "no instructions"


pydantic = Agent(FunctionModel(stream_function=says), deps_type=dict)


@pydantic.instructions
def prompt(ctx: RunContext[dict]) -> str:
    return f"the shop is {ctx.deps['shop']}"


class SaysItsInstructions(Scripted):
    async def stream_response(self, system_instructions, *arguments, **more):
        self._replies = ((ScenarioStep(text=system_instructions.split("\\n")[0]),),)
        async for event in super().stream_response(system_instructions, *arguments, **more):
            yield event


openai = OpenAIAgent(
    name="openai",
    model=SaysItsInstructions("openai", ()),
    instructions=lambda ctx, agent: f"the shop is {ctx.context['shop']}",
)


def compiled(node):
    builder = StateGraph(MessagesState, context_schema=dict)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile()


def node(state, config, runtime: Runtime[dict]):
    colour = config["configurable"]["colour"]
    said = state["messages"][-1].text
    limit = config["recursion_limit"]
    return {"messages": [AIMessage(f"{said} {runtime.context['shop']} {colour} {limit}")]}


def ask(state, runtime: Runtime[dict]):
    answer = interrupt("Sure?")
    return {"messages": [AIMessage(f"{answer} {runtime.context['shop']}")]}


graph = compiled(node)
waits = compiled(ask)


def speaker(name):
    return compiled(lambda state: {"messages": [AIMessage(f"I am {name}")]})


def make_graph(config):
    assert config["configurable"]["langgraph_auth_user_id"] == ""
    return speaker("made")


async def make_graph_later():
    return speaker("made later")


@asynccontextmanager
async def managed_graph(config):
    note("made managed")
    yield speaker("managed")
    note("left managed")


def make_nothing():
    return 3


def generator(run):
    assert threading.current_thread() is not threading.main_thread()
    assert current_run().id
    yield "a generator "
    yield f"in a thread: {run.input}"


async def coroutine(run):
    return f"a coroutine: {run.input}"


class AgentObject:
    async def __call__(self, run):
        yield f"an object: {run.input}"


agent_object = AgentObject()
"""


@pytest.fixture(scope="module")
def forks() -> Generator[Forks, None, None]:
    with forking(
        "tailrace.runtimes.adapters.langgraph.runtime",
        "tailrace.runtimes.adapters.pydantic_ai.runtime",
        "tests.support.openai_agents_agents",
    ) as made:
        yield made


@pytest.fixture(scope="module")
def one_server(
    tmp_path_factory: pytest.TempPathFactory, forks: Forks
) -> Generator[ChildServer, None, None]:
    folder = tmp_path_factory.mktemp("applications")
    child = ChildServer(folder, config=CONFIG, tools=TOOLS).start(forks=forks)
    yield child
    child.kill()


@pytest.fixture
def server(one_server: ChildServer) -> ChildServer:
    """The server, with an empty file of notes."""
    (one_server.folder / "notes.txt").write_text("")
    return one_server


def said(server: ChildServer, agent: str) -> str:
    body = {"model": agent, "input": "hi"}
    reply = httpx.post(server.url + "/v1/responses", json=body, timeout=30).json()
    assert reply["status"] == "completed", reply
    text: str = reply["output"][-1]["content"][0]["text"]
    return text


def notes(server: ChildServer, *expected: str) -> None:
    """The notes are written a moment after the reply: a run's end comes first."""
    file = server.folder / "notes.txt"
    while (seen := file.read_text().split("\n")[:-1]) != list(expected):
        assert len(seen) < len(expected) or sorted(seen) == sorted(expected), seen
        select_a_moment()


MADE = {
    "pydantic": "the shop is north",
    "openai": "the shop is north",
    "graph": "made by input north red 7",
}


@pytest.mark.parametrize("agent", MADE)
def test_an_entry_gets_what_its_functions_make(server: ChildServer, agent: str) -> None:
    assert said(server, agent) == MADE[agent]
    notes(server, f"made {agent}", f"left {agent}")


SAID = {
    "factory": "I am made",
    "async_factory": "I am made later",
    "managed_factory": "I am managed",
    "generator": "a generator in a thread: hi",
    "coroutine": "a coroutine: hi",
    "object": "an object: hi",
}


@pytest.mark.parametrize("agent", SAID)
def test_functions_of_every_kind_are_agents(server: ChildServer, agent: str) -> None:
    assert said(server, agent) == SAID[agent]
    if agent == "managed_factory":
        notes(server, "made managed", "left managed")


def test_a_value_outlives_a_pause_and_not_a_restart(server: ChildServer, forks: Forks) -> None:
    def waiting() -> tuple[str, Any]:
        job = httpx.post(f"{server.url}/jobs", json={"agent": "waits", "input": "x"}).json()
        url = f"{server.url}/jobs/{job['id']}"
        while (job := httpx.get(url).json())["status"] != "waiting":
            select_a_moment()
        return url, job["waiting_for"][0]["request_id"]

    def answer(url: str, question: Any) -> None:
        httpx.post(f"{url}/input", json={"request_id": question, "value": "yes"}).raise_for_status()
        while (job := httpx.get(url).json())["status"] != "completed":
            assert job["status"] != "failed", job
            select_a_moment()
        assert job["output"][-1]["content"]["content"][0]["text"] == "yes north"

    answer(*waiting())
    notes(server, "made waits", "left waits")
    paused = waiting()
    server.kill()
    server.start(forks=forks)
    answer(*paused)
    notes(server, "made waits", "left waits", "made waits", "made waits", "left waits")
    url, _ = waiting()
    httpx.post(f"{url}/cancel")
    notes(server, *["made waits", "left waits", "made waits"], *["made waits", "left waits"] * 2)


FAILS = {
    "broken": "context raised ValueError.",
    "not_a_graph": "not_a_graph: a langgraph int is not a graph; compile it first",
}


@pytest.mark.parametrize("agent", FAILS)
def test_a_function_that_fails_fails_its_run(server: ChildServer, agent: str) -> None:
    body = {"model": agent, "input": "hi"}
    reply = httpx.post(server.url + "/v1/responses", json=body, timeout=30).json()
    assert reply["status"] == "failed"
    assert reply["error"]["message"] == FAILS[agent]
    assert "secret" not in json.dumps(reply)


LIFESPAN = """
from contextlib import asynccontextmanager
from pathlib import Path

import tailrace


def note(what):
    with (Path(__file__).parent / "notes.txt").open("a") as file:
        file.write(what + "\\n")


@asynccontextmanager
async def lifespan(app):
    note("start")
    app.desk = "open"
    yield
    note("stop")


app = tailrace.App(data=Path(__file__).parent / "data", lifespan=lifespan)


@app.agent("desk")
async def desk(run):
    yield f"the desk is {app.desk}"
"""


def test_an_app_has_a_lifespan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ChildServer(tmp_path, tools=LIFESPAN)
    monkeypatch.chdir(tmp_path)
    server.start(source="helper_tools:app", fresh=True)
    try:
        assert said(server, "desk") == "the desk is open"
        server.stop()
        notes(server, "start", "stop")
    finally:
        server.kill()
