"""`/api/stream`: sessions as lines of JSON, or as server-sent events for a client that accepts those.

A session is a conversation by the client's name for it. A message to a session whose run waits for the
answer to a question is that answer; the reply then holds the lines from there on.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from tailrace.errors import NotFound
from tailrace.events import ids
from tailrace.events.answers import Given, given, reply
from tailrace.events.answers import Reply as Answered
from tailrace.events.items import Message, text_of
from tailrace.http.edge import Edge
from tailrace.http.forms import SESSIONS
from tailrace.http.guard import Reply, guarded
from tailrace.http.queries import cursor
from tailrace.protocols.fields import unsupported
from tailrace.protocols.session_lines import request, stream
from tailrace.protocols.session_lines.request import SessionRequest, error_body
from tailrace.runs.conversations import Conversation, named_id
from tailrace.runs.owner import Owner
from tailrace.service.answers import to_who_asked
from tailrace.service.caller import Caller
from tailrace.service.catalog import Target
from tailrace.service.run_service import RunService
from tailrace.service.views import View, session_view

RESUME = "/{session_id:path}"
QUERY = frozenset({"after", "run", "tenantId"})
"""What may be asked of a turn of a session."""


def routes(service: RunService, edge: Edge, path: str = SESSIONS) -> list[Route]:
    """The routes, at `path`."""
    handlers = _Sessions(service, edge)
    table = {
        ("POST", path): handlers.create,
        ("GET", path + RESUME): handlers.resume,
    }
    queries = {("GET", path + RESUME): QUERY}
    return guarded(edge.gate, table, error_body, queries=queries)


class _Sessions:
    def __init__(self, service: RunService, edge: Edge) -> None:
        self._service = service
        self._edge = edge

    async def create(self, http: Request, caller: Caller) -> Reply:
        body = await self._edge.body(http, caller)
        asked = request.decode(body)
        target = self._target(asked.agent)
        session = asked.session or str(uuid.uuid4())
        # A client's tenants have sessions of their own; whose they all are, its token says.
        found = await self._service.conversations.named(session, caller.maker, asked.tenant)
        answered = await self._answer(caller, asked, found, target, body)
        if answered is not None:
            run, first = answered
            view = self._view(http, run, session)
            return self._edge.stream(await self._service.resume(caller, run, view, first))
        wanted = msgspec.structs.replace(
            asked.request,
            agent=target.name,
            model=target.name,
            session=session,
            conversation=found.id,
        )
        run, _ = await self._service.start(caller, wanted, body)
        return self._edge.stream(self._service.follow(caller, run, self._view(http, run, session)))

    async def resume(self, http: Request, caller: Caller) -> Reply:
        """A turn of a session again, whole or after a line: `?after=` counts lines from 0. The latest turn,
        or the one whose run `?run=` names: a client that goes on in the middle of one wants no other."""
        session, query, who = http.path_params["session_id"], http.query_params, caller.maker
        named = query.get("run")
        wanted = ids.run_suffix(named) if named else None
        run = await self._turn(named_id(session, who, query.get("tenantId", "")), who, wanted)
        if not run or (named and run != wanted):
            raise NotFound(f"Session '{session}' has no turn to show")
        after = query.get("after")
        first = 0 if after is None else cursor(after, "after") + 1
        view = self._view(http, run, session)
        return self._edge.stream(await self._service.resume(caller, run, view, first, "after"))

    async def _turn(self, conversation: str, who: Owner, wanted: str | None = None) -> str:
        """The run of a session's latest turn, or the wanted one; `""` where there is none."""
        try:
            found = await self._service.conversations.get(conversation, who)
        except NotFound:
            return ""
        async for record in self._service.conversations.runs(found):
            if wanted in (None, record.run):
                return record.run
        return ""

    async def _answer(
        self,
        caller: Caller,
        asked: SessionRequest,
        session: Conversation,
        target: Target,
        body: bytes,
    ) -> tuple[str, int] | None:
        """Answer the question that the session waits with: its run, and the line to go on from.

        The log says what is asked; the run's record learns of it a moment later. A message that began a run
        and comes again is no answer to what that run asks.
        """
        sent = await caller.sent(body)
        claim = None if sent is None else await self._service.supervisor.claimed(sent)
        if claim is not None and not claim.answers:
            return None
        before = "" if claim is None else claim.run
        run = before or await self._turn(session.id, caller.maker)
        record = await self._service.directory.record(run) if run else None
        if record is None or not (before or record.status in ("in_progress", "waiting")):
            return None
        state = await self._service.directory.state(run)
        phases = ("asked", "answered") if before else ("asked",)
        names = [name for name, phase in state.asks.items() if phase in phases]
        if not names:
            return None
        if asked.unknown:
            raise unsupported(asked.unknown[0])
        if asked.agent:
            to_who_asked(record.agent, target.name, "agentId")
        (message,) = asked.request.input
        said = text_of(message.content) if isinstance(message, Message) else ""
        place = await self._given(
            caller, run, [reply(state.questions[name], said) for name in names], body
        )
        events = await self._service.directory.events(run)
        seen = stream.SessionEncoder(run, stream.SessionStreamOptions()).encode(events[: place.seq])
        return run, len(seen)

    async def _given(
        self, caller: Caller, run: str, answers: Sequence[Answered], body: bytes
    ) -> Given:
        """Where a message was given as an answer, now or before: to the last question that it answered just
        so, else to the first that is open."""
        events = await self._service.directory.events(run)
        for answer in reversed(answers):
            if (place := given(events, (answer,))) is not None:
                return place
        return await self._service.answer(caller, run, (answers[0],), body)

    def _target(self, agent: str) -> Target:
        try:
            return self._service.catalog.any(agent)
        except NotFound:
            raise NotFound(f"Agent profile '{agent}' not found", param="agentId") from None

    def _view(self, http: Request, run: str, session: str) -> View:
        return session_view(run, session, sse="text/event-stream" in http.headers.get("accept", ""))
