"""Runs that are written and read without pause while servers stop and start, and the properties that must
hold at the end.

One store writes, two others hold one reader per run each, as the HTTP side does: three processes from the
servers' view.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from tailrace.events import types as t
from tailrace.events.state import RunState
from tailrace.events.types import Draft, Event
from tailrace.log.contract import Store
from tailrace.log.stores.nats.layout import Layout
from tailrace.runs.writer import RunWriter
from tailrace.service.projection import Projection
from tests.support import nats_stores
from tests.support.logs import NODE, TS, request
from tests.support.nats_servers import Node

PACE_SECONDS = 0.1
"""Between two deltas of one run, besides the time that an append takes."""


class Recorder:
    """An encoder that keeps its events, and signals the end."""

    def __init__(self) -> None:
        self.done = False
        self.ended = asyncio.Event()
        self.events: list[Event] = []

    def encode(self, events: Sequence[Event]) -> list[bytes]:
        self.events += events
        if isinstance(events[-1].payload, t.RunEnd):
            self.done = True
            self.ended.set()
        return []


class LoadedRun:
    """One run, written until it is stopped."""

    def __init__(self, name: str, store: Store) -> None:
        self.name = name
        self.acknowledged = -1
        self._state = RunState()
        self._writer = RunWriter(store.log, name, self._state, lambda: TS)

    async def write(self, stop: asyncio.Event) -> None:
        """Deltas until `stop`, then the end. Raises what the log raises."""
        await self._add(t.RunStarted(request()), t.NodeStarted("deep_agent", "helper"))
        await self._add(t.AgentStarted("helper"), t.ItemStarted(0, "message"))
        number = 0
        while not stop.is_set():
            number += 1
            await self._add(t.TextDelta(0, f"{number} "))
            await asyncio.sleep(PACE_SECONDS)
        self._writer.add(self._state.settle(t.RunCompleted()))
        await self._add(t.RunCompleted())

    async def _add(self, *payloads: t.Payload) -> None:
        for payload in payloads:
            agent = t.MAIN if not isinstance(payload, t.RunEvent | t.NodeStarted) else t.NO_AGENT
            node = "" if isinstance(payload, t.RunEvent) else NODE
            self._writer.add([Draft(payload, node, agent)])
        await self._writer.flush()
        self.acknowledged = self._state.seq


class Counter:
    """A record that is counted up; `acknowledged` is the last number that the store acknowledged."""

    def __init__(self, name: str, store: Store) -> None:
        self.name = name
        self.acknowledged = 0
        self._records = store.records

    async def count(self, stop: asyncio.Event) -> None:
        """Put until `stop`. Raises what the store raises."""
        while not stop.is_set():
            number = self.acknowledged + 1
            await self._records.put("counters", self.name, b"%d" % number)
            self.acknowledged = number
            await asyncio.sleep(PACE_SECONDS)


@asynccontextmanager
async def loaded(nodes: Sequence[Node], layout: Layout, runs: int) -> AsyncGenerator[Load, None]:
    """A load that has started."""
    async with AsyncExitStack() as exits:
        stores = [nats_stores.store(nodes, layout) for _ in range(3)]
        for store in stores:
            await store.open()
            exits.push_async_callback(store.close)
        load = Load(stores, runs)
        exits.push_async_callback(load.close)
        await load.begin()
        yield load


class Load:
    """All of the load: `end` after the faults, then `check`."""

    def __init__(self, stores: Sequence[Store], runs: int) -> None:
        self.stores = stores
        self.runs = [LoadedRun(f"run{number}", stores[0]) for number in range(runs)]
        self.counters = [Counter(f"c{number}", stores[0]) for number in range(4)]
        self._readers: list[tuple[str, Recorder]] = []
        self._projections: list[Projection] = []
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Start to write and read."""
        for run in self.runs:
            self._tasks.append(asyncio.create_task(run.write(self._stop)))
            for store in self.stores[1:]:
                recorder = Recorder()
                projection = Projection(store.log, run.name, recorder, 0, -1)
                self._projections.append(projection)
                self._readers.append((run.name, recorder))
                await projection.catch_up()
        self._tasks += [asyncio.create_task(each.count(self._stop)) for each in self.counters]

    async def close(self) -> None:
        """Stop all tasks, whatever they do."""
        for projection in self._projections:
            projection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def at(self) -> list[int]:
        """The last acknowledged number of each run and each counter."""
        runs = [run.acknowledged for run in self.runs]
        return [*runs, *(counter.acknowledged for counter in self.counters)]

    async def goes_on(self) -> None:
        """Wait until every run and every counter has advanced. Raises the errors of their tasks."""
        before = self.at
        while not all(now > then + 1 for now, then in zip(self.at, before, strict=True)):
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.05)

    async def end(self) -> None:
        """End the runs; returns when all ends are acknowledged and every reader has received the end."""
        self._stop.set()
        await asyncio.gather(*self._tasks)
        for _, recorder in self._readers:
            await recorder.ended.wait()

    async def check(self) -> None:
        """No acknowledged event is lost or duplicated, no number is missing; every reader received that
        log."""
        logs: dict[str, list[Event]] = {}
        for run in self.runs:
            logs[run.name] = await everything(self.stores[2], run.name)
            assert [event.seq for event in logs[run.name]] == list(range(run.acknowledged + 1))
            written = [e.payload.text for e in logs[run.name] if isinstance(e.payload, t.TextDelta)]
            assert written == [f"{number + 1} " for number in range(len(written))]
        for name, recorder in self._readers:
            assert recorder.events == logs[name], name
        for counter in self.counters:
            record = await self.stores[1].records.get("counters", counter.name)
            assert record is not None
            assert (record.value, record.revision) == (
                b"%d" % counter.acknowledged,
                counter.acknowledged,
            )


async def everything(store: Store, run: str) -> list[Event]:
    """All events of a run."""
    found: list[Event] = []
    while events := await store.log.read(run, found[-1].seq if found else -1):
        found += events
    return found
