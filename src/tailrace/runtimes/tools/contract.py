"""What a tool of the built-in agent is, wherever it runs: a Python function, an MCP server's tool.

A tool never raises for what a model or a server did wrong: faults are answers that the model reads. The tool
says what may be done with a call whose worker died in the middle (`after_crash`).

The text of any other exception is for the operator, not for a model or a client: it holds addresses, keys,
rows of a database. So the model reads its type, the log has all of it, and a tool that has something to say
to the model raises `ToolError` or returns the text. Pydantic AI has `ModelRetry` for this, LangChain
`ToolException`; MCP's Python SDK passes the text of any exception to the model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from tailrace.events.request import ToolSpec

logger = logging.getLogger("tailrace.runtimes")

AfterCrash = Literal["retry", "ask", "tell"]
"""A call that had begun and has no recorded result: call again with the same key, ask a person whether
to, or tell the model that the outcome is unknown."""

MAX_OUTPUT = 262_144
"""Characters of a tool's answer that reach the model; more is cut, and the answer says so."""

PROGRESS = 2_000
"""Characters of a tool's sign of life."""


class ToolError(Exception):
    """What a tool raises to tell the model that it failed, and why: this text reaches the model, and the
    clients that see what tools answer. Of any other exception they hear only that there was one, and the log
    has the rest."""


class Progress(Struct, frozen=True):
    """A sign of life; `done` of `total`, in whatever the tool counts."""

    message: str = ""
    done: float | None = None
    total: float | None = None


class ToolContext(Struct, frozen=True):
    """What a tool may know of its call. `key` is the same when the call is tried again after a crash.

    `progress` may be called from the event loop and from a tool's own thread.
    """

    run: str
    call_id: str
    key: str
    progress: Callable[[Progress], None] = lambda _: None


class ToolResult(Struct, frozen=True):
    """A tool's answer as the model reads it."""

    output: str
    is_error: bool = False

    def cut(self) -> ToolResult:
        """The same, no longer than `MAX_OUTPUT`."""
        if len(self.output) <= MAX_OUTPUT:
            return self
        note = f"[cut after {MAX_OUTPUT} of {len(self.output)} characters]"
        return ToolResult(f"{self.output[:MAX_OUTPUT]}\n{note}", self.is_error)


def not_made(why: str) -> ToolResult:
    """The answer to a call that did not reach its tool."""
    return ToolResult(f"{why.rstrip('.')}. The call was not made.", is_error=True)


class Tool(Protocol):
    """Something a model may call and that runs on our side.

    `server_label` names the MCP server, `""` for functions; with `approval` a person must say yes first.
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
        """Run it; `arguments` is what the model wrote. Raises nothing but `CancelledError`."""
        ...


class ToolSource(Protocol):
    """Tools that have to be asked for; `label` is their `server_label`."""

    @property
    def label(self) -> str: ...

    async def tools(self, *, patient: bool = False) -> Sequence[Tool]:
        """The tools there are now. Raises `ToolSourceFailed` when that cannot be found out, with `patient`
        not before it was tried for a while."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def tool_failure(error: BaseException, tool: str) -> str:
    """What a model reads of an exception that a tool raised."""
    if isinstance(error, ToolError):
        return str(error)[:MAX_OUTPUT]
    logger.warning("tool %s raised", tool, exc_info=error)
    return f"The tool failed ({type(error).__name__})."
