"""A run as AG-UI events.

A run that pauses for a person is several runs here, as the protocol requires: a pause ends a run with the
pending interrupts, and the person's answer begins the next. `AgUiStreamOptions.turn` selects one of them;
without it they follow each other in one stream, which is how clients read a replayed thread.

A step is a node of the workflow, whatever its type. All agents are shown: events of a subagent carry its
`subagentRunId`. Steps and subagents that are open at a pause are closed with it (a subagent as suspended) and
opened again by the next turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import Part
from tailrace.events.request import RunRequest
from tailrace.events.usage import Totals
from tailrace.protocols.ag_ui import wire
from tailrace.protocols.ag_ui.stream_items import AgUiMessage, AgUiReasoning, AgUiToolCall
from tailrace.protocols.cut_replies import CutReplies, Source
from tailrace.protocols.encoder import RUN_ENDS, CallEncoder, ItemEncoder, Table
from tailrace.protocols.fields import Object, without_empty
from tailrace.protocols.framing.data_event import frame
from tailrace.protocols.framing.json_line import encode as _json

SUCCESS: Object = {"type": "success"}
"""Has no `pendingToolCallIds`: clients before 1.0 end the run at that field, and later clients know without
it which calls have no result."""


class AgUiStreamOptions(Struct, frozen=True):
    """`turn`: the number of answers before the part that is shown, which ends at the next pause; None: the
    whole run."""

    turn: int | None = None


class AgUiEncoder(CallEncoder[AgUiMessage | AgUiReasoning | AgUiToolCall, AgUiToolCall]):
    """`StreamEncoder` for one run."""

    def __init__(self, run: str, options: AgUiStreamOptions) -> None:
        super().__init__(run)
        self._options = options
        self._turn = 0
        self._in_turn = False
        self._thread = ids.run_id(run)
        self._run_id = ""
        self._before_1_0 = False
        self._steps: dict[str, str] = {}
        self._subagents: dict[str, Object] = {}
        self._announced_agents: set[str] = set()
        self._reply_messages: dict[Source, str] = {}
        self._cut = CutReplies[tuple[str, str]]()
        self._interrupts: dict[int | str, tuple[str, Object]] = {}
        self._approvals: Counter[int] = Counter()
        self._questions = 0
        self._usage: dict[str, Totals] = {}

    def encode(self, events: Sequence[t.Event]) -> list[bytes]:
        """The frames for these events, in order, of the turn that `options` select."""
        frames = super().encode(events)
        return frames if self._options.turn in (None, self._turn) else []

    def emit(self, event: Object) -> None:
        """Add a frame."""
        self._frames.append(frame(event))

    def delta(self, template: bytes, text: str) -> None:
        """Add a delta frame; `template` is rendered with `text`."""
        self._frames.append(template % _json(text))

    def whose(self, agent: str) -> Object:
        if self._roster.is_main(agent):
            return {}
        return {"subagentRunId": f"{ids.run_id(self.run)}:{agent}"}

    def reply_message(self, source: Source, message: str | None = None) -> str | None:
        if message is not None:
            self._reply_messages[source] = message
        return self._reply_messages.get(source)

    def add_to_reply(self, source: Source, message: str) -> None:
        self._cut.add(source, (message, source[1]))

    # the run and its turns

    def _on_run_started(self, event: t.Event, payload: t.RunStarted) -> None:
        self._begin_turn(payload.request)
        self._roster.start(payload)

    def _on_run_attempt(self, event: t.Event, payload: t.RunAttempt) -> None:
        if not payload.keeps_replies:
            self._reply_messages.clear()

    def _on_run_resumed(self, event: t.Event, payload: t.RunResumed) -> None:
        self._begin_turn(payload.request)

    def _begin_turn(self, request: RunRequest | None = None) -> None:
        """Begin the next turn, unless it has begun, with a request or with the event that resumes the waiting
        run."""
        if self._in_turn:
            return
        self._in_turn = True
        self._run_id = wire.turn_id(self.run, self._turn)
        parent, state = None, None
        if request is not None:
            self._thread = request.session or request.conversation or self._thread
            if request.settings.origin == wire.SURFACE:
                self._run_id = request.client_names or self._run_id
                self._before_1_0 = "protocolVersion" not in request.settings.extra
                parent = request.settings.extra.get("parentRunId")
                state = request.settings.extra.get("state")
        names = {"threadId": self._thread, "runId": self._run_id}
        fields = {"type": "RUN_STARTED", **names, "protocolVersion": wire.VERSION}
        self.emit({**fields, **without_empty({"parentRunId": parent})})
        if state is not None:
            self.emit({"type": "STATE_SNAPSHOT", "snapshot": state})
        for step in self._steps.values():
            self.emit({"type": "STEP_STARTED", "stepName": step})
        for agent, entry in self._subagents.items():
            self._subagent_started(agent, entry)

    def _on_run_waiting(self, event: t.Event, payload: t.RunWaiting) -> None:
        for agent in reversed(self._subagents):
            own = [interrupt["id"] for of, interrupt in self._interrupts.values() if of == agent]
            outcome = {"type": "suspended", **without_empty({"interruptIds": own})}
            self._subagent_finished(agent, {"outcome": outcome})
        for step in reversed(self._steps.values()):
            self.emit({"type": "STEP_FINISHED", "stepName": step})
        interrupts = [interrupt for _, interrupt in self._interrupts.values()]
        if not interrupts:
            id = ids.item_id(wire.WAIT, self.run, self._turn)
            interrupts = [{"id": id, "reason": payload.reason or "waiting"}]
        self._finish({"type": "interrupt", "interrupts": interrupts})
        self._in_turn = False
        if self._turn == self._options.turn:
            self.done = True
            return
        self._turn += 1
        self._usage, self._announced_agents = {}, set()
        if self._options.turn is not None:
            self._frames = []

    def _on_run_ended(self, event: t.Event, payload: t.RunEnd) -> None:
        self._begin_turn()
        match payload:
            case t.RunCompleted():
                self._take_back(self._cut.left())
                self._finish(SUCCESS)
            case t.RunIncomplete():
                self._finish(SUCCESS, {"status": "incomplete", "reason": payload.reason})
            case t.RunFailed():
                fields: Object = {"status": payload.status or None, "param": payload.param}
                more = wire.metadata(**fields, retryAfter=payload.retry_after)
                self._fail(payload.code, payload.message, more)
            case t.RunCancelled():
                if (
                    self._before_1_0
                ):  # in clients before 1.0 an unknown outcome ends more than the run
                    self._fail("cancelled", "The run was cancelled.")
                else:
                    self._finish({"type": "cancelled"})
        self.done = True

    def _fail(self, code: str, message: str, more: Object | None = None) -> None:
        fields: Object = {"type": "RUN_ERROR", "message": message, "code": code}
        self.emit({**fields, **(more or {}), **wire.usage(self._usage)})

    def _finish(self, outcome: Object, result: Object | None = None) -> None:
        names = {"threadId": self._thread, "runId": self._run_id}
        fields: Object = {"type": "RUN_FINISHED", **names, **without_empty({"result": result})}
        self.emit({**fields, "outcome": outcome, **wire.usage(self._usage)})

    # steps and subagents

    def _on_node_started(self, event: t.Event, payload: t.NodeStarted) -> None:
        node = event.node
        self._roster.add_node(node, payload)
        name = payload.name or node
        step = f"{name} ({node})" if name in self._steps.values() else name
        self._steps[node] = step
        self.emit({"type": "STEP_STARTED", "stepName": step})

    def _on_node_ended(self, event: t.Event, payload: t.NodeCompleted | t.NodeFailed) -> None:
        self._begin_turn()
        step = self._steps.pop(event.node, None)
        if step is not None:
            self.emit({"type": "STEP_FINISHED", "stepName": step})

    def _on_agent_started(self, event: t.Event, payload: t.AgentStarted) -> None:
        agent = event.agent
        self._roster.add_agent(agent, payload)
        if self._roster.is_main(agent):
            return
        call = None if payload.call is None else wire.call_id(self.run, payload.call)
        entry = {"name": payload.name, **without_empty({"parent": payload.parent, "call": call})}
        self._subagents[agent] = entry
        self._subagent_started(agent, entry)

    def _subagent_started(self, agent: str, entry: Object) -> None:
        fields: Object = {"type": "SUBAGENT_STARTED", **self.whose(agent), "name": entry["name"]}
        parent = entry.get("parent", "")
        if parent in self._announced_agents:
            fields["parentSubagentRunId"] = self.whose(parent)["subagentRunId"]
        self._announced_agents.add(agent)
        self.emit({**fields, **without_empty({"parentToolCallId": entry.get("call")})})

    def _on_agent_completed(self, event: t.Event, payload: t.AgentCompleted) -> None:
        self._begin_turn()
        agent = event.agent
        if self._subagents.pop(agent, None) is None:
            return
        if payload.status in ("failed", "cancelled"):
            message = f"The agent was {payload.status}."
            if payload.status == "failed":
                message = "The agent failed."
            fields = {"type": "SUBAGENT_ERROR", **self.whose(agent), "message": message}
            self.emit({**fields, "code": payload.status})
            return
        cut = payload.status == "incomplete"
        self._subagent_finished(agent, wire.metadata(status=payload.status) if cut else {})

    def _subagent_finished(self, agent: str, fields: Object) -> None:
        self.emit({"type": "SUBAGENT_FINISHED", **self.whose(agent), **fields})

    # messages and interrupts

    def _on_item_started(self, event: t.Event, payload: t.ItemStarted) -> None:
        if not self._roster.shows(event.node):
            return
        match payload.kind:
            case "message":
                self._items[payload.item] = AgUiMessage(self, payload, event)
            case "reasoning":
                self._items[payload.item] = AgUiReasoning(self, payload, event)
            case "tool_call":
                call = AgUiToolCall(self, payload, event)
                self._items[payload.item] = self._calls[payload.item] = call
            case "provider" | "image" | "audio":
                pass  # shown when they are complete, or not at all

    def _on_item_completed(self, event: t.Event, payload: t.ItemCompleted) -> None:
        self._begin_turn()
        super()._on_item_completed(event, payload)

    def _show_part(self, event: t.Event, part: Part) -> None:
        file = wire.file(part)
        if file is not None:
            self.emit({**file, **self.whose(event.agent)})

    def _on_tool_completed(self, event: t.Event, payload: t.ToolCompleted) -> None:
        self._begin_turn()
        self._interrupts.pop(payload.item, None)
        super()._on_tool_completed(event, payload)

    def _on_approval_requested(self, event: t.Event, payload: t.ApprovalRequested) -> None:
        self._approvals[payload.item] += 1
        number, has_call = self._approvals[payload.item], payload.item in self._calls
        interrupt = wire.approval(self.run, number, payload, has_call=has_call)
        self._interrupts[payload.item] = (event.agent, {**interrupt, **self.whose(event.agent)})

    def _on_approval_resolved(self, event: t.Event, payload: t.ApprovalResolved) -> None:
        self._interrupts.pop(payload.item, None)

    def _on_input_requested(self, event: t.Event, payload: t.InputRequested) -> None:
        interrupt = wire.question(
            self.run, self._questions, payload, has_call=payload.item in self._calls
        )
        self._questions += 1
        self._interrupts[payload.request_id] = (
            event.agent,
            {**interrupt, **self.whose(event.agent)},
        )

    def _on_input_received(self, event: t.Event, payload: t.InputReceived) -> None:
        self._interrupts.pop(payload.request_id, None)

    def _on_custom(self, event: t.Event, payload: t.Custom) -> None:
        self.emit({**wire.custom(payload), **self.whose(event.agent)})

    def _on_reply_abandoned(self, event: t.Event, payload: t.ReplyAbandoned) -> None:
        source = (event.node, event.agent)
        self._reply_messages.pop(source, None)
        self._cut.abandon(source, whole_turn=payload.all)
        for item in self._items.values():
            item.abandon(source)

    def _on_usage(self, event: t.Event, payload: t.Usage) -> None:
        before = self._usage.get(payload.model, Totals())
        self._usage[payload.model] = before + Totals.of(payload)
        if payload.purpose == "reply":
            source = (event.node, event.agent)
            self._reply_messages.pop(source, None)
            self._take_back(self._cut.complete(source))

    def _take_back(self, messages: Sequence[tuple[str, str]]) -> None:
        """Replace messages that are not part of the answer by activities of a type without a renderer.

        A client keeps such messages in its list and would send them back as the agent's output.
        `MESSAGES_SNAPSHOT` removes messages, but has to contain all others as the client has them;
        `ACTIVITY_SNAPSHOT` replaces the message with its id (docs/adr/0017), and clients do not send
        activities to models.
        """
        for message, agent in messages:
            whose = self.whose(agent) if agent in self._subagents else {}
            self.emit({**wire.taken_back(message), **whose})

    SHOWN: ClassVar[Table] = {
        t.RunStarted: _on_run_started,
        t.RunAttempt: _on_run_attempt,
        t.RunWaiting: _on_run_waiting,
        t.RunResumed: _on_run_resumed,
        **dict.fromkeys(RUN_ENDS, _on_run_ended),
        t.NodeStarted: _on_node_started,
        t.NodeCompleted: _on_node_ended,
        t.NodeFailed: _on_node_ended,
        t.AgentStarted: _on_agent_started,
        t.AgentCompleted: _on_agent_completed,
        t.ItemStarted: _on_item_started,
        **ItemEncoder.PIECES,
        t.ItemCompleted: _on_item_completed,
        t.ToolCompleted: _on_tool_completed,
        t.ApprovalRequested: _on_approval_requested,
        t.ApprovalResolved: _on_approval_resolved,
        t.InputRequested: _on_input_requested,
        t.InputReceived: _on_input_received,
        t.Usage: _on_usage,
        t.ReplyAbandoned: _on_reply_abandoned,
        t.Custom: _on_custom,
    }
    HIDDEN = frozenset(
        {
            t.ImagePartial,
            t.ProviderEvent,
            t.AudioDelta,
            t.TranscriptDelta,
            t.ToolStarted,
            t.ToolProgress,
            t.CompactionStarted,
            t.CompactionCompleted,
            t.ContextUsage,
        }
    )
