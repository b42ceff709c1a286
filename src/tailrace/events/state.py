"""A run's state as a fold over its events, and the walker that keeps the log legal.

`RunState.advance` takes what a runtime yielded, checks it against `grammar.py`, folds it in and returns
the numbered event; `RunState.apply` folds an event that is already in a log. Both walk the same code, so
a log that was written can always be read. An illegal draft raises `IllegalEvent` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

from tailrace.errors import IllegalEvent
from tailrace.events import grammar
from tailrace.events import types as t
from tailrace.events.item_state import ItemState, ToolEvent
from tailrace.events.items import Item, Json
from tailrace.events.request import RunRequest
from tailrace.events.resumptions import Resumption, resume
from tailrace.events.usage import Totals


class RunState:
    """The state of a run after its events so far. Read it freely; only events change it."""

    def __init__(self) -> None:
        self.phase = "new"
        self.seq = self._handed_in = -1
        self.size = 0
        """The bytes of its log; counted by the log's writer or reader, not by the fold."""
        self.attempt = 1
        self.handovers = 0
        self.cut_offs = self.stalls = 0
        """The number of attempts that crashed, and of those in a row since the run made progress: an
        interrupted reply that grows is progress too."""
        self.started_at = self.since = self.ended_at = self.work_ms = self.now = 0
        self.request: RunRequest | None = None
        self.registry: list[t.AgentEntry] = []
        self.nodes, self.agents, self.homes = dict[str, str](), dict[str, str](), dict[str, str]()
        self.started_calls: dict[str, int] = {}
        self.items: list[ItemState] = []
        self.open: dict[int, ItemState] = {}
        self.asks: dict[str, str] = {}
        self.resumptions: list[Resumption] = []
        self.questions: dict[str, t.InputRequested] = {}
        self.answers: dict[str, Json] = {}
        self.replies: dict[str, int] = {}
        self.contexts: dict[str, int] = {}
        self.finishes: dict[str, t.Finish] = {}
        self.dispatches: dict[int, list[str]] = {}
        self.compactions: dict[str, tuple[int, int, tuple[Item, ...]]] = {}
        self.usage: dict[tuple[str, str], Totals] = {}
        self.on_usage: Callable[[t.Usage], None] | None = None
        """Receives the usage of each model call, if set."""
        self.end: t.RunEnd | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the run's last event is in."""
        return self.phase == "ended"

    @property
    def fresh(self) -> bool:
        """Whether the last event is the start or an answer: no worker has had the run since."""
        return self.seq == self._handed_in

    @property
    def finish(self) -> t.Finish:
        """The reason why the last model that speaks to the user stopped."""
        speakers = [entry.id for entry in self.registry if entry.kind == "main"]
        for agent in reversed(self.finishes):
            if agent in (t.MAIN, *speakers):
                return self.finishes[agent]
        return self.finishes.get(t.NO_AGENT, "stop")

    @property
    def asking(self) -> bool:
        """Whether the run waits for a person, or for the output of a client's tool."""
        return "asked" in self.asks.values() or any(
            item.tool in grammar.ASKED_TOOL for item in self.items
        )

    def working(self, now: int) -> int:
        """Milliseconds of work until `now`, over all attempts; without the time that the run has waited."""
        return self.work_ms + (0 if self.phase == "waiting" else now - self.since)

    def invocation(self, name: str) -> str:
        """The id of the next invocation of an agent: its name, then `name#2`, `name#3` …"""
        earlier = sum(entry.name == name for entry in self.registry)
        return f"{name}#{earlier + 1}" if earlier else name

    def start_request(self) -> RunRequest:
        """The run's request; only before `run.started` there is none."""
        if self.request is None:
            raise IllegalEvent("the run has not started")
        return self.request

    def total(self) -> Totals:
        """Usage of the whole run: all agents, all models."""
        return sum(self.usage.values(), Totals())

    def advance(self, draft: t.Draft, ts: int) -> t.Event:
        """Check and fold one draft; returns it as the run's next event, or raises `IllegalEvent`."""
        self.now = ts
        payload = self._step(draft)
        self.seq += 1
        if self.seq == 0:
            self.started_at = self.since = ts
        elif isinstance(payload, t.RunResumed | t.RunWaiting):
            if self.phase == "waiting":
                self.work_ms += ts - self.since
            self.since = ts
        elif self.phase == "ended":
            self.ended_at = ts
        return t.Event(self.seq, ts, draft.node, draft.agent, payload)

    def apply(self, event: t.Event) -> None:
        """Fold one event of a stored log."""
        if event.seq != self.seq + 1:
            raise IllegalEvent(f"event {event.seq} follows {self.seq}")
        self.advance(t.Draft(event.payload, event.node, event.agent), event.ts)

    def _step(self, draft: t.Draft) -> t.Payload:  # noqa: C901 - one arm per family, hot ones first
        payload = draft.payload
        if self.phase != "running":
            self._not_running(payload)
        match payload:
            case t.TextDelta():
                self._open_item(draft, payload.item).add_text(payload)
            case t.ArgumentsDelta():
                self._open_item(draft, payload.item).add_arguments(payload.text)
            case t.ReasoningDelta() | t.ReasoningSummaryDelta():
                self._open_item(draft, payload.item).add_reasoning(payload)
            case t.RefusalDelta():
                self._open_item(draft, payload.item).add_refusal(payload)
            case t.AnnotationAdded():
                self._open_item(draft, payload.item).add_annotation(payload)
            case t.ImagePartial() | t.AudioDelta() | t.TranscriptDelta() | t.ProviderEvent():
                self._open_item(draft, payload.item)
            case t.ItemStarted():
                self._item_started(draft, payload)
            case t.ItemCompleted():
                return self._item_completed(draft, payload)
            case (
                t.ToolStarted()
                | t.ToolProgress()
                | t.ToolCompleted()
                | t.ApprovalRequested()
                | t.ApprovalResolved()
            ):
                self._tool(payload)
            case t.NodeStarted() | t.NodeCompleted() | t.NodeFailed():
                self._node(draft.node, payload)
            case t.AgentStarted() | t.AgentCompleted():
                self._agent(draft, payload)
            case t.Usage():
                self._usage(draft, payload)
                if self.on_usage is not None:
                    self.on_usage(payload)
            case t.InputRequested() | t.InputReceived():
                self._ask(payload)
            case t.CompactionCompleted():
                self._compaction(draft, payload)
            case t.ReplyAbandoned():
                self._from_open_source(draft)
                self._abandon((draft.node, draft.agent), whole_turn=payload.all)
            case t.Custom() | t.ContextUsage() | t.CompactionStarted():
                self._from_open_source(draft)
            case (
                t.RunStarted()
                | t.RunAttempt()
                | t.RunWaiting()
                | t.RunResumed()
                | t.RunCompleted()
                | t.RunIncomplete()
                | t.RunFailed()
                | t.RunCancelled()
            ):
                self._run(payload)
            case _:
                assert_never(payload)
        return payload

    def _not_running(self, payload: t.Payload) -> None:
        """Rules 1 and 2 of the grammar."""
        kind = type(payload)
        if self.phase == "waiting" and kind in grammar.WHILE_WAITING:
            return
        if (self.phase, kind) not in grammar.RUN:
            raise IllegalEvent(f"{grammar.tag(kind)} is not allowed while the run is {self.phase}")

    def _from_open_source(self, draft: t.Draft) -> None:
        """Rule 3: the named node and agent are open."""
        if self.nodes.get(draft.node) != "open":
            raise IllegalEvent(f"node {draft.node!r} is not open")
        if draft.agent and self.agents.get(draft.agent) != "open":
            raise IllegalEvent(f"agent {draft.agent!r} is not open")

    def _open_item(self, draft: t.Draft, item: int) -> ItemState:
        state = self.open.get(item)
        kind = type(draft.payload)
        if state is None:
            raise IllegalEvent(f"{grammar.tag(kind)}: item {item} is not open")
        if kind not in grammar.DELTAS[state.started.kind]:
            raise IllegalEvent(f"a {state.started.kind} item takes no {grammar.tag(kind)}")
        if draft.agent != state.agent or draft.node != state.node:
            raise IllegalEvent(f"item {item} belongs to {state.agent!r}, not {draft.agent!r}")
        self.stalls = 0 if state.cut else self.stalls
        return state

    def _item_started(self, draft: t.Draft, payload: t.ItemStarted) -> None:
        self._from_open_source(draft)
        if payload.item != len(self.items):
            raise IllegalEvent(f"item.started: the next item is {len(self.items)}")
        grows = bool(self.stalls and self.cut_items((draft.node, draft.agent)))
        self.stalls = 0 if grows else self.stalls
        self.open[payload.item] = state = ItemState(payload, draft.node, draft.agent)
        self.items.append(state)

    def _item_completed(self, draft: t.Draft, payload: t.ItemCompleted) -> t.ItemCompleted:
        state = self.open.get(payload.item)
        if state is None:
            raise IllegalEvent(f"item.completed: item {payload.item} is not open")
        if draft.agent != state.agent or draft.node != state.node:
            raise IllegalEvent(f"item {payload.item} belongs to {state.agent!r}")
        whole = state.complete(payload)
        del self.open[payload.item]
        return whole

    def _tool(self, payload: ToolEvent) -> None:
        if not 0 <= payload.item < len(self.items):
            raise IllegalEvent(f"there is no item {payload.item}")
        if self.items[payload.item].take_tool_event(payload):
            self.stalls = 0

    def _node(self, node: str, payload: t.NodeStarted | t.NodeCompleted | t.NodeFailed) -> None:
        phase = self.nodes.get(node, "absent")
        self.nodes[node] = grammar.step("node", phase, type(payload), node)
        self.started_calls.setdefault(node, self.working(self.now))
        self.stalls = self.stalls if isinstance(payload, t.NodeStarted) else 0

    def _compaction(self, draft: t.Draft, payload: t.CompactionCompleted) -> None:
        self._from_open_source(draft)
        if not payload.failure:
            place = self.replies.get(draft.agent, 0), len(self.resumptions)
            self.compactions[draft.agent] = (*place, payload.replacement)
        self.contexts.pop(draft.agent, None)

    def _ask(self, payload: t.InputRequested | t.InputReceived) -> None:
        name = payload.request_id
        phase = self.asks.get(name, "absent")
        self.asks[name] = grammar.step("ask", phase, type(payload), name)
        if isinstance(payload, t.InputRequested):
            self.questions[name] = payload
        else:
            self.answers[name] = payload.value
            self.stalls = 0

    def _agent(self, draft: t.Draft, payload: t.AgentStarted | t.AgentCompleted) -> None:
        if self.nodes.get(draft.node) != "open":
            raise IllegalEvent(f"node {draft.node!r} is not open")
        phase = self.agents.get(draft.agent, "absent")
        self.agents[draft.agent] = grammar.step("agent", phase, type(payload), draft.agent)
        if isinstance(payload, t.AgentStarted):
            self.homes[draft.agent] = draft.node
            if payload.call is not None:
                self.dispatches.setdefault(payload.call, []).append(draft.agent)
            entry = t.AgentEntry(draft.agent, payload.name, payload.kind, payload.parent)
            self.registry.append(entry)

    def _usage(self, draft: t.Draft, payload: t.Usage) -> None:
        self._from_open_source(draft)
        key = (draft.agent, payload.model)
        self.usage[key] = self.usage.get(key, Totals()) + Totals.of(payload)
        if payload.purpose != "reply":
            return
        source = (draft.node, draft.agent)
        if any((item.node, item.agent) == source for item in self.open.values()):
            raise IllegalEvent(f"usage: {draft.agent!r} still has an open item")
        self.stalls = 0
        self.finishes.pop(draft.agent, None)  # the last one is that of the last reply
        self.finishes[draft.agent] = payload.finish
        self.contexts[draft.agent] = payload.input + payload.output
        name = draft.agent or draft.node  # what no agent says, its node does
        number = self.replies.get(name, 0) + 1
        self.replies[name] = number
        for state in reversed(self.items):
            if (state.node, state.agent) == source:
                if state.reply:
                    break
                if not state.abandoned:
                    state.reply, state.cut = number, False

    def _run(self, payload: t.RunEvent) -> None:
        after = grammar.step("run", self.phase, type(payload), "as a whole")
        match payload:
            case t.RunStarted():
                self.request = payload.request
                self._handed_in = self.seq + 1
            case t.RunAttempt():
                if payload.number <= self.attempt:
                    raise IllegalEvent(f"attempt {payload.number} follows {self.attempt}")
                self.attempt = payload.number
                self.handovers = payload.handovers
                self.cut_offs += not payload.orderly
                self.stalls += not payload.orderly
                self._interrupt(keeps_replies=payload.keeps_replies)
            case t.RunCompleted() | t.RunIncomplete() | t.RunFailed() | t.RunCancelled():
                if left := self.settle(payload):
                    missing = grammar.tag(type(left[0].payload))
                    raise IllegalEvent(f"the run cannot end before {missing}")
                self.end = payload
            case t.RunWaiting():
                if self.open:
                    raise IllegalEvent("the run cannot wait while an item is open")
            case t.RunResumed():
                self.stalls = 0
                self.resumptions.append(resume(payload, len(self.items), self.nodes))
                self._handed_in = self.seq + 1
            case _:
                assert_never(payload)
        self.phase = after

    def _interrupt(self, *, keeps_replies: bool) -> None:
        """Rule 8; and items of an unfinished model reply wait for the next reply to repeat them."""
        for state in self.items:
            if state.tool == "running":
                state.tool, state.approval = "interrupted", None
            if not state.reply and not state.abandoned:
                state.cut, state.abandoned = keeps_replies, not keeps_replies

    def _abandon(self, source: tuple[str, str], *, whole_turn: bool) -> None:
        """Rule 11: the source's interrupted reply is no longer in any history."""
        if not whole_turn and not self.cut_items(source):
            raise IllegalEvent(f"reply.abandoned: no reply of {source[1]!r} was cut off")
        for number in self.said_by(source, whole_turn=whole_turn):
            self.items[number].cut, self.items[number].abandoned = False, True

    def cut_items(self, source: tuple[str, str]) -> list[int]:
        """The items of an interrupted reply of a node and agent that has neither continued nor been
        abandoned."""
        return [number for number in self.said_by(source) if self.items[number].cut]

    def said_by(self, source: tuple[str, str], *, whole_turn: bool = False) -> list[int]:
        """The items of a node and agent since its last complete reply, or all that are not abandoned."""
        mine = ((n, i) for n, i in enumerate(self.items) if (i.node, i.agent) == source)
        return [n for n, item in mine if not item.abandoned and (whole_turn or not item.reply)]

    def settle(self, end: t.RunEnd) -> list[t.Draft]:
        """The drafts that close everything still open, so that `end` may follow (rule 10)."""
        status, why = _CLOSING[type(end)]
        drafts = self.abandonments() if isinstance(end, t.RunCompleted) else []
        drafts += self.close_items()
        for item, state in enumerate(self.items):
            if state.tool in grammar.PENDING_TOOL:
                outcome = "Outcome unknown" if state.has_begun else "Not run"
                answer = t.ToolCompleted(item, f"{outcome}: {why}.", is_error=True)
                drafts.append(t.Draft(answer, state.node, state.agent))
        for agent, phase in reversed(self.agents.items()):
            if phase == "open":
                drafts.append(t.Draft(t.AgentCompleted(status), self.homes[agent], agent))
        for node, phase in reversed(self.nodes.items()):
            if phase == "open":
                well = status in ("completed", "incomplete")
                drafts.append(t.Draft(t.NodeCompleted() if well else t.NodeFailed(why), node))
        return drafts

    def close_items(self, agent: str | None = None) -> list[t.Draft]:
        """The drafts that end every open item, or an agent's open items, as incomplete."""
        return [
            t.Draft(t.ItemCompleted(item, "incomplete"), state.node, state.agent)
            for item, state in self.open.items()
            if agent in (None, state.agent)
        ]

    def abandonments(self) -> list[t.Draft]:
        """`reply.abandoned` for every cut reply whose agent still works."""
        sources = dict.fromkeys((item.node, item.agent) for item in self.items if item.cut)
        return [
            t.Draft(t.ReplyAbandoned(), node, agent)
            for node, agent in sources
            if self.nodes[node] == "open" and self.agents.get(agent, "open") == "open"
        ]


_CLOSING: Mapping[type[t.Base], tuple[t.Ending, str]] = {
    t.RunCompleted: ("completed", "the run completed"),
    t.RunIncomplete: ("incomplete", "the run reached a limit"),
    t.RunFailed: ("failed", "the run failed"),
    t.RunCancelled: ("cancelled", "the run was cancelled"),
}


def fold(events: Iterable[t.Event]) -> RunState:
    """The state after a whole log, or a prefix of one."""
    state = RunState()
    for event in events:
        state.apply(event)
    return state
