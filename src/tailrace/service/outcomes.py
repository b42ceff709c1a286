"""What came of calls that a client's own history shows as waiting: the client lost the reply that told of it.

A history that a client brings is believed, but for this: where a call of this server has been answered since,
the model is not told that it was not run. Calls are found by our ids, in runs of the same owner.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tailrace.errors import Expired, NotFound
from tailrace.events import ids
from tailrace.events.history import UNANSWERED
from tailrace.events.item_state import ItemState
from tailrace.events.items import Item, ProviderItem, TextPart, ToolCall, ToolOutput
from tailrace.events.request import RunRequest
from tailrace.runs.owner import Owner
from tailrace.service.stored_runs import StoredRuns

REQUEST = "mcp_approval_request"
APPROVAL = "mcp_approval_response"


async def with_outcomes(stored: StoredRuns, request: RunRequest, who: Owner) -> RunRequest:
    """The request with the outputs that this server knows. Raises `Conflict` where a call still runs."""
    outcomes = _Outcomes(stored, who)
    return msgspec.structs.replace(
        request,
        history=await outcomes.told(request.history),
        input=await outcomes.told(request.input),
    )


class _Outcomes:
    def __init__(self, stored: StoredRuns, who: Owner) -> None:
        self._stored = stored
        self._who = who
        self._runs: dict[str, Sequence[ItemState]] = {}

    async def told(self, items: Sequence[Item]) -> tuple[Item, ...]:
        told: list[Item] = []
        called = {_answered(item) for item in items if isinstance(item, ProviderItem)}
        for item in items:
            told += await self._told(item, called)
        return tuple(told)

    async def _told(self, item: Item, called: set[str]) -> Sequence[Item]:
        """What is told instead of an item: a call that waited, by its output or by its approval request."""
        if isinstance(item, ToolOutput) and item.is_error and _words(item) == UNANSWERED:
            call = await self._call(item.call_id)
            known = None if call is None else _output(call, item.call_id)
            return [item if known is None else known]
        if not isinstance(item, ProviderItem) or item.data.get("type") not in (REQUEST, APPROVAL):
            return [item]
        id = str(item.data.get("id" if item.data["type"] == REQUEST else "approval_request_id"))
        call = await self._call(id)
        if call is None or not isinstance(call.content, ToolCall):
            return [item]
        if item.data["type"] == APPROVAL or id in called:
            return []  # what came of it stands with its call
        waits = ToolOutput(
            call_id=call.content.call_id, output=(TextPart(UNANSWERED),), is_error=True
        )
        return [call.content, _output(call, call.content.call_id) or waits]

    async def _call(self, id: str) -> ItemState | None:
        """The call that one of our ids names, where there is one."""
        position = ids.item_position(id)
        if position is None:
            return None
        run, number = position
        if run not in self._runs:
            self._runs[run] = await self._items(run)
        items = self._runs[run]
        return items[number] if number < len(items) else None

    async def _items(self, run: str) -> Sequence[ItemState]:
        try:
            record = await self._stored.directory.find(run, self._who)
            await self._stored.until_settled(record.run, "The run of a call", "messages")
            return (await self._stored.directory.state(record.run)).items
        except (NotFound, Expired):
            return ()


def _answered(item: ProviderItem) -> str:
    """The approval request that a call which ran says it had."""
    return str(item.data.get("approval_request_id")) if item.data.get("type") == "mcp_call" else ""


def _output(call: ItemState, call_id: str) -> ToolOutput | None:
    if call.output is None:
        return None
    said = (TextPart(call.output.output),)
    return ToolOutput(call_id=call_id, output=said, is_error=call.output.is_error)


def _words(item: ToolOutput) -> str:
    first = item.output[0] if item.output else None
    return first.text if isinstance(first, TextPart) else ""
