"""`/healthz`: the process is alive, with its runs and the lag of its event loop. `/readyz`: it accepts work,
or why not.

Both need no key.
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
"""Cache time and timeout of the store probe: a client without a key may call `/readyz`."""


class Health:
    """Whether the server accepts new work: not while it starts or drains, nor while its store cannot be
    written."""

    def __init__(
        self, store: Store, supervisor: Supervisor, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._supervisor = supervisor
        self._clock = clock
        self._probe: asyncio.Task[bool] | None = None
        self._until = 0.0
        self.lag: Callable[[], float] | None = None
        """The recent lag of the event loop in seconds, if a watchdog runs."""

    async def state(self) -> str:
        """`ready`, or why the server is not."""
        if self._supervisor.phase != "open":
            return self._supervisor.phase
        if self._probe is None or (self._probe.done() and self._clock() >= self._until):
            self._probe = asyncio.create_task(self._writable())
        return "ready" if await self._probe else "the store cannot be written"

    def runs(self) -> int:
        """The number of runs that this process works on."""
        return self._supervisor.live()

    def vitals(self) -> dict[str, object]:
        """The body of `/healthz`."""
        fields: dict[str, object] = {"status": "alive", "runs": self.runs()}
        return fields if self.lag is None else {**fields, "loop_lag_ms": round(self.lag() * 1000)}

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
