"""Who works on runs, as the supervisor sees it: this process alone, or a cluster of them; and what all of
them work with."""

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
    """What a process works on runs with: where they are stored and found, the runtime of each agent, limits
    and times, and the clock."""

    store: Store
    runtimes: Mapping[str, Runtime]
    directory: Directory
    settings: RunSettings
    clock: Clock


class Executor(Protocol):
    """Works on runs until they end or pause, whatever happens to processes."""

    def __len__(self) -> int:
        """How many runs this process works on."""
        ...

    @property
    def name(self) -> str:
        """This process's name among those of a cluster; `""` for one alone."""
        ...

    async def open(self) -> None:
        """Begin: runs that nobody works on any more are taken over, from now on and as soon as they can
        be."""
        ...

    async def drain(self) -> None:
        """Give the runs of this process a while to settle, hand over the rest."""
        ...

    async def close(self) -> None:
        """End. `drain` was called."""
        ...

    async def offer(self, run: str, after: int) -> None:
        """Say that a run's log is about to go beyond event `after`, and that somebody must work on it then.

        That comes first: whatever dies in between leaves no run with nobody. Raises `LogError`.
        """
        ...

    async def begin(self, record: RunRecord, writer: RunWriter) -> None:
        """Let somebody work on a run; what `writer` has been given may still be on its way to the disk."""
        ...

    def knows(self, agent: str) -> bool:
        """Whether somebody may be able to work on an agent's runs."""
        ...

    async def has(self, run: str, by: str) -> bool:
        """Whether a run has begun that the process `by` has claimed to begin; waits while it is about to.
        When it has not, it never will. Raises `LogError`."""
        ...

    async def works(self, run: str) -> bool:
        """Whether somebody works on a run, or is about to. Raises `LogError` when that cannot be told."""
        ...

    async def take_up(self, run: str, state: RunState) -> None:
        """Let somebody work on a run in progress that has lost its worker. Raises `LogError`."""
        ...

    async def wait(self, run: str) -> None:
        """Wait until nobody works on a run any more: it ended, pauses, or was handed over."""
        ...

    async def cancel(self, run: str, by: str) -> bool:
        """End a run that is worked on; False when nobody does, or when it is about to pause. Returns when its
        log has ended."""
        ...

    async def answer(self, run: str, answer: Answer) -> bool:
        """Give a run what it asked for while the rest of it goes on; False when nobody works on it, or when
        it is about to pause. Raises `Conflict` for what is not asked, `BadRequest` for what does not fit."""
        ...

    def reading(self, run: str) -> AbstractContextManager[None]:
        """Count a reader of a run. When the last one leaves, the run's grace period begins."""
        ...

    async def record_end(self, record: RunRecord, state: RunState) -> None:
        """Put a run's end into its record."""
        ...
