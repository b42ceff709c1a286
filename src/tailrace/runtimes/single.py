"""A lone agent as a workflow of one `deep_agent` node: the frame around its work.

Shared by every runtime that is one agent: opens the node and the main invocation (once, whatever the
number of attempts) and says which run end a model's last word means.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.events.state import RunState
from tailrace.events.types import (
    MAIN,
    AgentStarted,
    Draft,
    ItemCompleted,
    ItemStarted,
    NodeStarted,
    Payload,
    RunCompleted,
    RunEnd,
    RunIncomplete,
    Usage,
)

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


class Reply:
    """One model reply on its way into the log: a call is whole only when the reply is.

    Calls stay open until the reply's `usage`. Were they closed at once and the worker died before the
    end, the reply would be asked for again, and a client, or we, would run both the old calls and the
    new ones.
    """

    def __init__(self) -> None:
        self._calls: set[int] = set()
        self._held: list[Payload] = []

    def said(self, payloads: Sequence[Payload]) -> list[Draft]:
        """The next payloads as drafts."""
        ready: list[Payload] = []
        for payload in payloads:
            if isinstance(payload, ItemStarted) and payload.kind == "tool_call":
                self._calls.add(payload.item)
            if isinstance(payload, ItemCompleted) and payload.item in self._calls:
                self._held.append(payload)
                continue
            if isinstance(payload, Usage):
                ready += self._held
            ready.append(payload)
        return said(ready)


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
