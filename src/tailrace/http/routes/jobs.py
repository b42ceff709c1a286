"""`/jobs`: the native surface; and `?as=`, which shows a job in another surface's frames."""

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
from tailrace.http.guard import Reply, guarded, owner
from tailrace.http.parts import Parts, cursor, json_reply
from tailrace.protocols.errors import error_body
from tailrace.protocols.node_stream import reply, request
from tailrace.runs.conversations import named_id
from tailrace.runs.directory import Filter, RunRecord
from tailrace.runs.owner import Owner
from tailrace.service.catalog import Catalog
from tailrace.service.views import NATIVE, VIEWS, view

CLIENT = "a client"
GOING = ("in_progress", "waiting")
STATUSES = (*GOING, "completed", "incomplete", "failed", "cancelled")
QUERIES = {
    ("GET", "/jobs/{job_id}/stream"): frozenset({"after", "as"}),
    ("GET", "/jobs"): frozenset(
        {"limit", "after", "agent", "status", "surface", "conversation", "since", "until"}
    ),
}


def routes(parts: Parts) -> list[Route]:
    """The native routes."""
    handlers = _Jobs(parts, parts.catalog)
    table = {
        ("POST", "/jobs"): handlers.create,
        ("GET", "/jobs"): handlers.page,
        ("GET", "/jobs/{job_id}"): handlers.job,
        ("GET", "/jobs/{job_id}/stream"): handlers.stream,
        ("POST", "/jobs/{job_id}/cancel"): handlers.cancel,
        ("POST", "/jobs/{job_id}/input"): handlers.input,
    }
    return guarded(parts.gate, table, error_body, queries=QUERIES)


class _Jobs:
    def __init__(self, parts: Parts, catalog: Catalog) -> None:
        self._parts = parts
        self._catalog = catalog

    async def create(self, http: Request) -> Reply:
        body = await self._parts.body(http)
        asked = request.decode(body)
        wanted = msgspec.structs.replace(asked, agent=self._catalog.named(asked.agent).name)
        run, _ = await self._parts.start(http, wanted, body)
        return await self._document(run, status=202)

    async def page(self, http: Request) -> Reply:
        query, who = http.query_params, owner(http)
        limit = _number(query, "limit", 50, least=1, most=100)
        after = query.get("after", "")
        if after and ids.run_suffix(after) is None:
            raise BadRequest(f"after must be a job's id, not {after[:40]!r}.", param="after")
        found = await self._parts.directory.page(
            who, _wanted(query, who), after=ids.run_suffix(after) or "", limit=limit
        )
        return json_reply(reply.jobs([_summary(record) for record in found.runs], found.next))

    async def job(self, http: Request) -> Reply:
        return await self._document((await self._find(http)).run)

    async def stream(self, http: Request) -> Reply:
        record = await self._find(http)
        query = http.query_params
        surface = query.get("as", NATIVE)
        after = query.get("after")
        if after is None and surface == NATIVE:
            after = http.headers.get("last-event-id") or None
        first = 0 if after is None else cursor(after, "after") + 1
        asked = await self._parts.directory.request(record.run)
        return await self._parts.resume(http, record.run, view(surface, record.run, asked), first)

    async def cancel(self, http: Request) -> Reply:
        record = await self._find(http)
        run = record.run
        if record.status not in GOING:
            raise _ended()
        try:
            await self._parts.supervisor.cancel(run, CLIENT)
        except Conflict:
            if (await self._parts.directory.state(run)).ended:
                raise _ended() from None
            raise
        make = partial(_cancelled, run)
        return json_reply(await self._parts.documents.of_cancelled(run, make, CLIENT), run=run)

    async def input(self, http: Request) -> Reply:
        """Answer what the run waits for."""
        record = await self._find(http)
        body = await self._parts.body(http)
        await self._parts.answer(http, record.run, request.decode_answers(body), body)
        return await self._document(record.run, status=202)

    async def _find(self, http: Request) -> RunRecord:
        id = http.path_params["job_id"]
        return await self._parts.directory.find(id, owner(http), "job")

    async def _document(self, run: str, status: int = 200) -> Reply:
        body = await self._parts.documents.of_state(run, partial(reply.job, run))
        return json_reply(body, status=status, run=run)


def _wanted(query: QueryParams, who: Owner) -> Filter:
    """Which jobs a query asks for. Raises `BadRequest`."""
    status, surface = query.get("status", ""), query.get("surface", "")
    for name, value, known in (("status", status, STATUSES), ("surface", surface, tuple(VIEWS))):
        if value and value not in known:
            raise BadRequest(
                f"{name} must be one of {', '.join(known)}, not {value[:40]!r}.", param=name
            )
    named = query.get("conversation", "")
    conversation = named if named.startswith("conv_") or not named else named_id(named, who)
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


def _cancelled(run: str, events: Sequence[Event]) -> bytes:
    return reply.job(run, fold(events))


def _ended() -> Conflict:
    return Conflict("The job has ended already.", code="ended")


def _summary(record: RunRecord) -> reply.Summary:
    return reply.Summary(
        run=record.run,
        agent=record.agent,
        surface=record.surface,
        status=record.status,
        created_at=record.created,
        ended_at=record.ended,
    )
