"""Plain async generators as agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import pytest

from tailrace.events import types as t
from tailrace.events.history import made_by
from tailrace.events.items import Message, Reasoning, ToolCall, ToolOutput, text_of
from tailrace.events.state import RunState
from tailrace.runtimes.adapters.generator.run import Run
from tailrace.runtimes.adapters.generator.runtime import Function, GeneratorRuntime
from tailrace.runtimes.tools.contract import MAX_OUTPUT
from tests.support.house import House, begun_tools, open_house, slow
from tests.support.team import outputs, texts


async def run(function: Function, **fields: Any) -> RunState:
    house = await open_house(GeneratorRuntime("poet", function))
    state = await house.finished(await house.start(**fields))
    await house.supervisor.close()
    return state


async def poet(run: Run) -> AsyncGenerator[Any, None]:
    yield run.reasoning("pick ")
    yield run.reasoning("a metre")
    search = run.tool("search", query=run.input)
    yield search
    yield search.result({"found": 1})
    yield "a line, "
    yield run.text("and another")
    yield t.Usage("m", input=3, output=4)
    yield run.custom("mood", "blue")


async def test_pieces_become_items() -> None:
    state = await run(poet, text="sea")
    said = made_by(state)
    assert [type(item) for item in said] == [Reasoning, ToolCall, ToolOutput, Message]
    assert isinstance(said[0], Reasoning)
    assert said[0].text == ("pick a metre",)
    assert isinstance(said[1], ToolCall)
    assert said[1].arguments == '{"query":"sea"}'
    assert outputs(state) == ['{"found":1}']
    assert texts(state) == ["a line, and another"]
    assert state.total().output == 4
    assert state.end == t.RunCompleted()


async def test_subagents_speak_under_their_own_names() -> None:
    async def team(run: Run) -> AsyncGenerator[Any, None]:
        one, two = run.subagent("helper"), run.subagent("helper")
        yield one.text("one ")
        yield two.text("uno ")
        yield one.text("two")
        yield one.done()
        yield "done"

    state = await run(team)
    assert (texts(state, "helper"), texts(state, "helper#2")) == (["one two"], ["uno "])
    assert texts(state) == ["done"]
    assert [entry.parent for entry in state.registry] == ["", "MAIN", "MAIN"]


async def test_a_clients_tool_ends_the_turn_and_the_next_one_remembers() -> None:
    async def shows(run: Run) -> AsyncGenerator[Any, None]:
        outputs = [item for item in run.messages if isinstance(item, ToolOutput)]
        if outputs:
            yield f"you saw {text_of(outputs[-1].output)}"
        else:
            yield run.client_tool("show", what="hat")

    state = await run(shows)
    assert [item.tool for item in state.items] == ["handed"]
    assert state.finish == "tool_calls"
    answer = ToolOutput(call_id="call_main_1", output=(t_text("a hat"),))
    state = await run(shows, history=[*made_by(state), answer])
    assert texts(state) == ["you saw a hat"]


def t_text(text: str) -> Any:
    from tailrace.events.items import TextPart

    return TextPart(text)


FAULTS: list[tuple[Any, str]] = [
    (t.TextDelta(7, "x"), "The agent broke the event grammar: text.delta: item 7 is not open"),
    (object(), "The agent broke the event grammar: a generator may not yield object"),
    (t.RunStarted, "The agent broke the event grammar: a generator may not yield StructMeta"),
]


@pytest.mark.parametrize(("piece", "message"), FAULTS)
async def test_what_makes_no_sense_fails_the_run_and_leaves_the_log_legal(
    piece: Any, message: str
) -> None:
    async def wrong(run: Run) -> AsyncGenerator[Any, None]:
        yield "so far so good"
        yield piece

    state = await run(wrong)
    assert isinstance(state.end, t.RunFailed)
    assert state.end.message == message
    assert [item.status for item in state.items] == ["incomplete"]


async def test_cancel_closes_the_generator() -> None:
    closed: list[bool] = []

    async def waits(run: Run) -> AsyncGenerator[Any, None]:
        try:
            yield "waiting"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    house = await open_house(GeneratorRuntime("poet", waits))
    name = await house.start()
    while not (await house.directory.state(name)).items:
        await asyncio.sleep(0)
    await house.supervisor.cancel(name, "a test")
    assert closed
    assert (await house.directory.state(name)).end == t.RunCancelled("a test")
    await house.supervisor.close()


@pytest.mark.parametrize("restarts", [True, False])
async def test_after_a_crash_a_generator_restarts_or_fails(restarts: bool) -> None:
    async def twice(run: Run) -> AsyncGenerator[Any, None]:
        yield f"attempt {run.attempt}"
        if run.attempt == 1:
            await asyncio.Event().wait()

    runtime = GeneratorRuntime("poet", twice, restarts=restarts)
    first = await open_house(runtime)
    name = await first.start()
    while not (await first.directory.state(name)).items:
        await asyncio.sleep(0)
    await first.supervisor.drain()
    second = House(runtime, first.store)
    await second.supervisor.open()
    state = await second.finished(name)
    assert isinstance(state.end, t.RunCompleted if restarts else t.RunFailed)
    assert texts(state)[-1] == ("attempt 2" if restarts else "attempt 1")
    await second.supervisor.close()


@pytest.mark.parametrize(
    "piece",
    [
        t.TextDelta(0, 5),  # type: ignore[arg-type]
        t.NodeFailed("x"),
        t.RunAttempt(5, "forged"),
        t.InputRequested("q", "Really?"),
        t.AgentStarted("other"),
        42,
        None,
    ],
    ids=repr,
)
async def test_an_illegal_event_of_a_generator_fails_only_its_run(piece: object) -> None:
    async def odd(run: Run) -> AsyncGenerator[Any, None]:
        yield "before"
        yield piece

    house = await open_house(GeneratorRuntime("poet", odd))
    name = await house.start()
    state = await house.finished(name)
    assert isinstance(state.end, t.RunFailed)
    assert type(piece).__name__ in state.end.message
    await house.supervisor.drain()
    again = House(GeneratorRuntime("poet", poet), house.store)
    await again.supervisor.open()
    assert texts(await again.finished(await again.start(text="sea"))) == ["a line, and another"]
    await again.supervisor.close()


async def test_invalid_text_fails_only_its_run() -> None:
    async def odd(run: Run) -> AsyncGenerator[Any, None]:
        yield run.text(5)  # type: ignore[arg-type]

    state = await run(odd)
    assert isinstance(state.end, t.RunFailed)
    assert "TextDelta" in state.end.message


async def test_half_a_surrogate_pair_is_shown_as_what_it_is() -> None:
    async def odd(run: Run) -> AsyncGenerator[Any, None]:
        yield "a\ud83d"
        yield "\ude00b"

    house = await open_house(GeneratorRuntime("poet", odd))
    name = await house.start()
    await house.supervisor.wait(name)
    state = await house.directory.state(name)
    assert state.end == t.RunCompleted()
    assert texts(state) == ["a\ufffd\ufffdb"]
    await house.supervisor.close()


async def test_an_agent_that_raises_a_cancellation_of_its_own_fails() -> None:
    async def odd(run: Run) -> AsyncGenerator[Any, None]:
        yield "before"
        raise asyncio.CancelledError

    state = await run(odd)
    assert state.end == t.RunFailed("server_error", "The agent raised CancelledError.")


async def test_an_agent_that_does_not_let_itself_be_stopped_is_left_behind() -> None:
    let_go = asyncio.Event()

    async def stubborn(run: Run) -> AsyncGenerator[Any, None]:
        yield "on and on"
        while not let_go.is_set():
            with suppress(asyncio.CancelledError):
                await let_go.wait()
        yield "too late"

    house = await open_house(GeneratorRuntime("poet", stubborn), cancel_seconds=0.05)
    name = await house.start()
    while (
        "on and on" not in texts(await house.directory.state(name))
        and not (await house.directory.state(name)).open
    ):
        await asyncio.sleep(0)
    await house.supervisor.cancel(name, "a client")
    state = await house.directory.state(name)
    assert state.end == t.RunCancelled("a client")
    record = await house.directory.record(name)
    assert record is not None
    assert record.status == "cancelled"
    let_go.set()
    await house.supervisor.close()
    assert (await house.directory.state(name)).seq == state.seq, "nothing is said after the end"


async def test_a_generators_output_is_cut_at_the_limit_of_tools() -> None:
    async def talks(run: Run) -> AsyncGenerator[Any, None]:
        search = run.tool("search")
        yield search
        yield search.result("r" * (MAX_OUTPUT + 9))
        for _ in range(3):
            yield run.reasoning("t" * (MAX_OUTPUT // 2))
        yield "x" * (MAX_OUTPUT + 5)
        yield "and this is lost"

    state = await run(talks)
    cut = f"\n[cut after {MAX_OUTPUT} "
    assert outputs(state)[0] == "r" * MAX_OUTPUT + f"{cut}of {MAX_OUTPUT + 9} characters]"
    assert texts(state)[0] == "x" * MAX_OUTPUT + f"{cut}characters]"
    (thought,) = [item for item in made_by(state) if isinstance(item, Reasoning)]
    assert thought.text[0] == "t" * MAX_OUTPUT + f"{cut}characters]"


async def test_bare_events_are_cut_too() -> None:
    async def talks(run: Run) -> AsyncGenerator[Any, None]:
        yield t.ItemStarted(0, "message")
        yield t.TextDelta(0, "x" * MAX_OUTPUT)
        yield t.TextDelta(0, "y")
        yield t.TextDelta(0, "y")
        yield t.ItemCompleted(0)

    state = await run(talks)
    assert texts(state)[0] == "x" * MAX_OUTPUT + f"\n[cut after {MAX_OUTPUT} characters]"


async def test_arguments_of_a_call_cannot_be_cut() -> None:
    async def calls(run: Run) -> AsyncGenerator[Any, None]:
        yield run.tool("search", what="x" * MAX_OUTPUT)

    state = await run(calls)
    assert isinstance(state.end, t.RunFailed)
    assert f"over {MAX_OUTPUT} characters" in state.end.message


async def test_a_tool_begins_when_the_log_knows_of_it() -> None:
    known: list[list[int]] = []

    async def works(run: Run) -> AsyncGenerator[Any, None]:
        call = run.tool("search", query="x")
        yield call
        known.append(await begun_tools(house))  # as if the tool began
        yield call.result("found")
        yield t.ItemStarted(1, "tool_call", name="raw", call_id="c", runs_on="server")
        yield t.ArgumentsDelta(1, "{}")
        yield t.ItemCompleted(1)
        yield t.Usage("m")
        yield t.ToolStarted(1, "key")
        known.append(await begun_tools(house))
        yield t.ToolCompleted(1, "done")

    house = slow(await open_house(GeneratorRuntime("poet", works)))
    state = await house.finished(await house.start())
    assert state.end == t.RunCompleted(), state.end
    assert known == [[0], [0, 1]]
    await house.supervisor.close()
