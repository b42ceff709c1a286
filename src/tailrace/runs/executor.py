"""The interface between the supervisor and the workers: this process alone, or a cluster; and the services
that all of them use."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from msgspec import Struct

from tailrace.events.answers import Answer
from tailrace.events.state import RunState
from tailrace.log.contract import Store
from tailrace.runs.directory import Directory, RunRecord
from tailrace.runs.settings import RunSettings
from tailrace.runs.writer import Clock, RunWriter
from tailrace.runtimes.contract import Runtime


class RunEnvironment(Struct, frozen=True):
    """The services of a process for its runs: their storage and index, the runtime of each agent, limits
    and times, and the clock."""

    store: Store
    runtimes: Mapping[str, Runtime]
    directory: Directory
    settings: RunSettings
    clock: Clock


class Executor(Protocol):
    """Works on runs until they end or pause, across failures of processes."""

    def __len__(self) -> int:
        """The number of runs that this process works on."""
        ...

    @property
    def name(self) -> str:
        """This process's name among those of a cluster; `""` for one alone."""
        ...

    async def open(self) -> None:
        """Start: from now on, runs without a worker are taken over as soon as possible."""
        ...

    async def drain(self) -> None:
        """Give the runs of this process a while to settle, hand over the rest."""
        ...

    async def close(self) -> None:
        """Stop. `drain` was called."""
        ...

    async def offer(self, run: str, after: int) -> None:
        """Announce that a run's log will grow beyond event `after`, and that it needs a worker then.

        The announcement precedes the write: a crash in between leaves no run without a worker. Raises
        `LogError`.
        """
        ...

    async def begin(self, record: RunRecord, writer: RunWriter) -> None:
        """Give a run to a worker; events that `writer` has received may not be durable yet."""
        ...

    def knows(self, agent: str) -> bool:
        """Whether a worker for an agent's runs may exist."""
        ...

    async def has(self, run: str, by: str) -> bool:
        """Whether a run has started that the process `by` has claimed; waits while it is about to. If it
        has not started it never will. Raises `LogError`."""
        ...

    async def works(self, run: str) -> bool:
        """Whether a run has a worker, or will have one. Raises `LogError` if that cannot be found out."""
        ...

    async def take_up(self, run: str, state: RunState) -> None:
        """Give a run in progress that has lost its worker to another one. Raises `LogError`."""
        ...

    async def wait(self, run: str) -> None:
        """Wait until a run has no worker: it has ended, pauses, or was handed over."""
        ...

    async def cancel(self, run: str, by: str) -> bool:
        """Cancel a run that has a worker; False if it has none, or is about to pause. Returns when its log
        has ended."""
        ...

    async def answer(self, run: str, answer: Answer, by: str) -> bool:
        """Answer a question, as user `by`, of a run that has a worker; False if it has none, or is about to
        pause. Raises `Conflict` for a question that is not open, `BadRequest` for an answer that does not
        fit."""
        ...

    def reading(self, run: str) -> AbstractContextManager[None]:
        """Count a reader of a run. When the last one leaves, the run's grace period begins."""
        ...

    async def record_end(self, record: RunRecord, state: RunState) -> None:
        """Put a run's end into its record."""
        ...
