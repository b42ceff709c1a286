"""A model's output on the Responses stream: messages and reasoning, part by part, and tool calls, both those
that the client runs and those that run on the server."""

from __future__ import annotations

import msgspec

from tailrace.events import types as t
from tailrace.events.items import Json, Message, Reasoning, TextPart, ToolCall
from tailrace.protocols.fields import Object, any_object
from tailrace.protocols.framing.json_line import encode as _json
from tailrace.protocols.openai_responses import wire
from tailrace.protocols.openai_responses.items import DIALECT
from tailrace.protocols.openai_responses.writer import ItemWriter, ResponsesEmitter, template

TOOL_LABEL = "tailrace"
"""The `server_label` of tools that have none."""
ENCRYPTED = "reasoning.encrypted_content"
NO_LOGPROBS = b',"logprobs":[]'


class MessageWriter(ItemWriter):
    """A message: parts of text or refusal, one open at a time."""

    prefix = "msg"

    def __init__(self, stream: ResponsesEmitter, start: t.ItemStarted, output_index: int) -> None:
        super().__init__(stream, start, output_index)
        self._part = -1
        self._pieces: list[str] = []
        self._annotations: list[Json] = []
        self._logprobs: list[Json] = []
        self._refusal = False
        self._delta = b""

    def zero(self) -> Object:
        return wire.message(
            self.id, Message(role="assistant", phase=self.start.phase), "in_progress"
        )

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.TextDelta):  # the most frequent payload
            if payload.part != self._part:
                self._begin(payload.part, refusal=False)
            self._pieces.append(payload.text)
            if payload.logprobs:
                self._logprobs.extend(payload.logprobs)
                logprobs = b',"logprobs":' + _json(payload.logprobs)
                self.stream.delta(self._template(logprobs), payload.text)
            else:
                self.stream.delta(self._delta, payload.text)
        elif isinstance(payload, t.RefusalDelta):
            if payload.part != self._part:
                self._begin(payload.part, refusal=True)
            self._pieces.append(payload.text)
            self.stream.delta(self._delta, payload.text)
        elif isinstance(payload, t.AnnotationAdded) and wire.is_citation(payload.annotation):
            if payload.part != self._part:
                self._begin(payload.part, refusal=False)
            self._emit(
                "output_text.annotation.added",
                content_index=self._part,
                annotation_index=len(self._annotations),
                annotation=payload.annotation,
            )
            self._annotations.append(payload.annotation)
        elif isinstance(payload, t.ItemCompleted) and isinstance(payload.content, Message):
            self._close(wire.message(self.id, self._whole(payload.content), payload.status))

    def _whole(self, message: Message) -> Message:
        """The message, with an empty text if it has no parts."""
        if self._part < 0 and not wire.has_others(message):
            self._begin(0, refusal=False)
        if self._part < 0:
            return message
        self._end_part()
        return msgspec.structs.replace(message, content=message.content or (TextPart(""),))

    def _begin(self, part: int, *, refusal: bool) -> None:
        if self._part >= 0:
            self._end_part()
        self._part, self._refusal = part, refusal
        self._pieces, self._annotations, self._logprobs = [], [], []
        self._delta = self._template(b"" if refusal else NO_LOGPROBS)
        shape = {"type": "refusal", "refusal": ""} if refusal else wire.text_part()
        self._emit("content_part.added", content_index=part, part=shape)

    def _template(self, tail: bytes) -> bytes:
        kind = "refusal.delta" if self._refusal else "output_text.delta"
        return template(kind, self.place + b',"content_index":%d' % self._part, tail)

    def _end_part(self) -> None:
        text, at = "".join(self._pieces), self._part
        if self._refusal:
            self._emit("refusal.done", content_index=at, refusal=text)
            shape: Object = {"type": "refusal", "refusal": text}
        else:
            logprobs = self._logprobs
            self._emit("output_text.done", content_index=at, text=text, logprobs=logprobs)
            shape = wire.text_part(TextPart(text, tuple(self._annotations), tuple(logprobs)))
        self._emit("content_part.done", content_index=at, part=shape)


