"""Logs that the built-in agent really wrote: teams, pauses, limits, crashes. They are the same every time.

The models are scripted, no tool has a thread, the clock does not advance and the store is in memory, so
only the run's random name differs between two runs of this code, and that is replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tailrace.events import stored
from tailrace.events import types as t
from tailrace.events.answers import Approval, Reply
from tailrace.events.request import OutputFormat, Settings, ToolSpec
from tailrace.models.scenario import ScenarioStep
from tailrace.runtimes.agent import Agent, AgentLimits
from tailrace.runtimes.one_agent import one_agent
from tailrace.runtimes.tools.functions import tool
from tests.support.house import House
from tests.support.logs import RUN
from tests.support.team import Spy, agent, call, house_of, say, task

Act = Callable[[House, str], Awaitable[None]]
STOOD_STILL = 1_763_690_000_123


async def find(what: str) -> dict[str, str]:
    """Find a thing."""
    return {"found": what}


@tool(approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


async def _nothing(house: House, run: str) -> None:
    """The run waits for no person."""


def _log(root: Agent, act: Act = _nothing, **fields: object) -> list[t.Event]:
    """The log of a run that starts, reaches its end or pause, is changed by `act`, and ends."""

    async def made() -> list[t.Event]:
        house = House(one_agent(root, {}))
        house.now = STOOD_STILL
        await house.supervisor.open()
        run = await house.start(**fields)
        if act is not _cancelled:
            await house.finished(run)
        await act(house, run)
        await house.finished(run)
        events = await house.directory.events(run)
        await house.supervisor.close()
        body = stored.frame(events).body.replace(run.encode(), RUN.encode())
        return stored.decode(body)

    return asyncio.run(made())


async def _cancelled(house: House, run: str) -> None:
    while not any(i.tool == "running" for i in (await house.directory.state(run)).items[1:]):
        await asyncio.sleep(0)
    await house.supervisor.cancel(run, "a client")


def _researcher() -> Agent:
    replies = ((say("Looking. "), call("find", what="hat")), (say("Found "), say("it.")))
    return agent("researcher", *replies, tools=(find,), description="Finds things.")


def team() -> list[t.Event]:
    """Two researchers in parallel, then the answer."""
    both = (say("Two look. "), task("researcher", "north"), task("researcher", "south"))
    return _log(agent("lead", both, (say("Both found it."),), subagents=(_researcher(),)))


def team_nested() -> list[t.Event]:
    """A subagent has a subagent."""
    middle = agent(
        "middle", (task("researcher", "go"),), (say("Via me."),), subagents=(_researcher(),)
    )
    return _log(agent("lead", (task("middle", "go"),), (say("Done."),), subagents=(middle,)))


def _payer() -> Agent:
    return agent("lead", (say("I pay. "), call("pay", amount=5)), (say("So be it."),), tools=(pay,))


def approval_granted() -> list[t.Event]:
    """A call waits for approval and gets it."""

    async def yes(house: House, run: str) -> None:
        await house.supervisor.answer(run, (Approval(1, approved=True),))

    return _log(_payer(), yes)


def approval_denied() -> list[t.Event]:
    """A call waits for approval and is refused."""

    async def no(house: House, run: str) -> None:
        await house.supervisor.answer(run, (Approval(1, approved=False, reason="too dear"),))

    return _log(_payer(), no)


def approval_pending() -> list[t.Event]:
    """A call waits for approval, and a client cancels the run."""

    async def stop(house: House, run: str) -> None:
        await house.supervisor.cancel(run, "a client")

    return _log(_payer(), stop)


def question_below() -> list[t.Event]:
    """A subagent asks a person."""

    async def reply(house: House, run: str) -> None:
        (name,) = (await house.directory.state(run)).questions
        await house.supervisor.answer(run, (Reply(name, "red"),))

    asker = agent(
        "asker", (call("ask_user", question="Which?"),), (say("Thanks."),), asks_user=True
    )
    return _log(agent("lead", (task("asker", "ask"),), (say("Asked."),), subagents=(asker,)), reply)


def subagent_fails() -> list[t.Event]:
    """A subagent's model fails in the middle; the lead receives the error."""
    broken = agent("broken", (say("Half of"), ScenarioStep(fail="out of order")))
    return _log(agent("lead", (task("broken", "x"),), (say("Never mind."),), subagents=(broken,)))


def limit_reached() -> list[t.Event]:
    """The run has no tool calls left."""
    return _log(
        agent("lead", (call("find", what="x"),), tools=(find,), limits=AgentLimits(tool_calls=2))
    )


def compacted() -> list[t.Event]:
    """The history is shortened during the run; no client sees the summary."""
    model = Spy((call("find", what="x"),), (say("The summary."),), (say("The end."),), input=90)
    return _log(agent("lead", model=model, tools=(find,), context_tokens=100))


def asked_for_json_again() -> list[t.Event]:
    """The first answer does not fit its schema."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    form = OutputFormat(kind="json_schema", name="a", schema=schema)
    return _log(agent("lead", model=Spy((say("Well"),), (say('{"a": 1}'),)), output=form))


def client_tool_beside_ours() -> list[t.Event]:
    """The model calls a tool of ours and one of the client's in one reply."""
    calls = (call("show", what="hat"), call("find", what="hat"))
    lead = agent("lead", calls, tools=(find,))
    return _log(lead, settings=Settings(tools=(ToolSpec(name="show"),)))


def cancelled_below() -> list[t.Event]:
    """The run is cancelled while a subagent's tool hangs."""

    async def hang() -> str:
        """Hang."""
        await asyncio.Event().wait()
        return ""

    helper = agent("helper", (call("hang"),), tools=(hang,))
    return _log(agent("lead", (task("helper", "x"),), subagents=(helper,)), _cancelled)


def tool_cut_off() -> list[t.Event]:
    """The process ends while a tool runs that must not run twice; the next process continues."""

    def lead() -> Agent:
        times: list[int] = []

        async def go() -> str:
            """Go."""
            times.append(1)
            await asyncio.Event().wait()
            return ""

        return agent(
            "lead", (call("go"), call("find", what="x")), (say("Too bad."),), tools=(go, find)
        )

    async def made() -> list[t.Event]:
        first = await house_of(lead())
        first.now = STOOD_STILL
        run = await first.start()
        while len([i for i in (await first.directory.state(run)).items if i.tool == "done"]) < 1:
            await asyncio.sleep(0)
        await first.supervisor.drain()
        second = House(one_agent(lead(), {}), first.store)
        second.now = STOOD_STILL
        await second.supervisor.open()
        await second.finished(run)
        events = await second.directory.events(run)
        await second.supervisor.close()
        body = stored.frame(events).body.replace(run.encode(), RUN.encode())
        return stored.decode(body)

    return asyncio.run(made())


TEAM_SCENARIOS: dict[str, Callable[[], list[t.Event]]] = {
    scenario.__name__: scenario
    for scenario in (
        team,
        team_nested,
        approval_granted,
        approval_denied,
        approval_pending,
        question_below,
        subagent_fails,
        limit_reached,
        compacted,
        asked_for_json_again,
        client_tool_beside_ours,
        cancelled_below,
        tool_cut_off,
    )
}
