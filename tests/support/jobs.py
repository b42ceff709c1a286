"""Jobs of a cluster over a store in memory, which a test hands out itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from tailrace.errors import LogError
from tailrace.events import types as t
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.log.work import Job
from tailrace.runs.membership import Membership
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.node_lifecycle import ending, opening
from tests.support.house import Behave, Fake, House
from tests.support.works import Calls


@dataclass
class Offered:
    """A job, and its outcome."""

    run: str
    after: int = -1
    deliveries: int = 1
    done_: bool = False
    given_back: list[float] = field(default_factory=list)
    beats: int = 0

    async def beat(self) -> None:
        self.beats += 1

    async def acknowledge(self) -> None:
        self.done_ = True

    async def give_back(self, seconds: float = 0.0) -> None:
        self.given_back.append(seconds)

    def over(self) -> bool:
        return self.done_ or bool(self.given_back)


class Jobs(Calls):
    """Jobs and calls of processes that share this object. It hands out only the jobs that the test adds."""

    def __init__(self) -> None:
        super().__init__()
        self.offers: list[tuple[str, int]] = []
        self.may_offer = asyncio.Event()
        self.may_offer.set()
        self.waiting: asyncio.Queue[Job] = asyncio.Queue()

    async def offer(self, run: str, after: int = -1) -> None:
        self.offers.append((run, after))
        await self.may_offer.wait()

    async def take(self) -> Job | None:
        try:
            async with asyncio.timeout(0.05):
                return await self.waiting.get()
        except TimeoutError:
            return None


async def hangs(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    yield opening(context.state, "helper")
    await asyncio.Event().wait()


async def house(
    store: MemoryStore, jobs: Jobs, behave: Behave, *, works: bool = True, agent: str = "helper"
) -> House:
    made = House(Fake(behave), store, Membership(lambda: jobs, works=works), agent)
    await made.supervisor.open()
    return made


async def some_turns() -> None:
    """Let the loop run until all tasks that need no wait are done."""
    for _ in range(200):
        await asyncio.sleep(0)


class Offers(Calls):
    """Runs are offered, and no worker takes them."""

    """The jobs of a cluster that no worker takes: none is stored before there is a leader."""

    def __init__(self) -> None:
        super().__init__()
        self.leader = asyncio.Event()
        self.leader.set()
        self.lost = False
        self.offered: list[str] = []

    async def offer(self, run: str, after: int = -1) -> None:
        self.offered.append(run)
        if self.lost:
            raise LogError("the engine does not answer")
        await self.leader.wait()


async def nothing(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    yield opening(context.state, "helper")
    yield ending(context.state)


async def doors(store: MemoryStore, jobs: Offers) -> list[House]:
    """Two processes that serve."""
    houses = [House(Fake(nothing), store, Membership(lambda: jobs, works=False)) for _ in range(2)]
    for house in houses:
        await house.supervisor.open()
    return houses