class ReasoningWriter(ItemWriter):
    """Reasoning: summary parts and raw text parts; each kind has its own ordinals.

    A part is done when a part of the other kind begins. Text that continues it later is a separate part, in
    the finished item too.
    """

    prefix = "rs"

    def __init__(self, stream: ResponsesEmitter, start: t.ItemStarted, output_index: int) -> None:
        super().__init__(stream, start, output_index)
        self._kind = ""
        self._part = -1
        self._pieces: list[str] = []
        self._template = b""
        self._whole_parts: dict[str, list[str]] = {"summary": [], "text": []}
        self._split = False

    def zero(self) -> Object:
        return wire.reasoning(self.id, Reasoning(), encrypted=False)

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ReasoningDelta):
            self._delta("text", payload)
        elif isinstance(payload, t.ReasoningSummaryDelta):
            self._delta("summary", payload)
        elif isinstance(payload, t.ItemCompleted) and isinstance(payload.content, Reasoning):
            self._end_part()
            encrypted = ENCRYPTED in self.stream.options.include
            content = payload.content
            if self._split:
                summary, text = (tuple(self._whole_parts[kind]) for kind in ("summary", "text"))
                content = msgspec.structs.replace(content, summary=summary, text=text)
            self._close(wire.reasoning(self.id, content, encrypted=encrypted))

    def _delta(self, kind: str, payload: t.ReasoningDelta | t.ReasoningSummaryDelta) -> None:
        if payload.part != self._part or kind != self._kind:
            self._begin(kind, payload.part)
        self._pieces.append(payload.text)
        self.stream.delta(self._template, payload.text)

    def _begin(self, kind: str, part: int) -> None:
        self._end_part()
        self._kind, self._part, self._pieces = kind, part, []
        at = len(self._whole_parts[kind])
        self._split = self._split or at != part
        name, index = (
            ("reasoning_summary_text.delta", b"summary_index")
            if kind == "summary"
            else ("reasoning_text.delta", b"content_index")
        )
        self._template = template(name, self.place + b',"%b":%d' % (index, at))
        if kind == "summary":
            shape = {"type": "summary_text", "text": ""}
            self._emit("reasoning_summary_part.added", summary_index=at, part=shape)
        else:
            shape = {"type": "reasoning_text", "text": ""}
            self._emit("content_part.added", content_index=at, part=shape)

    def _end_part(self) -> None:
        if self._part < 0:
            return
        text, at = "".join(self._pieces), len(self._whole_parts[self._kind])
        self._whole_parts[self._kind].append(text)
        if self._kind == "summary":
            shape = {"type": "summary_text", "text": text}
            self._emit("reasoning_summary_text.done", summary_index=at, text=text)
            self._emit("reasoning_summary_part.done", summary_index=at, part=shape)
        else:
            shape = {"type": "reasoning_text", "text": text}
            self._emit("reasoning_text.done", content_index=at, text=text)
            self._emit("content_part.done", content_index=at, part=shape)
        self._part = -1


class CallWriter(ItemWriter):
    """A call of a tool that the client runs: `function_call`, or `custom_tool_call`."""

    prefix = "fc"

    def __init__(self, stream: ResponsesEmitter, start: t.ItemStarted, output_index: int) -> None:
        super().__init__(stream, start, output_index)
        self._events, self._field = (
            ("custom_tool_call_input", "input")
            if start.custom
            else ("function_call_arguments", "arguments")
        )
        self._delta = template(f"{self._events}.delta", self.place)

    def zero(self) -> Object:
        return {**any_object(self.start.details.get(DIALECT)), **self._shape("", "in_progress")}

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ArgumentsDelta):
            self.stream.delta(self._delta, payload.text)
        elif isinstance(payload, t.ItemCompleted) and isinstance(payload.content, ToolCall):
            arguments = payload.content.arguments
            fields: Object = {self._field: arguments}
            if not self.start.custom:
                fields["name"] = self.start.name  # required by SDK types 2.0 to 3.0
            self._emit(f"{self._events}.done", **fields)
            self._close({**wire.own(payload.content), **self._shape(arguments, payload.status)})

    def _shape(self, arguments: str, status: str) -> Object:
        shape: Object = {
            "id": self.id,
            "type": "custom_tool_call" if self.start.custom else "function_call",
            "call_id": self.start.call_id,
            "name": self.start.name,
            self._field: arguments,
        }
        return shape if self.start.custom else {**shape, "status": status}


