"""The data that a LangGraph run stores besides its log: the framework's checkpoints, and results that are
not text.

The framework's own saver in memory holds a run's checkpoints while a process works on it; each write to it
also becomes a record, in order, and a later process fills the memory from the records. So the histories of
channels that are stored as differences need no second implementation here.

A record and a log are written separately, so an entry is written only when the log has everything that the
graph had received by then. Otherwise a crash could leave a graph that has received a reply which is not in
the log.

Answers to interrupts are not stored here: the log has them, and the framework gets them as if it had stored
them (`answers`). Its own copies are omitted, so that no answer is given twice.

Only the data for a later process are kept: of each namespace the last checkpoint with its writes, of each
channel the last value. Older ones are deleted when a checkpoint is written, with the namespaces of the
tasks that it completes. A channel that is stored as differences needs its history back to its last value:
the framework names such channels in a checkpoint's metadata (`DELTAS`).

A `Journal` is the entries of one run in a store's records: durable in the order in which they were made,
and deleted by their subject.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Interrupt

from tailrace.events.versions import pack_entry, unpack_entry
from tailrace.runtimes.contract import CHECKPOINTS, CheckpointRecords

Flush = Callable[[], Awaitable[None]]
"""Waits until all emitted events of the run are durable."""


class Journal:
    """The entries of `run`."""

    def __init__(self, records: CheckpointRecords, run: str, flush: Flush) -> None:
        self._records = records
        self.flush = flush
        self._start = f"{run}/"
        self._count = 0
        self._about: dict[Hashable, list[str]] = {}

    async def load(self) -> list[tuple[str, Any]]:
        """All entries, each with the key of its record."""
        entries: list[tuple[str, Any]] = []
        after = self._start
        while page := await self._records.scan(CHECKPOINTS, after=after):
            mine = [record for record in page if record.key.startswith(self._start)]
            for record in mine:
                entries.append((record.key, unpack_entry(record.value)))
                self._count = int(record.key.removeprefix(self._start))
            after = page[-1].key
            if len(mine) < len(page):
                break
        return entries

    async def add(self, entry: Any, about: Hashable = None) -> None:
        """Store an entry after the events that were emitted before; returns when it is durable."""
        await self.flush()
        await self.put(entry, about)

    def put(self, entry: Any, about: Hashable) -> Awaitable[object]:
        """Store an entry at once; resolves when it is durable."""
        self._count += 1
        key = f"{self._start}{self._count:010}"
        self.index(key, about)
        return self._records.put(CHECKPOINTS, key, pack_entry(entry))

    def index(self, key: str, about: Hashable) -> None:
        """Remember the subject of a loaded entry."""
        if about is not None:
            self._about.setdefault(about, []).append(key)

    def forget(self, about: Hashable) -> Awaitable[object]:
        """Remove all entries about a subject."""
        keys = self._about.pop(about, [])
        return asyncio.gather(*(self._records.delete(CHECKPOINTS, key) for key in keys))


INTERRUPT, RESUME = "__interrupt__", "__resume__"
DELTAS = "counters_since_delta_snapshot"
EMPTY = "empty"
"""The type of a value that the framework's saver stores for a channel without one."""
Task = tuple[str, str, str]
"""Namespace, checkpoint and task."""


