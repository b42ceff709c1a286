"""Finds runs: by any of their ids, by conversation, by owner.

Each run has one small record besides its log, which is kept longer than the log: a record without a log is
the difference between "expired" (410) and "never existed" (404).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Literal

import msgspec

from tailrace.errors import Damaged, Expired, NotFound, TooLarge, Unreadable
from tailrace.events import ids
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.events.stored import length
from tailrace.events.types import Event, RunStarted
from tailrace.events.versions import Shape
from tailrace.log.contract import Change, Record, Store, new
from tailrace.runs.accounts import Budget
from tailrace.runs.owner import Owner

logger = logging.getLogger("tailrace.runs")

BUCKET = "runs"
Status = Literal[
    "in_progress", "waiting", "completed", "incomplete", "failed", "cancelled", "expired"
]


class RunRecord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The record of a run, which is read without its log. Times in milliseconds since the epoch.

    `grace`: seconds for which the run continues without a reader, None for no limit. `retention_ms`: time
    for which its log is kept after its end. `budgets`: those in which it is counted. `handovers`: number of
    times that a stopping process handed it over in order. `size`: bytes of its log, after its end.
    """

    run: str
    agent: str
    surface: str
    tenant: str
    user: str = ""
    status: Status = "in_progress"
    created: int = 0
    ended_at: int = msgspec.field(default=0, name="ended")
    conversation: str = ""
    grace: float | None = None
    retention_ms: int = msgspec.field(default=0, name="kept")
    budgets: tuple[Budget, ...] = msgspec.field(default=(), name="purses")  # its name in 0.1
    handovers: int = 0
    size: int = 0


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """A filter of runs; `""` and 0 match all. Times in milliseconds since the epoch, `since` inclusive and
    `until` exclusive."""

    agent: str = ""
    status: str = ""
    surface: str = ""
    conversation: str = ""
    since: int = 0
    until: int = 0

    def takes(self, record: RunRecord) -> bool:
        """Whether a run matches. Expired runs are in no list."""
        return (
            record.status != "expired"
            and self.agent in ("", record.agent)
            and self.status in ("", record.status)
            and self.surface in ("", record.surface)
            and self.conversation in ("", record.conversation)
            and record.created >= self.since
            and not 0 < self.until <= record.created
        )


class Page(msgspec.Struct, frozen=True):
    """Some runs, and the suffix after which the next page begins; `""` after the last page."""

    runs: Sequence[RunRecord]
    next: str


ALL = Filter()
LOOKED_AT = 5_000
"""Maximum number of records that one page of a list reads: there is no index by agent, status or
conversation."""
STEP = 200

SHAPE = Shape("run", RunRecord)


def decode(record: Record) -> RunRecord:
    """A decoded record. Raises `Unreadable`."""
    return SHAPE.decode(record.value)


def readable(records: Sequence[Record]) -> list[RunRecord]:
    """The records that can be decoded: an unreadable one must not hide the others. The log names it."""
    run_records: list[RunRecord] = []
    for record in records:
        try:
            run_records.append(decode(record))
        except Unreadable as error:
            logger.error("run %s: its record is left out: %s", record.key, error)
    return run_records


def create(record: RunRecord, *, expires: int) -> Change:
    """The change that makes a new run's record."""
    return new(BUCKET, record.run, SHAPE.encode(record), expires=expires)


