"""`/api/chat`: what `useChat` of the AI SDK sends and reads; its resume; and cancel."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tailrace.errors import BadRequest, NotFound
from tailrace.events import ids
from tailrace.http.answers import to_who_asked
from tailrace.http.guard import Reply, guarded, maker, owner
from tailrace.http.outcomes import with_outcomes
from tailrace.http.parts import Parts, cursor, document
from tailrace.http.turns import take_turn
from tailrace.http.ui_answers import answering
from tailrace.protocols.ai_sdk_ui import request, stream
from tailrace.protocols.errors import error_body
from tailrace.runs.conversations import Conversation, named_id
from tailrace.service.views import ui_view

QUERIES = {
    ("POST", "/api/chat"): frozenset({"agent"}),
    ("GET", "/api/chat/{chat_id:path}/stream"): frozenset({"after", "responseId"}),
    ("POST", "/api/chat/{chat_id:path}/cancel"): frozenset({"responseId"}),
}


def routes(parts: Parts) -> list[Route]:
    """The routes, under the path that the AI SDK has by default."""
    handlers = _Chats(parts)
    table = {
        ("POST", "/api/chat"): handlers.send,
        ("GET", "/api/chat/{chat_id:path}/stream"): handlers.resume,
        ("POST", "/api/chat/{chat_id:path}/cancel"): handlers.cancel,
    }
    return guarded(parts.gate, table, error_body, queries=QUERIES)


class _Chats:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def send(self, http: Request) -> Reply:
        body = await self._parts.body(http)
        asked = request.decode(body)
        who = owner(http)
        named = asked.agent or http.query_params.get("agent", "")
        target = self._parts.catalog.any(named)
        chat = await self._parts.conversations.named(asked.request.session, maker(http))
        wanted = msgspec.structs.replace(
            asked.request, agent=target.name, model=target.name, conversation=chat.id
        )
        answer = await answering(self._parts, asked, who)
        if answer is not None:
            if named:
                to_who_asked(answer.agent, wanted.agent, "agent")
            wanted = msgspec.structs.replace(wanted, agent=answer.agent, model=answer.agent)
            given = await self._parts.answer(
                http, answer.run, answer.answer, body, wanted, answer.said
            )
            return await self._turn(http, answer.run, given.turn)
        if not wanted.input:
            raise BadRequest(
                "The last message must be a user's, or answer what the assistant's asks.",
                param="messages",
            )
        wanted = await with_outcomes(self._parts, wanted, who)
        run, _ = await take_turn(self._parts, http, wanted, body, told=asked.told)
        return self._parts.stream(http, run, ui_view(run, 0))

    async def resume(self, http: Request) -> Reply:
        """All of the chat's last message and what follows; with `after` only what follows that position.
        One that a position or a `responseId` asks for is given also when it has ended. 204: nothing is
        going on."""
        run = await self._run(http)
        after = http.query_params.get("after")
        if run is None:
            return Response(status_code=204)
        state = await self._parts.directory.state(run)
        if after is None and "responseId" not in http.query_params and state.ended:
            return Response(status_code=204)
        turn = len(state.resumptions)
        if after is None:
            events = await self._parts.directory.events(run)
            first = stream.message_begins(run, events, turn)
        else:
            first = cursor(after, "after") + 1
        past = after is None and state.started().called != ""
        view = ui_view(run, turn, past=past)
        return await self._parts.resume(http, run, view, first)

    async def cancel(self, http: Request) -> Reply:
        run = await self._run(http)
        if run is None:
            raise NotFound("Nothing has run in this chat.", code="not_found")
        await self._parts.supervisor.cancel(run, "a client")
        chat = http.path_params["chat_id"]
        return document({"id": chat, "runId": ids.run_id(run), "status": "cancelled"}, run=run)

    async def _turn(self, http: Request, run: str, turn: int) -> Reply:
        """What follows the answer that began a turn."""
        events = await self._parts.directory.events(run)
        first = stream.turn_begins(run, events, turn)
        return await self._parts.resume(http, run, ui_view(run, turn), first)

    async def _run(self, http: Request) -> str | None:
        """The run that a response id in the query names, or the chat's last one that there is."""
        chat = await self._chat(http)
        if chat is None:
            return None
        named = http.query_params.get("responseId")
        wanted = ids.run_suffix(named) if named else None
        async for record in self._parts.conversations.runs(chat):
            if not named or record.run == wanted:
                return record.run
        return None

    async def _chat(self, http: Request) -> Conversation | None:
        who = maker(http)
        id = named_id(http.path_params["chat_id"], who)
        try:
            return await self._parts.conversations.get(id, who)
        except NotFound:
            return None
