"""`/agui/{agent}`: the requests and streams of AG-UI's `HttpAgent`, and cancel.

A request names its run. Sent again, it attaches to the run that it started, or to the turn that its answers
began, and receives all of it once more.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from tailrace.http.guard import Reply, guarded_routes
from tailrace.http.instance import Edge
from tailrace.http.replies import document
from tailrace.protocols.ag_ui import request
from tailrace.protocols.failures import error_body
from tailrace.service import agui_turns
from tailrace.service.caller import Caller
from tailrace.service.run_service import RunService
from tailrace.service.views import agui_view


def routes(service: RunService, edge: Edge) -> list[Route]:
    """The routes of this surface."""
    handlers = _Threads(service, edge)
    table = {
        ("POST", "/agui/{agent}"): handlers.run,
        ("POST", "/agui/{agent}/cancel"): handlers.cancel,
    }
    return guarded_routes(edge.gate, table, error_body, queries={})


class _Threads:
    def __init__(self, service: RunService, edge: Edge) -> None:
        self._service = service
        self._edge = edge

    async def run(self, http: Request, caller: Caller) -> Reply:
        """Start or resume the run that the request names, and stream it."""
        service = self._service
        body = await self._edge.body(http, caller)
        create = request.decode(body)
        target = service.catalog.any(http.path_params["agent"])
        thread = await service.conversations.by_name(create.request.session, caller.maker)
        run_request = msgspec.structs.replace(
            create.request, agent=target.name, model=target.name, conversation=thread.id
        )
        if create.resume:
            run, turn = await agui_turns.resume(service, caller, create, run_request, body)
        else:
            run, turn = await agui_turns.start(service, caller, run_request, body), 0
        return self._edge.stream(service.follow(caller, run, agui_view(run, turn)))

    async def cancel(self, http: Request, caller: Caller) -> Reply:
        """Cancel the run that `threadId` and `runId` name."""
        body = await self._edge.body(http, caller)
        names = request.decode_cancel(body)
        self._service.catalog.any(http.path_params["agent"])
        run = await agui_turns.find_named(self._service, caller.maker, names.thread, names.run)
        await self._service.cancel(run)
        fields = {"threadId": names.thread, "runId": names.run, "status": "cancelled"}
        return document(fields, run=run)
