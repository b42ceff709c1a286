"""The retention of a run's data: its record has the due time (`RunRecords`), and the sweeper acts on it.

A record falls due when the retention time of its run is over. The sweeper then deletes the log and turns
the record into an "expired" tombstone; when the tombstone falls due, it deletes that. The record of a run
in progress falls due every few minutes: a run without a worker is taken over again, whatever ended its
worker.

A record is a summary. If it cannot be written, the log has the same information, and the sweeper reads it
there.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Protocol

import msgspec

from tailrace.errors import LogError, Unreadable
from tailrace.events.state import RunState
from tailrace.events.types import RunCancelled, RunCompleted, RunEnd, RunFailed, RunIncomplete
from tailrace.log.contract import Change, Record, Store, Value
from tailrace.runs.conversations import Conversations
from tailrace.runs.directory import BUCKET, Directory, RunRecord, Status, create, decode
from tailrace.runs.settings import HOUR, RunSettings
from tailrace.runs.writer import Clock
from tailrace.runtimes.contract import CHECKPOINTS, STATES

logger = logging.getLogger("tailrace.runs")

EXPIRING = ("idempotency", "retries", "conversations", "spent", "running")
"""Buckets whose records are just deleted when they are due."""


class Attendance(Protocol):
    """Handles runs that have not ended. Each method may raise `LogError`."""

    async def works(self, run: str) -> bool:
        """Whether a run has a worker, or will have one."""
        ...

    async def take_up(self, run: str, state: RunState) -> None:
        """Give a run in progress to a worker."""
        ...

    async def give_up(self, run: str) -> None:
        """End a run that has waited too long for an answer."""
        ...


class Sweeper:
    """Call `sweep` periodically; each call handles all due records and returns the number of runs that it
    expired."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        conversations: Conversations,
        settings: RunSettings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._directory = directory
        self._conversations = conversations
        self._settings = settings
        self._clock = clock

    async def sweep(self, runs: Attendance) -> int:
        """Expire all due records; `runs` handles runs that have not ended."""
        now = self._clock()
        for bucket in EXPIRING:
            while due := await self._store.records.due(bucket, now):
                for record in due:
                    await self._store.records.delete(bucket, record.key)
        expired = 0
        while due := await self._store.records.due(BUCKET, now):
            for record in due:
                try:
                    expired += await self._due(record, now, runs)
                except LogError as error:  # an error of one log must not prevent the others
                    logger.error("run %s: it cannot be swept: %s", record.key, error)
                    await self._put_off(record, now + self._settings.look)
        return expired

    async def forget(self, record: RunRecord) -> None:
        """Remove a run at once with all its data (a client deleted it).

        Its record is marked first: after a crash in between, the next sweep does the rest, and a missing
        log is not reported as a damaged one.
        """
        expired_record = msgspec.structs.replace(record, status="expired")
        await self._directory.write(expired_record, expires=self._clock())
        await self._drop(record.run)
        await self._store.records.delete(BUCKET, record.run)

    async def _due(self, due: Record, now: int, runs: Attendance) -> int:
        record = decode(due)
        if record.status == "expired":
            await self._drop(record.run)  # a crash may have left it (see `forget`)
            await self._store.records.delete(BUCKET, record.run)
            return 0
        if record.status == "in_progress":
            await self._put_off(due, now + self._settings.look)
            if await runs.works(record.run):
                return 0
        try:
            has_begun = bool(await self._store.log.read(record.run, -1))
            state = await self._directory.state(record.run) if has_begun else RunState()
        except Unreadable:
            if record.status in ("in_progress", "waiting"):
                raise
            return await self._expire_unreadable(record, now)
        if has_begun and not state.is_finished:
            await self._attend(record, state, now, runs)
            return 0
        return await self._expire(record, state, now)

    async def _put_off(self, due: Record, until: int) -> None:
        """Let a record fall due later, unless it was written meanwhile."""

        def apply(record: Record | None) -> Value | None:
            is_due = record is not None and record.expires == due.expires
            return Value(record.value, until) if record is not None and is_due else None

        await self._store.records.change(Change(BUCKET, due.key, apply))

    async def _attend(self, record: RunRecord, state: RunState, now: int, runs: Attendance) -> None:
        """Handle a run that has not ended and has no worker."""
        if state.phase == "running":
            return await runs.take_up(record.run, state)
        until = state.since + self._settings.waiting
        if until > now:
            waiting = msgspec.structs.replace(record, status="waiting")
            return await self._directory.write(waiting, expires=until)
        await self._directory.write(record, expires=now + 24 * HOUR)
        return await runs.give_up(record.run)

    async def _expire(self, record: RunRecord, state: RunState, now: int) -> int:
        """A run that has ended, or has no log."""
        if not state.is_finished and record.status in ("in_progress", "waiting"):
            await self.forget(record)  # it never began (see `Store.begin`)
            return 0
        ends = state.ended_at + record.retention_ms
        if ends > now:
            await self._directory.write(with_end(record, state), expires=ends)
            return 0
        if record.conversation and state.is_finished:
            await self._conversations.keep_items(record.conversation, record.run, state)
        await self._drop(record.run)
        ended_at = state.ended_at or record.ended_at
        tombstone = msgspec.structs.replace(record, status="expired", ended_at=ended_at)
        await self._directory.write(tombstone, expires=now + self._settings.tombstone)
        return 1

    async def _expire_unreadable(self, record: RunRecord, now: int) -> int:
        """A run that has ended and whose log cannot be read: its record has the due time."""
        ends = record.ended_at + record.retention_ms
        if ends > now:
            await self._directory.write(record, expires=ends)
            return 0
        await self._drop(record.run)
        tombstone = msgspec.structs.replace(record, status="expired")
        await self._directory.write(tombstone, expires=now + self._settings.tombstone)
        return 1

    async def _drop(self, run: str) -> None:
        """Delete a run's log, and the other data of its runtime."""
        await self._store.log.drop([run])
        await self.forget_kept(run)
        await self._forget(STATES, run)

    async def forget_kept(self, run: str) -> None:
        """Delete the checkpoints of a run's runtime: no attempt will use them."""
        await self._forget(CHECKPOINTS, run)

    async def _forget(self, bucket: str, run: str) -> None:
        """Delete the records of a run in a bucket."""
        while keys := [
            record.key
            for record in await self._store.records.scan(bucket, after=f"{run}/")
            if record.key.startswith(f"{run}/")
        ]:
            for key in keys:
                await self._store.records.delete(bucket, key)


