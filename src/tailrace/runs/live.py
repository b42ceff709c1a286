"""One run while somebody works on it: drives its runtime and ends its log.

Whatever a runtime does — returns, raises, breaks the grammar, runs for too long, is cancelled — the log
gets exactly one run end. The one exception is a handover: the process stops, the log stays open, and
the next attempt goes on.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from tailrace.errors import IllegalEvent, LogError, ModelFailed
from tailrace.events.types import (
    Draft,
    RunCancelled,
    RunCompleted,
    RunEnd,
    RunFailed,
    RunIncomplete,
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
        self._cancelled_by = ""

    def cancel(self, by: str) -> None:
        """Stop the work and end the run as cancelled."""
        if self.task is not None and not self._cancelled_by:
            self._cancelled_by = by
            self.task.cancel()

    def hand_over(self) -> None:
        """Stop the work and leave the log open."""
        if self.task is not None:
            self.task.cancel()

    async def work(self, seconds: float) -> None:
        """Drive the runtime to a run end, for at most `seconds`.

        Raises `LogError` when the log cannot be written (the run is then open and nobody's), and
        `CancelledError` on a handover.
        """
        end = await self._drive(seconds)
        state = self.writer.state
        if not state.ended:
            self.writer.add([*state.settle(end), Draft(end)])
        await self.writer.flush()

    async def _drive(self, seconds: float) -> RunEnd:
        context = RunContext(self.record.run, self.writer.state, self.writer.flush)
        limit = asyncio.timeout(seconds)
        try:
            async with limit, aclosing(self._runtime.run(context)) as batches:
                async for batch in batches:
                    self.writer.add(batch)
                    if self.writer.full:
                        await self.writer.room()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._cancelled_by or task is None:
                raise
            task.uncancel()
            return RunCancelled(self._cancelled_by)
        except LogError:
            raise
        except ModelFailed as failure:
            return RunFailed(failure.code, failure.message)
        except IllegalEvent as error:
            return RunFailed("server_error", f"The agent broke the event grammar: {error}")
        except Exception as error:
            if limit.expired():
                return RunIncomplete("max_seconds")
            logger.exception("run %s: the agent raised", self.record.run)
            return RunFailed("server_error", f"The agent raised {type(error).__name__}.")
        return RunCompleted()
