"""The history of a turn: previous responses, conversations, and items named by reference."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tailrace.errors import BadRequest, Expired, NotFound
from tailrace.events import history, ids
from tailrace.events.items import Item, ToolCall
from tailrace.events.request import RunRequest
from tailrace.events.state import fold
from tailrace.events.types import Event, RunCompleted, RunWaiting
from tailrace.protocols import sealed
from tailrace.runs.directory import RunRecord
from tailrace.runs.owner import Owner
from tailrace.service.stored_runs import StoredRuns

References = Sequence[tuple[int, str]]
"""Items that a request names by id: the position in its input, and the id."""
MOST_INCOMPLETE = 20
"""Maximum number of runs without a state between a turn and the one whose state it continues."""
REASONING = "rs_"
"""The prefix of ids of Responses reasoning items."""


async def with_history(runs: StoredRuns, request: RunRequest, owner: Owner) -> RunRequest:
    """The request with the items of its earlier turns as history, and without items that repeat them. Raises
    `BadRequest`, `Conflict`, `Expired`."""
    if request.previous:
        items, last = await _previous(runs, request.previous, owner)
    elif request.conversation:
        items, last = await _conversation(runs, request.conversation, owner)
    else:
        return request
    new_items = history.without_repeats(items, request.input)
    return msgspec.structs.replace(
        request,
        history=tuple(items),
        input=new_items,
        previous_run="" if last is None else last.run,
    )


async def with_thread(runs: StoredRuns, request: RunRequest, owner: Owner) -> RunRequest:
    """The request with the run whose state it continues: `previous_run`, as far as the caller may see it and
    the same agent completed it, else the run that it continued in turn. A run that failed leaves no state."""
    run = request.previous_run
    for _ in range(MOST_INCOMPLETE):
        try:
            record = await runs.directory.find(run, owner)
            if record.agent != request.agent:
                break
            state = await runs.directory.state(record.run)  # the record may be behind
            if isinstance(state.end, RunCompleted):
                differs = request.history_differs or run != request.previous_run
                return msgspec.structs.replace(
                    request, previous_run=record.run, history_differs=differs
                )
            run = state.start_request().previous_run
        except (NotFound, Expired):
            break
    return msgspec.structs.replace(request, previous_run="")


async def with_references(
    runs: StoredRuns, request: RunRequest, references: References, owner: Owner
) -> RunRequest:
    """The request with each referenced item inserted at its place in the input. Raises `NotFound`."""
    items = list(request.input)
    for position, id in references:
        items.insert(position, await _item(runs, id, owner))
    return msgspec.structs.replace(request, input=tuple(items))


async def _previous(
    runs: StoredRuns, id: str, owner: Owner
) -> tuple[Sequence[Item], RunRecord | None]:
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
    all_events = fold(events)
    state = fold(_up_to(events, ids.response_turn(id)))
    is_last = ids.response_turn(id) == len(all_events.resumptions)
    items = history.conversation(history.as_known(state, all_events))
    return items, record if is_last else None  # an earlier pause has no state of its own


def _up_to(events: Sequence[Event], turn: int) -> Sequence[Event]:
    """The events of a run up to the pause that ended a turn of it, or all of them."""
    pauses = [n for n, event in enumerate(events) if isinstance(event.payload, RunWaiting)]
    return events[: pauses[turn] + 1] if turn < len(pauses) else events


async def _conversation(
    runs: StoredRuns, id: str, owner: Owner
) -> tuple[Sequence[Item], RunRecord | None]:
    conversation = await runs.conversations.get(id, owner)
    last: RunRecord | None = None
    async for record in runs.conversations.runs(conversation):  # the newest first
        await runs.until_settled(record.run, f"A turn of '{id}'", "conversation")
        last = last or record
    entries = await runs.conversations.entries(conversation)
    return [entry.item for entry in entries if entry.item is not None], last


async def _item(runs: StoredRuns, id: str, owner: Owner) -> Item:
    record, ordinal = await runs.directory.find_item(id, owner)
    state = await runs.directory.state(record.run)
    content = state.items[ordinal].content if ordinal < len(state.items) else None
    if content is None:
        raise NotFound(f"No item found with id '{id}'.", param="input", code="not_found")
    if isinstance(content, ToolCall) and id.startswith(REASONING):
        return sealed.GAP  # the reasoning belongs to the call, and the call itself has it
    return content
