"""The parts of a UI message: texts, and tool calls."""

from __future__ import annotations

from typing import Protocol

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import Json, ToolCall
from tailrace.protocols.ai_sdk_ui import wire
from tailrace.protocols.fields import Object
from tailrace.protocols.framing.data_event import mould

PIECES = (t.TextDelta, t.ReasoningDelta, t.ReasoningSummaryDelta, t.RefusalDelta)
CUT_OFF = "The call was cut off before it was whole."


class UiEmitter(Protocol):
    """The methods of the encoder that a part uses."""

    @property
    def run(self) -> str: ...

    def emit(self, *chunks: Object) -> None: ...

    def delta(self, template: bytes, text: str) -> None: ...

    def with_position(self, template: bytes) -> bytes:
        """A delta's template with the position after it."""
        ...

    def enter(self, agent: str) -> None:
        """Start the step and the agent of the next part."""
        ...

    def open_part(self, item: int) -> None: ...

    def close_part(self, item: int) -> None: ...


class UiTextPart:
    """A message or reasoning: one UI part for each content part with text.

    A part begins with its first text, so that no empty part is shown. An interrupted part is marked in its
    `providerMetadata`, the only field for that.
    """

    def __init__(self, stream: UiEmitter, start: t.ItemStarted, agent: str) -> None:
        self._stream = stream
        self._agent = agent
        self._item = start.item
        is_reasoning = start.kind == "reasoning"
        self._kind = "reasoning" if is_reasoning else "text"
        self._id = ids.item_id("rs" if is_reasoning else "msg", stream.run, start.item)
        self._type: type[t.Base] | None = None
        self._part = -1
        self._parts = 0
        self._sources = 0
        self._current = ""
        self._delta = b""
        self._cut = "incomplete"

    def abandon(self, agent: str) -> None:
        """Mark the part as abandoned, if it is this agent's: its next reply differs."""
        if agent == self._agent:
            self._cut = wire.STATUS_ABANDONED

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, PIECES):
            kind = type(payload)
            if text := payload.text:
                if kind is not self._type or payload.part != self._part:
                    self._begin(kind, payload.part)
                self._stream.delta(self._delta, text)
        elif isinstance(payload, t.AnnotationAdded):
            self._cite(payload)
        elif isinstance(payload, t.ItemCompleted):
            self._end(incomplete=payload.status == "incomplete")

    def _begin(self, kind: type[t.Base], part: int) -> None:
        self._end()
        self._type, self._part = kind, part
        self._current = f"{self._id}_{self._parts}" if self._parts else self._id
        self._parts += 1
        self._stream.enter(self._agent)
        self._stream.open_part(self._item)
        names = {"id": self._current}
        self._stream.emit({"type": f"{self._kind}-start", **names})
        self._delta = self._stream.with_position(
            mould({"type": f"{self._kind}-delta", **names}, "delta")
        )

    def _end(self, *, incomplete: bool = False) -> None:
        if self._type is None:
            return
        self._type = None
        fields: Object = {"providerMetadata": wire.cut(self._cut)} if incomplete else {}
        self._stream.emit({"type": f"{self._kind}-end", "id": self._current, **fields})
        self._stream.close_part(self._item)

    def _cite(self, payload: t.AnnotationAdded) -> None:
        id = ids.item_id("src", self._stream.run, payload.item)
        chunk = wire.source(payload.annotation, f"{id}_{self._sources}")
        if chunk is not None:
            self._sources += 1
            self._stream.enter(self._agent)
            self._stream.emit(chunk)


class UiToolPart:
    """A tool call. One that runs here is `dynamic` and `providerExecuted`, so that no client tries to run
    it; one that the client runs is a static part, `tool-<name>`.

    Its id is our own: a model may use an id twice in a message, and a client finds parts by it.
    """

    def __init__(self, stream: UiEmitter, start: t.ItemStarted, agent: str) -> None:
        self.id = ids.item_id("call", stream.run, start.item)
        self.start = start
        self.theirs = start.runs_on == "client"
        self.input: Json = None
        self._approvals = 0
        self._agent = agent
        self._stream = stream
        self._names: Object = {"toolCallId": self.id, "toolName": start.name}
        self._flags: Object = {} if self.theirs else wire.OURS
        stream.enter(agent)
        stream.open_part(start.item)
        stream.emit({"type": "tool-input-start", **self._names, **self._flags})
        template = mould({"type": "tool-input-delta", "toolCallId": self.id}, "inputTextDelta")
        self._delta = stream.with_position(template)

    def abandon(self, agent: str) -> None:
        """Does nothing: the call ends as incomplete."""

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ArgumentsDelta):
            self._stream.delta(self._delta, payload.text)
        elif isinstance(payload, t.ItemCompleted):
            self._stream.close_part(self.start.item)
            if payload.status == "completed" and isinstance(payload.content, ToolCall):
                self._show_call(payload.content)
            else:
                self._answer("tool-output-error", "errorText", CUT_OFF)
        elif isinstance(payload, t.ToolCompleted):
            if payload.is_error:
                self._answer("tool-output-error", "errorText", payload.output)
            else:
                self._answer("tool-output-available", "output", payload.output)

    def _show_call(self, call: ToolCall) -> None:
        self.input = wire.arguments(call.arguments, custom=call.custom)
        fields = {"id": self.id, "name": call.name, "args": self.input}
        self._stream.emit(wire.data("toolCall", fields))
        self._show()

    def show_again(self) -> None:
        """Show the complete call in a message that does not have it."""
        self._stream.enter(self._agent)
        self._show()

    def edit(self, arguments: str) -> None:
        """Show the call with the arguments that a person gave it; clients replace the input of its part."""
        self.input = wire.arguments(arguments, custom=self.start.custom)
        self.show_again()

    def _show(self) -> None:
        chunk = {"type": "tool-input-available", **self._names, "input": self.input}
        self._stream.emit({**chunk, **self._flags})

    def _answer(self, kind: str, field: str, text: str) -> None:
        self._stream.emit({"type": kind, "toolCallId": self.id, field: text, **self._flags})

    def approval(self, message: str, *, client_knows: bool) -> Object:
        """The chunk that asks for an approval of this call; `client_knows`: the client supports approvals."""
        self._approvals += 1
        id = ids.asked_id(ids.item_id("apr", self._stream.run, self.start.item), self._approvals)
        if client_knows:
            return {"type": "tool-approval-request", "approvalId": id, "toolCallId": self.id}
        fields = {"id": id, "toolCallId": self.id, "name": self.start.name, "args": self.input}
        return wire.data("approval", {**fields, "message": message})
