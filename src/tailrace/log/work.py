"""What a cluster's engine adds to a store: a queue of runs that need a worker, and calls between processes.

A run is *offered* when it needs a worker. One worker at a time gets it, and keeps it by renewing a lease;
when the lease expires, another worker gets the run. The lease is only a hint: the log's fencing decides which
process may write, so a worker that seemed dead and is not does no harm.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

Respond = Callable[[bytes], Awaitable[bytes | None]]
"""The reply to a call; None for no reply, because another process will answer."""


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
        """Keep the run for another `lease`. Raises `LogError` if the renewal was not received."""
        ...

    async def acknowledge(self) -> None:
        """The run has ended or waits: it needs no worker. Raises `LogError`."""
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
