"""`/messages` and `/messages/count_tokens`, in Anthropic's form."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from tailrace.http.guard import Reply, guarded_routes
from tailrace.http.instance import Edge
from tailrace.http.mounts import Mount
from tailrace.http.replies import document
from tailrace.http.run_reply import RunReply
from tailrace.protocols.anthropic_messages import reply, request, stream
from tailrace.protocols.anthropic_messages.messages import BETA
from tailrace.protocols.anthropic_messages.wire import VERSION, error_body
from tailrace.protocols.counting import tokens
from tailrace.service.caller import Caller
from tailrace.service.run_service import RunService
from tailrace.service.views import View

CANNOT_READ_CALLS = "ai-sdk/anthropic/2."
"""The user agent of a client (AI SDK 5) that fails at every `mcp_tool_use` block."""


def routes(service: RunService, edge: Edge, mount: Mount) -> list[Route]:
    """The routes of one mount."""
    handlers = _Messages(service, edge, mount)
    table = {
        ("POST", "/messages"): handlers.create,
        ("POST", "/messages/count_tokens"): handlers.count,
    }
    return guarded_routes(edge.gate, table, error_body, mount.path)


class _Messages:
    def __init__(self, service: RunService, edge: Edge, mount: Mount) -> None:
        self._service = service
        self._edge = edge
        self._mount = mount
        self._reply = RunReply(service, edge)

    async def create(self, http: Request, caller: Caller) -> Reply:
        """Start a run or answer a waiting one; stream its turn, or wait for its message."""
        body = await self._edge.body(http, caller)
        betas = ",".join(http.headers.getlist(BETA))
        create = request.decode(body, http.headers.get(VERSION, ""), betas)
        target = self._mount.target(http, create.request.model)
        run_request = msgspec.structs.replace(create.request, agent=target.name)
        run, turn = await self._service.answer_or_start(
            caller,
            run_request,
            body,
            to_agent=target.kind == "agent",
            param="" if self._mount.names_agent else "model",
        )
        reads_calls = CANNOT_READ_CALLS not in http.headers.get("user-agent", "")
        options = stream.MessagesStreamOptions(tools=reads_calls, key=self._mount.key, turn=turn)
        view = View(options, lambda: stream.MessagesEncoder(run, options))
        if create.stream and (reply_stream := await self._reply.stream(caller, run, view, turn)):
            return reply_stream
        return await self._reply.document(
            caller, run, lambda events: reply.message(run, events, options)
        )

    async def count(self, http: Request, caller: Caller) -> Reply:
        """An estimate of the input tokens of a request."""
        body = await self._edge.body(http, caller)
        count = request.decode_count(body, http.headers.get(VERSION, ""))
        self._mount.target(http, count.model)
        return document({"input_tokens": tokens(count)})
