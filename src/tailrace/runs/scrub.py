"""Verifies all stored data: each log folds, each record can be read, and the two agree.

It reads a store beside the servers that use it, so data that change meanwhile may be reported although
nothing is wrong: the record and the log of an active run are written one after the other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping

from tailrace.errors import IllegalEvent, LogError, Unreadable
from tailrace.events.state import RunState
from tailrace.log.contract import Record
from tailrace.log.stores.driver import Inspection
from tailrace.runs import directory
from tailrace.runs.directory import RunRecord
from tailrace.runs.retention import with_end

Readers = Mapping[str, Callable[[bytes], object]]
"""The decoder of the records of each bucket."""


async def scrub(inspection: Inspection, readers: Readers) -> AsyncGenerator[str, None]:
    """A sentence for each fault."""
    for sentence in inspection.faults():
        yield sentence
    records: dict[str, RunRecord] = {}
    for bucket, reader in readers.items():
        async for record in _records(inspection, bucket):
            try:
                value = reader(record.value)
            except Unreadable as error:
                yield f"records row {bucket!r}, {record.key!r}: {error}"
                continue
            if bucket == directory.BUCKET and isinstance(value, RunRecord):
                records[record.key] = value
    for run in dict.fromkeys([*records, *inspection.runs()]):
        wrong = await _wrong(inspection, run, records.get(run))
        if wrong:
            yield f"run {run}: {wrong}"


async def _records(inspection: Inspection, bucket: str) -> AsyncGenerator[Record, None]:
    after = ""
    while page := await inspection.scan(bucket, after=after):
        for record in page:
            yield record
        after = page[-1].key


async def _wrong(inspection: Inspection, run: str, record: RunRecord | None) -> str:
    """The fault of a run, or `""`."""
    state = RunState()
    try:
        while events := await inspection.read(run, state.seq):
            for event in events:
                state.apply(event)
    except IllegalEvent as error:
        return f"its log breaks the grammar behind event {state.seq}: {error}"
    except LogError as error:
        return f"its log cannot be read behind event {state.seq}: {error}"
    if record is None:
        return "it has a log and no record"
    has_ended = record.status not in ("in_progress", "waiting", "expired")
    if state.seq < 0:
        return "its record says that it has ended, and it has no log" if has_ended else ""
    if has_ended and (not state.is_finished or with_end(record, state).status != record.status):
        return f"its record says '{record.status}', its log does not"
    return ""
