"""`/jobs`: the native surface, and `?as=`, which streams a job in the frames of another surface."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.routing import Route

from tailrace.errors import BadRequest, Conflict
from tailrace.events import ids
from tailrace.events.state import fold
from tailrace.events.types import Event
from tailrace.http.guard import Reply, guarded_routes
from tailrace.http.instance import Edge
from tailrace.http.queries import cursor, cursor_name
from tailrace.http.replies import json_reply
from tailrace.protocols.failures import error_body
from tailrace.protocols.node_stream import reply, request
from tailrace.runs.conversations import named_id
from tailrace.runs.directory import Filter, RunRecord
from tailrace.runs.owner import Owner
from tailrace.service.caller import Caller
from tailrace.service.run_service import RunService
from tailrace.service.views import NATIVE, VIEWS, view

GOING = ("in_progress", "waiting")
STATUSES = (*GOING, "completed", "incomplete", "failed", "cancelled")
QUERIES = {
    ("GET", "/jobs/{job_id}/stream"): frozenset({"after", "as"}),
    ("GET", "/jobs"): frozenset(
        {"limit", "after", "agent", "status", "surface", "conversation", "since", "until"}
    ),
}


def routes(service: RunService, edge: Edge) -> list[Route]:
    """The native routes."""
    handlers = _Jobs(service, edge)
    table = {
        ("POST", "/jobs"): handlers.create,
        ("GET", "/jobs"): handlers.page,
        ("GET", "/jobs/{job_id}"): handlers.job,
        ("GET", "/jobs/{job_id}/stream"): handlers.stream,
        ("POST", "/jobs/{job_id}/cancel"): handlers.cancel,
        ("POST", "/jobs/{job_id}/input"): handlers.input,
    }
    return guarded_routes(edge.gate, table, error_body, queries=QUERIES)


class _Jobs:
    def __init__(self, service: RunService, edge: Edge) -> None:
        self._service = service
        self._edge = edge

    async def create(self, http: Request, caller: Caller) -> Reply:
        """Start a job. 202: it runs."""
        body = await self._edge.body(http, caller)
        run_request = request.decode(body)
        target = self._service.catalog.by_name(run_request.agent)
        run_request = msgspec.structs.replace(run_request, agent=target.name)
        run, _ = await self._service.start(caller, run_request, body)
        return await self._document(run, status=202)

    async def page(self, http: Request, caller: Caller) -> Reply:
        """A page of jobs, the newest first."""
        query = http.query_params
        limit = _number(query, "limit", 50, least=1, most=100)
        after = query.get("after", "")
        if after and ids.run_suffix(after) is None:
            raise BadRequest(f"after must be a job's id, not {after[:40]!r}.", param="after")
        page = await self._service.list(
            caller, _filter(query, caller.owner), after=ids.run_suffix(after) or "", limit=limit
        )
        return json_reply(reply.jobs([_summary(record) for record in page.runs], page.next))

    async def job(self, http: Request, caller: Caller) -> Reply:
        """The document of a job."""
        return await self._document((await self._find(http, caller)).run)

    async def stream(self, http: Request, caller: Caller) -> Reply:
        """A job's frames after a cursor, natively or on the surface of `?as=`."""
        record = await self._find(http, caller)
        query = http.query_params
        surface = query.get("as", NATIVE)
        after = query.get("after")
        if after is None and surface == NATIVE:
            after = http.headers.get("last-event-id") or None
        first = 0 if after is None else cursor(after, "after") + 1
        job_view = view(surface, record.run, await self._service.request(record.run))
        param = cursor_name(http)
        return self._edge.stream(
            await self._service.resume(caller, record.run, job_view, first, param)
        )

    async def cancel(self, http: Request, caller: Caller) -> Reply:
        """Cancel a job, and return its document."""
        record = await self._find(http, caller)
        run = record.run
        if record.status not in GOING:
            raise _has_ended()
        try:
            await self._service.cancel(run)
        except Conflict:
            if (await self._service.state(run)).is_finished:
                raise _has_ended() from None
            raise
        make = partial(_job_document, run)
        return json_reply(await self._service.cancelled_document(run, make), run=run)

    async def input(self, http: Request, caller: Caller) -> Reply:
        """Answer the questions for which the job waits."""
        record = await self._find(http, caller)
        body = await self._edge.body(http, caller)
        await self._service.answer(caller, record.run, request.decode_answers(body), body)
        return await self._document(record.run, status=202)

    async def _find(self, http: Request, caller: Caller) -> RunRecord:
        id = http.path_params["job_id"]
        return await self._service.find(caller, id, "job")

    async def _document(self, run: str, status: int = 200) -> Reply:
        body = await self._service.state_document(run, partial(reply.job, run))
        return json_reply(body, status=status, run=run)


def _filter(query: QueryParams, owner: Owner) -> Filter:
    """The filter of a query. Raises `BadRequest`."""
    status, surface = query.get("status", ""), query.get("surface", "")
    for name, value, values in (("status", status, STATUSES), ("surface", surface, tuple(VIEWS))):
        if value and value not in values:
            raise BadRequest(
                f"{name} must be one of {', '.join(values)}, not {value[:40]!r}.", param=name
            )
    conversation = query.get("conversation", "")
    if conversation and not conversation.startswith("conv_"):  # a client's own name for it
        conversation = named_id(conversation, owner)
    return Filter(
        agent=query.get("agent", ""),
        status=status,
        surface=surface,
        conversation=conversation,
        since=_number(query, "since", 0),
        until=_number(query, "until", 0),
    )


def _number(
    query: QueryParams, name: str, default: int, *, least: int = 0, most: int = 10**15
) -> int:
    text = query.get(name)
    if text is None:
        return default
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not digits or not least <= int(text) <= most:
        raise BadRequest(
            f"{name} must be a whole number from {least} to {most}, not {text[:40]!r}.", param=name
        )
    return int(text)


def _job_document(run: str, events: Sequence[Event]) -> bytes:
    return reply.job(run, fold(events))


def _has_ended() -> Conflict:
    return Conflict("The job has ended already.", code="ended")


def _summary(record: RunRecord) -> reply.Summary:
    return reply.Summary(
        run=record.run,
        agent=record.agent,
        surface=record.surface,
        status=record.status,
        created_at=record.created,
        ended_at=record.ended_at,
    )
