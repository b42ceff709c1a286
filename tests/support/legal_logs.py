"""Hypothesis strategies for legal logs: a walk over the tables of `events/grammar.py`.

At each step the walk lists every (machine, subject) whose phase allows some event, draws one, creates a
payload for it and lets `RunState.advance` number it. So every log here is legal by the same code that
writes logs, and an event that is added to the grammar is drawn as soon as `_MAKERS` can create one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from tailrace.events import grammar
from tailrace.events import types as t
from tailrace.events.items import ImagePart, Item, Message, ProviderItem, TextPart
from tailrace.events.state import RunState
from tests.support import legal_requests, provider_items
from tests.support.logs import TS, user

Draw = Callable[[st.SearchStrategy[Any]], Any]

ENDS = (t.RunCompleted, t.RunIncomplete, t.RunFailed, t.RunCancelled)
NODES = {"n1": "deep_agent", "n2": "deep_agent", "n3": "image_generation", "n4": "invented"}
AGENTS = (t.MAIN, "researcher#1", "researcher#2", "coder#1")
TOKENS = st.integers(0, 10_000)
SHORT = st.text(max_size=8)
REASONS = ("max_output_tokens", "content_filter", "max_turns")
CODES = ("server_error", "rate_limit_exceeded", "our_own")
CITE = {"type": "url_citation", "url": "http://a/", "title": "A", "start_index": 0, "end_index": 1}
ODDS = {"token": "A", "logprob": -0.25, "bytes": [65], "top_logprobs": []}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | SHORT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SHORT, inner, max_size=3),
    max_leaves=5,
)

PREVIEWED = "image_generation_call"
"""The type of a server's own items that report progress."""

_FREE = (t.ItemStarted, t.Custom, t.ContextUsage, t.CompactionStarted, t.CompactionCompleted)
"""Events that an open source may produce at any time."""


class Choice:
    """One event that may be next: its type, and its subject (a node, agent, item or question)."""

    def __init__(self, kind: type[t.Base], node: str = "", agent: str = "", item: int = -1) -> None:
        self.kind = kind
        self.node = node
        self.agent = agent
        self.item = item


@st.composite
def legal_logs(draw: Draw, *, ended: bool = True, pauses: bool = True) -> list[t.Event]:
    """A complete log, or one of a run in progress; with `pauses` it may have waited for a person."""
    state = RunState()
    events: list[t.Event] = []

    def add(draft: t.Draft) -> None:
        events.append(state.advance(draft, TS + 10 * len(events)))

    add(t.Draft(t.RunStarted(draw(legal_requests.requests()))))
    add(t.Draft(t.NodeStarted("deep_agent", "helper"), "n1"))
    add(t.Draft(t.AgentStarted("helper"), "n1", t.MAIN))
    for _ in range(draw(st.integers(0, 30))):
        choices = [each for each in _choices(state) if pauses or each.kind is not t.RunWaiting]
        add(_draft(draw, state, draw(st.sampled_from(choices))))
    if not ended:
        return events
    end = draw(_ends(state.phase))
    for draft in state.settle(end):
        add(draft)
    add(t.Draft(end))
    return events


def _ends(phase: str) -> st.SearchStrategy[t.RunEnd]:
    """The ends that the tables allow in this phase."""
    makers: Mapping[type[t.Base], st.SearchStrategy[t.RunEnd]] = {
        t.RunCompleted: st.just(t.RunCompleted()),
        t.RunIncomplete: st.builds(t.RunIncomplete, st.sampled_from(REASONS)),
        t.RunFailed: st.builds(t.RunFailed, st.sampled_from(CODES), st.text(min_size=1)),
        t.RunCancelled: st.builds(t.RunCancelled, SHORT),
    }
    return st.one_of(*(makers[kind] for kind in _next(grammar.RUN, phase) if kind in ENDS))


def _choices(state: RunState) -> Iterator[Choice]:
    """Every event the tables allow now; run ends are left to the end of the walk."""
    for choices in (_of_run, _of_nodes, _of_items, _of_asks):
        for choice in choices(state):
            if state.phase == "running" or choice.kind in grammar.WHILE_WAITING:
                yield choice


def _next(table: grammar.Table, phase: str) -> list[type[t.Base]]:
    return [event for (before, event) in table if before == phase]


def _of_run(state: RunState) -> Iterator[Choice]:
    kinds = [kind for kind in _next(grammar.RUN, state.phase) if kind not in ENDS]
    return (Choice(kind) for kind in kinds if kind is not t.RunWaiting or not state.open)


def _of_nodes(state: RunState) -> Iterator[Choice]:
    for node in NODES:
        for kind in _next(grammar.NODE, state.nodes.get(node, "absent")):
            if kind is t.NodeStarted or not _inside(state, node):
                yield Choice(kind, node)
        if state.nodes.get(node) == "open":
            yield from _from_node(state, node)


