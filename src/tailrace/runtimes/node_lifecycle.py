"""A lone agent as a workflow of one `deep_agent` node: the frame around its work.

Shared by every runtime that is one agent: opens the node and the main invocation (once, whatever the
number of attempts) and says which run end a model's last word means.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import msgspec

from tailrace.events import abandoning
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
    """The drafts that open node and agent, as far as no earlier attempt did."""
    drafts: list[Draft] = []
    if NODE not in state.nodes:
        drafts.append(Draft(NodeStarted(NODE_TYPE, name), NODE))
    if MAIN not in state.agents:
        drafts.append(Draft(AgentStarted(name), NODE, MAIN))
    return drafts


def said(payloads: Sequence[Payload]) -> list[Draft]:
    """Payloads of the main agent as drafts."""
    return [Draft(payload, NODE, MAIN) for payload in payloads]


class ModelReply:
    """One model reply on its way into the log: numbered as the run counts, its calls whole at its end, and
    not said twice.

    A model counts its items from where the run stood when it was asked; agents that work side by side
    start items meanwhile, so the numbers are mapped when an item starts.

    Calls stay open until the reply's `usage`. Were they closed at once and the worker died before the
    end, the reply would be asked for again, and a client, or we, would run both the old calls and the
    new ones.

    Where a crash cut the agent's last reply off, this one is held back while it repeats (`repeating.py`).
    """

    def __init__(
        self, state: RunState, node: str = NODE, agent: str = MAIN, *, same_ids: bool = False
    ) -> None:
        self._state = state
        self._node = node
        self._agent = agent
        self._moved: dict[int, int] = {}
        self._calls: set[int] = set()
        self._held: list[Draft] = []
        cut = state.cut_items((node, agent))
        self._repeating = Repeating(state, cut, same_ids=same_ids) if cut else None

    def numbers(self) -> Iterator[int]:
        """What the model counts its items with."""
        return itertools.count(len(self._state.items))

    def number(self, item: int) -> int:
        """The run's number of an item that the model counts so."""
        return self._moved.get(item, item)

    def said(self, payloads: Sequence[Payload]) -> list[Draft]:
        """The next payloads as drafts, to be emitted at once."""
        if self._repeating is None:
            return self._drafts(payloads)
        for place, payload in enumerate(payloads, 1):
            match self._repeating.take(payload):
                case "repeats":
                    pass
                case "goes on":
                    self._moved |= self._repeating.numbers()
                    ready = self._repeating.news()
                    self._calls |= self._open_calls()
                    self._repeating = None
                    return self._drafts([*ready, *payloads[place:]])
                case "differs":
                    abandoned = abandoning.reply(self._state, self._node, self._agent)
                    held, self._repeating = self._repeating.held, None
                    return [*abandoned, *self._drafts([*held, *payloads[place:]])]
        return []

    def _open_calls(self) -> set[int]:
        """The model's numbers of calls that go on."""
        items = self._state.open
        return {
            item
            for item, number in self._moved.items()
            if number in items and items[number].started.kind == "tool_call"
        }

    def _drafts(self, payloads: Sequence[Payload]) -> list[Draft]:
        ready: list[Draft] = []
        begun = 0
        for payload in payloads:
            if isinstance(payload, ItemStarted):
                number = len(self._state.items) + begun
                begun += 1
                if number != payload.item:
                    self._moved[payload.item] = number
                if payload.kind == "tool_call":
                    self._calls.add(payload.item)
            if isinstance(payload, Usage):
                ready += self._held
            draft = Draft(self._moved_payload(payload), self._node, self._agent)
            if isinstance(payload, ItemCompleted) and self._is_whole_call(payload):
                self._held.append(draft)
            else:
                ready.append(draft)
        return ready

    def _is_whole_call(self, payload: ItemCompleted) -> bool:
        return payload.item in self._calls and payload.status == "completed"

    def _moved_payload(self, payload: Payload) -> Payload:
        if not self._moved or not isinstance(payload, ItemEvent):
            return payload
        number = self._moved.get(payload.item, payload.item)
        return msgspec.structs.replace(payload, item=number)


def ending(state: RunState) -> list[Draft]:
    """The drafts that end the run the way the model's last reply did."""
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
    """The drafts that close what is open and end the run with `end`."""
    return [*state.settle(end), Draft(end)]
