"""The messages of a run as AG-UI events: texts, reasoning, and tool calls."""

from __future__ import annotations

from typing import Protocol

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.protocols.ag_ui import wire
from tailrace.protocols.cut_replies import Source
from tailrace.protocols.fields import Object
from tailrace.protocols.framing.data_event import mould

CUT_OFF = "The call was cut off before it was whole."


class AgUiEmitter(Protocol):
    """The methods of the encoder that a message uses."""

    @property
    def run(self) -> str: ...

    def emit(self, event: Object) -> None: ...

    def delta(self, template: bytes, text: str) -> None: ...

    def whose(self, agent: str) -> Object:
        """The field with the id of an event's subagent; empty for the main agent."""
        ...

    def reply_message(self, source: Source, message: str | None = None) -> str | None:
        """The message that the calls of a source's current reply belong to; `message` replaces it, if
        given."""
        ...

    def add_to_reply(self, source: Source, message: str) -> None:
        """Record that a source's current reply has this message."""
        ...


class AgUiMessage:
    """A message. It begins with its first text, so that clients show no empty message."""

    def __init__(self, stream: AgUiEmitter, start: t.ItemStarted, event: t.Event) -> None:
        self._stream = stream
        self._source = (event.node, event.agent)
        id = ids.item_id("msg", stream.run, start.item)
        self._names: Object = {"messageId": id, **stream.whose(event.agent)}
        self._delta = mould({"type": "TEXT_MESSAGE_CONTENT", **self._names}, "delta")
        self._started = False
        self._is_refusal = False
        self._citations: list[Json] = []
        self._cut = "incomplete"

    def abandon(self, source: Source) -> None:
        """Mark the message as abandoned if it belongs to this source, whose next reply differs."""
        if source == self._source:
            self._cut = wire.STATUS_ABANDONED

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.TextDelta):  # the most frequent payload
            if payload.text:
                if not self._started:
                    self._begin()
                self._stream.delta(self._delta, payload.text)
        elif isinstance(payload, t.RefusalDelta):
            if payload.text:
                self._is_refusal = True
                self._begin()
                self._stream.delta(self._delta, payload.text)
        elif isinstance(payload, t.AnnotationAdded):
            self._citations.append(payload.annotation)
        elif isinstance(payload, t.ItemCompleted) and self._started:
            status = self._cut if payload.status == "incomplete" else None
            refusal = self._is_refusal or None
            metadata = wire.metadata(status=status, refusal=refusal, annotations=self._citations)
            self._stream.emit({"type": "TEXT_MESSAGE_END", **self._names, **metadata})

    def _begin(self) -> None:
        if not self._started:
            self._started = True
            self._stream.reply_message(self._source, self._names["messageId"])
            self._stream.add_to_reply(self._source, self._names["messageId"])
            fields = {"type": "TEXT_MESSAGE_START", **self._names, "role": "assistant"}
            self._stream.emit(fields)


class AgUiReasoning:
    """Reasoning: a span with one message for each part that has text."""

    def __init__(self, stream: AgUiEmitter, start: t.ItemStarted, event: t.Event) -> None:
        self._stream = stream
        self._source = (event.node, event.agent)
        self._id = ids.item_id("rs", stream.run, start.item)
        self._whose = stream.whose(event.agent)
        self._type: type[t.Base] | None = None
        self._part = -1
        self._parts = 0
        self._names: Object = {}
        self._delta = b""
        self._cut = "incomplete"

    def abandon(self, source: Source) -> None:
        """As for a message."""
        if source == self._source:
            self._cut = wire.STATUS_ABANDONED

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ReasoningDelta | t.ReasoningSummaryDelta):
            if payload.text:
                if self._type is not type(payload) or payload.part != self._part:
                    self._begin(type(payload), payload.part)
                self._stream.delta(self._delta, payload.text)
        elif isinstance(payload, t.ItemCompleted) and self._type is not None:
            cut = payload.status == "incomplete"
            self._end(wire.metadata(status=self._cut) if cut else {})
            self._stream.emit({"type": "REASONING_END", "messageId": self._id, **self._whose})

    def _begin(self, kind: type[t.Base], part: int) -> None:
        if self._type is None:
            self._stream.emit({"type": "REASONING_START", "messageId": self._id, **self._whose})
        else:
            self._end({})
        self._type, self._part = kind, part
        id = f"{self._id}_{self._parts}" if self._parts else self._id
        self._parts += 1
        self._names = {"messageId": id, **self._whose}
        self._delta = mould({"type": "REASONING_MESSAGE_CONTENT", **self._names}, "delta")
        self._stream.add_to_reply(self._source, id)
        fields = {"type": "REASONING_MESSAGE_START", **self._names, "role": "reasoning"}
        self._stream.emit(fields)

    def _end(self, metadata: Object) -> None:
        self._stream.emit({"type": "REASONING_MESSAGE_END", **self._names, **metadata})


class AgUiToolCall:
    """A tool call, in the message of its reply. A result follows if the tool runs on the server, or if the
    call was cut off, so that no client runs an incomplete call."""

    def __init__(self, stream: AgUiEmitter, start: t.ItemStarted, event: t.Event) -> None:
        self._stream = stream
        self._whose = stream.whose(event.agent)
        self._names: Object = {
            "toolCallId": wire.call_id(stream.run, start.item),
            **self._whose,
        }
        self._delta = mould({"type": "TOOL_CALL_ARGS", **self._names}, "delta")
        source = (event.node, event.agent)
        own = ids.item_id("msg", stream.run, start.item)
        parent = stream.reply_message(source)
        if parent is None:
            parent = own
            stream.reply_message(source, own)
            stream.add_to_reply(source, own)
        self._output = ids.item_id("out", stream.run, start.item)
        stream.add_to_reply(source, self._output)  # a call of a cut reply always gets a result
        fields = {"toolCallName": start.name, "parentMessageId": parent}
        stream.emit({"type": "TOOL_CALL_START", **self._names, **fields})

    def abandon(self, source: Source) -> None:
        """Does nothing: the call ends as incomplete, which marks it."""

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ArgumentsDelta):
            if payload.text:
                self._stream.delta(self._delta, payload.text)
        elif isinstance(payload, t.ItemCompleted):
            cut = payload.status == "incomplete"
            metadata = wire.metadata(status="incomplete") if cut else {}
            self._stream.emit({"type": "TOOL_CALL_END", **self._names, **metadata})
            if cut:
                self._result(CUT_OFF, failed=True)
        elif isinstance(payload, t.ToolCompleted):
            self._result(payload.output, failed=payload.is_error)

    def _result(self, content: str, *, failed: bool) -> None:
        fields: Object = {"type": "TOOL_CALL_RESULT", "messageId": self._output, **self._names}
        metadata = wire.metadata(isError=failed or None)
        self._stream.emit({**fields, "content": content, "role": "tool", **metadata})
