"""The tools of an MCP server, as tools of the built-in agent.

There is one session per server and process, opened on first use, shared by all runs and opened again when
it has died. A call in progress then gets an error result that states it and is not repeated; one that
certainly was not sent is sent again. The key of a call and its run are in its `_meta`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tailrace.errors import ToolSourceFailed
from tailrace.events.request import ToolSpec
from tailrace.runtimes.tools.contract import (
    AfterCrash,
    Tool,
    ToolContext,
    ToolResult,
    not_made,
)
from tailrace.runtimes.tools.mcp_endpoint import Endpoint, ServerTool

if TYPE_CHECKING:
    from tailrace.runtimes.tools.mcp_session import McpSession

Approval = Literal["always", "never"] | tuple[str, ...]

PAUSES = (0.2, 1.0)
"""The first delay between tries to connect to a server, in seconds."""

LONGEST_PAUSE = 5.0
"""Maximum retry delay; delays double up to it."""

logger = logging.getLogger("tailrace.mcp")


class McpServer:
    """The server behind an endpoint.

    `allow` names the tools to use, all when empty. `approval`: whether a person must approve each call, or
    the names of the tools for which one must. `timeout` in seconds, for a call and for connecting: calls of
    an unavailable server are tried for so long.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        allow: Collection[str] = (),
        approval: Approval = "always",
        timeout: float = 60.0,
    ) -> None:
        self.label = endpoint.label
        self._endpoint = endpoint
        self._allow = frozenset(allow)
        self._approval = approval
        self._timeout = timeout
        self._session: McpSession | None = None
        self._opening: asyncio.Task[McpSession] | None = None
        self._listing = asyncio.Lock()
        self._tools_of_session: tuple[McpSession, Sequence[ServerTool], Sequence[Tool]] | None = (
            None
        )

    async def tools(self, *, patient: bool = False) -> Sequence[Tool]:
        """The current tools. Raises `ToolSourceFailed` if the server cannot list them, with `patient` only
        after `timeout` seconds."""
        pauses = self._pauses() if patient else iter(())
        while True:
            try:
                return await self._tools_now()
            except ToolSourceFailed:
                pause = next(pauses, None)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    async def _tools_now(self) -> Sequence[Tool]:
        for last in (False, True):
            session = await self._connect()
            try:
                return await self._list_if_stale(session)
            except ToolSourceFailed:
                if last or session.alive:
                    raise
        raise AssertionError("returned or raised")

    async def _list_if_stale(self, session: McpSession) -> Sequence[Tool]:
        async with self._listing:
            if session.stale:
                async with self._limit():
                    await session.list(self._is_allowed)
            return self._tools(session)

    async def call(self, name: str, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        """Call a tool by the server's name for it."""
        why = f"MCP server {self.label} cannot be reached."
        pauses = self._pauses()
        while True:
            try:
                session = await self._connect()
                result = await session.call(name, arguments, context, self._timeout)
                if result is not None:
                    return result
            except ToolSourceFailed as error:
                logger.info("%s", error)
                why = error.message
            pause = next(pauses, None)
            if pause is None:
                return not_made(why)
            await asyncio.sleep(pause)

    def _pauses(self) -> Iterator[float]:
        """The delays before the next tries, as long as `timeout` allows one."""
        loop = asyncio.get_running_loop()
        pause, end = PAUSES[0], loop.time() + self._timeout
        while loop.time() + pause < end:
            yield pause
            pause = min(2 * pause, LONGEST_PAUSE)

    async def close(self) -> None:
        """End the session, if it is open."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._session is not None:
            await self._session.close()

    async def _connect(self) -> McpSession:
        """The session, opened by the first task that needs it; a task that waits for it may be cancelled."""
        if self._session is not None and self._session.alive:
            return self._session
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name=f"mcp {self.label} opens")
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._opening)

    async def _open(self) -> McpSession:
        if self._session is not None:
            await self._session.close()
        async with self._limit():
            session_type = await asyncio.to_thread(_session_type)
            session = await self._open_session(session_type)
            try:
                await session.list(self._is_allowed)
            except BaseException:
                await session.close()
                raise
        self._warn_of_unknown(session)
        self._session = session
        return session

    async def _open_session(self, session_type: Callable[[Endpoint], McpSession]) -> McpSession:
        for pause in PAUSES:
            session = session_type(self._endpoint)
            try:
                await session.wait_open()
            except ToolSourceFailed:
                await asyncio.sleep(pause)
            else:
                return session
        session = session_type(self._endpoint)
        await session.wait_open()
        return session

    def _limit(self) -> _Limit:
        return _Limit(self.label, self._timeout)

    def _is_allowed(self, name: str) -> bool:
        return not self._allow or name in self._allow

    def _warn_of_unknown(self, session: McpSession) -> None:
        """Log a changed list of tools. This is not a fault: tools of a server may change."""
        unknown = sorted({*self._allow} - {tool.name for tool in session.server_tools})
        if unknown:
            logger.warning("%s: the server offers no tool named %s", self.label, ", ".join(unknown))

    def _tools(self, session: McpSession) -> Sequence[Tool]:
        if self._tools_of_session is None or self._tools_of_session[:2] != (
            session,
            session.server_tools,
        ):
            self._tools_of_session = (
                session,
                session.server_tools,
                self._make(session.server_tools),
            )
        return self._tools_of_session[2]

    def _make(self, server_tools: Sequence[ServerTool]) -> Sequence[Tool]:
        tools: dict[str, Tool] = {}
        approval_names = () if isinstance(self._approval, str) else self._approval
        missing = sorted({*approval_names} - {tool.name for tool in server_tools})
        if missing:  # a misspelt or renamed tool would run without approval
            raise ToolSourceFailed(
                f"{self.label}: approval names {', '.join(missing)}, which the server does not offer"
            )
        for tool in server_tools:
            name = _model_name(tool.name, tools)
            approval = self._approval == "always" or tool.name in approval_names
            tools[name] = McpTool(self, tool, name, approval=approval)
        return tuple(tools.values())


class McpTool:
    """One tool of a server. A call is repeated after a crash only if the server declares it repeatable."""

    runs_on: Literal["server", "mcp"] = "mcp"

    def __init__(
        self, server: McpServer, server_tool: ServerTool, name: str, *, approval: bool
    ) -> None:
        self._server = server
        self._name = server_tool.name
        self.spec = ToolSpec(
            name=name, description=server_tool.description, parameters=server_tool.parameters
        )
        self.server_label = server.label
        self.approval = approval
        self.after_crash: AfterCrash = "retry" if server_tool.repeatable else "tell"

    async def call(self, arguments: str, context: ToolContext) -> ToolResult:
        """Call it on the server; every fault is an error result."""
        try:
            values = msgspec.json.decode(arguments or "{}", type=dict[str, Any])
        except msgspec.MsgspecError as error:
            return ToolResult(f"The arguments do not fit: {error}", is_error=True)
        return (await self._server.call(self._name, values, context)).cut()


class _Limit:
    """`asyncio.timeout` whose error names the server."""

    def __init__(self, label: str, seconds: float) -> None:
        self._words = f"MCP server {label} did not answer in {seconds:g} s."
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *about: Any) -> None:
        try:
            await self._timeout.__aexit__(*about)
        except TimeoutError:
            raise ToolSourceFailed(self._words) from None


def _model_name(name: str, names: Collection[str]) -> str:
    """A unique name that model servers accept; they accept fewer names than MCP."""
    base = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64]
    unique, number = base, 1
    while unique in names:
        number += 1
        unique = f"{base[:60]}_{number}"
    return unique


def _session_type() -> Callable[[Endpoint], McpSession]:
    from tailrace.runtimes.tools.mcp_session import McpSession

    return McpSession