def _of_items(state: RunState) -> Iterator[Choice]:
    for number, item in enumerate(state.items):
        allowed = _next(grammar.TOOL, item.tool)
        if item.status == "open":
            allowed = [*grammar.DELTAS[item.started.kind], t.ItemCompleted]
        for kind in allowed:
            if kind is not t.ProviderEvent or item.started.data.get("type") == PREVIEWED:
                yield Choice(kind, item.node, item.agent, number)


def _of_asks(state: RunState) -> Iterator[Choice]:
    for name in ("q1", "q2"):
        for kind in _next(grammar.ASK, state.asks.get(name, "absent")):
            yield Choice(kind, agent=name)


def _from_node(state: RunState, node: str) -> Iterator[Choice]:
    """The events with which an open node and its agents may start or end something."""
    for agent in AGENTS:
        phase = state.agents.get(agent, "absent")
        if state.homes.get(agent, node) != node:
            continue
        for kind in _next(grammar.AGENT, phase):
            if kind is t.AgentStarted or not _inside(state, node, agent):
                yield Choice(kind, node, agent)
        if phase == "open":
            yield from _from_source(state, node, agent)
    yield from _from_source(state, node, t.NO_AGENT)


def _from_source(state: RunState, node: str, agent: str) -> Iterator[Choice]:
    for kind in _FREE:
        yield Choice(kind, node, agent)
    if not any((item.node, item.agent) == (node, agent) for item in state.open.values()):
        yield Choice(t.Usage, node, agent)
    if state.cut_items((node, agent)):
        yield Choice(t.ReplyAbandoned, node, agent)


def _inside(state: RunState, node: str, agent: str | None = None) -> bool:
    """Whether something in the node (or of the agent) is still open."""
    if agent is None and any(
        state.homes[name] == node and phase == "open" for name, phase in state.agents.items()
    ):
        return True
    return any(
        item.node == node and agent in (None, item.agent)
        for item in state.items
        if item.status == "open" or item.tool in grammar.PENDING_TOOL
    )


def _draft(draw: Draw, state: RunState, choice: Choice) -> t.Draft:
    payload = _MAKERS[choice.kind](draw, state, choice)
    if isinstance(payload, t.InputRequested | t.InputReceived):
        return t.Draft(payload)
    return t.Draft(payload, choice.node, choice.agent)


def _item_started(draw: Draw, state: RunState, choice: Choice) -> t.ItemStarted:
    number = len(state.items)
    kind = draw(st.sampled_from(sorted(grammar.DELTAS)))
    if kind == "tool_call":
        runs_on = draw(st.sampled_from(("client", "server", "mcp", "provider")))
        return t.ItemStarted(
            number,
            "tool_call",
            name=draw(st.sampled_from(("find", "price"))),
            call_id=f"call_{number}",
            runs_on=runs_on,
            server_label="docs" if runs_on == "mcp" else "",
            custom=runs_on == "client" and draw(st.booleans()),
            waits_for="approval" if runs_on == "server" and draw(st.booleans()) else "",
        )
    if kind == "provider":
        dialect = draw(st.sampled_from(("responses", "chat", "messages")))
        known = provider_items.BLOCKS if dialect == "messages" else provider_items.STARTED
        data = draw(st.sampled_from(known))
        return t.ItemStarted(number, "provider", dialect=dialect, data=data)
    phase = draw(st.sampled_from(("", "commentary", "final_answer"))) if kind == "message" else ""
    return t.ItemStarted(number, kind, phase=phase)


def _item_completed(draw: Draw, state: RunState, choice: Choice) -> t.ItemCompleted:
    status = draw(st.sampled_from(("completed", "incomplete")))
    started = state.items[choice.item].started
    content: Item | None = None
    if started.kind == "provider":
        data = provider_items.finished(started.data)
        content = ProviderItem(dialect=started.dialect, data=data)
    elif started.kind == "image":
        content = Message(role="assistant", content=(ImagePart("data:image/png;base64,iVBO"),))
    elif started.kind == "audio":
        content = Message(role="assistant", content=(TextPart(draw(SHORT)),))
    return t.ItemCompleted(choice.item, status, content)


def _part(draw: Draw, state: RunState, choice: Choice, kind: str) -> int:
    """An ordinal that rule 5 allows: the current part's if it is of this kind, or the next."""
    item = state.items[choice.item]
    parts = item.summary if kind == "summary" else item.parts
    if parts and parts[-1].kind == kind and draw(st.booleans()):
        return len(parts) - 1
    return len(parts)


def _text(draw: Draw, state: RunState, choice: Choice) -> t.TextDelta:
    logprobs = (ODDS,) if draw(st.booleans()) else ()
    return t.TextDelta(choice.item, draw(SHORT), _part(draw, state, choice, "text"), logprobs)


