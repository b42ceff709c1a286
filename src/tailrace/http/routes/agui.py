"""`/agui/{agent}`: what `HttpAgent` of AG-UI sends and reads, and a way to cancel.

A request names its run: sent again, it attaches to the run that it started, or to the turn that its answers
began, and gets all of it once more.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from tailrace.errors import Conflict, NotFound, Unprocessable
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.http.edge import Edge
from tailrace.http.guard import Reply, guarded
from tailrace.http.replies import document
from tailrace.protocols.ag_ui import request
from tailrace.protocols.ag_ui.wire import SURFACE
from tailrace.protocols.errors import error_body
from tailrace.runs.conversations import named_id
from tailrace.runs.owner import Owner
from tailrace.service.agui_answers import answering
from tailrace.service.answers import to_who_asked
from tailrace.service.caller import Caller
from tailrace.service.outcomes import with_outcomes
from tailrace.service.run_service import RunService
from tailrace.service.views import agui_view


def routes(service: RunService, edge: Edge) -> list[Route]:
    """The routes of this surface."""
    handlers = _Threads(service, edge)
    table = {
        ("POST", "/agui/{agent}"): handlers.run,
        ("POST", "/agui/{agent}/cancel"): handlers.cancel,
    }
    return guarded(edge.gate, table, error_body, queries={})


class _Threads:
    def __init__(self, service: RunService, edge: Edge) -> None:
        self._service = service
        self._edge = edge

    async def run(self, http: Request, caller: Caller) -> Reply:
        body = await self._edge.body(http, caller)
        asked = request.decode(body)
        target = self._service.catalog.any(http.path_params["agent"])
        thread = await self._service.conversations.named(asked.request.session, caller.maker)
        wanted = msgspec.structs.replace(
            asked.request, agent=target.name, model=target.name, conversation=thread.id
        )
        if asked.resume:
            run, turn = await self._resumed(caller, asked, wanted, body)
            return self._edge.stream(self._service.follow(caller, run, agui_view(run, turn)))
        run = await self._started(caller, wanted, body)
        return self._edge.stream(self._service.follow(caller, run, agui_view(run, 0)))

    async def cancel(self, http: Request, caller: Caller) -> Reply:
        body = await self._edge.body(http, caller)
        named = request.decode_cancel(body)
        self._service.catalog.any(http.path_params["agent"])
        run = await self._named(named, caller.maker)
        await self._service.cancel(run)
        told = {"threadId": named.thread, "runId": named.run, "status": "cancelled"}
        return document(told, run=run)

    async def _started(self, caller: Caller, wanted: RunRequest, body: bytes) -> str:
        wanted = await with_outcomes(self._service, wanted, caller.owner)
        names = (SURFACE, wanted.session, wanted.called)
        key = msgspec.json.encode(names).decode()
        try:
            run, _ = await self._service.start(caller, wanted, body, told=True, key=key)
        except Unprocessable as error:
            raise _another(wanted) if error.code == "idempotency_key_reused" else error from None
        return run

    async def _resumed(
        self, caller: Caller, asked: request.RunAgentInput, wanted: RunRequest, body: bytes
    ) -> tuple[str, int]:
        """The run that goes on, and the turn that the answers began, now or when they came before."""
        found = await answering(self._service, asked, caller.owner)
        to_who_asked(found.agent, wanted.agent)
        wanted = msgspec.structs.replace(wanted, input=found.said)
        try:
            given = await self._service.answer(
                caller, found.run, found.answer, body, wanted, found.said
            )
        except Conflict:
            turn = _turn(await self._service.directory.state(found.run), wanted)
            if turn is None:
                raise
            return found.run, turn
        turn = _turn(await self._service.directory.state(found.run), wanted)
        if turn is None and given.repeated:
            raise Conflict("Another run has answered this already.", code="already_answered")
        return found.run, given.turn if turn is None else turn

    async def _named(self, named: request.Named, who: Owner) -> str:
        """The run that a client calls so, or a turn of it. Raises `NotFound`."""
        runs = await self._runs(named.thread, who)
        for run in runs:  # without reading more of a log than that
            with suppress(NotFound):
                if (await self._service.directory.request(run)).called == named.run:
                    return run
        for run in runs:
            try:
                state = await self._service.directory.state(run)
            except NotFound:
                continue
            asked = (state.started(), *(each.request for each in state.resumptions))
            if any(each is not None and each.called == named.run for each in asked):
                return run
        raise NotFound(
            f"There is no run '{named.run}' in thread '{named.thread}'.",
            param="runId",
            code="not_found",
        )

    async def _runs(self, thread: str, who: Owner) -> list[str]:
        """The runs of a thread, the newest first."""
        try:
            found = await self._service.conversations.get(named_id(thread, who), who)
        except NotFound:
            return []
        return [entry.run for entry in reversed(found.entries) if entry.run]


def _turn(state: RunState, wanted: RunRequest) -> int | None:
    """The turn that this very request began. Raises `Unprocessable` for another request of its name."""
    for number, resumption in enumerate(state.resumptions, 1):
        told = resumption.request
        if told is not None and (told.session, told.called) == (wanted.session, wanted.called):
            if told != wanted:
                raise _another(wanted)
            return number
    return None


def _another(wanted: RunRequest) -> Unprocessable:
    return Unprocessable(
        f"Run '{wanted.called}' of thread '{wanted.session}' was another request.",
        param="runId",
        code="run_id_reused",
    )
