"""A single agent as a workflow of one `deep_agent` node: the events around its work.

Shared by every runtime that is one agent: it opens the node and the main invocation (once, whatever the
number of attempts) and derives the end of the run from the model's last reply.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tailrace.events import abandoning
from tailrace.events.item_state import ItemState
from tailrace.events.items import ProviderItem
from tailrace.events.state import RunState
from tailrace.events.types import (
    MAIN,
    AgentStarted,
    Draft,
    ItemCompleted,
    ItemEvent,
    ItemStarted,
    NodeStarted,
    Payload,
    RunCompleted,
    RunEnd,
    RunIncomplete,
    Usage,
)
from tailrace.runtimes.repeating import Repeating

NODE = "main"
NODE_TYPE = "deep_agent"


def opening(state: RunState, name: str) -> list[Draft]:
    """The drafts that open the node and the agent, unless an earlier attempt did."""
    drafts: list[Draft] = []
    if NODE not in state.nodes:
        drafts.append(Draft(NodeStarted(NODE_TYPE, name), NODE))
    if MAIN not in state.agents:
        drafts.append(Draft(AgentStarted(name), NODE, MAIN))
    return drafts


def main_drafts(payloads: Sequence[Payload]) -> list[Draft]:
    """Payloads of the main agent as drafts."""
    return [Draft(payload, NODE, MAIN) for payload in payloads]


class ModelReply:
    """One model reply on its way into the log: its items get numbers of the run, its calls end with the
    reply, and text that a crash interrupted is not sent twice.

    A model numbers the items of its reply from 0. An item gets its number in the run when it starts,
    because agents that work in parallel start items too.

    Calls stay open until the reply's `usage`. If they were closed earlier and the worker died before the
    end, the reply would be requested again, and a client, or this server, would run both the old calls and
    the new ones.

    If a crash interrupted the agent's last reply, this one is held back while it repeats that one
    (`repeating.py`).
    """

    def __init__(
        self, state: RunState, node: str = NODE, agent: str = MAIN, *, same_ids: bool = False
    ) -> None:
        self._state = state
        self._node = node
        self._agent = agent
        self._numbers: dict[int, int] = {}
        self._calls: set[int] = set()
        self._call_ends: list[Draft] = []
        self._call_ids = CallIds(state.items, len(state.items))
        cut = state.cut_items((node, agent))
        self._repeating = Repeating(state, cut, same_ids=same_ids) if cut else None

    def number(self, item: int) -> int:
        """The number in the run of the reply's item `item`."""
        return self._numbers.get(item, item)

    def convert(self, payloads: Sequence[Payload]) -> list[Draft]:
        """The next payloads of the model as drafts, to be emitted at once."""
        if self._repeating is None:
            return self._drafts(payloads)
        for place, payload in enumerate(payloads, 1):
            match self._repeating.take(payload):
                case "repeats":
                    pass
                case "continues":
                    numbers = self._repeating.numbers()
                    self._numbers |= numbers
                    first = len(self._state.items) - len(numbers)
                    self._call_ids = CallIds(self._state.items, first)
                    ready = self._repeating.news()
                    self._calls |= self._open_calls()
                    self._repeating = None
                    return self._drafts([*ready, *payloads[place:]])
                case "differs":
                    abandonments = abandoning.reply(self._state, self._node, self._agent)
                    payloads_so_far, self._repeating = self._repeating.payloads, None
                    return [*abandonments, *self._drafts([*payloads_so_far, *payloads[place:]])]
        return []

    def _open_calls(self) -> set[int]:
        """The model's numbers of calls that continue."""
        items = self._state.open
        return {
            item
            for item, number in self._numbers.items()
            if number in items and items[number].started.kind == "tool_call"
        }

    def _drafts(self, payloads: Sequence[Payload]) -> list[Draft]:
        ready: list[Draft] = []
        starts = 0
        for payload in payloads:
            if isinstance(payload, ItemStarted):
                number = len(self._state.items) + starts
                starts += 1
                if number != payload.item:
                    self._numbers[payload.item] = number
                if payload.kind == "tool_call":
                    self._calls.add(payload.item)
            if isinstance(payload, Usage):
                ready += self._call_ends
            draft = Draft(self._in_run(payload), self._node, self._agent)
            if isinstance(payload, ItemCompleted) and self._is_whole_call(payload):
                self._call_ends.append(draft)
            else:
                ready.append(draft)
        return ready

    def _is_whole_call(self, payload: ItemCompleted) -> bool:
        return payload.item in self._calls and payload.status == "completed"

    def _in_run(self, payload: Payload) -> Payload:
        """The payload with its item's number in the run, and with its call's id."""
        if not isinstance(payload, ItemEvent):
            return payload
        number = self.number(payload.item)
        with_id = self._call_ids.fill(payload, number)
        return with_id if number == payload.item else msgspec.structs.replace(with_id, item=number)


class CallIds:
    """The ids of a reply's calls. A call without an id from its server gets `call_<n>`.

    `n` is the position of its item in the run if no other agent starts an item during the reply. If an
    agent that works in parallel has taken that id, `n` is the item's number, which is free: `n` is at most
    the number of the item that has it. A server's id that equals one made here is replaced too.
    """

    def __init__(self, items: Sequence[ItemState] = (), first: int = 0) -> None:
        """`items` are those of the run and grow with it. `first`: the position of the reply's first item
        among them."""
        self._items = items
        self._first = first
        self._ids: set[str] = set()
        self._searches: dict[int, str] = {}

    def fill(self, payload: Payload, number: int | None = None) -> Payload:
        """A payload of the reply, with its call's id; `number` is its item's number in the run, if it
        differs. A search for tools is a provider's item, with the id in its data (`protocols/offered.py`)."""
        match payload:
            case ItemStarted(kind="tool_call", call_id=id) if not id or id in self._ids:
                return msgspec.structs.replace(payload, call_id=self._make(payload.item, number))
            case ItemStarted(kind="provider", data={"type": "tool_search_call", "call_id": ""}):
                id = self._searches[payload.item] = self._make(payload.item, number)
                return msgspec.structs.replace(payload, data={**payload.data, "call_id": id})
            case ItemCompleted(content=ProviderItem() as item) if payload.item in self._searches:
                data = {**item.data, "call_id": self._searches.pop(payload.item)}
                whole = msgspec.structs.replace(item, data=data)
                return msgspec.structs.replace(payload, content=whole)
            case _:
                return payload

    def _make(self, item: int, number: int | None) -> str:
        place = self._first + item
        id = f"call_{place}"
        others = (each.started for each in self._items[place:])
        if id in self._ids or any(id in (o.call_id, o.data.get("call_id")) for o in others):
            id = f"call_{place if number is None else number}"
        self._ids.add(id)
        return id


def ending(state: RunState) -> list[Draft]:
    """The drafts that end the run as the model's last reply ended."""
    end: RunEnd
    match state.finish:
        case "length":
            end = RunIncomplete("max_output_tokens")
        case "content_filter":
            end = RunIncomplete("content_filter")
        case "stop" | "tool_calls":
            end = RunCompleted()
    return finish(state, end)


def finish(state: RunState, end: RunEnd) -> list[Draft]:
    """The drafts that close everything open and end the run with `end`."""
    return [*state.settle(end), Draft(end)]
