"""`/responses`: create, retrieve, resume, cancel, delete, input items, input tokens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tailrace.errors import BadRequest, Conflict, NotFound
from tailrace.events import ids
from tailrace.events.request import RunRequest
from tailrace.events.types import Event, RunCancelled, RunFailed, RunStarted
from tailrace.http.guard import Reply, guarded_routes
from tailrace.http.instance import Edge
from tailrace.http.mounts import Mount
from tailrace.http.queries import cursor, cursor_name, flag
from tailrace.http.replies import failure_headers, json_reply
from tailrace.protocols import failures, overflow
from tailrace.protocols.failures import error_body
from tailrace.protocols.openai_responses import reply, request, stream
from tailrace.runs.directory import RunRecord
from tailrace.runs.retention import with_end
from tailrace.service.caller import Caller
from tailrace.service.refusals import model_failure
from tailrace.service.run_service import RunService
from tailrace.service.views import responses_view

GOING = ("in_progress", "waiting")
IN_STREAM = frozenset({overflow.CODE})
"""Failures that OpenAI's servers report in the stream: Codex reads them there, and compacts the
conversation."""


def routes(service: RunService, edge: Edge, mount: Mount) -> list[Route]:
    """The routes of one mount."""
    handlers = _Responses(service, edge, mount)
    table = {
        ("POST", "/responses"): handlers.create,
        ("POST", "/responses/input_tokens"): handlers.input_tokens,
        ("GET", "/responses/{response_id}"): handlers.retrieve,
        ("DELETE", "/responses/{response_id}"): handlers.delete,
        ("POST", "/responses/{response_id}/cancel"): handlers.cancel,
        ("GET", "/responses/{response_id}/input_items"): handlers.input_items,
    }
    return guarded_routes(edge.gate, table, error_body, mount.path)


class _Responses:
    def __init__(self, service: RunService, edge: Edge, mount: Mount) -> None:
        self._service = service
        self._edge = edge
        self._mount = mount

    async def create(self, http: Request, caller: Caller) -> Reply:
        """Start a run, or answer a waiting one; stream it, wait for it, or return at once (`background`)."""
        body = await self._edge.body(http, caller)
        create = request.decode(body)
        target = self._mount.target(http, create.request.model)
        run_request = msgspec.structs.replace(create.request, agent=target.name)
        run, turn = await self._service.answer_or_start(
            caller,
            run_request,
            body,
            references=create.references,
            to_agent=target.kind == "agent",
            param="" if self._mount.names_agent else "model",
        )
        if create.stream or flag(http.query_params.get("stream")):
            waits = not turn and not run_request.background
            failure = await self._service.early_failure(run) if waits else None
            if failure is None or failure.code in IN_STREAM:
                view = responses_view(run, self._options(run_request, turn))
                return self._edge.stream(self._service.follow(caller, run, view))
        if not run_request.background:
            state = await self._service.wait_for_end(caller, run, pauses=True)
            failure = model_failure(state.end) if state is not None else None
            if state is not None and failure is not None and not state.items:
                return _failure(run, failure)
        return await self._document(run, turn)

    async def retrieve(self, http: Request, caller: Caller) -> Reply:
        """The response, or its stream from a sequence number on."""
        record, turn = await self._find_turn(http, caller)
        query = http.query_params
        after = query.get("starting_after")
        if after is None and not flag(query.get("stream")):
            return await self._document(record.run, turn, _include(http))
        first = 0 if after is None else cursor(after, "starting_after") + 1
        run_request = await self._service.request(record.run)
        options = self._options(run_request, turn, _include(http))
        view, param = responses_view(record.run, options), cursor_name(http)
        return self._edge.stream(await self._service.resume(caller, record.run, view, first, param))

    async def cancel(self, http: Request, caller: Caller) -> Reply:
        """Cancel a response, and return it."""
        record, turn = await self._find_turn(http, caller)
        run = record.run
        if record.status in GOING:
            await self._cancel(record)
        elif record.status != "cancelled":
            raise BadRequest(f"Cannot cancel a {record.status} response.")
        make = partial(self._make_document, run, turn)
        return json_reply(await self._service.cancelled_document(run, make), run=run)

    async def _cancel(self, record: RunRecord) -> None:
        try:
            await self._service.cancel(record.run)
        except Conflict:  # it ended meanwhile; the log has the end before the record does
            state = await self._service.state(record.run)
            if state.is_finished and not isinstance(state.end, RunCancelled):
                status = with_end(record, state).status
                raise BadRequest(f"Cannot cancel a {status} response.") from None

    async def delete(self, http: Request, caller: Caller) -> Reply:
        """Cancel and delete a response."""
        record, _ = await self._find_turn(http, caller)
        if record.status in GOING:
            with suppress(BadRequest):
                await self._cancel(record)
        await self._service.forget(record)
        return json_reply(reply.deletion(record.run), run=record.run)

    async def input_items(self, http: Request, caller: Caller) -> Reply:
        """A page of the input items of a response."""
        record, turn = await self._find_turn(http, caller)
        run_request = await self._service.request(record.run)
        if turn:
            state = await self._service.state(record.run)
            run_request = state.resumptions[turn - 1].request or run_request
        page = reply.input_items(record.run, run_request, dict(http.query_params))
        return json_reply(page, run=record.run)

    async def input_tokens(self, http: Request, caller: Caller) -> Reply:
        """An estimate of the input tokens of a request."""
        body = await self._edge.body(http, caller)
        create = request.decode_input_tokens(body)
        full_request = await self._service.resolve(caller, create.request, create.references)
        return json_reply(reply.input_tokens(full_request))

    async def _find(self, http: Request, caller: Caller) -> RunRecord:
        self._mount.check(http)
        id = http.path_params["response_id"]
        return await self._service.find(caller, id, "response")

    async def _find_turn(self, http: Request, caller: Caller) -> tuple[RunRecord, int]:
        """The run and the turn that a response id names. Raises `NotFound`."""
        record = await self._find(http, caller)
        id = http.path_params["response_id"]
        turn = ids.response_turn(id)
        if turn and turn > len((await self._service.state(record.run)).resumptions):
            raise NotFound(f"No response found with id '{id}'.", code="not_found")
        return record, turn

    def _options(
        self, run_request: RunRequest, turn: int, more: tuple[str, ...] = ()
    ) -> stream.ResponsesStreamOptions:
        """`more`: what a later request includes besides what the first did."""
        mount = self._mount
        include = tuple(dict.fromkeys((*run_request.include, *more)))
        return stream.ResponsesStreamOptions(include, turn, mount.key, mount.functions)

    async def _document(self, run: str, turn: int, more: tuple[str, ...] = ()) -> Reply:
        make = partial(self._make_document, run, turn, more=more)
        return json_reply(await self._service.document(run, make), run=run)

    def _make_document(
        self, run: str, turn: int, events: Sequence[Event], more: tuple[str, ...] = ()
    ) -> bytes:
        started = events[0].payload
        if not isinstance(started, RunStarted):
            raise NotFound(f"No response found with id '{ids.response_id(run)}'.")
        return reply.response(run, events, self._options(started.request, turn, more))


def _failure(run: str, end: RunFailed) -> Response:
    """The reply to a request that the model server refused: as at OpenAI, an error and no response."""
    error = failures.openai(end)
    body = msgspec.json.encode({"error": failures.error(error)})
    return json_reply(body, status=error.status, run=run, more=failure_headers(end))


def _include(http: Request) -> tuple[str, ...]:
    """The query's `include` list; OpenAI's SDKs write lists with brackets."""
    return tuple(
        name for key in ("include", "include[]") for name in http.query_params.getlist(key)
    )
