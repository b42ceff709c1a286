"""`/api/stream`: sessions as lines of JSON, or as server-sent events for a client that accepts those.

A session is a conversation by the client's name for it. A message to a session whose run waits for the answer
to a question is that answer; the reply then has the lines after it.
"""

from __future__ import annotations

import uuid

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from tailrace.errors import NotFound
from tailrace.events import ids
from tailrace.http.forms import SESSIONS
from tailrace.http.guard import Reply, guarded_routes
from tailrace.http.instance import Edge
from tailrace.http.queries import cursor
from tailrace.protocols.session_lines import request
from tailrace.protocols.session_lines.request import error_body
from tailrace.runs.conversations import named_id
from tailrace.service import session_turns
from tailrace.service.caller import Caller
from tailrace.service.catalog import Target
from tailrace.service.run_service import RunService
from tailrace.service.views import View, session_view

RESUME = "/{session_id:path}"
QUERY = frozenset({"after", "run", "tenantId"})
"""Query parameters of `GET` of a session."""


def routes(service: RunService, edge: Edge, path: str = SESSIONS) -> list[Route]:
    """The routes, at `path`."""
    handlers = _Sessions(service, edge)
    table = {
        ("POST", path): handlers.create,
        ("GET", path + RESUME): handlers.resume,
    }
    queries = {("GET", path + RESUME): QUERY}
    return guarded_routes(edge.gate, table, error_body, queries=queries)


class _Sessions:
    def __init__(self, service: RunService, edge: Edge) -> None:
        self._service = service
        self._edge = edge

    async def create(self, http: Request, caller: Caller) -> Reply:
        """Start a turn of a session, or answer its question, and stream the lines."""
        body = await self._edge.body(http, caller)
        create = request.decode(body)
        target = self._target(create.agent)
        session = create.session or str(uuid.uuid4())
        # A client's tenants have sessions of their own; the token says who owns all of them.
        conversation = await self._service.conversations.by_name(
            session, caller.maker, create.tenant
        )
        answer = await session_turns.answer(
            self._service, caller, create, conversation, target.name, body
        )
        if answer is not None:
            run, first = answer
            view = self._view(http, run, session)
            return self._edge.stream(await self._service.resume(caller, run, view, first))
        run_request = msgspec.structs.replace(
            create.request,
            agent=target.name,
            model=target.name,
            session=session,
            conversation=conversation.id,
        )
        run, _ = await self._service.start(caller, run_request, body)
        return self._edge.stream(self._service.follow(caller, run, self._view(http, run, session)))

    async def resume(self, http: Request, caller: Caller) -> Reply:
        """A turn of a session again, whole or after a line: `?after=` counts lines from 0. The latest turn,
        or the one whose run `?run=` names: a client that continues in the middle of a turn needs that one."""
        session, query, owner = http.path_params["session_id"], http.query_params, caller.maker
        name = query.get("run")
        suffix = ids.run_suffix(name) if name else None
        conversation = named_id(session, owner, query.get("tenantId", ""))
        run = await session_turns.find_run(self._service, owner, conversation, suffix)
        if not run or (name and run != suffix):
            raise NotFound(f"Session '{session}' has no turn to show")
        after = query.get("after")
        first = 0 if after is None else cursor(after, "after") + 1
        view = self._view(http, run, session)
        return self._edge.stream(await self._service.resume(caller, run, view, first, "after"))

    def _target(self, agent: str) -> Target:
        try:
            return self._service.catalog.any(agent)
        except NotFound:
            raise NotFound(f"Agent profile '{agent}' not found", param="agentId") from None

    def _view(self, http: Request, run: str, session: str) -> View:
        return session_view(run, session, sse="text/event-stream" in http.headers.get("accept", ""))
