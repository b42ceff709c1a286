"""One run while somebody works on it: drives its runtime and ends its log.

Whatever a runtime does — returns, raises, breaks the grammar, runs for too long, is cancelled — the log
gets exactly one run end. The one exception is a handover: the process stops, the log stays open, and
the next attempt goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from tailrace.errors import IllegalEvent, LimitReached, LogError, ModelFailed
from tailrace.events.types import (
    Draft,
    RunCancelled,
    RunCompleted,
    RunEnd,
    RunFailed,
    RunIncomplete,
    RunWaiting,
)
from tailrace.runs.directory import RunRecord
from tailrace.runs.writer import RunWriter
from tailrace.runtimes.contract import RunContext, Runtime

logger = logging.getLogger("tailrace.runs")


class LiveRun:
    """A run and the task that works on it. `readers` counts the connections that watch it."""

    def __init__(self, record: RunRecord, runtime: Runtime, writer: RunWriter) -> None:
        self.record = record
        self.readers = 0
        self.leaving: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None
        self.writer = writer
        self._runtime = runtime
        self._context = RunContext(record.run, writer)
        self._cancelled_by = ""
        self._handed_over = False

    def cancel(self, by: str) -> bool:
        """Stop the work and end the run as cancelled; False when it has ended or pauses already."""
        if self.task is None or self.writer.state.phase != "running":
            return False
        if not self._cancelled_by:
            self._cancelled_by = by
            self.task.cancel()
        return True

    def hand_over(self) -> None:
        """Stop the work and leave the log open."""
        if self.task is not None and self.writer.state.phase == "running":
            self._handed_over = True
            self.task.cancel()

    async def abandon(self, by: str) -> None:
        """End the log as cancelled though the agent does not let itself be stopped: what it says from now on
        is refused. Raises `LogError`."""
        state = self.writer.state
        if not state.ended:
            end = RunCancelled(by)
            self.writer.add([*state.settle(end), Draft(end)])
        await self.writer.flush()

    def answer(self, drafts: Sequence[Draft]) -> None:
        """Fold in what somebody answered. Raises `IllegalEvent` when it is not, or no longer, asked."""
        self.writer.add(drafts)
        self._context.tell()

    async def work(self, seconds: float) -> None:
        """Drive the runtime to a run end or a pause, for at most `seconds`.

        Raises `LogError` when the log cannot be written (the run is then open and nobody's), and
        `CancelledError` on a handover.
        """
        end = await self._drive(seconds)
        if end is None and self._cancelled_by:  # the agent swallowed the cancellation
            end = RunCancelled(self._cancelled_by)
        state = self.writer.state
        if end is None and state.asking:
            self.writer.add([*state.close_items(), Draft(RunWaiting("answers"))])
        elif not state.ended:
            end = end or RunCompleted()
            self.writer.add([*state.settle(end), Draft(end)])
        await self.writer.flush()

    async def _drive(self, seconds: float) -> RunEnd | None:
        """The end that what happened calls for; None when the runtime just returned."""
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                await self._runtime.run(self._context)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._handed_over or task is None:
                raise
            if not self._cancelled_by:  # nobody of ours: the agent raised it
                return RunFailed("server_error", "The agent raised CancelledError.")
            task.uncancel()
            return RunCancelled(self._cancelled_by)
        except LogError:
            raise
        except LimitReached as limit_reached:
            return RunIncomplete(limit_reached.reason)
        except ModelFailed as failure:
            return RunFailed(failure.code, failure.message)
        except IllegalEvent as error:
            return RunFailed("server_error", f"The agent broke the event grammar: {error}")
        except Exception as error:
            if limit.expired():
                return RunIncomplete("max_seconds")
            logger.exception("run %s: the agent raised", self.record.run)
            return RunFailed("server_error", f"The agent raised {type(error).__name__}.")
        return None
