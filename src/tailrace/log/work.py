"""What an engine for many processes adds to a store: runs that wait for a worker, calls between processes.

A run is *offered* once it needs somebody to work on it. One worker at a time gets it, and keeps it by saying
now and then that it lives; when it no longer does, another one gets the run. That is only a hint: who may
write is decided by the log's fencing, so a worker that was thought dead and is not hurts nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

Respond = Callable[[bytes], Awaitable[bytes | None]]
"""What is answered to what is asked; None for no answer: somebody else will."""


class Job(Protocol):
    """A run to be worked on by this process."""

    @property
    def run(self) -> str:
        """Its suffix."""
        ...

    @property
    def after(self) -> int:
        """The run's log goes beyond this event, or is about to."""
        ...

    @property
    def deliveries(self) -> int:
        """How often it was handed to a worker, this time included: who had it before may be gone."""
        ...

    async def beat(self) -> None:
        """Keep the run for another `lease`. Raises `LogError` when nobody heard it."""
        ...

    async def acknowledge(self) -> None:
        """The run has ended or waits: nobody need work on it. Raises `LogError`."""
        ...

    async def give_back(self, seconds: float = 0.0) -> None:
        """Let another worker have it, not before so many seconds. Raises `LogError`."""
        ...


class WorkQueue(Protocol):
    """The jobs and calls of one installation. `lease` is how long a silent worker keeps a run, in seconds."""

    lease: float

    async def offer(self, run: str, after: int = -1) -> None:
        """Let some worker have the run as soon as its log goes beyond event `after`; returns when that is
        durable. Raises `LogError`."""
        ...

    async def take(self) -> Job | None:
        """The next run for this process, None when there was none for a while. Raises `LogError`."""
        ...

    async def call(self, name: str, body: bytes, seconds: float) -> bytes | None:
        """Ask the process that answers to `name`; None when there is none. Raises `LogError`."""
        ...

    async def answer(self, name: str, respond: Respond) -> Callable[[], Awaitable[None]]:
        """Answer to `name` from now on; returns the way to stop. Raises `LogError`."""
        ...

    async def ahead(self, now: int) -> int:
        """By how many milliseconds a clock that says `now` (since the epoch) is ahead of the engine's. Raises
        `LogError`."""
        ...