_STATUS: dict[type[RunEnd], Status] = {
    RunCompleted: "completed",
    RunIncomplete: "incomplete",
    RunFailed: "failed",
    RunCancelled: "cancelled",
}


def with_end(record: RunRecord, state: RunState) -> RunRecord:
    """The record of a run that has ended."""
    if state.end is None:
        raise ValueError(f"run {record.run} has not ended")
    status = _STATUS[type(state.end)]
    return msgspec.structs.replace(record, status=status, ended_at=state.ended_at, size=state.size)


class RunRecords:
    """Writes the status of runs to the directory."""

    def __init__(self, directory: Directory, settings: RunSettings, clock: Clock) -> None:
        self._directory = directory
        self._settings = settings
        self._clock = clock

    def begins(self, record: RunRecord) -> Change:
        """A run's first record."""
        return create(record, expires=self._clock() + self._settings.look)

    async def works(self, record: RunRecord) -> None:
        """A run is worked on; the sweeper checks it after a while. Raises `LogError`."""
        await self._directory.write(record, expires=self._clock() + self._settings.look)

    async def handed_over(self, record: RunRecord) -> None:
        """This process stops, and another one will continue the run."""
        with suppress(LogError):
            await self.works(msgspec.structs.replace(record, handovers=record.handovers + 1))

    async def waits(self, record: RunRecord, state: RunState) -> None:
        """A run waits for an answer."""
        with suppress(LogError):
            waiting = msgspec.structs.replace(record, status="waiting")
            await self._directory.write(waiting, expires=state.since + self._settings.waiting)

    async def has_ended(self, record: RunRecord, state: RunState) -> None:
        """A run has ended."""
        with suppress(LogError):
            expires = state.ended_at + record.retention_ms
            await self._directory.write(with_end(record, state), expires=expires)
