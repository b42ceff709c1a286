"""The additional interface of a cluster's engine: a queue of runs that need a worker, and calls between
processes.

A run is *offered* when it needs a worker. One worker at a time gets it, and keeps it by renewing a lease;
when the lease expires, another worker gets the run. The lease is only a hint: the log's fencing decides
which process may write, so a worker that was wrongly considered dead does no harm.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

Respond = Callable[[bytes], Awaitable[bytes | None]]
"""The reply to a call; None for no reply, because another process will answer."""


class Job(Protocol):
    """A run for this process to work on."""

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
        """The number of times that it was delivered to a worker, including this one: an earlier worker may
        be dead."""
        ...

    async def beat(self) -> None:
        """Keep the run for another `lease`. Raises `LogError` if the renewal was not received."""
        ...

    async def acknowledge(self) -> None:
        """The run has ended or waits: it needs no worker. Raises `LogError`."""
        ...

    async def give_back(self, seconds: float = 0.0) -> None:
        """Return the run to the queue, for delivery after this many seconds. Raises `LogError`."""
        ...


class WorkQueue(Protocol):
    """The jobs and calls of one installation. `lease` is how long a silent worker keeps a run, in seconds."""

    lease: float

    async def offer(self, run: str, after: int = -1) -> None:
        """Queue the run for a worker; it is delivered when its log goes beyond event `after`. Returns when
        that is durable. Raises `LogError`."""
        ...

    async def take(self) -> Job | None:
        """The next run for this process, None if none arrived for a while. Raises `LogError`."""
        ...

    async def call(self, name: str, body: bytes, seconds: float) -> bytes | None:
        """Call the process that responds to `name`; None if there is none. Raises `LogError`."""
        ...

    async def answer(self, name: str, respond: Respond) -> Callable[[], Awaitable[None]]:
        """Respond to calls of `name` from now on; returns a function that stops it. Raises `LogError`."""
        ...

    async def ahead(self, now: int) -> int:
        """The milliseconds by which a clock that shows `now` (since the epoch) is ahead of the engine's.
        Raises `LogError`."""
        ...
