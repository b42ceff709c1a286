"""Keeps a run that was claimed, and has not begun, from ever beginning.

A process of a cluster claims a key for a run and then writes the run's first frame. When it does not answer
it may be dead, cut off or frozen, and the frame may still be on its way to the engine. Whoever takes the key
over puts a barrier where that frame would go: the log decides which of the two came first (docs/adr/0013).
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
    """Keep a run without a record from beginning. Raises `Fenced` when it is just beginning, `LogError`."""
    try:
        state = await directory.state(run)
    except NotFound:
        return await _barrier(run, log)
    if state.is_finished:
        return None
    # Its first frame is there and its record may be on its way: nobody works on a run that has ended.
    end = RunFailed("server_error", BEGUN_AGAIN)
    writer = RunWriter(log, run, state, clock)
    writer.add([*state.settle(end), Draft(end)])
    return await writer.flush()


async def _barrier(run: str, log: EventLog) -> None:
    try:
        await log.append(run, BARRIER, expected=-1, attempt=1)
    except Fenced:
        if await log.read(run, -1):
            raise  # else another process has put one there
