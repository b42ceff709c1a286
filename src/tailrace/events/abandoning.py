"""The drafts that abandon a model reply that a crash interrupted and that is not continued. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.events import types as t
from tailrace.events.state import RunState

NOT_RUN = "Not run: the server stopped before the model had finished its reply."


def reply(state: RunState, node: str, agent: str) -> list[t.Draft]:
    """Abandon an agent's cut reply, if it has one, and close what that left: its items, its unrun calls."""
    if not state.cut_items((node, agent)):
        return []
    cut_reply = state.said_by((node, agent))
    return [t.Draft(t.ReplyAbandoned(), node, agent), *_left_of(state, cut_reply)]


def replies(state: RunState, node: str | None = None) -> list[t.Draft]:
    """The same for all agents, or for a node's."""
    sources = [(draft.node, draft.agent) for draft in state.abandonments()]
    agents = [source for source in sources if node in (None, source[0])]
    return [draft for source in agents for draft in reply(state, *source)]


def leftovers(state: RunState) -> list[t.Draft]:
    """Close the items of abandoned replies whose worker died before it closed them."""
    abandoned_items = [number for number, item in enumerate(state.items) if item.abandoned]
    return _left_of(state, abandoned_items)


def everything(state: RunState) -> list[t.Draft]:
    """Abandon all output of open agents, in a run that cannot continue from it; its subagents end."""
    drafts: list[t.Draft] = []
    for agent, phase in state.agents.items():
        if phase != "open":
            continue
        node = state.homes[agent]
        if cut_reply := state.said_by((node, agent), whole_turn=True):
            event = t.Draft(t.ReplyAbandoned(all=True), node, agent)
            drafts += [event, *_left_of(state, cut_reply)]
        if agent != t.MAIN:
            drafts.append(t.Draft(t.AgentCompleted("incomplete"), node, agent))
    return drafts


def _left_of(state: RunState, numbers: Sequence[int]) -> list[t.Draft]:
    items = [(number, state.items[number]) for number in numbers]
    closing = [
        t.Draft(t.ItemCompleted(number, "incomplete"), item.node, item.agent)
        for number, item in items
        if number in state.open
    ]
    unrun = [
        t.Draft(t.ToolCompleted(number, NOT_RUN, is_error=True), item.node, item.agent)
        for number, item in items
        if item.tool == "called"
    ]
    return closing + unrun
