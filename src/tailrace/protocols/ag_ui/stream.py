"""A run as AG-UI events.

A run that pauses for a person is several runs here, as the protocol wants it: a pause ends one with the
interrupts that wait, the answer begins the next. `Options.turn` chooses one of them; without it they follow
each other in one stream, which is how clients read a thread that is replayed.

A step is a node of the workflow, of whatever type. All agents are shown: what a subagent does carries its
`subagentRunId`. Steps and subagents that a pause leaves open are closed with it (a subagent as suspended) and
opened again by the turn that goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import assert_never

from msgspec import Struct

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import Message
from tailrace.events.request import RunRequest
from tailrace.events.usage import Totals
from tailrace.protocols.ag_ui import wire
from tailrace.protocols.ag_ui.stream_items import AgUiMessage, AgUiReasoning, AgUiToolCall
from tailrace.protocols.attribution import Roster
from tailrace.protocols.cut_replies import CutReplies, Source
from tailrace.protocols.fields import Object, given
from tailrace.protocols.framing.data_event import frame
from tailrace.protocols.framing.json_line import encode as _json

HOT = (t.TextDelta, t.ArgumentsDelta, t.ReasoningDelta, t.ReasoningSummaryDelta, t.RefusalDelta)
"""What most events of a run are: it does not walk through the whole match."""
QUIET = (t.ApprovalResolved, t.InputReceived, t.RunAttempt)
"""What a waiting run may hear without going on."""

SUCCESS: Object = {"type": "success"}
"""Without `pendingToolCallIds`: clients before 1.0 end a run at it, and later ones know the calls that have
no result."""


class AgUiStreamOptions(Struct, frozen=True):
    """`turn`: what follows this many answers, up to the next pause; None: all of the run."""

    turn: int | None = None


class AgUiEncoder:
    """`StreamEncoder` for one run."""

    def __init__(self, run: str, options: AgUiStreamOptions) -> None:
        self.run = run
        self.done = False
        self._options = options
        self._turn = 0
        self._going = False
        self._thread = ids.run_id(run)
        self._called = ""
        self._dated = False
        self._roster = Roster()
        self._steps: dict[str, str] = {}
        self._subagents: dict[str, Object] = {}
        self._known: set[str] = set()
        self._held: dict[Source, str] = {}
        self._cut = CutReplies[tuple[str, str]]()
        self._items: dict[int, AgUiMessage | AgUiReasoning | AgUiToolCall] = {}
        self._calls: dict[int, AgUiToolCall] = {}
        self._asked: dict[int | str, tuple[str, Object]] = {}
        self._approvals: Counter[int] = Counter()
        self._questions = 0
        self._usage: dict[str, Totals] = {}
        self._frames: list[bytes] = []
        self._made: list[bytes] = []

    def encode(self, events: Sequence[t.Event]) -> list[bytes]:
        self._made = made = list[bytes]()
        self._show()
        for event in events:
            payload = event.payload
            if isinstance(payload, HOT):
                item = self._items.get(payload.item)
                if item is not None:
                    item.take(payload)
            elif self.done:
                break
            else:
                self._other(event)
        return made

    def emit(self, event: Object) -> None:
        """Add a frame."""
        self._frames.append(frame(event))

    def delta(self, template: bytes, text: str) -> None:
        """Add a delta's frame."""
        self._frames.append(template % _json(text))

    def whose(self, agent: str) -> Object:
        if self._roster.is_main(agent):
            return {}
        return {"subagentRunId": f"{ids.run_id(self.run)}:{agent}"}

    def holds(self, source: Source, message: str | None = None) -> str | None:
        if message is not None:
            self._held[source] = message
        return self._held.get(source)

    def shows(self, source: Source, message: str) -> None:
        self._cut.said(source, (message, source[1]))

    def _show(self) -> None:
        """From here on frames are kept, or not: what another turn shows is worked through all the same."""
        self._frames = self._made if self._options.turn in (None, self._turn) else []

    def _other(self, event: t.Event) -> None:  # noqa: C901 - one arm per family
        payload = event.payload
        if not self._going and not isinstance(payload, QUIET):
            self._begin_turn(
                payload.request if isinstance(payload, t.RunStarted | t.RunResumed) else None
            )
        match payload:
            case t.RunStarted():
                self._roster.started(payload)
            case t.RunWaiting():
                self._paused(payload)
            case t.RunCompleted() | t.RunIncomplete() | t.RunFailed() | t.RunCancelled():
                self._ended(payload)
            case t.RunAttempt():
                if not payload.keeps_replies:
                    self._held.clear()
            case t.ReplyAbandoned():
                source = (event.node, event.agent)
                self._held.pop(source, None)
                self._cut.abandon(source, whole_turn=payload.all)
                for each in self._items.values():
                    each.abandon(source)
            case t.NodeStarted():
                self._node_started(event.node, payload)
            case t.NodeCompleted() | t.NodeFailed():
                step = self._steps.pop(event.node, None)
                if step is not None:
                    self.emit({"type": "STEP_FINISHED", "stepName": step})
            case t.AgentStarted():
                self._agent_started(event.agent, payload)
            case t.AgentCompleted():
                self._agent_completed(event.agent, payload)
            case t.ItemStarted():
                if self._roster.shows(event.node):
                    self._begun(event, payload)
            case t.ItemCompleted():
                self._completed(event, payload)
            case t.ToolCompleted():
                self._asked.pop(payload.item, None)
                call = self._calls.pop(payload.item, None)
                if call is not None:
                    call.take(payload)
            case t.ApprovalRequested():
                shown = payload.item in self._calls
                self._approvals[payload.item] += 1
                time = self._approvals[payload.item]
                told = wire.approval(self.run, time, payload, shown=shown)
                self._ask(payload.item, event.agent, told)
            case t.ApprovalResolved():
                self._asked.pop(payload.item, None)
            case t.InputRequested():
                shown = payload.item in self._calls
                told = wire.question(self.run, self._questions, payload, shown=shown)
                self._questions += 1
                self._ask(payload.request_id, event.agent, told)
            case t.InputReceived():
                self._asked.pop(payload.request_id, None)
            case t.Usage():
                self._used(event, payload)
            case t.Custom():
                self.emit({**wire.custom(payload), **self.whose(event.agent)})
            case t.AnnotationAdded():
                item = self._items.get(payload.item)
                if item is not None:
                    item.take(payload)
            case (
                t.TextDelta()
                | t.ArgumentsDelta()
                | t.ReasoningDelta()
                | t.ReasoningSummaryDelta()
                | t.RefusalDelta()
                | t.RunResumed()
            ):
                pass  # taken before
            case (
                t.ImagePartial()
                | t.ProviderEvent()
                | t.AudioDelta()
                | t.TranscriptDelta()
                | t.ToolStarted()
                | t.ToolProgress()
                | t.CompactionStarted()
                | t.CompactionCompleted()
                | t.ContextUsage()
            ):
                pass  # no form on this surface
            case _:
                assert_never(payload)

    # the run and its turns

    def _begin_turn(self, request: RunRequest | None) -> None:
        self._going = True
        self._called = wire.turn_id(self.run, self._turn)
        parent, state = None, None
        if request is not None:
            self._thread = request.session or request.conversation or self._thread
            if request.settings.origin == wire.SURFACE:
                self._called = request.called or self._called
                self._dated = "protocolVersion" not in request.settings.extra
                parent = request.settings.extra.get("parentRunId")
                state = request.settings.extra.get("state")
        named = {"threadId": self._thread, "runId": self._called}
        told = {"type": "RUN_STARTED", **named, "protocolVersion": wire.VERSION}
        self.emit({**told, **given({"parentRunId": parent})})
        if state is not None:
            self.emit({"type": "STATE_SNAPSHOT", "snapshot": state})
        for step in self._steps.values():
            self.emit({"type": "STEP_STARTED", "stepName": step})
        for agent, entry in self._subagents.items():
            self._subagent_started(agent, entry)

    def _paused(self, payload: t.RunWaiting) -> None:
        for agent in reversed(self._subagents):
            own = [told["id"] for of, told in self._asked.values() if of == agent]
            outcome = {"type": "suspended", **given({"interruptIds": own})}
            self._subagent_finished(agent, {"outcome": outcome})
        for step in reversed(self._steps.values()):
            self.emit({"type": "STEP_FINISHED", "stepName": step})
        asked = [told for _, told in self._asked.values()]
        if not asked:
            id = ids.item_id(wire.WAIT, self.run, self._turn)
            asked = [{"id": id, "reason": payload.reason or "waiting"}]
        self._finish({"type": "interrupt", "interrupts": asked})
        self.done = self._turn == self._options.turn
        self._going = False
        self._turn += 1
        self._usage, self._known = {}, set()
        self._show()

    def _ended(self, end: t.RunEnd) -> None:
        match end:
            case t.RunCompleted():
                self._take_back(self._cut.left())
                self._finish(SUCCESS)
            case t.RunIncomplete():
                self._finish(SUCCESS, {"status": "incomplete", "reason": end.reason})
            case t.RunFailed():
                told: Object = {"status": end.status or None, "param": end.param}
                more = wire.metadata(**told, retryAfter=end.retry_after)
                self._fail(end.code, end.message, more)
            case t.RunCancelled():
                if (
                    self._dated
                ):  # an outcome that clients before 1.0 do not know ends more than the run
                    self._fail("cancelled", "The run was cancelled.")
                else:
                    self._finish({"type": "cancelled"})
            case _:
                assert_never(end)
        self.done = True

    def _fail(self, code: str, message: str, more: Object | None = None) -> None:
        told: Object = {"type": "RUN_ERROR", "message": message, "code": code}
        self.emit({**told, **(more or {}), **wire.usage(self._usage)})

    def _finish(self, outcome: Object, result: Object | None = None) -> None:
        named = {"threadId": self._thread, "runId": self._called}
        told: Object = {"type": "RUN_FINISHED", **named, **given({"result": result})}
        self.emit({**told, "outcome": outcome, **wire.usage(self._usage)})

    # steps and subagents

    def _node_started(self, node: str, payload: t.NodeStarted) -> None:
        self._roster.opened(node, payload)
        name = payload.name or node
        step = f"{name} ({node})" if name in self._steps.values() else name
        self._steps[node] = step
        self.emit({"type": "STEP_STARTED", "stepName": step})

    def _agent_started(self, agent: str, payload: t.AgentStarted) -> None:
        self._roster.joined(agent, payload)
        if self._roster.is_main(agent):
            return
        call = None if payload.call is None else wire.call_id(self.run, payload.call)
        entry = {"name": payload.name, **given({"parent": payload.parent, "call": call})}
        self._subagents[agent] = entry
        self._subagent_started(agent, entry)

    def _subagent_started(self, agent: str, entry: Object) -> None:
        told: Object = {"type": "SUBAGENT_STARTED", **self.whose(agent), "name": entry["name"]}
        parent = entry.get("parent", "")
        if parent in self._known:
            told["parentSubagentRunId"] = self.whose(parent)["subagentRunId"]
        self._known.add(agent)
        self.emit({**told, **given({"parentToolCallId": entry.get("call")})})

    def _agent_completed(self, agent: str, payload: t.AgentCompleted) -> None:
        if self._subagents.pop(agent, None) is None:
            return
        if payload.status in ("failed", "cancelled"):
            message = f"The agent was {payload.status}."
            if payload.status == "failed":
                message = "The agent failed."
            told = {"type": "SUBAGENT_ERROR", **self.whose(agent), "message": message}
            self.emit({**told, "code": payload.status})
            return
        cut = payload.status == "incomplete"
        self._subagent_finished(agent, wire.metadata(status=payload.status) if cut else {})

    def _subagent_finished(self, agent: str, said: Object) -> None:
        self.emit({"type": "SUBAGENT_FINISHED", **self.whose(agent), **said})

    # messages, and what is asked

    def _begun(self, event: t.Event, payload: t.ItemStarted) -> None:
        match payload.kind:
            case "message":
                self._items[payload.item] = AgUiMessage(self, payload, event)
            case "reasoning":
                self._items[payload.item] = AgUiReasoning(self, payload, event)
            case "tool_call":
                call = AgUiToolCall(self, payload, event)
                self._items[payload.item] = self._calls[payload.item] = call
            case "provider" | "image" | "audio":
                pass  # shown when they are whole, or not at all

    def _completed(self, event: t.Event, payload: t.ItemCompleted) -> None:
        item = self._items.pop(payload.item, None)
        if item is not None:
            item.take(payload)
            if payload.status == "incomplete":
                self._calls.pop(payload.item, None)
        elif isinstance(payload.content, Message):
            for part in payload.content.content:
                told = wire.file(part)
                if told is not None:
                    self.emit({**told, **self.whose(event.agent)})

    def _ask(self, key: int | str, agent: str, told: Object) -> None:
        self._asked[key] = (agent, {**told, **self.whose(agent)})

    def _used(self, event: t.Event, payload: t.Usage) -> None:
        counted = self._usage.get(payload.model, Totals())
        self._usage[payload.model] = counted + Totals.of(payload)
        if payload.purpose == "reply":
            source = (event.node, event.agent)
            self._held.pop(source, None)
            self._take_back(self._cut.complete(source))

    def _take_back(self, messages: Sequence[tuple[str, str]]) -> None:
        """Make messages that are no part of the answer activities of a type without a renderer.

        A client keeps them in its list and would send them back as what the agent said. `MESSAGES_SNAPSHOT`
        removes messages, but has to hold all others as the client has them; `ACTIVITY_SNAPSHOT` replaces the
        one that has its id (docs/adr/0017), and activities are not told to models.
        """
        for message, agent in messages:
            whose = self.whose(agent) if agent in self._subagents else {}
            self.emit({**wire.taken_back(message), **whose})