def _annotation(draw: Draw, state: RunState, choice: Choice) -> t.AnnotationAdded:
    return t.AnnotationAdded(choice.item, CITE, _part(draw, state, choice, "text"))


def _usage(draw: Draw, state: RunState, choice: Choice) -> t.Usage:
    finish = draw(st.sampled_from(("stop", "length", "tool_calls", "content_filter")))
    purpose = draw(st.sampled_from(("reply", "reply", "compaction")))
    return t.Usage("fast", input=draw(TOKENS), output=draw(TOKENS), finish=finish, purpose=purpose)


def _agent_started(draw: Draw, state: RunState, choice: Choice) -> t.AgentStarted:
    if choice.agent == t.MAIN:
        return t.AgentStarted("helper")
    return t.AgentStarted(choice.agent.split("#")[0], "subagent", t.MAIN)


_Maker = Callable[[Draw, RunState, Choice], t.Payload]
_MAKERS: Mapping[type[t.Base], _Maker] = {
    t.RunAttempt: lambda draw, state, _: t.RunAttempt(
        state.attempt + 1, draw(SHORT), keeps_replies=draw(st.booleans())
    ),
    t.ReplyAbandoned: lambda draw, *_: t.ReplyAbandoned(all=draw(st.booleans())),
    t.RunWaiting: lambda draw, *_: t.RunWaiting(draw(SHORT)),
    t.RunResumed: lambda draw, *_: t.RunResumed(
        None, (user(draw(SHORT)),) if draw(st.booleans()) else ()
    ),
    t.NodeStarted: lambda draw, _, choice: t.NodeStarted(NODES[choice.node], draw(SHORT)),
    t.NodeCompleted: lambda *_: t.NodeCompleted(),
    t.NodeFailed: lambda draw, *_: t.NodeFailed(draw(SHORT)),
    t.AgentStarted: _agent_started,
    t.AgentCompleted: lambda *_: t.AgentCompleted(),
    t.ItemStarted: _item_started,
    t.TextDelta: _text,
    t.RefusalDelta: lambda draw, state, choice: t.RefusalDelta(
        choice.item, draw(SHORT), _part(draw, state, choice, "refusal")
    ),
    t.AnnotationAdded: _annotation,
    t.ReasoningDelta: lambda draw, state, choice: t.ReasoningDelta(
        choice.item, draw(SHORT), _part(draw, state, choice, "reasoning")
    ),
    t.ReasoningSummaryDelta: lambda draw, state, choice: t.ReasoningSummaryDelta(
        choice.item, draw(SHORT), _part(draw, state, choice, "summary")
    ),
    t.ArgumentsDelta: lambda draw, _, choice: t.ArgumentsDelta(choice.item, draw(SHORT)),
    t.ImagePartial: lambda _, __, choice: t.ImagePartial(choice.item, "iVBO"),
    t.AudioDelta: lambda _, __, choice: t.AudioDelta(choice.item, "UklG"),
    t.TranscriptDelta: lambda draw, _, choice: t.TranscriptDelta(choice.item, draw(SHORT)),
    t.ProviderEvent: lambda draw, _, choice: t.ProviderEvent(
        choice.item,
        f"{PREVIEWED}.partial_image",
        {"partial_image_b64": "iVBO", "partial_image_index": draw(st.integers(0, 3))},
    ),
    t.ItemCompleted: _item_completed,
    t.ToolStarted: lambda _, __, choice: t.ToolStarted(choice.item, f"k:{choice.item}"),
    t.ToolProgress: lambda draw, _, choice: t.ToolProgress(choice.item, draw(SHORT), 0.5, 1.0),
    t.ToolCompleted: lambda draw, _, choice: t.ToolCompleted(
        choice.item, draw(SHORT), draw(st.booleans())
    ),
    t.ApprovalRequested: lambda draw, _, choice: t.ApprovalRequested(choice.item, draw(SHORT)),
    t.ApprovalResolved: lambda draw, _, choice: t.ApprovalResolved(
        choice.item, draw(st.booleans())
    ),
    t.InputRequested: lambda draw, _, choice: t.InputRequested(choice.agent, draw(SHORT)),
    t.InputReceived: lambda draw, _, choice: t.InputReceived(choice.agent, draw(JSON)),
    t.CompactionStarted: lambda draw, *_: t.CompactionStarted(draw(SHORT)),
    t.CompactionCompleted: lambda *_: t.CompactionCompleted(),
    t.ContextUsage: lambda draw, *_: t.ContextUsage(draw(TOKENS), 10_000),
    t.Usage: _usage,
    t.Custom: lambda draw, *_: t.Custom("note", draw(JSON)),
}
