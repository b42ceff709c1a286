"""A real MCP server for tests, as a program of its own.

    python mcp_server.py NOTES [--http PORT] [--old] [--json] [--needs SECRET] [--many COUNT]

It speaks over stdio, or over streamable HTTP at a port that it prints (0 chooses one). `--old` is the
protocol of 2025, with a handshake; `--json` replies over HTTP without a stream; `--needs` is the required
Authorization header; `--many` lists so many more tools, in pages. It writes facts that
clients cannot see to the file NOTES, one per line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.shared.exceptions import MCPError
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Context = ServerRequestContext[Any, Any]
Arguments = dict[str, Any]
PAGE = 1000
OUTPUTS: dict[str, Any] = {
    "evil": {"type": "object", "properties": {"a": {"pattern": "^((a+)+|a*b)$"}}},
    "doubling": {
        "type": "object",
        "$ref": "#/$defs/d0",
        "$defs": {
            **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)},
            "d40": True,
        },
    },
    "odd": {"type": "object", "properties": {"a": {"pattern": "(?!x)a"}}},
    "unfit": {"type": "object", "required": ["b"]},
}
"""The output schema that some tools declare."""
IMAGE = types.ImageContent(data="AAAA", mime_type="image/png")


def answer(*content: types.ContentBlock | str, **more: Any) -> types.CallToolResult:
    blocks = [types.TextContent(text=c) if isinstance(c, str) else c for c in content]
    return types.CallToolResult(content=blocks, **more)


class Program:
    """The server's tools and their shared state."""

    def __init__(self, notes: Path, many: int) -> None:
        self._notes = notes
        self._bus = InMemorySubscriptionBus()
        self._met = 0
        self._all_met = asyncio.Event()
        self._tools: dict[str, Callable[[Context, Arguments], Awaitable[types.CallToolResult]]] = {
            "echo": self._echo,
            "count": self._count,
            "who": self._who,
            "fail": self._fail,
            "refuse": self._refuse,
            "mixed": self._mixed,
            "structured": self._structured,
            "evil": self._evil,
            "doubling": self._evil,
            "odd": self._evil,
            "unfit": self._evil,
            "much": self._much,
            "meet": self._meet,
            "hang": self._hang,
            "die": self._die,
            "grow": self._grow,
            "odd.name/here": self._echo,
        }
        self._listed = [*self._tools, *(f"tool_{n}" for n in range(many))]
        self.note(f"started {os.getpid()}")

    def note(self, line: str) -> None:
        with self._notes.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def server(self, *, old: bool) -> Server[Any]:
        made: Server[Any] = Server(
            "helper",
            version="1",
            on_list_tools=self._list,
            on_call_tool=self._call,
            on_subscriptions_listen=ListenHandler(self._bus),
        )
        if old:
            made.add_request_handler("server/discover", types.RequestParams, self._unknown)
        return made

    async def _unknown(self, _: Context, __: types.RequestParams) -> types.DiscoverResult:
        raise MCPError(types.METHOD_NOT_FOUND, "Method not found")

    async def _list(
        self, _: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        self.note("list")
        start = int((params and params.cursor) or 0)
        tools = [
            types.Tool(
                name=name,
                description=f"Does {name}.",
                input_schema={"type": "object", "properties": {"what": {"type": "string"}}},
                output_schema=OUTPUTS.get(name),
                annotations=types.ToolAnnotations(read_only_hint=True) if name == "echo" else None,
            )
            for name in self._listed[start : start + PAGE]
        ]
        more = start + PAGE < len(self._listed)
        return types.ListToolsResult(tools=tools, next_cursor=str(start + PAGE) if more else None)

    async def _call(
        self, context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        self.note(f"call {params.name}")
        return await self._tools[params.name](context, params.arguments or {})

    async def _echo(self, context: Context, arguments: Arguments) -> types.CallToolResult:
        meta: dict[str, Any] = dict(context.meta or {})
        ours = [str(meta.get(f"tailrace/{key}")) for key in ("run", "idempotency-key")]
        return answer(f"{arguments.get('what')} {' '.join(ours)}")

    async def _who(self, context: Context, _: Arguments) -> types.CallToolResult:
        """The headers of the request that tests set, and what `_meta` says of the caller."""
        headers = {} if context.request is None else dict(context.request.headers)
        seen = {
            name: value for name, value in headers.items() if name in ("authorization", "x-user")
        }
        meta: dict[str, Any] = dict(context.meta or {})
        return answer(json.dumps({**seen, "meta": meta.get("tailrace/caller")}, sort_keys=True))

    async def _count(self, context: Context, _: Arguments) -> types.CallToolResult:
        for n in (1, 2, 3):
            await context.session.report_progress(n, 3, f"step {n}")
        return answer("counted")

    async def _fail(self, _: Context, __: Arguments) -> types.CallToolResult:
        return answer("no such thing", is_error=True)

    async def _refuse(self, context: Context, _: Arguments) -> types.CallToolResult:
        secret = os.environ.get("TEST_SECRET", "")
        if context.request is not None:
            secret = context.request.headers.get("authorization", "")
        sys.stderr.write(f"the secret is {secret}\n")
        raise MCPError(-32000, f"not with {secret}")

    async def _mixed(self, _: Context, __: Arguments) -> types.CallToolResult:
        link = types.ResourceLink(name="notes", uri="file:///notes.txt")
        text = types.TextResourceContents(uri="file:///a.txt", text="inside")
        blob = types.BlobResourceContents(uri="file:///b.bin", blob="AAAA")
        return answer(
            "text",
            IMAGE,
            link,
            types.EmbeddedResource(resource=text),
            types.EmbeddedResource(resource=blob),
        )

    async def _structured(self, _: Context, __: Arguments) -> types.CallToolResult:
        return answer(structured_content={"a": [1, 2]})

    async def _evil(self, _: Context, __: Arguments) -> types.CallToolResult:
        return answer(structured_content={"a": "a" * 40 + "b"})

    async def _much(self, _: Context, __: Arguments) -> types.CallToolResult:
        return answer("x" * 500_000)

    async def _meet(self, _: Context, arguments: Arguments) -> types.CallToolResult:
        self._met += 1
        if self._met == 5:
            self._all_met.set()
        await self._all_met.wait()
        return answer(str(arguments["what"]))

    async def _hang(self, context: Context, _: Arguments) -> types.CallToolResult:
        try:
            await context.session.report_progress(1)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.note("cancelled")
            raise
        return answer()

    async def _die(self, context: Context, _: Arguments) -> types.CallToolResult:
        await context.session.report_progress(1)
        os._exit(1)

    async def _grow(self, context: Context, _: Arguments) -> types.CallToolResult:
        self._listed.append("grown")
        await self._bus.publish(ToolsListChanged())
        await context.session.send_tool_list_changed()
        return answer("grown")


async def over_stdio(server: Server[Any], *, old: bool) -> None:
    options = server.create_initialization_options(NotificationOptions(tools_changed=True))
    async with stdio_server() as (read, write):
        if old:
            await serve_loop(server, read, write, lifespan_state={}, init_options=options)
        else:
            await server.run(read, write, options)


class Guarded:
    """An application for clients that know the secret."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = (b"authorization", self._secret) in scope.get("headers", ())
        if known or scope["type"] != "http":
            await self._app(scope, receive, send)
        else:
            await Response(status_code=401)(scope, receive, send)


async def over_http(server: Server[Any], port: int, *, as_json: bool, needs: str) -> None:
    # The protocol is named so that accepted connections get TCP_NODELAY from asyncio.
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
        app: ASGIApp = server.streamable_http_app(json_response=as_json)
        if needs:
            app = Guarded(app, needs)
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve([listening])


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("notes", type=Path)
    parser.add_argument("--http", type=int)
    parser.add_argument("--old", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--needs", default="")
    parser.add_argument("--many", type=int, default=0)
    chosen = parser.parse_args()
    server = Program(chosen.notes, chosen.many).server(old=chosen.old)
    if chosen.http is None:
        await over_stdio(server, old=chosen.old)
    else:
        await over_http(server, chosen.http, as_json=chosen.json, needs=chosen.needs)


if __name__ == "__main__":
    asyncio.run(main())
