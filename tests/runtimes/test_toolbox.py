"""MCP servers that are unavailable when an agent continues: it waits, reports that to the model, and
continues."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tailrace.events import types as t
from tailrace.events.answers import Approval
from tailrace.events.request import ModelRequest, Settings, ToolSpec
from tailrace.runtimes.agent import Agent
from tailrace.runtimes.one_agent import one_agent
from tailrace.runtimes.toolbox import Toolbox, ToolOfAbsentServer, name_with_prefix
from tailrace.runtimes.tools.functions import tool
from tailrace.runtimes.tools.mcp import McpServer
from tailrace.runtimes.tools.mcp_endpoint import Endpoint
from tests.support.house import House
from tests.support.mcp_servers import McpProcess
from tests.support.specs import until as until_state
from tests.support.team import Spy, agent, call, house_of, outputs, say, texts
from tests.support.team import run as run_of


@pytest.fixture
def process(tmp_path: Path) -> Generator[McpProcess]:
    with McpProcess(tmp_path / "notes") as made:
        yield made


def _asks_first(process: McpProcess, seconds: float) -> tuple[Agent, Spy, McpServer]:
    server = McpServer(Endpoint(label="docs", url=process.url), timeout=seconds)
    model = Spy((call("echo", what="x"),), (say("Done."),))
    return agent("a", model=model, sources=(server,)), model, server


async def _paused(root: Agent) -> tuple[House, str]:
    house = await house_of(root)
    run = await house.start()
    assert (await house.finished(run)).phase == "waiting"
    return house, run


async def test_an_approval_during_an_outage_continues_the_run(process: McpProcess) -> None:
    root, _, server = _asks_first(process, 30)
    first, run = await _paused(root)
    await first.supervisor.drain()
    await server.close()
    process.kill()
    root, model, _ = _asks_first(process, 0.5)
    model.asked.append(ModelRequest(items=()))  # the request of the first process
    house = House(one_agent(root, {}), first.store)
    await house.supervisor.open()
    await house.supervisor.answer(run, (Approval(0, approved=True),))
    state = await house.finished(run)
    (told,) = outputs(state)
    assert told.startswith("MCP server docs ")
    assert told.endswith(". The call was not made.")
    assert texts(state) == ["Done."]
    assert model.asked[-1].settings.tools == ()
    await house.supervisor.close()


async def test_a_server_that_comes_back_in_time_gets_the_call(process: McpProcess) -> None:
    root, model, server = _asks_first(process, 30)
    house, run = await _paused(root)
    process.kill()
    await server.close()
    answering = asyncio.create_task(
        house.supervisor.answer(run, (Approval(0, approved=True),)), name="answer"
    )
    await answering
    await until_state(house, run, lambda state: state.items[0].has_begun)
    process.start()
    state = await house.finished(run)
    assert outputs(state) == [f"x {run} {run}:0"]
    assert texts(state) == ["Done."]
    assert len(model.asked[-1].settings.tools) > 0, "it is there again, and offered"
    await server.close()
    await house.supervisor.close()


async def test_a_run_is_taken_over_while_the_server_is_down(process: McpProcess) -> None:
    begun = asyncio.Event()

    @tool(idempotent=True)
    async def busy() -> str:
        """Hang, the first time."""
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        return "done"

    def root(model: Any, seconds: float) -> tuple[Agent, McpServer]:
        server = McpServer(
            Endpoint(label="docs", url=process.url), timeout=seconds, approval="never"
        )
        return agent("a", model=model, sources=(server,), tools=(busy,)), server

    made, server = root(Spy((call("echo", what="x"), call("busy"))), 30)
    first = await house_of(made)
    run = await first.start()
    await begun.wait()
    await until_state(first, run, lambda state: state.items[0].output is not None)
    await first.supervisor.drain()
    await server.close()
    process.kill()
    model = Spy((say("Done."),))
    second = House(one_agent(root(model, 0.5)[0], {}), first.store)
    await second.supervisor.open()
    state = await second.finished(run)
    assert state.end == t.RunCompleted()
    assert outputs(state) == [f"x {run} {run}:0", "done"]
    assert texts(state) == ["Done."]
    assert [tool.name for tool in model.asked[0].settings.tools] == ["busy"]
    await second.supervisor.close()


async def test_a_run_that_cannot_start_fails_at_once(
    process: McpProcess, caplog: pytest.LogCaptureFixture
) -> None:
    process.kill()
    house = await house_of(_asks_first(process, 60)[0])
    state = await house.finished(await house.start())
    assert isinstance(state.end, t.RunFailed)
    assert state.end.message == "MCP server docs cannot be reached."
    assert "MCP server docs cannot be reached: " in caplog.text
    await house.supervisor.close()


async def test_a_clients_tool_is_not_offered_beside_ours_of_the_same_name() -> None:
    model = Spy((call("add", a=1, b=1),), (say("Done."),))
    theirs = tuple(
        ToolSpec(name=name, parameters={"type": "object"}) for name in ("add", "task", "paint")
    )
    root = agent("a", model=model, tools=(add,), subagents=(agent("b"),))
    state, _ = await run_of(root, settings=Settings(tools=theirs))
    assert [spec.name for spec in model.asked[0].settings.tools] == ["add", "task", "paint"]
    assert outputs(state) == ["2"], "ours ran"


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def test_names_of_tools_stay_within_what_model_servers_take() -> None:
    long = "t" * 60
    assert name_with_prefix("docs", "find", {}) == "docs__find"
    first, second = name_with_prefix("docs", long, {}), name_with_prefix("docs", long + "x", {})
    assert len(first) == len(second) == 64
    assert first != second
    assert first == name_with_prefix("docs", long, {}), "the same in the next process"
    assert name_with_prefix("docs", "find", {"docs__find"}) not in ("docs__find", "find")


def test_two_servers_with_equal_tool_names() -> None:
    box = Toolbox(agent("a"))
    for label in ("one", "two"):
        spec = ToolSpec(name="n" * 64)
        box._take([ToolOfAbsentServer(box, spec.name, label, approval=False)])
    assert [len(spec.name) for spec in box.specs(())] == [64, 64]