class QuestionWriter(CallWriter):
    """A question to a person as a `function_call` that the client answers, complete when it is opened."""

    def __init__(
        self, stream: ResponsesEmitter, start: t.ItemStarted, output_index: int, arguments: str
    ) -> None:
        super().__init__(stream, start, output_index)
        self._arguments = arguments

    def _id(self) -> str:
        return self.start.call_id

    def open(self) -> None:
        super().open()
        call = ToolCall(call_id=self.start.call_id, name=self.start.name, arguments=self._arguments)
        self.take(t.ArgumentsDelta(self.start.item, self._arguments))
        self.take(t.ItemCompleted(self.start.item, content=call))


class SealWriter(ItemWriter):
    """Data that a call's server must get back with the call and that `function_call` has no field for: a
    reasoning item that clients send back with the call (`sealed.py`). It is complete when it is opened."""

    prefix = "rs"

    def __init__(
        self, stream: ResponsesEmitter, start: t.ItemStarted, output_index: int, secret: str
    ) -> None:
        super().__init__(stream, start, output_index)
        self._secret = secret

    def open(self) -> None:
        super().open()
        self._close({**self.zero(), "encrypted_content": self._secret})

    def zero(self) -> Object:
        return {"id": self.id, "type": "reasoning", "summary": []}

    def take(self, payload: t.Payload) -> None:
        """Ignores all events: the item is complete when it is opened."""


class ServerCallWriter(ItemWriter):
    """A call of a tool that runs on the server: an `mcp_call`, done when the tool has returned.

    Clients treat a `function_call` of a tool that they do not have as an error; they show an `mcp_call` as
    run by the provider. The form of its `error` differs between SDK versions, so the message of a failed tool
    is its `output`.
    """

    prefix = "mcp"

    def __init__(self, stream: ResponsesEmitter, start: t.ItemStarted, output_index: int) -> None:
        super().__init__(stream, start, output_index)
        self._arguments = ""
        self._delta = template("mcp_call_arguments.delta", self.place)

    def open(self) -> None:
        super().open()
        self._emit("mcp_call.in_progress")

    def zero(self) -> Object:
        return self._shape("in_progress", None)

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ArgumentsDelta):
            self.stream.delta(self._delta, payload.text)
        elif isinstance(payload, t.ItemCompleted) and isinstance(payload.content, ToolCall):
            self._arguments = payload.content.arguments
            self._emit("mcp_call_arguments.done", arguments=self._arguments)
            if payload.status == "incomplete":
                self._emit("mcp_call.failed")
                self._close(self._shape("incomplete", None))
        elif isinstance(payload, t.ToolCompleted):
            ending = "failed" if payload.is_error else "completed"
            self._emit(f"mcp_call.{ending}")
            self._close(self._shape(ending, payload.output))

    def pause(self) -> None:
        if not self.closed:
            self._close(self._shape("incomplete", None))

    def _shape(self, status: str, output: str | None) -> Object:
        return {
            "id": self.id,
            "type": "mcp_call",
            "status": status,
            "approval_request_id": self.stream.approval_id(self.start.item),
            "arguments": self._arguments,
            "error": None,
            "name": self.start.name,
            "output": output,
            "server_label": self.start.server_label or TOOL_LABEL,
        }


class ApprovalWriter(ItemWriter):
    """The request for approval of a call: an `mcp_approval_request`. It is complete when it is opened."""

    prefix = "mcpr"

    def __init__(
        self, stream: ResponsesEmitter, start: t.ItemStarted, output_index: int, arguments: str
    ) -> None:
        super().__init__(stream, start, output_index)
        self.id = stream.approval_id(start.item) or self.id
        self._arguments = arguments

    def open(self) -> None:
        super().open()
        self._close(self.zero())

    def zero(self) -> Object:
        return {
            "id": self.id,
            "type": "mcp_approval_request",
            "arguments": self._arguments,
            "name": self.start.name,
            "server_label": self.start.server_label or TOOL_LABEL,
        }

    def take(self, payload: t.Payload) -> None:
        """Ignores all events: the request is complete when it is opened, and its answer is in the input of
        another response."""
