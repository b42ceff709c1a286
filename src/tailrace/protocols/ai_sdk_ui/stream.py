"""A run as a UI message stream: events to chunks.

Frame n is a chunk and, in the same write, the position after it: a transient `data-streamProgress` whose
`sequenceNumber` is n, the number that `?after=` takes. The last chunk has its position before it (clients
stop reading at an error), then `[DONE]`.

All agents are shown. The parts after a `data-subagent` chunk belong to that subagent, those after
`data-subagent-end` to the main agent. A step is a model reply, if nothing is open when the next one begins:
clients drop open texts at the end of a step.

A run that pauses for a person continues in the same UI message. The stream up to pause k, and its numbers,
are the beginning of the stream up to pause k + 1 but for its last chunk, so a turn that answers is the same
stream from a later frame on (`turn_begins`), and a replay is all of it. If the user sent a message with the
answer, the turn is a UI message of its own, which repeats the calls whose results it has: clients look for a
call in the message that they are building.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import Part
from tailrace.events.request import RunRequest
from tailrace.events.usage import Totals
from tailrace.protocols.ai_sdk_ui import past, wire
from tailrace.protocols.ai_sdk_ui.stream_items import UiTextPart, UiToolPart
from tailrace.protocols.encoder import RUN_ENDS, CallEncoder, Encoder, ItemEncoder, Table
from tailrace.protocols.fields import Object
from tailrace.protocols.framing.data_event import frame
from tailrace.protocols.framing.json_line import encode as _json


class UiStreamOptions(Struct, frozen=True):
    """`turn`: the stream ends at the pause that follows this many answers; None: at the run's end only.
    `past`: the first frame also brings what the message held before this run (`past.py`)."""

    turn: int | None = None
    past: bool = False


class UiMessageEncoder(CallEncoder[UiTextPart | UiToolPart, UiToolPart]):
    """`StreamEncoder` for one run."""

    def __init__(self, run: str, options: UiStreamOptions) -> None:
        super().__init__(run)
        self._options = options
        self._turn = 0
        self._message = ids.message_id(run)
        self._conversation = ""
        self._approvals = False
        self._dispatches: dict[str, str] = {}
        self._open: set[int] = set()
        self._speaker = ""
        self._in_step = False
        self._reply_ended = False
        self._totals = Totals()
        self._progress = b""
        self._number = 0

    def emit(self, *chunks: Object) -> None:
        """Add a frame: a chunk, and the position after it."""
        data = b"".join(map(frame, chunks))
        self._frames.append(data + self._progress % self._number)
        self._number += 1

    def delta(self, template: bytes, text: str) -> None:
        """Add a delta's frame from a template of `with_position`."""
        number = self._number
        self._number = number + 1
        self._frames.append(template % (_json(text), number))

    def with_position(self, template: bytes) -> bytes:
        return template + self._progress

    def open_part(self, item: int) -> None:
        """Mark an item as having an open part."""
        self._open.add(item)

    def close_part(self, item: int) -> None:
        """Mark an item as having no open part."""
        self._open.discard(item)

    def enter(self, agent: str) -> None:
        """Start the step and the agent of the next part, unless they are current."""
        if self._in_step and self._reply_ended and not self._open:
            self._end_step()
        if not self._in_step:
            self._in_step, self._reply_ended = True, False
            self.emit({"type": "start-step"})
        speaker = "" if self._roster.is_main(agent) else agent
        if speaker == self._speaker:
            return
        self._speaker = speaker
        if not speaker:
            self.emit(wire.data("subagent-end", None))
            return
        entry = self._roster.entry(agent)
        fields: Object = {
            "id": entry.id,
            "agentId": entry.id,
            "name": entry.name,
            "kind": entry.kind,
            "parentId": entry.parent or None,
            "dispatchedByToolCallId": self._dispatches.get(agent),
        }
        self.emit(wire.data("subagent", fields))

    def _end_step(self) -> None:
        if self._in_step:
            self._in_step = False
            self.emit({"type": "finish-step"})

    def _on_run_started(self, event: t.Event, payload: t.RunStarted) -> None:
        self._roster.start(payload)
        self._begin_turn(payload.request)

    def _on_run_attempt(self, event: t.Event, payload: t.RunAttempt) -> None:
        self._reply_ended = self._reply_ended or not payload.keeps_replies

    def _on_run_waiting(self, event: t.Event, payload: t.RunWaiting) -> None:
        self._close()
        if self._turn == self._options.turn:
            self._finish("tool-calls")

    def _on_run_resumed(self, event: t.Event, payload: t.RunResumed) -> None:
        self._turn += 1
        is_own_message = payload.input != () and self._options.turn is not None
        if is_own_message:
            self._message = f"{ids.message_id(self.run)}_{self._turn}"
        self._begin_turn(payload.request)
        for call in self._calls.values() if is_own_message else ():
            call.show_again()

    def _begin_turn(self, request: RunRequest | None) -> None:
        if request is not None:
            self._message = request.client_names or self._message
            conversation = request.session or self._conversation or request.conversation
            self._conversation = conversation or ids.run_id(self.run)
            self._approvals = self._approvals or wire.APPROVALS in request.include
        self._progress = wire.progress(ids.response_id(self.run, self._turn))
        chunks: list[Object] = [{"type": "start", "messageId": self._message}]
        if request is not None and self._options.past and not self._number:
            chunks += past.chunks(request)
        self.emit(*chunks)
        self.emit({**wire.data("conversationId", self._conversation), "transient": True})

    def _on_agent_started(self, event: t.Event, payload: t.AgentStarted) -> None:
        self._roster.add_agent(event.agent, payload)
        if payload.call is not None:
            self._dispatches[event.agent] = ids.item_id("call", self.run, payload.call)

    def _on_agent_completed(self, event: t.Event, payload: t.AgentCompleted) -> None:
        self._reply_ended = True  # also a reply that failed has ended

    def _on_item_started(self, event: t.Event, payload: t.ItemStarted) -> None:
        if not self._roster.shows(event.node):
            return
        match payload.kind:
            case "message" | "reasoning":
                self._items[payload.item] = UiTextPart(self, payload, event.agent)
            case "tool_call":
                call = UiToolPart(self, payload, event.agent)
                self._items[payload.item] = self._calls[payload.item] = call
            case "provider" | "image" | "audio":
                pass  # shown when they are complete, or not at all

    def _show_part(self, event: t.Event, part: Part) -> None:
        chunk = wire.file(part)
        if chunk is not None:
            if self._roster.shows(event.node):
                self.enter(event.agent)
            self.emit(chunk)

    def _on_approval_requested(self, event: t.Event, payload: t.ApprovalRequested) -> None:
        call = self._calls.get(payload.item)
        if call is not None:
            self.emit(call.approval(payload.message, client_knows=self._approvals))

    def _on_tool_started(self, event: t.Event, payload: t.ToolStarted) -> None:
        call = self._calls.get(payload.item)
        if call is not None and payload.arguments is not None:
            call.edit(payload.arguments)

    def _on_input_requested(self, event: t.Event, payload: t.InputRequested) -> None:
        if payload.item is None:
            question = {"id": payload.request_id, "message": payload.message}
            self.emit(wire.data("question", {**question, "schema": payload.schema}))

    def _on_usage(self, event: t.Event, payload: t.Usage) -> None:
        if self._roster.shows(event.node):
            self._totals += Totals.of(payload)
            self._reply_ended = self._reply_ended or payload.purpose == "reply"

    def _on_reply_abandoned(self, event: t.Event, payload: t.ReplyAbandoned) -> None:
        self._reply_ended = True
        for item in self._items.values():
            item.abandon(event.agent)

    def _on_custom(self, event: t.Event, payload: t.Custom) -> None:
        if payload.name not in wire.RESERVED_NAMES:
            self.emit(wire.data(payload.name, payload.data))

    def _on_run_ended(self, event: t.Event, payload: t.RunEnd) -> None:
        self._close()
        match payload:
            case t.RunCompleted() | t.RunIncomplete():
                client_called = any(call.theirs for call in self._calls.values())
                self._finish(wire.finish_reason(payload, calls=client_called))
            case t.RunFailed():
                self._last({"type": "error", "errorText": payload.message})
            case t.RunCancelled():
                self._last({"type": "abort"})

    def _close(self) -> None:
        """Only the end of this turn follows."""
        if self._speaker:
            self._speaker = ""
            self.emit(wire.data("subagent-end", None))
        self._end_step()

    def _finish(self, reason: str) -> None:
        metadata = {
            "runId": ids.run_id(self.run),
            "finishReason": reason,
            "usage": wire.usage(self._totals),
        }
        self._last({"type": "finish", "messageMetadata": {wire.KEY: metadata}})

    def _last(self, chunk: Object) -> None:
        """The chunk that ends the stream; its position has a chunk of its own, before it."""
        self.done = True
        terminal = (self._progress % self._number).replace(b'"terminal":false', b'"terminal":true')
        self._frames += [terminal, frame(chunk), wire.DONE]
        self._number += 3

    SHOWN: ClassVar[Table] = {
        **Encoder.NAMING,
        t.RunStarted: _on_run_started,
        t.RunAttempt: _on_run_attempt,
        t.RunWaiting: _on_run_waiting,
        t.RunResumed: _on_run_resumed,
        **dict.fromkeys(RUN_ENDS, _on_run_ended),
        t.AgentStarted: _on_agent_started,
        t.AgentCompleted: _on_agent_completed,
        t.ItemStarted: _on_item_started,
        **ItemEncoder.PIECES,
        **CallEncoder.CALLS,
        t.ApprovalRequested: _on_approval_requested,
        t.ToolStarted: _on_tool_started,
        t.InputRequested: _on_input_requested,
        t.Usage: _on_usage,
        t.ReplyAbandoned: _on_reply_abandoned,
        t.Custom: _on_custom,
    }
    HIDDEN = frozenset(
        {
            t.NodeCompleted,
            t.NodeFailed,
            t.ImagePartial,
            t.ProviderEvent,
            t.AudioDelta,
            t.TranscriptDelta,
            t.ToolProgress,
            t.ApprovalResolved,
            t.InputReceived,
            t.CompactionStarted,
            t.CompactionCompleted,
            t.ContextUsage,
        }
    )


def message_begins(run: str, events: Sequence[t.Event], turn: int) -> int:
    """The number of the first frame of the UI message that a turn is part of (`turn_begins`)."""
    turns = [event.payload for event in events if isinstance(event.payload, t.RunResumed)]
    own_messages = [number for number, each in enumerate(turns[:turn], 1) if each.input]
    return turn_begins(run, events, own_messages[-1]) if own_messages else 0


def turn_begins(run: str, events: Sequence[t.Event], turn: int) -> int:
    """The number of the first frame of a turn, in the stream up to the end of that turn."""
    encoder, answers = UiMessageEncoder(run, UiStreamOptions(turn)), 0
    for number, event in enumerate(events):
        if isinstance(event.payload, t.RunResumed):
            answers += 1
            if answers == turn:
                return len(encoder.encode(events[:number]))
    return 0
