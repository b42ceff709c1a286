"""The duties of an engine for many processes, for the processes of one test: it connects their calls; the
test creates the jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tailrace.log.work import Job, Respond, WorkQueue


class Calls(WorkQueue):
    """Calls between the processes that share this object. It neither accepts offers nor hands out jobs."""

    def __init__(self, lease: float = 0.3) -> None:
        self.lease = lease
        self.answers: dict[str, Respond] = {}
        self.wrong = 0
        """How many milliseconds the clocks of the processes are ahead."""
        self.clock_reads = 0

    async def offer(self, run: str, after: int = -1) -> None:
        raise AssertionError(run)

    async def take(self) -> Job | None:
        return None

    async def call(self, name: str, body: bytes, seconds: float) -> bytes | None:
        respond = self.answers.get(name)
        return None if respond is None else await respond(body)

    async def answer(self, name: str, respond: Respond) -> Callable[[], Awaitable[None]]:
        self.answers[name] = respond

        async def stop() -> None:
            del self.answers[name]

        return stop

    async def ahead(self, now: int) -> int:
        self.clock_reads += 1
        return self.wrong
