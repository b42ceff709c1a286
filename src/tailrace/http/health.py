"""`/healthz`: the process answers, its runs, how late it is. `/readyz`: send it work, or why not.

Nobody needs a key for them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tailrace.errors import LogError
from tailrace.log.contract import Store
from tailrace.runs.supervisor import Supervisor

SECONDS = 1.0
"""A look at the store is believed for so long, and may take so long: everybody may ask."""


class Health:
    """Whether new work is welcome: not while starting or draining, nor while the store cannot be written."""

    def __init__(
        self, store: Store, supervisor: Supervisor, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._supervisor = supervisor
        self._clock = clock
        self._asked: asyncio.Task[bool] | None = None
        self._until = 0.0
        self.lag: Callable[[], float] | None = None
        """How many seconds the event loop was late of late, where somebody watches it."""

    async def state(self) -> str:
        """`ready`, or what is the matter."""
        if self._supervisor.phase != "open":
            return self._supervisor.phase
        if self._asked is None or (self._asked.done() and self._clock() >= self._until):
            self._asked = asyncio.create_task(self._writable())
        return "ready" if await self._asked else "the store cannot be written"

    def runs(self) -> int:
        """How many runs this process works on."""
        return self._supervisor.live()

    def vitals(self) -> dict[str, object]:
        """What a process that answers says of itself."""
        said: dict[str, object] = {"status": "alive", "runs": self.runs()}
        return said if self.lag is None else {**said, "loop_lag_ms": round(self.lag() * 1000)}

    async def _writable(self) -> bool:
        try:
            async with asyncio.timeout(SECONDS):
                await self._store.records.put("probe", "ready", b"")
        except (LogError, TimeoutError):
            return False
        finally:
            self._until = self._clock() + SECONDS
        return True


def routes(health: Health) -> list[Route]:
    """The two routes."""

    async def alive(_: Request) -> Response:
        return JSONResponse(health.vitals())

    async def ready(_: Request) -> Response:
        state = await health.state()
        return JSONResponse({"status": state}, 200 if state == "ready" else 503)

    return [Route("/healthz", alive), Route("/readyz", ready)]