class Directory:
    """The run index over a store's records, and the states of runs over its logs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, record: RunRecord, *, expires: int) -> None:
        """Store a run's record."""
        await self._store.records.put(BUCKET, record.run, SHAPE.encode(record), expires=expires)

    async def remove(self, run: str) -> None:
        """Delete the record of a run that never began. Raises `LogError`."""
        await self._store.records.delete(BUCKET, run)

    async def find(self, any_id: str, owner: Owner, what: str = "run") -> RunRecord:
        """The run that has an id. `what` is the surface's word for it. Raises `NotFound` for a run that never
        existed or has another owner, `Expired` for one that did exist."""
        record = await self._load(ids.run_suffix(any_id))
        if record is None or not owner.owns(record.tenant, record.user):
            raise NotFound(f"No {what} found with id '{any_id}'.", code="not_found")
        if record.status == "expired":
            raise Expired(f"The {what} '{any_id}' has expired.", code="expired")
        return record

    async def record(self, run: str) -> RunRecord | None:
        """The record of a run of any owner; None if there is none."""
        return await self._load(run)

    async def find_item(self, any_id: str, owner: Owner) -> tuple[RunRecord, int]:
        """The run and the ordinal behind an item's id. Raises as `find`."""
        position = ids.item_position(any_id)
        if position is None:
            raise NotFound(f"No item found with id '{any_id}'.", code="not_found")
        return await self.find(position[0], owner, "item"), position[1]

    async def events(self, run: str, most: int = 0) -> list[Event]:
        """A run's durable log. Raises `NotFound` for an empty one, `TooLarge` for one of more than `most`
        bytes."""
        return (await self.sized_events(run, most))[0]

    async def sized_events(self, run: str, most: int = 0) -> tuple[list[Event], int]:
        """The same, with its size in bytes."""
        events: list[Event] = []
        size = 0
        while batch := await self._store.log.read(run, len(events) - 1):
            events.extend(batch)
            size += sum(map(length, batch))
            check_size(run, size, most)
            await asyncio.sleep(0)
        if not events:
            raise await self._no_log(run)
        return events, size

    async def request(self, run: str) -> RunRequest:
        """The request of a run, without reading the rest of its log. Raises as `events`."""
        started = (await self.start(run)).payload
        if not isinstance(started, RunStarted):
            raise await self._no_log(run)
        return started.request

    async def start(self, run: str) -> Event:
        """The first event of a run. Raises as `events`."""
        events = await self._store.log.read(run, -1)
        if not events:
            raise await self._no_log(run)
        return events[0]

    async def state(self, run: str, most: int = 0) -> RunState:
        """The fold of a run's durable log, with its size. Raises as `events`.

        It is folded slice by slice: a long log folded at once would delay all other requests.
        """
        state = RunState()
        while events := await self._store.log.read(run, state.seq):
            for event in events:
                state.apply(event)
                state.size += length(event)
            check_size(run, state.size, most)
            await asyncio.sleep(0)
        if state.seq < 0:
            raise await self._no_log(run)
        return state

    async def page(
        self, owner: Owner, want: Filter = ALL, *, after: str = "", limit: int = 50
    ) -> Page:
        """The next runs of an owner after `after` (`""` for the newest), newest first, at most `limit`.

        A page reads a bounded number of records and says where the next one begins, also if it is empty.
        Raises `LogError`.
        """
        records: list[RunRecord] = []
        for _ in range(LOOKED_AT // STEP):
            scan = self._store.records.scan
            some = await scan(BUCKET, after=after, limit=STEP, newest_first=True)
            for record in readable(some):
                if 0 < record.created < want.since:
                    return Page(records, "")
                if len(records) == limit:
                    return Page(records, after)
                after = record.run
                if owner.owns(record.tenant, record.user) and want.takes(record):
                    records.append(record)
            if len(some) < STEP:
                return Page(records, "")
            after = some[-1].key
        return Page(records, after)

    async def _no_log(self, run: str) -> NotFound | Damaged:
        """The error for a run without a log: it never began, or it expired. A run that has ended has a log
        until its record is expired."""
        record = await self._load(run)
        if record is not None and record.status not in ("in_progress", "waiting", "expired"):
            return Damaged(f"The log of {ids.run_id(run)} is missing on disk.")
        return NotFound(f"No run found with id '{run}'.", code="not_found")

    async def _load(self, suffix: str | None) -> RunRecord | None:
        record = await self._store.records.get(BUCKET, suffix) if suffix else None
        return decode(record) if record is not None else None


def check_size(run: str, size: int, most: int) -> None:
    """Raises `TooLarge` for a log that is too large for a document."""
    if most and size > most:
        raise TooLarge(
            f"What {ids.run_id(run)} has said is too large for one document (over {most} bytes); read it as a"
            f" stream: GET /jobs/{ids.job_id(run)}/stream, or"
            f" /v1/responses/{ids.response_id(run)}?stream=true; after=N, or starting_after=N, continues"
            " from there.",
            code="document_too_large",
        )
