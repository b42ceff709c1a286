"""What came before a turn: previous responses, conversations, and items named by reference."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from starlette.requests import Request

from tailrace.errors import BadRequest, Conflict, NotFound
from tailrace.events import history, ids
from tailrace.events.items import Item, ToolCall
from tailrace.events.request import RunRequest
from tailrace.events.state import fold
from tailrace.events.types import Event, RunWaiting
from tailrace.http.guard import owner
from tailrace.http.parts import Parts
from tailrace.protocols import sealed
from tailrace.runs.owner import Owner

THOUGHT = "rs_"
"""How ids of Responses reasoning begin."""
WAIT_SECONDS = 30.0
"""How long a turn waits for the turn it follows to end, before it is told to try again."""


async def take_turn(
    parts: Parts,
    http: Request,
    request: RunRequest,
    body: bytes,
    *,
    told: bool = False,
    key: str = "",
) -> tuple[str, bool]:
    """Start a run as the next turn of what it follows; returns the run and whether it is new.

    Turns of one conversation are taken one after the other, so each sees the one before it. With `told`
    the request brings the whole history itself; `key` as for `Parts.start`. Raises as `with_history`.
    """
    who = owner(http)
    if not request.conversation:
        wanted = request if told else await with_history(parts, request, who)
        return await parts.start(http, wanted, body, key)
    async with parts.conversations.turns.take(request.conversation):
        wanted = request if told else await with_history(parts, request, who)
        return await parts.start(http, wanted, body, key)


async def with_history(parts: Parts, request: RunRequest, who: Owner) -> RunRequest:
    """The request with the items of its earlier turns, and without what it repeats of them. Raises
    `BadRequest`, `Conflict`, `Expired`."""
    if request.previous:
        items = await _previous(parts, request.previous, who)
    elif request.conversation:
        items = await _conversation(parts, request.conversation, who)
    else:
        return request
    fresh = history.without_repeats(items, request.input)
    return msgspec.structs.replace(request, history=tuple(items), input=fresh)


async def with_references(
    parts: Parts, request: RunRequest, references: Sequence[tuple[int, str]], who: Owner
) -> RunRequest:
    """The request with each referenced item put in at its place in the input."""
    items = list(request.input)
    for position, id in references:
        items.insert(position, await _item(parts, id, who))
    return msgspec.structs.replace(request, input=tuple(items))


async def _previous(parts: Parts, id: str, who: Owner) -> Sequence[Item]:
    try:
        record = await parts.directory.find(id, who, "response")
    except NotFound:
        raise BadRequest(
            f"Previous response with id '{id}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        ) from None
    await until_settled(parts, record.run, f"Previous response '{id}'", "previous_response_id")
    events = await parts.directory.events(record.run, parts.documents.most)
    asked = fold(_up_to(events, ids.response_turn(id)))
    return history.conversation(history.as_known(asked, fold(events)))


def _up_to(events: Sequence[Event], turn: int) -> Sequence[Event]:
    """The events of a run up to the pause that ended a turn of it, or all of them."""
    pauses = [n for n, event in enumerate(events) if isinstance(event.payload, RunWaiting)]
    return events[: pauses[turn] + 1] if turn < len(pauses) else events


async def until_settled(parts: Parts, run: str, what: str, param: str) -> None:
    """Wait a while for a run that somebody goes on from. Raises `Conflict` when it takes too long."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await parts.supervisor.wait(run)
    except TimeoutError:
        raise Conflict(f"{what} is still in progress.", param=param) from None


async def _conversation(parts: Parts, id: str, who: Owner) -> Sequence[Item]:
    found = await parts.conversations.get(id, who)
    async for record in parts.conversations.runs(found):
        await until_settled(parts, record.run, f"A turn of '{id}'", "conversation")
    entries = await parts.conversations.entries(found)
    return [entry.item for entry in entries if entry.item is not None]


async def _item(parts: Parts, id: str, who: Owner) -> Item:
    record, ordinal = await parts.directory.find_item(id, who)
    state = await parts.directory.state(record.run)
    content = state.items[ordinal].content if ordinal < len(state.items) else None
    if content is None:
        raise NotFound(f"No item found with id '{id}'.", param="input", code="not_found")
    if isinstance(content, ToolCall) and id.startswith(THOUGHT):
        return sealed.GAP  # it carries what belongs to the call, and the call itself has that
    return content
