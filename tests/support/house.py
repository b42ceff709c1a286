"""A supervisor over a memory store, with a clock that tests set, and runtimes whose behaviour a test
defines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from tailrace.events import types as t
from tailrace.events.state import RunState
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runs.conversations import Conversations
from tailrace.runs.directory import Directory
from tailrace.runs.executor import RunEnvironment
from tailrace.runs.membership import Membership
from tailrace.runs.owner import Owner
from tailrace.runs.retention import Sweeper
from tailrace.runs.settings import RunSettings
from tailrace.runs.submission import Submission
from tailrace.runs.supervisor import Supervisor
from tailrace.runtimes.contract import RunContext, Runtime
from tests.support.logs import request

NONE = Submission(key="", body=b"", retry=False)
Behave = Callable[[RunContext], AsyncGenerator[Sequence[t.Draft], None]]


class Fake:
    """A runtime whose behaviour a test defines."""

    def __init__(self, behave: Behave, *, resumes: bool = True) -> None:
        self._behave = behave
        self.resumes = resumes

    def registry(self) -> Sequence[t.AgentEntry]:
        return (t.AgentEntry(t.MAIN, "helper"),)

    async def run(self, context: RunContext) -> None:
        async with aclosing(self._behave(context)) as batches:
            async for batch in batches:
                context.emit(batch)
                await context.room()


class House:
    """A supervisor over a memory store, with a clock that tests set."""

    def __init__(
        self,
        runtime: Runtime,
        store: MemoryStore | None = None,
        cluster: Membership | None = None,
        agent: str = "helper",
        **settings: Any,
    ) -> None:
        self.now = 1_000
        self.store = store or MemoryStore()
        chosen = RunSettings(shutdown_seconds=0.05, **settings)
        self.directory = Directory(self.store)
        conversations = Conversations(self.store, self.directory, self.clock)
        self.sweeper = Sweeper(self.store, self.directory, conversations, chosen, self.clock)
        environment = RunEnvironment(
            self.store, {agent: runtime}, self.directory, chosen, self.clock
        )
        self.supervisor = Supervisor(environment, conversations, self.sweeper, cluster)

    def clock(self) -> int:
        return self.now

    async def start(self, **fields: Any) -> str:
        run, _ = await self.supervisor.start(
            request(**fields),
            owner=Owner("local"),
            submission=NONE,
        )
        return run

    async def finished(self, run: str) -> RunState:
        await self.supervisor.wait(run)
        return await self.directory.state(run)


def slow(house: House, turns: int = 300) -> House:
    """A house whose log takes so many turns of the loop for each write."""
    append = house.store.log.append

    async def late(*what: Any, **how: Any) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await append(*what, **how)

    house.store.log.append = late  # type: ignore[method-assign]
    return house


async def begun_tools(house: House) -> list[int]:
    """The calls that have started according to the log of the only run, as it is stored at this moment."""
    (record,) = (await house.directory.page(Owner("local"))).runs
    events = await house.directory.events(record.run)
    return [event.payload.item for event in events if isinstance(event.payload, t.ToolStarted)]


class Nobody:
    """The workers in a sweep that must not find a run to take up; runs in progress have a worker."""

    async def works(self, run: str) -> bool:
        return True

    async def take_up(self, run: str, state: RunState) -> None:
        raise AssertionError(run)

    async def give_up(self, run: str) -> None:
        raise AssertionError(run)


NOBODY = Nobody()


async def open_house(runtime: Runtime, **settings: Any) -> House:
    house = House(runtime, **settings)
    await house.supervisor.open()
    return house
