"""`/api/chat`: the requests and streams of `useChat` of the AI SDK, its resume, and cancel."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tailrace.errors import BadRequest, NotFound
from tailrace.events import ids
from tailrace.http.guard import Reply, guarded_routes
from tailrace.http.instance import Edge
from tailrace.http.queries import cursor
from tailrace.http.replies import document
from tailrace.protocols.ai_sdk_ui import request, stream
from tailrace.protocols.failures import error_body
from tailrace.service.answers import require_same_agent
from tailrace.service.caller import Caller
from tailrace.service.run_service import RunService
from tailrace.service.ui_turns import find_answer, find_run
from tailrace.service.views import ui_view

QUERIES = {
    ("POST", "/api/chat"): frozenset({"agent"}),
    ("GET", "/api/chat/{chat_id:path}/stream"): frozenset({"after", "responseId"}),
    ("POST", "/api/chat/{chat_id:path}/cancel"): frozenset({"responseId"}),
}


def routes(service: RunService, edge: Edge) -> list[Route]:
    """The routes, under the AI SDK's default path."""
    handlers = _Chats(service, edge)
    table = {
        ("POST", "/api/chat"): handlers.send,
        ("GET", "/api/chat/{chat_id:path}/stream"): handlers.resume,
        ("POST", "/api/chat/{chat_id:path}/cancel"): handlers.cancel,
    }
    return guarded_routes(edge.gate, table, error_body, queries=QUERIES)


class _Chats:
    def __init__(self, service: RunService, edge: Edge) -> None:
        self._service = service
        self._edge = edge

    async def send(self, http: Request, caller: Caller) -> Reply:
        """Start a turn of a chat, or answer its question, and stream it."""
        body = await self._edge.body(http, caller)
        create = request.decode(body)
        name = create.agent or http.query_params.get("agent", "")
        target = self._service.catalog.any(name)
        chat = await self._service.conversations.by_name(create.request.session, caller.maker)
        run_request = msgspec.structs.replace(
            create.request, agent=target.name, model=target.name, conversation=chat.id
        )
        answering = await find_answer(self._service.runs, create, caller.owner)
        if answering is not None:
            if name:
                require_same_agent(answering.agent, run_request.agent, "agent")
            run_request = msgspec.structs.replace(
                run_request, agent=answering.agent, model=answering.agent
            )
            place = await self._service.answer(
                caller, answering.run, answering.answer, body, run_request, answering.messages
            )
            return await self._turn(caller, answering.run, place.turn)
        if not run_request.input:
            raise BadRequest(
                "The last message must be a user's, or answer the assistant's question.",
                param="messages",
            )
        run, _ = await self._service.start(
            caller, run_request, body, whole=create.has_history, outcomes=True
        )
        return self._edge.stream(self._service.follow(caller, run, ui_view(run, 0)))

    async def resume(self, http: Request, caller: Caller) -> Reply:
        """All of the chat's last message and what follows; with `after` only what follows that position.
        A message that `after` or `responseId` names is streamed also when it has ended. 204: nothing runs."""
        run = await self._run(http, caller)
        after = http.query_params.get("after")
        if run is None:
            return Response(status_code=204)
        state = await self._service.state(run)
        if after is None and "responseId" not in http.query_params and state.is_finished:
            return Response(status_code=204)
        turn = len(state.resumptions)
        if after is None:
            events = await self._service.events(run)
            first = stream.message_begins(run, events, turn)
        else:
            first = cursor(after, "after") + 1
        past = after is None and state.start_request().client_names != ""
        view = ui_view(run, turn, past=past)
        return self._edge.stream(await self._service.resume(caller, run, view, first, "after"))

    async def cancel(self, http: Request, caller: Caller) -> Reply:
        """Cancel the chat's last run, or the one of `responseId`."""
        run = await self._run(http, caller)
        if run is None:
            raise NotFound("Nothing has run in this chat.", code="not_found")
        await self._service.cancel(run)
        chat = http.path_params["chat_id"]
        return document({"id": chat, "runId": ids.run_id(run), "status": "cancelled"}, run=run)

    async def _turn(self, caller: Caller, run: str, turn: int) -> Reply:
        """The stream after the answer that began a turn."""
        events = await self._service.events(run)
        first = stream.turn_begins(run, events, turn)
        view = ui_view(run, turn)
        return self._edge.stream(await self._service.resume(caller, run, view, first))

    async def _run(self, http: Request, caller: Caller) -> str | None:
        chat, response = http.path_params["chat_id"], http.query_params.get("responseId", "")
        return await find_run(self._service, caller.maker, chat, response)
