"""The sweeper: takes ended runs' logs away when their time is over and leaves a tombstone.

A record becomes due when its run's time is over. First its log goes and the record turns into an
"expired" tombstone; when the tombstone is due in its turn, nothing is left. A run that is due but still
open (its record was written when it began) is given another day.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import msgspec

from tailrace.errors import Unreadable
from tailrace.events.state import RunState
from tailrace.log.contract import Record, Store
from tailrace.runs.conversations import Conversations
from tailrace.runs.directory import BUCKET, Directory, RunRecord, Status, decode
from tailrace.runs.settings import HOUR, RunSettings
from tailrace.runs.writer import Clock
from tailrace.runtimes.contract import KEPT

logger = logging.getLogger("tailrace.runs")

GiveUp = Callable[[str], Awaitable[None]]
EXPIRING = ("idempotency", "retries", "conversations", "spent", "running")
"""Buckets whose records simply go when they are due."""


DUE = 100
"""Records in one look."""


class Sweeper:
    """Call `sweep` now and then; each call does all that is due and returns how many runs it ended."""

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

    async def sweep(self, give_up: GiveUp) -> int:
        """Expire what is due now; `give_up` ends a run that has waited too long."""
        now = self._clock()
        for bucket in EXPIRING:
            while due := await self._store.records.due(bucket, now):
                for record in due:
                    await self._store.records.delete(bucket, record.key)
        expired = 0
        skipped: set[str] = set()
        while due := [
            record
            for record in await self._store.records.due(BUCKET, now, DUE + len(skipped))
            if record.key not in skipped
        ]:
            for record in due:
                try:
                    expired += await self._expire(record, now, give_up)
                except Unreadable as error:  # it must not keep the others for ever
                    skipped.add(record.key)
                    logger.error("run %s: it cannot be swept: %s", record.key, error)
        return expired

    async def forget(self, record: RunRecord) -> None:
        """Remove a run at once, as if it had never been (a client deleted it)."""
        await self._drop(record.run)
        await self._store.records.delete(BUCKET, record.run)

    async def _expire(self, due: Record, now: int, give_up: GiveUp) -> int:
        record = decode(due)
        if record.status == "expired":
            await self._store.records.delete(BUCKET, record.run)
            return 0
        try:
            events = await self._store.log.read(record.run, -1)
            state = await self._directory.state(record.run) if events else RunState()
        except Unreadable as error:
            return await self._expire_damaged(record, now, error)
        if events and not state.ended:
            await self._directory.write(record, expires=now + 24 * HOUR)
            if state.phase == "waiting":
                await give_up(record.run)
            return 0
        ends = state.ended_at + record.kept
        if ends > now:
            await self._directory.write(ended(record, state), expires=ends)
            return 0
        if record.conversation and events:
            await self._conversations.keep_items(record.conversation, record.run, state)
        await self._drop(record.run)
        tombstone = msgspec.structs.replace(record, status="expired", ended=state.ended_at)
        await self._directory.write(tombstone, expires=now + self._settings.tombstone)
        return 1

    async def _expire_damaged(self, record: RunRecord, now: int, why: Unreadable) -> int:
        """A run whose log cannot be read goes when its own record says that it is time."""
        logger.error("run %s: its log cannot be read: %s", record.run, why)
        open_ = record.status in ("in_progress", "waiting")
        ends = now + 24 * HOUR if open_ else record.ended + record.kept
        if ends > now:
            await self._directory.write(record, expires=ends)
            return 0
        await self._drop(record.run)
        tombstone = msgspec.structs.replace(record, status="expired")
        await self._directory.write(tombstone, expires=now + self._settings.tombstone)
        return 1

    async def _drop(self, run: str) -> None:
        """Forget a run's log, and what its runtime has kept besides."""
        await self._store.log.drop([run])
        await self.forget_kept(run)

    async def forget_kept(self, run: str) -> None:
        """Forget what a run's runtime has kept besides the log: nobody goes on with it any more."""
        while kept := [
            record.key
            for record in await self._store.records.scan(KEPT, after=f"{run}/")
            if record.key.startswith(f"{run}/")
        ]:
            for key in kept:
                await self._store.records.delete(KEPT, key)


_STATUS: dict[str, Status] = {
    "RunCompleted": "completed",
    "RunIncomplete": "incomplete",
    "RunFailed": "failed",
    "RunCancelled": "cancelled",
}


def ended(record: RunRecord, state: RunState) -> RunRecord:
    """The record of a run that has ended."""
    status = _STATUS[type(state.end).__name__]
    return msgspec.structs.replace(record, status=status, ended=state.ended_at)
