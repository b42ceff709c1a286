"""Legal logs drawn from the grammar: at each step any event the state allows, with any content.

Nothing here knows an order: candidates are proposed from what is open, and `RunState.advance` is the one
that admits them, so a change of the grammar changes what is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tailrace.errors import IllegalEvent
from tailrace.events import grammar
from tailrace.events import types as t
from tailrace.events.items import ProviderItem
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tests.support.logs import NODE, TS, request

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
REASONS = ("max_output_tokens", "content_filter", "max_turns")
CITE = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
ODDS = ({"token": "A", "logprob": -0.5, "bytes": [65], "top_logprobs": []},)


def _item(draw: Any, number: int) -> t.ItemStarted:
    kind = draw(st.sampled_from(["message", "message", "reasoning", "tool_call", "provider"]))
    if kind == "tool_call":
        where = draw(st.sampled_from(["client", "server", "mcp"]))
        custom = where == "client" and draw(st.booleans())
        return t.ItemStarted(
            number, kind, name="find", call_id=f"call_{number}", runs_on=where, custom=custom
        )
    if kind == "provider":
        dialect = draw(st.sampled_from(["responses", "messages"]))
        data = {"type": "web_search_call", "id": "ws", "status": "in_progress"}
        return t.ItemStarted(number, kind, dialect=dialect, data=data)
    return t.ItemStarted(number, kind)


def _delta(draw: Any, state: RunState, item: int) -> t.Payload:
    opened = state.items[item]
    kind, parts = opened.started.kind, opened.parts
    part = len(parts) - 1 if parts and draw(st.booleans()) else len(parts)
    match kind:
        case "message":
            choice = draw(st.sampled_from(["text", "text", "refusal", "note"]))
            if choice == "refusal":
                return t.RefusalDelta(item, draw(TEXT), part)
            if choice == "note":
                return t.AnnotationAdded(item, CITE, part)
            return t.TextDelta(item, draw(TEXT), part, draw(st.sampled_from([(), ODDS])))
        case "reasoning":
            if draw(st.booleans()):
                return t.ReasoningDelta(item, draw(TEXT), part)
            return t.ReasoningSummaryDelta(item, draw(TEXT), len(opened.summary))
        case _:
            return t.ArgumentsDelta(item, draw(TEXT))


def _candidate(draw: Any, state: RunState) -> t.Payload:
    """Something that could happen next; not always legal."""
    open_items = list(state.open)
    tools = [n for n, item in enumerate(state.items) if item.tool in grammar.PENDING_TOOL]
    choices = ["start", "usage", "custom", "attempt"]
    choices += ["delta"] * 4 * bool(open_items) + ["complete"] * bool(open_items)
    choices += ["tool"] * 2 * bool(tools)
    match draw(st.sampled_from(choices)):
        case "start":
            return _item(draw, len(state.items))
        case "delta":
            return _delta(draw, state, draw(st.sampled_from(open_items)))
        case "complete":
            item = draw(st.sampled_from(open_items))
            started = state.items[item].started
            if started.kind == "provider":
                data = {**started.data, "status": "completed", "action": {"type": "search"}}
                return t.ItemCompleted(
                    item, content=ProviderItem(dialect=started.dialect, data=data)
                )
            return t.ItemCompleted(item, draw(st.sampled_from(["completed", "incomplete"])))
        case "tool":
            item = draw(st.sampled_from(tools))
            event = draw(st.sampled_from([t.ToolStarted, t.ToolProgress, t.ToolCompleted]))
            return event(item, draw(TEXT)) if event is t.ToolCompleted else event(item)
        case "usage":
            return t.Usage("fast", input=draw(st.integers(0, 9)), output=draw(st.integers(0, 9)))
        case "attempt":
            return t.RunAttempt(state.attempt + 1, "the server restarted")
        case _:
            return t.Custom("note", {"n": draw(st.integers(0, 3))})


def _ends(draw: Any) -> t.RunEnd:
    return draw(
        st.sampled_from(
            [
                t.RunCompleted(),
                *(t.RunIncomplete(reason) for reason in REASONS),
                t.RunFailed("server_error", "It broke."),
                t.RunCancelled("a client"),
            ]
        )
    )


@st.composite
def legal_logs(draw: Any, *, ended: bool | None = None) -> Sequence[t.Event]:
    """A legal log; whole unless `ended` is False, and then any prefix may be meant."""
    state, events = RunState(), list[t.Event]()

    def add(payload: t.Payload, node: str = t.RUN_NODE, agent: str = t.NO_AGENT) -> None:
        events.append(state.advance(t.Draft(payload, node, agent), TS + len(events)))

    asked: RunRequest = request(draw(TEXT), background=draw(st.booleans()))
    add(t.RunStarted(asked))
    add(t.NodeStarted("deep_agent", "helper"), NODE)
    add(t.AgentStarted("helper"), NODE, t.MAIN)
    for _ in range(draw(st.integers(0, 30))):
        payload = _candidate(draw, state)
        try:
            if isinstance(payload, t.RunAttempt):
                add(payload)
                for draft in state.close_items():
                    add(draft.payload, draft.node, draft.agent)
            else:
                add(payload, NODE, t.MAIN)
        except IllegalEvent:
            continue  # the proposal was not allowed here: nothing happened
    if ended is not False:
        end = _ends(draw)
        for draft in state.settle(end):
            add(draft.payload, draft.node, draft.agent)
        add(end)
    return events
