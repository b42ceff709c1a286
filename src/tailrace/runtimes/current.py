"""The run to which the current code belongs, for code that gets no argument from us: tools and nodes of
frameworks, hooks, helpers."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar

from msgspec import Struct

from tailrace.events.items import Json
from tailrace.events.request import RunCaller, RunRequest
from tailrace.runtimes.user_memory import UserMemory


class AboutRequest:
    """What agents and tools may read of the request that started their run."""

    __slots__ = ()

    request: RunRequest

    @property
    def caller(self) -> RunCaller:
        """The caller that started the run, as this server authenticated it."""
        return self.request.caller

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the request that `[server] run_headers` allows, by name in lower case."""
        return self.request.headers

    @property
    def metadata(self) -> Mapping[str, str]:
        """The client's `metadata`."""
        return self.request.metadata

    @property
    def fields(self) -> Mapping[str, Json]:
        """Fields that the client added to the request: `body` of `useChat`, AG-UI's `forwardedProps` and
        `context`."""
        return self.request.fields


class CurrentRun(Struct, AboutRequest, frozen=True):
    """A run as the code of its agent sees it: its id, the request that started it, and the memory of its
    user."""

    id: str
    request: RunRequest
    memory: UserMemory


CURRENT: ContextVar[CurrentRun | None] = ContextVar("tailrace.current_run", default=None)


def current_run() -> CurrentRun:
    """The run that the calling code works for, also in its threads and tasks. Raises `LookupError` outside
    of a run."""
    run = CURRENT.get()
    if run is None:
        raise LookupError("no run: this code was not called by an agent that tailrace runs")
    return run
