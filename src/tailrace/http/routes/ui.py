"""`/api/chat`: what `useChat` of the AI SDK sends and reads; its resume; and cancel."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tailrace.errors import BadRequest, NotFound
from tailrace.events import ids
from tailrace.http.edge import Edge
from tailrace.http.guard import Reply, guarded
from tailrace.http.queries import cursor
from tailrace.http.replies import document
from tailrace.protocols.ai_sdk_ui import request, stream
from tailrace.protocols.errors import error_body
from tailrace.runs.conversations import Conversation, named_id
from tailrace.service.answers import to_who_asked
from tailrace.service.caller import Caller
from tailrace.service.outcomes import with_outcomes
from tailrace.service.run_service import RunService
from tailrace.service.ui_answers import answering
from tailrace.service.views import ui_view

QUERIES = {
    ("POST", "/api/chat"): frozenset({"agent"}),
    ("GET", "/api/chat/{chat_id:path}/stream"): frozenset({"after", "responseId"}),
    ("POST", "/api/chat/{chat_id:path}/cancel"): frozenset({"responseId"}),
}


def routes(service: RunService, edge: Edge) -> list[Route]:
    """The routes, under the path that the AI SDK has by default."""
    handlers = _Chats(service, edge)
    table = {
        ("POST", "/api/chat"): handlers.send,
        ("GET", "/api/chat/{chat_id:path}/stream"): handlers.resume,
        ("POST", "/api/chat/{chat_id:path}/cancel"): handlers.cancel,
    }
    return guarded(edge.gate, table, error_body, queries=QUERIES)


class _Chats:
    def __init__(self, service: RunService, edge: Edge) -> None:
        self._service = service
        self._edge = edge

    async def send(self, http: Request, caller: Caller) -> Reply:
        body = await self._edge.body(http, caller)
        asked = request.decode(body)
        named = asked.agent or http.query_params.get("agent", "")
        target = self._service.catalog.any(named)
        chat = await self._service.conversations.named(asked.request.session, caller.maker)
        wanted = msgspec.structs.replace(
            asked.request, agent=target.name, model=target.name, conversation=chat.id
        )
        answer = await answering(self._service, asked, caller.owner)
        if answer is not None:
            if named:
                to_who_asked(answer.agent, wanted.agent, "agent")
            wanted = msgspec.structs.replace(wanted, agent=answer.agent, model=answer.agent)
            given = await self._service.answer(
                caller, answer.run, answer.answer, body, wanted, answer.said
            )
            return await self._turn(caller, answer.run, given.turn)
        if not wanted.input:
            raise BadRequest(
                "The last message must be a user's, or answer the assistant's question.",
                param="messages",
            )
        wanted = await with_outcomes(self._service, wanted, caller.owner)
        run, _ = await self._service.start(caller, wanted, body, told=asked.told)
        return self._edge.stream(self._service.follow(caller, run, ui_view(run, 0)))

    async def resume(self, http: Request, caller: Caller) -> Reply:
        """All of the chat's last message and what follows; with `after` only what follows that position.
        One that a position or a `responseId` asks for is given also when it has ended. 204: nothing is
        going on."""
        run = await self._run(http, caller)
        after = http.query_params.get("after")
        if run is None:
            return Response(status_code=204)
        state = await self._service.directory.state(run)
        if after is None and "responseId" not in http.query_params and state.ended:
            return Response(status_code=204)
        turn = len(state.resumptions)
        if after is None:
            events = await self._service.directory.events(run)
            first = stream.message_begins(run, events, turn)
        else:
            first = cursor(after, "after") + 1
        past = after is None and state.started().called != ""
        view = ui_view(run, turn, past=past)
        return self._edge.stream(await self._service.resume(caller, run, view, first, "after"))

    async def cancel(self, http: Request, caller: Caller) -> Reply:
        run = await self._run(http, caller)
        if run is None:
            raise NotFound("Nothing has run in this chat.", code="not_found")
        await self._service.cancel(run)
        chat = http.path_params["chat_id"]
        return document({"id": chat, "runId": ids.run_id(run), "status": "cancelled"}, run=run)

    async def _turn(self, caller: Caller, run: str, turn: int) -> Reply:
        """What follows the answer that began a turn."""
        events = await self._service.directory.events(run)
        first = stream.turn_begins(run, events, turn)
        view = ui_view(run, turn)
        return self._edge.stream(await self._service.resume(caller, run, view, first))

    async def _run(self, http: Request, caller: Caller) -> str | None:
        """The run that a response id in the query names, or the chat's last one that there is."""
        chat = await self._chat(http, caller)
        if chat is None:
            return None
        named = http.query_params.get("responseId")
        wanted = ids.run_suffix(named) if named else None
        async for record in self._service.conversations.runs(chat):
            if not named or record.run == wanted:
                return record.run
        return None

    async def _chat(self, http: Request, caller: Caller) -> Conversation | None:
        who = caller.maker
        id = named_id(http.path_params["chat_id"], who)
        try:
            return await self._service.conversations.get(id, who)
        except NotFound:
            return None
