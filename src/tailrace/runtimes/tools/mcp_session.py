"""One session with an MCP server, over the official SDK: opened, listed, called, ended.

The SDK's cancel scopes must be entered and left by the same task, so a session lives in a task of its own
(`_own`); calls come to it from any task, many at a time. When the task of a call is cancelled the SDK
notifies the server. The SDK takes 0.6 s to import: `mcp.py` imports it when the first session is opened.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

import msgspec
from mcp import Client, MCPError
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import SubscriptionLost
from mcp_types import (
    CONNECTION_CLOSED,
    REQUEST_TIMEOUT,
    AudioContent,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    Implementation,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from tailrace.errors import ModelFailed, ToolSourceFailed
from tailrace.events.schema_shapes import NoSchema
from tailrace.events.schemas import QUICK, misfits
from tailrace.events.work import Overspent, WorkBudget
from tailrace.runtimes.checker import CHECKER
from tailrace.runtimes.tools.contract import Progress, ToolContext, ToolResult, tool_failure
from tailrace.runtimes.tools.mcp_endpoint import MAX_TOOLS, Endpoint, ServerTool
from tailrace.runtimes.tools.mcp_transport import (
    CONNECTION_LOST,
    KEY,
    NOT_SENT,
    TransportState,
    transport,
)

SUBSCRIBE_SECONDS = 5.0
CLOSE_SECONDS = 10.0
LONGEST_ERROR = 2000

logger = logging.getLogger("tailrace.mcp")


class McpSession:
    """A session. `offered` is the last list of the server; `stale`: the list may have changed."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._signs = TransportState()
        self._client = Client(
            transport(endpoint, self._signs),
            message_handler=self._on_message,
            client_info=Implementation(name="tailrace", version=""),
            cache=None,
        )
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own(), name=f"mcp {endpoint.label}")
        self._is_open = False
        self._listener: asyncio.Task[None] | None = None
        self._outputs: dict[str, dict[str, Any]] = {}
        self.server_tools: tuple[ServerTool, ...] = ()
        self.stale = True

    @property
    def alive(self) -> bool:
        """Whether a call can succeed."""
        return not self._signs.end.is_set() and not self._signs.is_expired

    async def wait_open(self) -> None:
        """Wait until the session can be used. Raises `ToolSourceFailed`."""
        try:
            await self._ready
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the session and its process."""
        self._signs.end.set()
        if not self._is_open:
            self._owner.cancel()
        await asyncio.wait([self._owner], timeout=CLOSE_SECONDS)
        self._owner.cancel()

    async def _own(self) -> None:
        why = "the connection was closed"
        try:
            async with self._client:
                self._is_open = True
                # The SDK's own check matches the server's patterns with `re`, on the event loop.
                cast("Any", self._client.session).validate_tool_result = self._check
                if not self._ready.done():
                    self._ready.set_result(None)
                await self._signs.end.wait()
        except Exception as error:  # exceptions of the SDK (in groups), the transport, the system
            why = self._words(error)
            if self._signs.error_status and not self._is_open:
                why = f"{why} (HTTP status {self._signs.error_status})"
            logger.info("%s: the session ended: %s", self._endpoint.label, why)
        finally:
            self._signs.end.set()
            if self._listener is not None:
                self._listener.cancel()
            if not self._ready.done():
                self._ready.set_exception(
                    ToolSourceFailed(f"MCP server {self._endpoint.label} cannot be reached", why)
                )

    # the tools

    async def list(self, is_allowed: Callable[[str], bool]) -> None:
        """Request the list of tools. Raises `ToolSourceFailed`."""
        label = self._endpoint.label
        try:
            await self._listen()
            self.stale = False
            tools: dict[str, ServerTool] = {}
            outputs: dict[str, dict[str, Any]] = {}
            cursor: str | None = None
            while cursor != "":
                page = await self._client.list_tools(cursor=cursor)
                tools |= {
                    tool.name: _server_tool(tool) for tool in page.tools if is_allowed(tool.name)
                }
                outputs |= {
                    tool.name: tool.output_schema for tool in page.tools if tool.output_schema
                }
                if len(tools) > MAX_TOOLS:
                    raise ToolSourceFailed(
                        f"MCP server {label} offers more than {MAX_TOOLS} tools;"
                        " name those to use in `allow`"
                    )
                cursor = page.next_cursor or ""
            self.server_tools = tuple(tools.values())
            self._outputs = outputs
            self.stale = self.stale or (self._listener is not None and self._listener.done())
        except BaseException as error:
            self.stale = True
            if isinstance(error, ToolSourceFailed) or not isinstance(error, Exception):
                raise
            words = self._words(error)
            raise ToolSourceFailed(f"MCP server {label} does not list its tools", words) from None

    async def _listen(self) -> None:
        """Subscribe to changes of the tools; with old protocol versions the server sends them anyway."""
        tools = self._client.server_capabilities.tools
        if (
            self._client.protocol_version not in MODERN_PROTOCOL_VERSIONS
            or tools is None
            or not tools.list_changed
            or (self._listener is not None and not self._listener.done())
        ):
            return
        listening = asyncio.Event()
        self._listener = asyncio.create_task(self._subscribe(listening))
        with suppress(TimeoutError):
            async with asyncio.timeout(SUBSCRIBE_SECONDS):
                await listening.wait()

    async def _subscribe(self, listening: asyncio.Event) -> None:
        try:
            async with self._client.listen(tools_list_changed=True) as changes:
                listening.set()
                async for _ in changes:
                    self.stale = True
        except (MCPError, SubscriptionLost) as error:
            logger.info("%s: no news of its tools: %s", self._endpoint.label, self._words(error))
        finally:
            listening.set()
            self.stale = True  # no notification reaches us now: list the tools again next time

    async def _on_message(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            self.stale = True

    # calls

    async def call(
        self, name: str, arguments: dict[str, Any], context: ToolContext, seconds: float
    ) -> ToolResult | None:
        """Call a tool; `seconds` is its limit. None when the call certainly did not reach the server."""
        if not self.alive:
            return None

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            context.progress(Progress(message or "", progress, total))

        meta: Any = {"tailrace/run": context.run, KEY: context.key}
        if self._endpoint.send_caller:
            caller = context.caller
            meta["tailrace/caller"] = {"tenant": caller.tenant, "user": caller.user}
        try:
            headers = await self._endpoint.headers_of(context)
        except Exception as error:  # code of the application
            label = self._endpoint.label
            return ToolResult(tool_failure(error, f"call_headers of {label}"), is_error=True)
        try:
            with self._signs.sending(context.key, headers):
                result = await self._client.call_tool(
                    name, arguments, seconds, progress_callback=on_progress, meta=meta
                )
        except MCPError as error:
            return None if error.data == NOT_SENT else self._fault(error, seconds, headers)
        except Exception as error:  # a result that the SDK, or a callback of ours, cannot process
            text = f"The answer of MCP server {self._endpoint.label} is unusable: "
            return ToolResult(text + self._words(error, headers), is_error=True)
        return ToolResult(text_of(result), bool(result.is_error))

    async def _check(self, name: str, result: CallToolResult) -> None:
        """Validate a result against the server's output schema, as the SDK does. Raises `RuntimeError`."""
        schema = self._outputs.get(name)
        if schema is None:
            return
        text = msgspec.json.encode(result.structured_content).decode()
        try:
            wrong = misfits([text], schema, WorkBudget(QUICK))[0]
        except NoSchema as error:
            label = self._endpoint.label
            logger.warning(
                "%s: the output of %s is not validated: its schema %s", label, name, error
            )
            return
        except Overspent:
            try:
                wrong = (await CHECKER.misfits([text], schema))[0]
            except ModelFailed as failure:
                wrong = failure.message
        if wrong:
            raise RuntimeError(f"Invalid structured content returned by tool {name}: {wrong}")

    def _fault(self, error: MCPError, seconds: float, headers: Mapping[str, str]) -> ToolResult:
        label = f"MCP server {self._endpoint.label}"
        unknown = "whether the call took effect is unknown."
        if error.code == REQUEST_TIMEOUT and "timed out" in error.message:
            text = f"{label} did not answer in {seconds:g} s; {unknown}"
        elif self._is_loss(error):
            text = f"The connection to {label} was lost; {unknown}"
        else:
            text = f"{label} answered with an error: {self._words(error, headers)}"
        return ToolResult(text, is_error=True)

    def _is_loss(self, error: MCPError) -> bool:
        """Many servers use this code for errors of their own; the SDK uses it for its own errors, too."""
        is_ours = (
            not self.alive
            or error.message.startswith("SSE stream")
            or error.data == CONNECTION_LOST
        )
        return error.code == CONNECTION_CLOSED and is_ours

    def _words(self, error: BaseException, headers: Mapping[str, str] | None = None) -> str:
        """An error as text for people, without secrets."""
        first = _first(error)
        text = (first.strerror if isinstance(first, OSError) else None) or str(first)
        return self._endpoint.redact(text or type(first).__name__, headers)[:LONGEST_ERROR]


def _first(error: BaseException) -> BaseException:
    """The original exception: task groups wrap errors in groups."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    return _first(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])


def _server_tool(tool: Tool) -> ServerTool:
    hints = tool.annotations
    repeatable = bool(hints and (hints.read_only_hint or hints.idempotent_hint))
    return ServerTool(
        tool.name, tool.description or tool.title or "", tool.input_schema, repeatable
    )


def text_of(result: CallToolResult) -> str:
    """A result as text for the model: its text, or its structure if it has none."""
    text = "\n".join(_block(block) for block in result.content)
    if not text and result.structured_content is not None:
        return msgspec.json.encode(result.structured_content).decode()
    return text


def _block(block: ContentBlock) -> str:
    match block:
        case TextContent():
            return block.text
        case ImageContent() | AudioContent():
            return f"[{block.type} {block.mime_type}, {len(block.data) * 3 // 4} bytes]"
        case ResourceLink():
            return f"[resource {block.name}: {block.uri}]"
        case EmbeddedResource():
            content = block.resource
            if isinstance(content, TextResourceContents):
                return content.text
            return f"[resource {content.uri}, {len(content.blob) * 3 // 4} bytes]"
