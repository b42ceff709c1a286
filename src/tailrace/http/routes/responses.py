"""`/responses`: create, retrieve, resume, cancel, delete, and what was put in."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from tailrace.errors import BadRequest
from tailrace.events.types import Event, RunStarted
from tailrace.http.mounts import Mount
from tailrace.http.parts import (
    Parts,
    Reply,
    cursor,
    flag,
    guarded,
    json_reply,
    principal,
    read_body,
)
from tailrace.http.turns import with_history, with_references
from tailrace.protocols.errors import error_body
from tailrace.protocols.openai_responses import reply, request, stream
from tailrace.runs.directory import RunRecord
from tailrace.runs.retention import ended

SURFACE = "responses"


def routes(parts: Parts, mount: Mount) -> list[Route]:
    """The routes of one mount."""
    handlers = _Responses(parts, mount)
    table = {
        ("POST", "/responses"): handlers.create,
        ("POST", "/responses/input_tokens"): handlers.input_tokens,
        ("GET", "/responses/{response_id}"): handlers.retrieve,
        ("DELETE", "/responses/{response_id}"): handlers.delete,
        ("POST", "/responses/{response_id}/cancel"): handlers.cancel,
        ("GET", "/responses/{response_id}/input_items"): handlers.input_items,
    }
    return [
        Route(mount.path + path, guarded(handler, error_body), methods=[method])
        for (method, path), handler in table.items()
    ]


class _Responses:
    def __init__(self, parts: Parts, mount: Mount) -> None:
        self._parts = parts
        self._mount = mount

    async def create(self, http: Request) -> Reply:
        body = await read_body(http, self._parts.max_body_bytes)
        asked = request.decode(body)
        tenant = principal(http).tenant
        target = self._mount.target(http, asked.request.model)
        wanted = msgspec.structs.replace(asked.request, agent=target.name)
        wanted = await with_references(self._parts, wanted, asked.references, tenant)
        wanted = await with_history(self._parts, wanted, tenant)
        run, new = await self._parts.start(http, wanted, body)
        if new and wanted.conversation:
            await self._parts.conversations.add_run(wanted.conversation, tenant, run)
        options = stream.Options(include=wanted.include)
        if asked.stream or flag(http.query_params.get("stream")):
            return self._parts.stream(run, options, lambda: stream.Encoder(run, options))
        if wanted.background:
            return await self._document(run)
        await self._parts.attend(http, run)
        return await self._document(run)

    async def retrieve(self, http: Request) -> Reply:
        record = await self._find(http)
        query = http.query_params
        after = query.get("starting_after")
        if after is None and not flag(query.get("stream")):
            return await self._document(record.run)
        first = 0 if after is None else cursor(after, "starting_after") + 1
        asked = await self._parts.directory.request(record.run)
        options = stream.Options(include=asked.include)
        return await self._parts.resume(
            record.run, options, lambda: stream.Encoder(record.run, options), first
        )

    async def cancel(self, http: Request) -> Reply:
        record = await self._find(http)
        state = await self._parts.directory.state(record.run)
        # the log knows of the end before the record does
        status = ended(record, state).status if state.ended else record.status
        if state.ended and status != "cancelled":
            raise BadRequest(f"Cannot cancel a {status} response.")
        if not state.ended:
            await self._parts.supervisor.cancel(record.run, "a client")
        return await self._document(record.run)

    async def delete(self, http: Request) -> Reply:
        record = await self._find(http)
        state = await self._parts.directory.state(record.run)
        if not state.ended:
            await self._parts.supervisor.cancel(record.run, "a client")
        await self._parts.sweeper.forget(record)
        return json_reply(reply.deleted(record.run), run=record.run)

    async def input_items(self, http: Request) -> Reply:
        record = await self._find(http)
        state = await self._parts.directory.state(record.run)
        page = reply.input_items(record.run, state.started(), dict(http.query_params))
        return json_reply(page, run=record.run)

    async def input_tokens(self, http: Request) -> Reply:
        body = await read_body(http, self._parts.max_body_bytes)
        asked = request.decode_input_tokens(body)
        wanted = await with_references(
            self._parts, asked.request, asked.references, principal(http).tenant
        )
        wanted = await with_history(self._parts, wanted, principal(http).tenant)
        return json_reply(reply.input_tokens(wanted))

    async def _find(self, http: Request) -> RunRecord:
        self._mount.check(http)
        id = http.path_params["response_id"]
        return await self._parts.directory.find(id, principal(http).tenant, "response")

    async def _document(self, run: str) -> Reply:
        events = await self._parts.directory.events(run)
        return json_reply(reply.response(run, events, _options(events)), run=run)


def _options(events: Sequence[Event]) -> stream.Options:
    """What the request that started a run asked to be included."""
    started = events[0].payload
    return stream.Options(
        include=started.request.include if isinstance(started, RunStarted) else ()
    )
