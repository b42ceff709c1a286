"""Keeps the records of runs up with their logs: how a run stands, and until when something is kept of it.

A record is a summary: where it cannot be written, the log says the same, and the sweeper finds it there.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from tailrace.errors import LogError
from tailrace.events.state import RunState
from tailrace.log.contract import Change
from tailrace.runs.directory import Directory, RunRecord, create
from tailrace.runs.retention import with_end
from tailrace.runs.settings import RunSettings
from tailrace.runs.writer import Clock


class RunRecords:
    """Writes what becomes of runs to the directory."""

    def __init__(self, directory: Directory, settings: RunSettings, clock: Clock) -> None:
        self._directory = directory
        self._settings = settings
        self._clock = clock

    def begins(self, record: RunRecord) -> Change:
        """A run's first record."""
        return create(record, expires=self._clock() + self._settings.look)

    async def works(self, record: RunRecord) -> None:
        """A run is worked on; the sweeper looks after it in a while. Raises `LogError`."""
        await self._directory.write(record, expires=self._clock() + self._settings.look)

    async def handed_over(self, record: RunRecord) -> None:
        """This process stops, and the next one goes on."""
        with suppress(LogError):
            await self.works(msgspec.structs.replace(record, handovers=record.handovers + 1))

    async def waits(self, record: RunRecord, state: RunState) -> None:
        """A run waits for somebody."""
        with suppress(LogError):
            waiting = msgspec.structs.replace(record, status="waiting")
            await self._directory.write(waiting, expires=state.since + self._settings.waiting)

    async def has_ended(self, record: RunRecord, state: RunState) -> None:
        """A run has ended."""
        with suppress(LogError):
            expires = state.ended_at + record.retention_ms
            await self._directory.write(with_end(record, state), expires=expires)
