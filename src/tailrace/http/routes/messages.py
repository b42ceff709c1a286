"""`/messages` and `/messages/count_tokens`, in Anthropic's form."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tailrace.http import refusals
from tailrace.http.edge import Edge
from tailrace.http.guard import Reply, guarded
from tailrace.http.mounts import Mount
from tailrace.http.replies import document, json_reply
from tailrace.protocols.anthropic_messages import reply, request, stream
from tailrace.protocols.anthropic_messages.messages import BETA
from tailrace.protocols.anthropic_messages.wire import VERSION, error_body
from tailrace.protocols.counting import tokens
from tailrace.service.caller import Caller
from tailrace.service.run_service import RunService
from tailrace.service.views import View

CANNOT_READ_CALLS = "ai-sdk/anthropic/2."
"""A client (AI SDK 5) that takes every `mcp_tool_use` for an error."""


def routes(service: RunService, edge: Edge, mount: Mount) -> list[Route]:
    """The routes of one mount."""
    handlers = _Messages(service, edge, mount)
    table = {
        ("POST", "/messages"): handlers.create,
        ("POST", "/messages/count_tokens"): handlers.count,
    }
    return guarded(edge.gate, table, error_body, mount.path)


class _Messages:
    def __init__(self, service: RunService, edge: Edge, mount: Mount) -> None:
        self._service = service
        self._edge = edge
        self._mount = mount

    async def create(self, http: Request, caller: Caller) -> Reply:
        body = await self._edge.body(http, caller)
        betas = ",".join(http.headers.getlist(BETA))
        asked = request.decode(body, http.headers.get(VERSION, ""), betas)
        target = self._mount.target(http, asked.request.model)
        wanted = msgspec.structs.replace(asked.request, agent=target.name)
        run, _ = await self._service.start(caller, wanted, body)
        reads_calls = CANNOT_READ_CALLS not in http.headers.get("user-agent", "")
        options = stream.MessagesStreamOptions(tools=reads_calls, key=self._mount.key)
        if asked.stream and await self._service.refused(run) is None:
            view = View(options, lambda: stream.MessagesEncoder(run, options))
            return self._edge.stream(self._service.follow(caller, run, view))
        state = await self._service.attend(caller, run)
        if state is None:
            return Response(status_code=499)
        made, status = await self._service.documents.of_events(
            run, lambda events: reply.message(run, events, options)
        )
        more = refusals.headers(state.end)
        return json_reply(made, status=status, run=run, more=more)

    async def count(self, http: Request, caller: Caller) -> Reply:
        body = await self._edge.body(http, caller)
        asked = request.decode_count(body, http.headers.get(VERSION, ""))
        self._mount.target(http, asked.model)
        return document({"input_tokens": tokens(asked)})
