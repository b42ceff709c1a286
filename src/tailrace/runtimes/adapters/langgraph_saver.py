"""What a LangGraph run keeps besides its log: the framework's checkpoints, and results that are no text.

The framework's own saver in memory holds a run's checkpoints while it is worked on; each write to it also
becomes a record, in order, and a later process fills the memory from the records. So histories of channels
that are kept as differences need no second implementation here.

A record and a log are written apart, so an entry is written only when the log has everything that the graph
had told by then: otherwise a crash could leave a graph that has heard a reply which nobody can read.

Answers to interrupts are not kept here: the log has them, and they are handed to the framework as if it had
stored them (`answers`). What it stores of them itself is left out, so that none can be given twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import msgspec
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Interrupt

from tailrace.runtimes.contract import KEPT, Records

INTERRUPT, RESUME = "__interrupt__", "__resume__"
Task = tuple[str, str, str]
"""Namespace, checkpoint and task."""


Flush = Callable[[], Awaitable[None]]
"""Waits until all that the run's log was told is durable."""


class Journal:
    """Entries of one run, durable one by one, in the order they were made."""

    def __init__(self, records: Records, run: str, flush: Flush) -> None:
        self._records = records
        self._flush = flush
        self._start = f"{run}/"
        self._count = 0

    async def load(self) -> list[Any]:
        """All entries."""
        found: list[Any] = []
        after = self._start
        while page := await self._records.scan(KEPT, after=after):
            mine = [record for record in page if record.key.startswith(self._start)]
            for record in mine:
                found.append(msgspec.msgpack.decode(record.value))
                self._count = int(record.key.removeprefix(self._start))
            after = page[-1].key
            if len(mine) < len(page):
                break
        return found

    async def add(self, entry: Any) -> None:
        """Keep an entry, behind what the log was told before; returns when it is durable."""
        self._count += 1
        key = f"{self._start}{self._count:010}"
        await self._flush()
        await self._records.put(KEPT, key, msgspec.msgpack.encode(entry))

    async def clear(self) -> None:
        """Forget them."""
        keys = [f"{self._start}{number:010}" for number in range(1, self._count + 1)]
        await asyncio.gather(*(self._records.delete(KEPT, key) for key in keys))


