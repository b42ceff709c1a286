"""`/messages` and `/messages/count_tokens`, in Anthropic's form."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tailrace.http import refusals
from tailrace.http.guard import Reply, guarded
from tailrace.http.mounts import Mount
from tailrace.http.parts import Parts, document, json_reply
from tailrace.protocols.anthropic_messages import reply, request, stream
from tailrace.protocols.anthropic_messages.messages import BETA
from tailrace.protocols.anthropic_messages.wire import VERSION, error_body
from tailrace.protocols.counting import tokens
from tailrace.service.views import View

CANNOT_READ_CALLS = "ai-sdk/anthropic/2."
"""A client (AI SDK 5) that takes every `mcp_tool_use` for an error."""


def routes(parts: Parts, mount: Mount) -> list[Route]:
    """The routes of one mount."""
    handlers = _Messages(parts, mount)
    table = {
        ("POST", "/messages"): handlers.create,
        ("POST", "/messages/count_tokens"): handlers.count,
    }
    return guarded(parts.gate, table, error_body, mount.path)


class _Messages:
    def __init__(self, parts: Parts, mount: Mount) -> None:
        self._parts = parts
        self._mount = mount

    async def create(self, http: Request) -> Reply:
        body = await self._parts.body(http)
        betas = ",".join(http.headers.getlist(BETA))
        asked = request.decode(body, http.headers.get(VERSION, ""), betas)
        target = self._mount.target(http, asked.request.model)
        wanted = msgspec.structs.replace(asked.request, agent=target.name)
        run, _ = await self._parts.start(http, wanted, body)
        reads_calls = CANNOT_READ_CALLS not in http.headers.get("user-agent", "")
        options = stream.Options(tools=reads_calls, key=self._mount.key)
        if asked.stream and await self._parts.refused(run) is None:
            return self._parts.stream(
                http, run, View(options, lambda: stream.Encoder(run, options))
            )
        state = await self._parts.attend(http, run)
        if state is None:
            return Response(status_code=499)
        made, status = await self._parts.documents.of_events(
            run, lambda events: reply.message(run, events, options)
        )
        more = refusals.headers(state.end)
        return json_reply(made, status=status, run=run, more=more)

    async def count(self, http: Request) -> Reply:
        body = await self._parts.body(http)
        asked = request.decode_count(body, http.headers.get(VERSION, ""))
        self._mount.target(http, asked.model)
        return document({"input_tokens": tokens(asked)})
