"""The history of a turn: previous responses, conversations, and items named by reference."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tailrace.errors import BadRequest, NotFound
from tailrace.events import history, ids
from tailrace.events.items import Item, ToolCall
from tailrace.events.request import RunRequest
from tailrace.events.state import fold
from tailrace.events.types import Event, RunWaiting
from tailrace.protocols import sealed
from tailrace.runs.owner import Owner
from tailrace.service.stored_runs import StoredRuns

References = Sequence[tuple[int, str]]
"""Items that a request names by id: the position in its input, and the id."""
REASONING = "rs_"
"""The prefix of ids of Responses reasoning items."""


async def with_history(runs: StoredRuns, request: RunRequest, owner: Owner) -> RunRequest:
    """The request with the items of its earlier turns as history, and without items that repeat them. Raises
    `BadRequest`, `Conflict`, `Expired`."""
    if request.previous:
        items = await _previous(runs, request.previous, owner)
    elif request.conversation:
        items = await _conversation(runs, request.conversation, owner)
    else:
        return request
    new_items = history.without_repeats(items, request.input)
    return msgspec.structs.replace(request, history=tuple(items), input=new_items)


async def with_references(
    runs: StoredRuns, request: RunRequest, references: References, owner: Owner
) -> RunRequest:
    """The request with each referenced item inserted at its place in the input. Raises `NotFound`."""
    items = list(request.input)
    for position, id in references:
        items.insert(position, await _item(runs, id, owner))
    return msgspec.structs.replace(request, input=tuple(items))


async def _previous(runs: StoredRuns, id: str, owner: Owner) -> Sequence[Item]:
    try:
        record = await runs.directory.find(id, owner, "response")
    except NotFound:
        raise BadRequest(
            f"Previous response with id '{id}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        ) from None
    await runs.until_settled(record.run, f"Previous response '{id}'", "previous_response_id")
    events = await runs.directory.events(record.run, runs.documents.most)
    state = fold(_up_to(events, ids.response_turn(id)))
    return history.conversation(history.as_known(state, fold(events)))


def _up_to(events: Sequence[Event], turn: int) -> Sequence[Event]:
    """The events of a run up to the pause that ended a turn of it, or all of them."""
    pauses = [n for n, event in enumerate(events) if isinstance(event.payload, RunWaiting)]
    return events[: pauses[turn] + 1] if turn < len(pauses) else events


async def _conversation(runs: StoredRuns, id: str, owner: Owner) -> Sequence[Item]:
    conversation = await runs.conversations.get(id, owner)
    async for record in runs.conversations.runs(conversation):
        await runs.until_settled(record.run, f"A turn of '{id}'", "conversation")
    entries = await runs.conversations.entries(conversation)
    return [entry.item for entry in entries if entry.item is not None]


async def _item(runs: StoredRuns, id: str, owner: Owner) -> Item:
    record, ordinal = await runs.directory.find_item(id, owner)
    state = await runs.directory.state(record.run)
    content = state.items[ordinal].content if ordinal < len(state.items) else None
    if content is None:
        raise NotFound(f"No item found with id '{id}'.", param="input", code="not_found")
    if isinstance(content, ToolCall) and id.startswith(REASONING):
        return sealed.GAP  # the reasoning belongs to the call, and the call itself has it
    return content
