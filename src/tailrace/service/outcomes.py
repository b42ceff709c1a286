"""Outputs of calls that a client's history shows as waiting, because the client lost the reply with the
output.

The history of a client is used as it is, with this exception: where a call of this server has been answered
since, the model receives its output. Calls are found by this server's ids, in runs of the same owner.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tailrace.errors import Expired, NotFound
from tailrace.events import ids
from tailrace.events.history import NOT_RUN
from tailrace.events.item_state import ItemState
from tailrace.events.items import Item, ProviderItem, TextPart, ToolCall, ToolOutput
from tailrace.events.request import RunRequest
from tailrace.runs.owner import Owner
from tailrace.service.stored_runs import StoredRuns

REQUEST = "mcp_approval_request"
APPROVAL = "mcp_approval_response"


async def with_outcomes(runs: StoredRuns, request: RunRequest, owner: Owner) -> RunRequest:
    """The request with the outputs that this server has. Raises `Conflict` where a call still runs."""
    outcomes = _Outcomes(runs, owner)
    return msgspec.structs.replace(
        request,
        history=await outcomes.complete(request.history),
        input=await outcomes.complete(request.input),
    )


class _Outcomes:
    def __init__(self, runs: StoredRuns, owner: Owner) -> None:
        self._runs = runs
        self._owner = owner
        self._items_by_run: dict[str, Sequence[ItemState]] = {}

    async def complete(self, items: Sequence[Item]) -> tuple[Item, ...]:
        """The items, where calls that waited and their outputs replace the client's versions of them."""
        complete: list[Item] = []
        calls = {_approval_request(item) for item in items if isinstance(item, ProviderItem)}
        for item in items:
            complete += await self._complete(item, calls)
        return tuple(complete)

    async def _complete(self, item: Item, calls: set[str]) -> Sequence[Item]:
        """The items in place of one; `calls` are approval requests whose calls ran."""
        if isinstance(item, ToolOutput) and item.is_error and _text(item) == NOT_RUN:
            call = await self._call(item.call_id)
            output = None if call is None else _output(call, item.call_id)
            return [item if output is None else output]
        if not isinstance(item, ProviderItem) or item.data.get("type") not in (REQUEST, APPROVAL):
            return [item]
        id = str(item.data.get("id" if item.data["type"] == REQUEST else "approval_request_id"))
        call = await self._call(id)
        if call is None or not isinstance(call.content, ToolCall):
            return [item]
        if item.data["type"] == APPROVAL or id in calls:
            return []  # the call has its output
        waiting = ToolOutput(
            call_id=call.content.call_id, output=(TextPart(NOT_RUN),), is_error=True
        )
        return [call.content, _output(call, call.content.call_id) or waiting]

    async def _call(self, id: str) -> ItemState | None:
        """The call that an id of this server names, if there is one."""
        position = ids.item_position(id)
        if position is None:
            return None
        run, number = position
        if run not in self._items_by_run:
            self._items_by_run[run] = await self._items(run)
        items = self._items_by_run[run]
        return items[number] if number < len(items) else None

    async def _items(self, run: str) -> Sequence[ItemState]:
        try:
            record = await self._runs.directory.find(run, self._owner)
            await self._runs.until_settled(record.run, "The run of a call", "messages")
            return (await self._runs.directory.state(record.run)).items
        except (NotFound, Expired):
            return ()


def _approval_request(item: ProviderItem) -> str:
    """The id of the approval request of a call that ran, `""` for other items."""
    return str(item.data.get("approval_request_id")) if item.data.get("type") == "mcp_call" else ""


def _output(call: ItemState, call_id: str) -> ToolOutput | None:
    if call.output is None:
        return None
    text = (TextPart(call.output.output),)
    return ToolOutput(call_id=call_id, output=text, is_error=call.output.is_error)


def _text(item: ToolOutput) -> str:
    first = item.output[0] if item.output else None
    return first.text if isinstance(first, TextPart) else ""