class Saver(InMemorySaver):
    """A run's checkpoints; `answers` to interrupts by their ids."""

    def __init__(self, records: Records, run: str, flush: Flush) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.answers: dict[str, Any] = {}
        self.asked: dict[str, list[int]] = {}
        self.single: set[str] = set()
        self.read: dict[int, int] = {}
        self._results: dict[int, tuple[str, bytes]] = {}
        self._owners: dict[str, Task] = {}
        self._journal = Journal(records, run, flush)
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._late: set[asyncio.Future[object]] = set()

    async def open(self) -> None:
        """Take up what an earlier process has left."""
        for kind, *entry in await self._journal.load():
            match kind, entry:
                case "checkpoint", [space, id, (state, metadata, parent), blobs]:
                    stored = (_typed(state), _typed(metadata), parent)
                    self.storage[self._run][space][id] = stored
                    for channel, version, value in blobs:
                        self.blobs[(self._run, space, channel, version)] = _typed(value)
                case "writes", [space, id, writes]:
                    for task, index, channel, value, path in writes:
                        kept = (task, channel, _typed(value), path)
                        self.writes[(self._run, space, id)][(task, index)] = kept
                        self._own(channel, self.serde.loads_typed(_typed(value)), (space, id, task))
                case "asked", [id, numbers, single]:
                    self._asks(id, numbers, single=single)
                case "result", [number, value]:
                    self._results[number] = _typed(value)
                case "read", [number, answers]:
                    self.read[number] = answers
                case _:
                    raise AssertionError(kind)

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return bool(self.storage[self._run][""])

    async def close(self) -> None:
        """Forget all: the run has ended."""
        await asyncio.gather(*self._late)
        await self._journal.clear()

    async def keep_asked(self, id: str, numbers: list[int], *, single: bool) -> None:
        """An interrupt asks for approval of these calls, or of a `single` one."""
        if id not in self.asked:
            self._asks(id, numbers, single=single)
            await self._journal.add(("asked", id, numbers, single))

    def _asks(self, id: str, numbers: list[int], *, single: bool) -> None:
        self.asked[id] = numbers
        if single:
            self.single.add(id)

    async def keep_result(self, number: int, result: object) -> None:
        """What a call came to, where its text does not say it all."""
        self._results[number] = self.serde.dumps_typed(result)
        await self._journal.add(("result", number, self._results[number]))

    async def keep_read(self, number: int, answers: int) -> None:
        """A call goes on with so many answers: from here on it may take effect."""
        if self.read.get(number, 0) != answers:
            self.read[number] = answers
            await self._journal.add(("read", number, answers))

    def result(self, number: int) -> object:
        """What was kept of a call, None when nothing was."""
        kept = self._results.get(number)
        return None if kept is None else self.serde.loads_typed(kept)

    # what the framework calls

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        found = super().get_tuple(config)
        if found is None:
            return None
        place = _place(found.config)
        here = (place.get("checkpoint_ns", ""), place["checkpoint_id"])
        given: dict[str, list[Any]] = {}
        for id, owner in self._owners.items():
            if owner[:2] == here and id in self.answers:
                given.setdefault(owner[2], []).append(self.answers[id])
        resumed = [(task, RESUME, values) for task, values in given.items()]
        return found._replace(pending_writes=[*(found.pending_writes or ()), *resumed])

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        after = super().put(config, checkpoint, metadata, new_versions)
        self._wait(self._checkpoint_entry(after, new_versions))
        return after

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        after = super().put(config, checkpoint, metadata, new_versions)
        await self._journal.add(self._checkpoint_entry(after, new_versions))
        return after

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        if entry := self._written(config, writes, task_id, task_path):
            self._wait(entry)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        if entry := self._written(config, writes, task_id, task_path):
            await self._journal.add(entry)

    def _checkpoint_entry(self, config: RunnableConfig, versions: ChannelVersions) -> Any:
        place = _place(config)
        space, id = place["checkpoint_ns"], place["checkpoint_id"]
        blobs = [
            (channel, version, self.blobs[(self._run, space, channel, version)])
            for channel, version in versions.items()
        ]
        return ("checkpoint", space, id, self.storage[self._run][space][id], blobs)

    def _written(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task: str,
        path: str,
    ) -> Any:
        """Take writes in; returns the entry to keep, None when there is nothing new."""
        kept = [write for write in writes if write[0] != RESUME]
        place = _place(config)
        space, id = place.get("checkpoint_ns", ""), place["checkpoint_id"]
        table = self.writes[(self._run, space, id)]
        before = dict(table)
        super().put_writes(config, kept, task, path)
        for channel, value in kept:
            self._own(channel, value, (space, id, task))
        new = [
            (name, index, channel, value, where)
            for (name, index), (_, channel, value, where) in table.items()
            if before.get((name, index)) != (name, channel, value, where)
        ]
        return ("writes", space, id, new) if new else None

    def _own(self, channel: str, value: object, task: Task) -> None:
        """Remember which task an interrupt stopped first; its ancestors only pass it on."""
        if channel == INTERRUPT and isinstance(value, Sequence):
            for each in cast("Sequence[object]", value):
                if isinstance(each, Interrupt):
                    self._owners.setdefault(each.id, task)

    def _wait(self, entry: Any) -> None:
        """For graphs that run in threads: wait there; on the event loop there is no waiting."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._late.add(asyncio.ensure_future(self._journal.add(entry)))
        else:
            asyncio.run_coroutine_threadsafe(self._journal.add(entry), self._loop).result()


def _place(config: RunnableConfig) -> dict[str, Any]:
    return config.get("configurable", {})


def _typed(pair: Sequence[Any]) -> tuple[str, bytes]:
    kind, data = pair
    return str(kind), bytes(data)
