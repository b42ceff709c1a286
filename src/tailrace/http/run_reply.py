"""The reply for a turn of a run on the surfaces whose reply is a stream or one document: Chat Completions and
Messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.responses import Response

from tailrace.events.types import Event
from tailrace.http.guard import Reply
from tailrace.http.instance import Edge
from tailrace.http.replies import failure_headers, json_reply
from tailrace.service.caller import Caller
from tailrace.service.run_service import RunService
from tailrace.service.views import View

CLIENT_LEFT = 499
"""The status for the log of requests; no client receives it."""


class RunReply:
    """Replies for the runs of one server."""

    def __init__(self, service: RunService, edge: Edge) -> None:
        self._service = service
        self._edge = edge

    async def stream(self, caller: Caller, run: str, view: View, turn: int) -> Reply | None:
        """The stream of a turn; None for a new run that its model server refused at once, because such a
        failure has an HTTP status. Raises `TooMany`."""
        if not turn and await self._service.early_failure(run) is not None:
            return None
        return self._edge.stream(self._service.follow(caller, run, view))

    async def document(
        self, caller: Caller, run: str, make: Callable[[Sequence[Event]], tuple[bytes, int]]
    ) -> Reply:
        """The document of a turn when the run has ended or waits; `make` gives it and its HTTP status. Raises
        `Unavailable`, `TooLarge`."""
        state = await self._service.wait_for_end(caller, run, pauses=True)
        if state is None:
            return Response(status_code=CLIENT_LEFT)
        document, status = await self._service.document(run, make)
        return json_reply(document, status=status, run=run, more=failure_headers(state.end))
