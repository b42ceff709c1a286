"""What an application makes for each run of a framework's agent: dependencies, a context, a configuration.

A maker is a function of the run's request, plain or async, or an async context manager function
(`@asynccontextmanager`), which is left when the run has ended. A value is made once a run and process: it
stays while the run waits for a person, and another process, or this one after a restart, makes it again. So
what must survive a restart belongs in the state of the agent, not here.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

from tailrace.errors import ModelFailed
from tailrace.events.request import RunRequest
from tailrace.runtimes.owned_context import OwnedContext

logger = logging.getLogger("tailrace.runtimes")

Make = Callable[[RunRequest], Any]
SECONDS = 60.0
"""Time limit of making a value, and of leaving its context manager."""


class RunValues:
    """The values of one maker, by run. `name` is the maker's name for people: `deps`, `context`."""

    def __init__(self, name: str, make: Make | None) -> None:
        self.name = name
        self._make = make
        self._values: dict[str, Any] = {}
        self._contexts: dict[str, OwnedContext[Any]] = {}

    def __bool__(self) -> bool:
        """Whether there is a maker."""
        return self._make is not None

    async def get(self, run: str, request: RunRequest) -> Any:
        """The value of a run, None without a maker. Raises `ModelFailed` if it cannot be made: the log of
        the server has the exception."""
        if self._make is None:
            return None
        if run not in self._values:
            try:
                async with asyncio.timeout(SECONDS):
                    self._values[run] = await self._resolve(run, self._make(request))
            except TimeoutError:
                raise ModelFailed(f"{self.name} was not ready in {SECONDS:g} s.") from None
            except Exception as error:
                logger.exception("run %s: %s raised", run, self.name)
                raise ModelFailed(f"{self.name} raised {type(error).__name__}.") from error
        return self._values[run]

    async def _resolve(self, run: str, value: Any) -> Any:
        if inspect.isawaitable(value):
            value = await value
        if not isinstance(value, AbstractAsyncContextManager):
            return value
        context = OwnedContext(
            cast("AbstractAsyncContextManager[Any]", value), f"{self.name} of {run}"
        )
        result = await context.enter()
        self._contexts[run] = context
        return result

    async def release(self, run: str) -> None:
        """The run has ended: leave the context manager of its value."""
        self._values.pop(run, None)
        context = self._contexts.pop(run, None)
        try:
            if context is not None:
                await context.leave(SECONDS)
        except Exception:  # of the application
            logger.exception("run %s: %s raised at its end", run, self.name)
