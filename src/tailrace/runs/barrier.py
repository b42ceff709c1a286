"""Prevents a run that was claimed, and has not started, from ever starting.

A process of a cluster claims a key for a run and then writes the run's first frame. A process that does not
answer may be dead, disconnected or frozen, and its frame may still be on the way to the engine. The process
that takes over the key writes a barrier in the place of that frame: the log decides which of the two came
first (docs/adr/0013).
"""

from __future__ import annotations

from tailrace.errors import Fenced, NotFound
from tailrace.events.stored import BARRIER
from tailrace.events.types import Draft, RunFailed
from tailrace.log.contract import EventLog
from tailrace.runs.directory import Directory
from tailrace.runs.writer import Clock, RunWriter

BEGUN_AGAIN = "The process that began this run did not answer; the request was begun again."


async def bar(run: str, log: EventLog, directory: Directory, clock: Clock) -> None:
    """Prevent a run without a record from starting. Raises `Fenced` if it is just starting, `LogError`."""
    try:
        state = await directory.state(run)
    except NotFound:
        return await _barrier(run, log)
    if state.is_finished:
        return None
    # The log has its first frame, and its record may follow: an ended run has no worker.
    end = RunFailed("server_error", BEGUN_AGAIN)
    writer = RunWriter(log, run, state, clock)
    writer.add([*state.settle(end), Draft(end)])
    return await writer.flush()


async def _barrier(run: str, log: EventLog) -> None:
    try:
        await log.append(run, BARRIER, expected=-1, attempt=1)
    except Fenced:
        if await log.read(run, -1):
            raise  # otherwise another process has written one
