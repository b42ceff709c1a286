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

The state that a graph had at the end of a run is the beginning of the next turn (`thread_state`, `adopt`):
its checkpoints are copied, as if one thread had continued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Interrupt

from tailrace.errors import ModelFailed
from tailrace.runtimes.adapters.journal import MAX_STATE, Flush, Journal, state_too_large
from tailrace.runtimes.contract import CheckpointRecords

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
        self.is_new = True
        self.is_exact = False
        self._thread_ids: frozenset[str] = frozenset()
        self._internal_replies: dict[str, tuple[str, bytes]] = {}
        self._results: dict[int, tuple[str, bytes]] = {}
        self._owners: dict[str, Task] = {}
        self._journal = Journal(records, run, flush)
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._late: set[asyncio.Future[None]] = set()

    async def open(self) -> None:
        """Load the entries of an earlier process."""
        for key, entry in await self._journal.load():
            self._fill(entry)
            self._journal.index(key, _subject(entry))
            self.is_new = False

    def _fill(self, entry: Sequence[Any]) -> None:
        """Put a stored entry into the framework's memory."""
        match entry:
            case ["value", space, channel, version, value]:
                self.blobs[(self._run, space, channel, version)] = _typed_value(value)
            case ["checkpoint", space, id, (state, metadata, parent)]:
                checkpoint = (_typed_value(state), _typed_value(metadata), parent)
                self.storage[self._run][space][id] = checkpoint
            case ["writes", space, id, writes]:
                for task, index, channel, value, path in writes:
                    write = (task, channel, _typed_value(value), path)
                    self.writes[(self._run, space, id)][(task, index)] = write
                    self._own(
                        channel, self.serde.loads_typed(_typed_value(value)), (space, id, task)
                    )
            case ["asked", id, numbers, single]:
                self._add_approvals(id, numbers, single=single)
            case ["result", number, value]:
                self._results[number] = _typed_value(value)
            case ["internal", key, value]:
                self._internal_replies[key] = _typed_value(value)
            case ["read", number, answers]:
                self.read[number] = answers
            case ["adopted", exact, ids]:
                self.is_exact, self._thread_ids = exact, frozenset(ids)
            case _:
                raise AssertionError(entry[0])

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint of this run to continue from."""
        return any(id not in self._thread_ids for id in self.storage[self._run][""])

    # the thread

    @property
    def is_continued(self) -> bool:
        """Whether the graph has the state of the turn before."""
        return bool(self._thread_ids)

    def thread_state(self, *, exact: bool) -> Any:
        """The state for the next turn. `exact`: the graph's own messages are the whole conversation."""
        entries: list[Any] = []
        for space, checkpoints in self.storage[self._run].items():
            for id, checkpoint in checkpoints.items():
                entries.append(("checkpoint", space, id, checkpoint))
                rows = [
                    (task, index, channel, value, path)
                    for (task, index), (_, channel, value, path) in self.writes[
                        (self._run, space, id)
                    ].items()
                ]
                if rows:
                    entries.append(("writes", space, id, rows))
        for (_, space, channel, version), value in self.blobs.items():
            entries.append(("value", space, channel, version, value))
        return [exact, entries]

    async def adopt(self, state: Any) -> None:
        """Begin with the state of the turn before (`thread_state`); returns when that is durable: the turn
        before may expire while this one works."""
        exact, entries = state
        ids = [entry[2] for entry in entries if entry[0] == "checkpoint"]
        await self._journal.flush()
        writes: list[Awaitable[object]] = []
        for entry in [*entries, ["adopted", exact, ids]]:
            self._fill(entry)
            writes.append(self._journal.put(entry, _subject(entry)))
        await asyncio.gather(*writes)

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

    async def keep_internal_reply(self, key: str, message: AIMessage) -> None:
        """Store the reply of a model call that is not in the log, so that it is not repeated."""
        self._internal_replies[key] = self.serde.dumps_typed(message)
        await self._journal.add(("internal", key, self._internal_replies[key]))

    def internal_reply(self, key: str) -> AIMessage | None:
        """Such a reply, None if it was not stored."""
        data = self._internal_replies.get(key)
        return None if data is None else cast("AIMessage", self.serde.loads_typed(data))

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
        after = self._put(config, checkpoint, metadata, new_versions)
        self._wait(self._keep_checkpoint(after, new_versions))
        return after

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        after = self._put(config, checkpoint, metadata, new_versions)
        await self._keep_checkpoint(after, new_versions)
        return after

    def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        versions: ChannelVersions,
    ) -> RunnableConfig:
        """Put a checkpoint into the framework's memory. Raises `ModelFailed` for a state that cannot be
        stored, with the name of its key."""
        values = checkpoint["channel_values"]
        try:
            after = super().put(config, checkpoint, metadata, versions)
        except (
            Exception
        ) as error:  # of the serializers of the framework and of the state's own types
            for key, value in values.items():
                if fault := self._storing_fault(value):
                    text = f"The state's key {key!r} cannot be stored: {fault}."
                    raise ModelFailed(text, code="state_not_storable") from error
            raise
        space = _place(after)["checkpoint_ns"]
        sizes = {
            channel: len(self.blobs.get((self._run, space, channel, version), ("", b""))[1])
            for channel, version in checkpoint["channel_versions"].items()
        }
        if (size := sum(sizes.values())) > MAX_STATE:
            raise state_too_large(size, max(sizes, key=lambda channel: sizes[channel]))
        return after

    def _storing_fault(self, value: object) -> str:
        try:
            self.serde.dumps_typed(value)
        except Exception as error:
            return f"{type(value).__name__}: {type(error).__name__}"
        return ""

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


def _subject(entry: Sequence[Any]) -> Any:
    """The subject of an entry of a thread's state, as it is indexed when it is loaded."""
    match entry:
        case ["value", space, channel, version, _]:
            return (space, channel, version)
        case ["checkpoint" | "writes", space, id, _]:
            return (space, id)
        case _:
            return None
