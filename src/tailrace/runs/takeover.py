"""Whether a run that has lost its worker can continue in another process.

A takeover is an append: the new worker writes `RunAttempt` with the next attempt number at the end of the
log. If that append succeeds, the log refuses the previous worker from then on, even if it is only slow and
not dead (`log/stores/claim.py`); if it is fenced, another worker was first and this one stops. So no
process needs to know whether another one lives.

The run itself may be what ended its worker: it blocks the loop, or kills the process. So interrupted
attempts are counted, whether a crash was seen or not, and the run is ended after `stuck_attempts` without
progress. Attempts that a worker handed over in order do not count.

A run that may be what ends its workers is a *suspect*. Suspects of one process begin one after the other,
so that none is interrupted by another one's crash and counted for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tailrace.events import abandoning
from tailrace.events.state import RunState
from tailrace.events.types import Draft, Event, RunAttempt
from tailrace.log.contract import Store
from tailrace.runs.directory import RunRecord
from tailrace.runs.settings import RunSettings
from tailrace.runs.writer import RunWriter
from tailrace.runtimes.contract import Runtime


def attempt(record: RunRecord, state: RunState, reason: str, *, orderly: bool) -> RunAttempt:
    """The next attempt at a run. `orderly`: the last worker stopped only because of the log."""
    orderly = orderly or record.handovers > state.handovers
    return RunAttempt(state.attempt + 1, reason, orderly, record.handovers, keeps_replies=True)


def hindrance(
    record: RunRecord,
    state: RunState,
    runtime: Runtime | None,
    next_one: RunAttempt,
    settings: RunSettings,
) -> str:
    """The reason why a run cannot continue with `next_one`, or `""`."""
    if runtime is None:
        return f"The agent {record.agent} no longer exists."
    if not runtime.resumes:
        return f"The agent {record.agent} cannot continue after a restart."
    stuck_attempts = state.stalls + (not next_one.orderly)
    cut_offs = state.cut_offs + (not next_one.orderly)
    if stuck_attempts >= settings.stuck_attempts:
        words = f"{stuck_attempts} attempts in a row were cut off before the agent got any further"
        return f"The run was stopped: {words}."
    if cut_offs >= settings.attempts:
        return f"The run was stopped: {cut_offs} attempts were cut off."
    return ""


def is_suspect(state: RunState, next_one: RunAttempt, settings: RunSettings) -> bool:
    """Whether this is the last attempt at a run that may be the cause of its crashes: if another such run
    interrupted it, it would be ended without cause."""
    return state.stalls >= settings.stuck_attempts - 2 and not next_one.orderly


ALL_SECONDS = 60.0
"""Maximum total waiting time, as long as each attempt has `SHORTEST_SECONDS`."""
SHORTEST_SECONDS = 0.5


class Suspects:
    """The suspects of this process."""

    def __init__(self, store: Store, settings: RunSettings) -> None:
        self._store = store
        self._settings = settings
        self._alone = asyncio.Lock()
        self._waiting = 0
        self._watching: set[asyncio.Task[None]] = set()

    async def turn(self, run: str, writer: RunWriter, following: RunAttempt) -> None:
        """Start an attempt when no other suspect is starting. Raises `LogError`."""
        self._waiting += 1
        try:
            await self._alone.acquire()
        finally:
            self._waiting -= 1
        try:
            await take(writer, following)
        finally:
            task = asyncio.create_task(self._give_turn(run, writer))
            self._watching.add(task)
            task.add_done_callback(self._watching.discard)

    async def _give_turn(self, run: str, writer: RunWriter) -> None:
        """Let the next suspect start once this one is no longer a suspect: it made progress, ended, or its
        time is over."""
        further = asyncio.Event()

        def on_events(_: Sequence[Event]) -> None:
            if writer.state.stalls == 0 or writer.state.phase != "running":
                further.set()

        stop = self._store.log.watch(run, on_events)
        try:
            async with asyncio.timeout(self._alone_seconds()):
                on_events(())
                await further.wait()
        except TimeoutError:
            pass
        finally:
            stop()
            self._alone.release()

    def _alone_seconds(self) -> float:
        """The more suspects wait, the shorter each is alone: after an outage with many restarts all may
        wait."""
        share = ALL_SECONDS / (1 + self._waiting)
        return min(max(share, SHORTEST_SECONDS), self._settings.alone_seconds)


async def take(writer: RunWriter, following: RunAttempt) -> None:
    """Take a run over: interrupted replies wait for the next one of their agent. Raises `LogError`."""
    writer.add([Draft(following)])
    writer.add(abandoning.leftovers(writer.state))
    await writer.flush()
