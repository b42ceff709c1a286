"""How a reply that a crash cut off ends where the next reply is not held back.

This applies to foreign nodes and frameworks, to generators that restart, and to pictures that were
complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from tailrace.events import types as t
from tailrace.events.history import lasting, made_by
from tailrace.events.items import ImagePart, Item, Message, text_of
from tailrace.events.request import ModelRequest
from tailrace.events.state import RunState
from tailrace.runtimes.adapters.generator.run import Run
from tailrace.runtimes.adapters.generator.runtime import GeneratorRuntime
from tailrace.runtimes.adapters.playback import Member, PlaybackTeam, Scope
from tailrace.runtimes.adapters.reply_recorder import ReplyRecorder
from tailrace.runtimes.contract import RunContext, Runtime
from tailrace.runtimes.node_lifecycle import NODE, ModelReply, opening
from tailrace.runtimes.nodes.contract import NodeContext, NodeSpec
from tailrace.runtimes.nodes.model import ModelNode
from tailrace.runtimes.workflow import Workflow
from tests.support.house import House, open_house
from tests.support.logs import request

ATTEMPT = t.RunAttempt(2, "died", keeps_replies=True)
USAGE = t.Usage("m")


async def crashed(runtime: Runtime, pieces: int) -> tuple[RunState, list[t.Event]]:
    """A run whose worker dies when the log has this many events, and which another worker ends."""
    first = await open_house(runtime)
    name = await first.start()
    while (await first.directory.state(name)).seq < pieces:
        await asyncio.sleep(0)
    await first.supervisor.drain()
    second = House(runtime, first.store)
    await second.supervisor.open()
    state = await second.finished(name)
    events = await second.directory.events(name)
    await second.supervisor.close()
    return state, events


def answers(state: RunState) -> list[str]:
    return [text_of(item.content) for item in made_by(state) if isinstance(item, Message)]


async def test_a_restarted_generator_has_no_earlier_output() -> None:
    """Not even complete output stays, and its subagent is a new one."""

    async def poet(run: Run) -> AsyncGenerator[Any, None]:
        yield "first line"
        yield USAGE
        helper = run.subagent("helper")
        yield helper.text("a rhyme")
        yield helper.done()
        yield "second line"
        if run.attempt == 1:
            await asyncio.Event().wait()

    state, events = await crashed(GeneratorRuntime("poet", poet, restarts=True), 14)
    assert state.end == t.RunCompleted()
    assert answers(state) == ["first line", "second line"]
    kept = [e.payload.text for e in lasting(events) if isinstance(e.payload, t.TextDelta)]
    assert kept.count("first line") == kept.count("second line") == 1
    assert [entry.id for entry in state.registry] == [t.MAIN, "helper", "helper#2"]


class Foreign:
    """A node of another author: it emits its output, whatever was emitted before."""

    def __init__(self) -> None:
        self.times = 0

    def registry(self) -> Sequence[t.AgentEntry]:
        return ()

    async def work(self, context: NodeContext, told: tuple[Item, ...]) -> bool:
        self.times += 1
        item = len(context.run.state.items)
        context.emit([t.ItemStarted(item, "message"), t.TextDelta(item, f"time {self.times}")])
        if self.times == 1:
            await asyncio.Event().wait()
        context.emit([t.ItemCompleted(item), USAGE])
        return True


async def test_a_node_that_does_not_hold_back_has_its_cut_reply_abandoned() -> None:
    workflow = Workflow([NodeSpec(id="a", type="foreign")], {"a": Foreign()})
    state, _ = await crashed(workflow, 3)
    assert state.end == t.RunCompleted()
    assert [(item.status, item.abandoned) for item in state.items] == [
        ("incomplete", True),
        ("completed", False),
    ]


class Painter:
    """A model that paints; its worker dies before the model reports its usage."""

    name = "painter"

    def __init__(self) -> None:
        self.asked = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[t.Payload], None]:
        self.asked += 1
        item = 0
        picture = Message(role="assistant", content=(ImagePart("data:image/png;base64,iVBO"),))
        yield [t.ItemStarted(item, "image"), t.ItemCompleted(item, content=picture)]
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


async def test_a_picture_that_was_whole_is_the_nodes_answer() -> None:
    painter = Painter()
    node = ModelNode(painter, "images", {})
    workflow = Workflow([NodeSpec(id="paint", type="image_generation")], {"paint": node})
    state, events = await crashed(workflow, 3)
    assert state.end == t.RunCompleted()
    assert painter.asked == 1
    assert state.replies == {"paint": 1}
    assert not state.items[0].abandoned
    assert lasting(events) == events


def cut(*payloads: t.Payload, agent: str = t.MAIN) -> RunState:
    """A run whose worker died after an agent had emitted these payloads."""
    state = RunState()
    drafts = [t.Draft(t.RunStarted(request())), *opening(state, "lead")]
    if agent != t.MAIN:
        drafts.append(t.Draft(t.AgentStarted(agent, "subagent", t.MAIN), NODE, agent))
    drafts += [t.Draft(payload, NODE, agent) for payload in payloads]
    for draft in [*drafts, t.Draft(ATTEMPT)]:
        state.advance(draft, 0)
    return state


CALL: list[t.Payload] = [
    t.ItemStarted(0, "tool_call", name="find", call_id="one"),
    t.ArgumentsDelta(0, "{"),
]


@pytest.mark.parametrize("id", ["one", "two"])
def test_a_frameworks_call_continues_only_under_its_own_id(id: str) -> None:
    """The framework has received the new id, and would request the result of a call that no log has."""
    state = cut(*CALL)

    def emit(drafts: Sequence[t.Draft]) -> None:
        for draft in drafts:
            state.advance(draft, 0)

    recorder = ReplyRecorder(state, t.MAIN, emit)
    number = recorder.next_number()
    recorder.emit(t.ItemStarted(number, "tool_call", name="find", call_id=id))
    recorder.emit(t.ArgumentsDelta(number, "{}"))
    recorder.emit(t.ItemCompleted(number))
    recorder.emit(USAGE)
    assert state.items[0].abandoned == (id != "one")
    assert state.items[recorder.number(number)].started.call_id == id


def test_a_call_of_a_built_in_agent_continues_under_any_id() -> None:
    state = cut(*CALL)
    reply = ModelReply(state)
    again = t.ItemStarted(0, "tool_call", name="find", call_id="two")
    for payload in (again, t.ArgumentsDelta(again.item, "{}"), t.ItemCompleted(again.item), USAGE):
        for draft in reply.convert([payload]):
            state.advance(draft, 0)
    assert [item.started.call_id for item in state.items] == ["one"]


class Log:
    """A run's log, as a runtime sees it."""

    full = False

    def __init__(self, state: RunState) -> None:
        self.state = state

    def add(self, drafts: Sequence[t.Draft]) -> None:
        for draft in drafts:
            self.state.advance(draft, 0)

    def now(self) -> int:
        return 0

    async def room(self) -> None:
        pass

    async def flush(self) -> None:
        pass


async def test_an_agent_that_ends_without_asking_its_model_again_leaves_nothing_open() -> None:
    """Its framework took another path this time."""
    state = cut(t.ItemStarted(0, "message"), t.TextDelta(0, "so far"), agent="helper")
    team = PlaybackTeam(RunContext("run", Log(state)))
    main = Member(Scope(team, None, None), "lead", "main")
    helper = Member(Scope(team, main, None), "helper")
    assert helper.id == "helper"
    helper.end("completed")
    assert state.items[0].abandoned
    assert state.agents["helper"] == "closed"


def test_what_is_left_of_a_reply_ends_with_the_run_that_completes() -> None:
    state = cut(t.ItemStarted(0, "message"), t.TextDelta(0, "so far"))
    for draft in [*state.settle(t.RunCompleted()), t.Draft(t.RunCompleted())]:
        state.advance(draft, 0)
    assert state.items[0].abandoned
