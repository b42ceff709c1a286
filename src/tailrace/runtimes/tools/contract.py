"""The interface of a built-in agent's tool: a Python function, or a tool of an MCP server.

A tool never raises for a fault of a model or a server: such faults are results that the model reads. The
tool declares what may be done with a call whose worker died during it (`after_crash`).

The text of any other exception is for the operator, not for a model or a client: it contains addresses,
keys, rows of a database. So the model reads its type, the log has all of it, and a tool that has a message
for the model raises `ToolError` or returns the text. Pydantic AI has `ModelRetry` for this, LangChain
`ToolException`; MCP's Python SDK passes on the text of any exception.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from tailrace.events.request import RunRequest, ToolSpec
from tailrace.runtimes.current import AboutRequest

logger = logging.getLogger("tailrace.runtimes")

AfterCrash = Literal["retry", "ask", "tell"]
"""For a call that started and has no recorded result: call again with the same key, ask a person whether to
call again, or tell the model that the outcome is unknown."""

MAX_OUTPUT = 262_144
"""The maximum length of a tool's result for the model, in characters; a cut result states it."""

PROGRESS = 2_000
"""The maximum length of a progress message, in characters."""


class ToolError(Exception):
    """An error of a tool with a message for the model: its text reaches the model, and the clients that see
    results of tools. Of any other exception they get only the type; the log has the rest."""


class Progress(Struct, frozen=True):
    """A progress report; `done` of `total`, in any unit."""

    message: str = ""
    done: float | None = None
    total: float | None = None


NO_REQUEST = RunRequest(agent="", model="", surface="", input=())


class ToolContext(Struct, AboutRequest, frozen=True):
    """Information about a call, for its tool. `key` is the same when the call is repeated after a crash.

    `progress` may be called from the event loop and from a tool's own thread.
    """

    run: str
    call_id: str
    key: str
    progress: Callable[[Progress], None] = lambda _: None
    request: RunRequest = NO_REQUEST


class ToolResult(Struct, frozen=True):
    """A tool's result, as the model reads it."""

    output: str
    is_error: bool = False

    def cut(self) -> ToolResult:
        """The result, shortened to `MAX_OUTPUT`."""
        if len(self.output) <= MAX_OUTPUT:
            return self
        note = f"[cut after {MAX_OUTPUT} of {len(self.output)} characters]"
        return ToolResult(f"{self.output[:MAX_OUTPUT]}\n{note}", self.is_error)


def not_made(why: str) -> ToolResult:
    """The result of a call that did not reach its tool."""
    return ToolResult(f"{why.rstrip('.')}. The call was not made.", is_error=True)


class Tool(Protocol):
    """A tool that runs on our side.

    `server_label` names the MCP server, `""` for functions; with `approval` a person must approve each
    call.
    """

    @property
    def spec(self) -> ToolSpec:
        """The description that the model gets."""
        ...

    @property
    def runs_on(self) -> Literal["server", "mcp"]: ...

    @property
    def server_label(self) -> str: ...

    @property
    def approval(self) -> bool: ...

    @property
    def after_crash(self) -> AfterCrash: ...

    async def call(self, arguments: str, context: ToolContext) -> ToolResult:
        """Run it; `arguments` is the model's text. Raises only `CancelledError`."""
        ...


class ToolSource(Protocol):
    """A source of tools that must be listed; `label` is their `server_label`."""

    @property
    def label(self) -> str: ...

    async def tools(self, *, patient: bool = False) -> Sequence[Tool]:
        """The current tools. Raises `ToolSourceFailed` if they cannot be listed, with `patient` only after
        several tries."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


def tool_failure(error: BaseException, tool: str) -> str:
    """The text for the model of an exception that a tool raised."""
    if isinstance(error, ToolError):
        return str(error)[:MAX_OUTPUT]
    logger.warning("tool %s raised", tool, exc_info=error)
    return f"The tool failed ({type(error).__name__})."
