"""One run in its worker: drives the runtime and ends the log.

Whatever a runtime does — returns, raises, breaks the grammar, runs for too long, is cancelled — the log gets
exactly one run end. The one exception is a handover: the process stops, the log stays open, and the next
attempt continues.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar

from tailrace.errors import IllegalEvent, LimitReached, LogError, ModelFailed
from tailrace.events import abandoning, ids
from tailrace.events.failures import run_failed
from tailrace.events.types import (
    Draft,
    RunCancelled,
    RunCompleted,
    RunEnd,
    RunFailed,
    RunIncomplete,
    RunWaiting,
    Usage,
)
from tailrace.runs.accounts import Tell
from tailrace.runs.bounded import BoundedSink, RunBounds
from tailrace.runs.directory import RunRecord
from tailrace.runs.writer import RunWriter
from tailrace.runtimes.contract import CheckpointRecords, Repeats, RunContext, Runtime
from tailrace.runtimes.current import CURRENT, CurrentRun
from tailrace.runtimes.user_memory import UserMemory

logger = logging.getLogger("tailrace.runs")

UNREAD = "the server, because it had no readers"
"""The name in the log of the server that cancels a run without readers."""
LAST_SECONDS = 1.0
"""Time for which a run continues after it has exceeded a limit, so that it can end by itself."""


class LoopHeld(BaseException):
    """Raised into code of a run that blocks the event loop, and with it all other runs."""


class RunTask:
    """A run and its task. `settled`: its end or pause is durable and recorded; `left`: it was handed over to
    the next attempt."""

    def __init__(
        self,
        record: RunRecord,
        runtime: Runtime,
        writer: RunWriter,
        spend: Callable[[Usage, Tell], None],
        bounds: RunBounds,
        records: CheckpointRecords,
        turn: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`spend` counts a model call and reports the limit that is reached, then or a little later; `turn`
        waits until the work may begin;
        `records` have the memories of users."""
        self.record = record
        self.settled = self.left = False
        self.leaving: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None
        self.writer = writer
        self._runtime = runtime
        self._context = RunContext(record.run, BoundedSink(writer, bounds, self._too_large))
        self._spend = spend
        self._records = records
        self._turn = turn
        self._reached_limit = self._stopped = ""
        if record.budgets:
            writer.state.on_usage = self._count
        self._cancelled_by = ""
        self._handed_over = self._beyond = False
        self._driving = False
        self._held_seconds = 0.0

    def cancel(self, by: str) -> bool:
        """Stop the work and end the run as cancelled; False when it has ended or pauses already."""
        if self.task is None or self.writer.state.phase != "running":
            return False
        if not self._cancelled_by:
            self._cancelled_by = by
            # Not at once: a task that is cancelled before its first step never ends the log.
            asyncio.get_running_loop().call_soon(self.task.cancel)
        return True

    def _count(self, usage: Usage) -> None:
        self._spend(usage, self._on_limit)

    def _on_limit(self, limit: str) -> None:
        if not self._reached_limit:
            self._reached_limit = limit
            asyncio.get_running_loop().call_later(LAST_SECONDS, self._stop)

    def _too_large(self, limit: str) -> None:
        """The run ends with this, whatever the runtime does with the exception."""
        if not self._beyond:
            self._beyond = True
            self._reached_limit = self._stopped = limit
            asyncio.get_running_loop().call_later(LAST_SECONDS, self._stop)

    def _stop(self) -> None:
        """Stop a run that has exceeded a limit and does not end. Some runs need more than one
        cancellation."""
        if self.task is not None and not self.task.done() and self.writer.state.phase == "running":
            self._stopped = self._reached_limit
            self.task.cancel()
            asyncio.get_running_loop().call_later(LAST_SECONDS, self._stop)

    def hand_over(self) -> None:
        """Stop the work and leave the log open."""
        if self.task is not None and self.writer.state.phase == "running":
            self._handed_over = True
            self.task.cancel()

    def interrupt(self, seconds: float) -> bool:
        """The code of the run has blocked the event loop for this many seconds: end the run as failed,
        whatever that code does. Called by a signal, inside that code; True if it was called before."""
        again, self._held_seconds = self._held_seconds > 0, seconds
        self.writer.halt = LoopHeld()
        if not again:
            asyncio.get_running_loop().call_soon_threadsafe(self._stop_holding)
        return again

    def _stop_holding(self) -> None:
        """The exception may have been swallowed, or have ended another task of the run."""
        if self._driving and self.task is not None:
            self.task.cancel()
            asyncio.get_running_loop().call_later(LAST_SECONDS, self._stop_holding)

    async def abandon(self, by: str) -> None:
        """End the log as cancelled although the agent ignores its cancellation: its later events are
        refused. Raises `LogError`."""
        state = self.writer.state
        if not state.is_finished:
            end = RunCancelled(by)
            self.writer.add([*state.settle(end), Draft(end)])
        await self.writer.flush()

    def answer(self, drafts: Sequence[Draft]) -> None:
        """Apply an answer. Raises `IllegalEvent` if its question is not open."""
        self.writer.add(drafts)
        self._context.tell()

    async def work(self, seconds: float) -> None:
        """Drive the runtime to a run end or a pause, for at most `seconds`.

        Raises `LogError` when the log cannot be written (the run is then open and has no worker), and
        `CancelledError` when the run is handed over, or the event loop is torn down.
        """
        end = await self._drive(seconds)
        if (
            end is None or self._beyond or self._held_seconds
        ):  # it may have swallowed the cancellation
            end = self._asked_end()
        state = self.writer.state
        if end is None and state.asking:
            self.writer.add([*state.close_items(), Draft(RunWaiting("answers"))])
        elif not state.is_finished:
            end = end or RunCompleted()
            self.writer.add([*state.settle(end), Draft(end)])
        await self.writer.flush()

    async def _drive(self, seconds: float) -> RunEnd | None:
        """The end of the run for the outcome of the runtime; None if the runtime just returned."""
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                await self._run()
        except LoopHeld:
            return None
        except asyncio.CancelledError:
            return self._cut_short()
        except LogError:
            raise
        except LimitReached as limit_reached:
            return RunIncomplete(limit_reached.reason)
        except ModelFailed as failure:
            return run_failed(failure)
        except IllegalEvent as error:
            return RunFailed("server_error", f"The agent broke the event grammar: {error}")
        except Exception as error:
            if limit.expired():
                return RunIncomplete("max_seconds")
            logger.exception("run %s: the agent raised", self.record.run)
            return RunFailed("server_error", f"The agent raised {type(error).__name__}.")
        return None

    async def _run(self) -> None:
        """The work of the runtime. Code and tasks that it starts belong to this run."""
        if self._turn is not None:
            await self._turn()
        if not isinstance(self._runtime, Repeats):
            self.writer.add(abandoning.replies(self.writer.state))
        _current.set(self)
        request = self._context.request
        memory = UserMemory(self._records, request.caller)
        CURRENT.set(CurrentRun(ids.run_id(self.record.run), request, memory))
        self._driving = True
        try:
            await self._runtime.run(self._context)
        finally:
            self._driving = False
            self.writer.halt = None
            _current.set(None)

    def _cut_short(self) -> RunEnd:
        """The end after a cancellation. Raises it again if the run continues in another process."""
        task, requested_end = asyncio.current_task(), self._asked_end()
        if task is None or (self._handed_over and not self._held_seconds):
            raise asyncio.CancelledError
        if requested_end is not None:
            while task.uncancel():
                pass
            return requested_end
        if task.cancelling():
            raise asyncio.CancelledError  # the event loop is torn down
        return RunFailed(
            "server_error", "The agent raised CancelledError."
        )  # no other code cancelled it

    def _asked_end(self) -> RunEnd | None:
        """The end that we requested with a cancellation."""
        if self._held_seconds:
            words = f"The agent blocked its worker for more than {self._held_seconds:g} s."
            return RunFailed("server_error", words)
        if self._cancelled_by:
            return RunCancelled(self._cancelled_by)
        return RunIncomplete(self._stopped) if self._stopped else None


_current: ContextVar[RunTask | None] = ContextVar("run", default=None)


def current() -> RunTask | None:
    """The run to which the current code belongs, while it is worked on."""
    run = _current.get()
    return None if run is None or run.task is None or run.task.done() else run