class Saver(InMemorySaver):
    """A run's checkpoints; `answers` to interrupts by their ids."""

    def __init__(self, records: CheckpointRecords, run: str, flush: Flush) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.answers: dict[str, Any] = {}
        self.approvals: dict[str, list[int]] = {}
        self.single: set[str] = set()
        self.read: dict[int, int] = {}
        self._results: dict[int, tuple[str, bytes]] = {}
        self._owners: dict[str, Task] = {}
        self._journal = Journal(records, run, flush)
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._late: set[asyncio.Future[None]] = set()

    async def open(self) -> None:
        """Load the entries of an earlier process."""
        for key, (kind, *entry) in await self._journal.load():
            match kind, entry:
                case "value", [space, channel, version, value]:
                    self.blobs[(self._run, space, channel, version)] = _typed_value(value)
                    self._journal.index(key, (space, channel, version))
                case "checkpoint", [space, id, (state, metadata, parent)]:
                    checkpoint = (_typed_value(state), _typed_value(metadata), parent)
                    self.storage[self._run][space][id] = checkpoint
                    self._journal.index(key, (space, id))
                case "writes", [space, id, writes]:
                    self._journal.index(key, (space, id))
                    for task, index, channel, value, path in writes:
                        write = (task, channel, _typed_value(value), path)
                        self.writes[(self._run, space, id)][(task, index)] = write
                        self._own(
                            channel, self.serde.loads_typed(_typed_value(value)), (space, id, task)
                        )
                case "asked", [id, numbers, single]:
                    self._add_approvals(id, numbers, single=single)
                case "result", [number, value]:
                    self._results[number] = _typed_value(value)
                case "read", [number, answers]:
                    self.read[number] = answers
                case _:
                    raise AssertionError(kind)

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to continue from."""
        return bool(self.storage[self._run][""])

    async def keep_approvals(self, id: str, numbers: list[int], *, single: bool) -> None:
        """Store that an interrupt requests approval of these calls, or of a `single` one."""
        if id not in self.approvals:
            self._add_approvals(id, numbers, single=single)
            await self._journal.add(("asked", id, numbers, single))

    def _add_approvals(self, id: str, numbers: list[int], *, single: bool) -> None:
        self.approvals[id] = numbers
        if single:
            self.single.add(id)

    async def keep_result(self, number: int, result: object) -> None:
        """Store the result of a call whose text is not all of it."""
        self._results[number] = self.serde.dumps_typed(result)
        await self._journal.add(("result", number, self._results[number]))

    async def keep_read(self, number: int, answers: int) -> None:
        """Store that a call continues with this number of answers: from here on it may have effects."""
        if self.read.get(number, 0) != answers:
            self.read[number] = answers
            await self._journal.add(("read", number, answers))

    def result(self, number: int) -> object:
        """The stored result of a call, None if there is none."""
        data = self._results.get(number)
        return None if data is None else self.serde.loads_typed(data)

    # called by the framework

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        stored_tuple = super().get_tuple(config)
        if stored_tuple is None:
            return None
        place = _place(stored_tuple.config)
        here = (place.get("checkpoint_ns", ""), place["checkpoint_id"])
        answers_by_task: dict[str, list[Any]] = {}
        for id, owner in self._owners.items():
            if owner[:2] == here and id in self.answers:
                answers_by_task.setdefault(owner[2], []).append(self.answers[id])
        resume_writes = [(task, RESUME, values) for task, values in answers_by_task.items()]
        return stored_tuple._replace(
            pending_writes=[*(stored_tuple.pending_writes or ()), *resume_writes]
        )

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        after = super().put(config, checkpoint, metadata, new_versions)
        self._wait(self._keep_checkpoint(after, new_versions))
        return after

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        after = super().put(config, checkpoint, metadata, new_versions)
        await self._keep_checkpoint(after, new_versions)
        return after

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        if entry := self._take_writes(config, writes, task_id, task_path):
            self._wait(self._journal.add(entry, (entry[1], entry[2])))

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        if entry := self._take_writes(config, writes, task_id, task_path):
            await self._journal.add(entry, (entry[1], entry[2]))

    async def _keep_checkpoint(self, config: RunnableConfig, versions: ChannelVersions) -> None:
        """Keep a checkpoint with its new values, then delete the superseded ones."""
        await self._journal.flush()
        place = _place(config)
        space, id = place["checkpoint_ns"], place["checkpoint_id"]
        writes: list[Awaitable[object]] = []
        for channel, version in versions.items():
            value = self.blobs[(self._run, space, channel, version)]
            entry = ("value", space, channel, version, value)
            writes.append(self._journal.put(entry, (space, channel, version)))
        checkpoint = self.storage[self._run][space][id]
        writes.append(self._journal.put(("checkpoint", space, id, checkpoint), (space, id)))
        writes += self._forget_values(space, versions)
        if not self.serde.loads_typed(checkpoint[1]).get(DELTAS):
            writes += [self._forget_checkpoint(space, each) for each in self._others(space, id)]
        for below in [each for each in self.storage[self._run] if _is_task_of(each, space)]:
            writes += self._forget_space(below)
        await asyncio.gather(*writes)

    def _forget_values(self, space: str, versions: ChannelVersions) -> list[Awaitable[object]]:
        """Delete the earlier values of the channels with a new value."""
        anew = {
            channel: version
            for channel, version in versions.items()
            if self.blobs[(self._run, space, channel, version)][0] != EMPTY
        }
        return [
            self._forget_value(key)
            for key in list(self.blobs)
            if key[1] == space and key[2] in anew and key[3] != anew[key[2]]
        ]

    def _forget_value(self, key: tuple[str, str, str, str | int | float]) -> Awaitable[object]:
        del self.blobs[key]
        return self._journal.forget(key[1:])

    def _others(self, space: str, id: str) -> list[str]:
        return [each for each in self.storage[self._run][space] if each != id]

    def _forget_checkpoint(self, space: str, id: str) -> Awaitable[object]:
        del self.storage[self._run][space][id]
        self.writes.pop((self._run, space, id), None)
        return self._journal.forget((space, id))

    def _forget_space(self, space: str) -> list[Awaitable[object]]:
        deletions = [self._forget_checkpoint(space, each) for each in self._others(space, "")]
        del self.storage[self._run][space]
        return deletions + [self._forget_value(key) for key in list(self.blobs) if key[1] == space]

    def _take_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task: str,
        path: str,
    ) -> Any:
        """Add writes; returns the entry to store, None if there is nothing new."""
        new_writes = [write for write in writes if write[0] != RESUME]
        place = _place(config)
        space, id = place.get("checkpoint_ns", ""), place["checkpoint_id"]
        table = self.writes[(self._run, space, id)]
        before = dict(table)
        super().put_writes(config, new_writes, task, path)
        for channel, value in new_writes:
            self._own(channel, value, (space, id, task))
        added_rows = [
            (name, index, channel, value, where)
            for (name, index), (_, channel, value, where) in table.items()
            if before.get((name, index)) != (name, channel, value, where)
        ]
        return ("writes", space, id, added_rows) if added_rows else None

    def _own(self, channel: str, value: object, task: Task) -> None:
        """Remember the task that an interrupt stopped first; its ancestors only pass it on."""
        if channel == INTERRUPT and isinstance(value, Sequence):
            for each in cast("Sequence[object]", value):
                if isinstance(each, Interrupt):
                    self._owners.setdefault(each.id, task)

    def _wait(self, keep: Coroutine[Any, Any, None]) -> None:
        """For graphs that run in threads: wait there; on the event loop there is no waiting."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            late = asyncio.ensure_future(keep)
            self._late.add(late)
            late.add_done_callback(self._late.discard)
        else:
            asyncio.run_coroutine_threadsafe(keep, self._loop).result()


def _place(config: RunnableConfig) -> dict[str, Any]:
    return config.get("configurable", {})


def _typed_value(pair: Sequence[Any]) -> tuple[str, bytes]:
    kind, data = pair
    return str(kind), bytes(data)


def _is_task_of(space: str, above: str) -> bool:
    """Whether a namespace is that of a task in another one, or below one; a graph with a memory of its own
    is named without its tasks (`checkpointer=True`) and continues in the next step."""
    start = f"{above}|" if above else ""
    return space != above and space.startswith(start) and ":" in space[len(start) :]
