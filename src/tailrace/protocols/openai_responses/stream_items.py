"""One output item on the Responses stream: what it emits when it opens, grows and closes.

A writer a kind. Deltas are the hot path: their frame's fixed part is rendered once a part, so a delta
costs one JSON string and two joins.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

import msgspec

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import (
    Json,
    Message,
    ProviderItem,
    Reasoning,
    TextPart,
    ToolCall,
)
from tailrace.protocols.fields import Object
from tailrace.protocols.openai_responses import wire

_json = msgspec.json.Encoder().encode

ENCRYPTED = "reasoning.encrypted_content"
TOOL_LABEL = "tailrace"
"""The `server_label` of tools that name none."""


class _Options(Protocol):
    @property
    def include(self) -> tuple[str, ...]: ...


class Stream(Protocol):
    """What a writer needs of the encoder."""

    @property
    def run(self) -> str: ...

    @property
    def options(self) -> _Options: ...

    def emit(self, kind: bytes, body: bytes) -> None: ...

    def finished(self, output_index: int, item: Object) -> None: ...


class Writer(ABC):
    """Base: an item with an id and a place in `output`."""

    prefix = "item"

    def __init__(self, stream: Stream, started: t.ItemStarted, output_index: int) -> None:
        self.stream = stream
        self.started = started
        self.index = output_index
        self.id = ids.item_id(self.prefix, stream.run, started.item)
        self.place = b'"item_id":%b,"output_index":%d' % (_json(self.id), output_index)

    def opened(self) -> None:
        """The item begins: `output_item.added` with its zero values."""
        self._item(b"response.output_item.added", self.zero())

    @abstractmethod
    def zero(self) -> Object:
        """The item as it is when it opens."""

    @abstractmethod
    def take(self, payload: t.Payload) -> None:
        """Any other event of this item."""

    def _item(self, kind: bytes, item: Object) -> None:
        self.stream.emit(kind, b'"output_index":%d,"item":%b' % (self.index, _json(item)))

    def _close(self, item: Object) -> None:
        self.stream.finished(self.index, item)
        self._item(b"response.output_item.done", item)

    def _emit(self, kind: str, **fields: Json) -> None:
        rest = _json(fields)[1:-1]
        body = self.place + b"," + rest if rest else self.place
        self.stream.emit(f"response.{kind}".encode(), body)


class MessageWriter(Writer):
    """A message: parts of text or refusal, one open at a time."""

    prefix = "msg"

    def __init__(self, stream: Stream, started: t.ItemStarted, output_index: int) -> None:
        super().__init__(stream, started, output_index)
        self._part = -1
        self._pieces: list[str] = []
        self._annotations: list[Json] = []
        self._logprobs: list[Json] = []
        self._refusal = False
        self._head = b""

    def zero(self) -> Object:
        return wire.message(
            self.id, Message(role="assistant", phase=self.started.phase), "in_progress"
        )

    def _text(self, delta: t.TextDelta) -> None:
        if delta.part != self._part:
            self._begin(delta.part, refusal=False)
        self._pieces.append(delta.text)
        if delta.logprobs:
            self._logprobs.extend(delta.logprobs)
            logprobs = _json(delta.logprobs)
        else:
            logprobs = b"[]"
        self.stream.emit(
            b"response.output_text.delta",
            b'%b%b,"logprobs":%b' % (self._head, _json(delta.text), logprobs),
        )

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.TextDelta):
            self._text(payload)
        elif isinstance(payload, t.RefusalDelta):
            if payload.part != self._part:
                self._begin(payload.part, refusal=True)
            self._pieces.append(payload.text)
            self.stream.emit(b"response.refusal.delta", self._head + _json(payload.text))
        elif isinstance(payload, t.AnnotationAdded):
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
            if self._part < 0:
                self._begin(0, refusal=False)
            self._end_part()
            content = payload.content.content or (TextPart(""),)
            whole = msgspec.structs.replace(payload.content, content=content)
            self._close(wire.message(self.id, whole, payload.status))

    def _begin(self, part: int, *, refusal: bool) -> None:
        if self._part >= 0:
            self._end_part()
        self._part, self._refusal = part, refusal
        self._pieces, self._annotations, self._logprobs = [], [], []
        self._head = self.place + b',"content_index":%d,"delta":' % part
        shape = {"type": "refusal", "refusal": ""} if refusal else wire.text_part()
        self._emit("content_part.added", content_index=part, part=shape)

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


class ReasoningWriter(Writer):
    """Reasoning: summary parts and raw text parts, each kind with its own ordinals."""

    prefix = "rs"

    def __init__(self, stream: Stream, started: t.ItemStarted, output_index: int) -> None:
        super().__init__(stream, started, output_index)
        self._kind = ""
        self._part = -1
        self._pieces: list[str] = []
        self._head = b""

    def zero(self) -> Object:
        return wire.reasoning(self.id, Reasoning(), encrypted=False)

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ReasoningDelta):
            self._delta("text", b"response.reasoning_text.delta", payload)
        elif isinstance(payload, t.ReasoningSummaryDelta):
            self._delta("summary", b"response.reasoning_summary_text.delta", payload)
        elif isinstance(payload, t.ItemCompleted) and isinstance(payload.content, Reasoning):
            self._end_part()
            encrypted = ENCRYPTED in self.stream.options.include
            self._close(wire.reasoning(self.id, payload.content, encrypted=encrypted))

    def _delta(
        self, kind: str, name: bytes, payload: t.ReasoningDelta | t.ReasoningSummaryDelta
    ) -> None:
        if (kind, payload.part) != (self._kind, self._part):
            self._begin(kind, payload.part)
        self._pieces.append(payload.text)
        self.stream.emit(name, self._head + _json(payload.text))

    def _begin(self, kind: str, part: int) -> None:
        self._end_part()
        self._kind, self._part, self._pieces = kind, part, []
        index = b"summary_index" if kind == "summary" else b"content_index"
        self._head = self.place + b',"%b":%d,"delta":' % (index, part)
        if kind == "summary":
            shape = {"type": "summary_text", "text": ""}
            self._emit("reasoning_summary_part.added", summary_index=part, part=shape)
        else:
            shape = {"type": "reasoning_text", "text": ""}
            self._emit("content_part.added", content_index=part, part=shape)

    def _end_part(self) -> None:
        if self._part < 0:
            return
        text, at = "".join(self._pieces), self._part
        if self._kind == "summary":
            shape = {"type": "summary_text", "text": text}
            self._emit("reasoning_summary_text.done", summary_index=at, text=text)
            self._emit("reasoning_summary_part.done", summary_index=at, part=shape)
        else:
            shape = {"type": "reasoning_text", "text": text}
            self._emit("reasoning_text.done", content_index=at, text=text)
            self._emit("content_part.done", content_index=at, part=shape)
        self._part = -1


class CallWriter(Writer):
    """A call of a tool that the client runs: `function_call`, or `custom_tool_call`."""

    prefix = "fc"

    def __init__(self, stream: Stream, started: t.ItemStarted, output_index: int) -> None:
        super().__init__(stream, started, output_index)
        self._events, self._field = (
            ("custom_tool_call_input", "input")
            if started.custom
            else ("function_call_arguments", "arguments")
        )
        self._delta = f"response.{self._events}.delta".encode()
        self._head = self.place + b',"delta":'

    def zero(self) -> Object:
        return self._shape("", "in_progress")

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ArgumentsDelta):
            self.stream.emit(self._delta, self._head + _json(payload.text))
        elif isinstance(payload, t.ItemCompleted) and isinstance(payload.content, ToolCall):
            arguments = payload.content.arguments
            fields: Object = {self._field: arguments}
            if not self.started.custom:
                fields["name"] = self.started.name  # required by SDK types 2.0 to 3.0
            self._emit(f"{self._events}.done", **fields)
            self._close(self._shape(arguments, payload.status))

    def _shape(self, arguments: str, status: str) -> Object:
        shape: Object = {
            "id": self.id,
            "type": "custom_tool_call" if self.started.custom else "function_call",
            "call_id": self.started.call_id,
            "name": self.started.name,
            self._field: arguments,
        }
        return shape if self.started.custom else {**shape, "status": status}


class ServerCallWriter(Writer):
    """A call of a tool that runs on our side: an `mcp_call`, done when the tool has answered.

    Clients take a `function_call` they have no tool for as an error; an `mcp_call` they show as run by
    the provider. Its `error` differs between SDK versions, so a failed tool's words are its `output`.
    """

    prefix = "mcp"

    def __init__(self, stream: Stream, started: t.ItemStarted, output_index: int) -> None:
        super().__init__(stream, started, output_index)
        self._arguments = ""
        self._head = self.place + b',"delta":'

    def opened(self) -> None:
        super().opened()
        self._emit("mcp_call.in_progress")

    def zero(self) -> Object:
        return self._shape("in_progress", None)

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ArgumentsDelta):
            self.stream.emit(b"response.mcp_call_arguments.delta", self._head + _json(payload.text))
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

    def _shape(self, status: str, output: str | None) -> Object:
        return {
            "id": self.id,
            "type": "mcp_call",
            "status": status,
            "approval_request_id": None,
            "arguments": self._arguments,
            "error": None,
            "name": self.started.name,
            "output": output,
            "server_label": self.started.server_label or TOOL_LABEL,
        }


class ProviderWriter(Writer):
    """An item of the model server's own (web search, …), shown as it came, under an id of ours."""

    prefix = "item"

    def __init__(self, stream: Stream, started: t.ItemStarted, output_index: int) -> None:
        self._type = str(started.data.get("type", ""))
        form = _PROVIDER.get(self._type, _Form("item"))
        self.prefix = form.prefix
        self._form = form
        super().__init__(stream, started, output_index)

    def opened(self) -> None:
        super().opened()
        for event in self._form.opening:
            self._emit(f"{self._type}.{event}")

    def zero(self) -> Object:
        return self._shape(self.started.data)

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ItemCompleted) and isinstance(payload.content, ProviderItem):
            if payload.status == "completed":
                for event in self._form.closing:
                    self._emit(f"{self._type}.{event}")
            self._close(self._shape(payload.content.data))

    def _shape(self, data: Object) -> Object:
        shape: Object = {**self._form.zero, **data, "id": self.id}
        action: Object = shape.get("action") or {}
        if "sources" in action:  # the real API sends kinds that its own SDK's types refuse
            sources = [source for source in action["sources"] or () if source["type"] == "url"]
            shape["action"] = {**action, "sources": sources}
        return shape


class _Form(msgspec.Struct, frozen=True):
    """How a provider's item type is shown: id prefix, lifecycle events around it, and the fields its
    SDK type requires but a server may leave out at first."""

    prefix: str
    opening: tuple[str, ...] = ()
    closing: tuple[str, ...] = ()
    zero: dict[str, Json] = {}


_PROVIDER: Mapping[str, _Form] = {
    "web_search_call": _Form(
        "ws",
        ("in_progress", "searching"),
        ("completed",),
        {"action": {"type": "search", "query": ""}},
    ),
    "file_search_call": _Form("fs", ("in_progress", "searching"), ("completed",)),
    "code_interpreter_call": _Form("ci", ("in_progress", "interpreting"), ("completed",)),
    "image_generation_call": _Form("ig", ("in_progress", "generating"), ("completed",)),
    "mcp_list_tools": _Form("mcpl", ("in_progress",), ("completed",)),
    "mcp_call": _Form("mcp", ("in_progress",), ("completed",)),
    "mcp_approval_request": _Form("mcpr"),
    "compaction": _Form("cmp"),
    "tool_search_call": _Form("tsc"),
    "tool_search_output": _Form("tso"),
}


def open_item(stream: Stream, started: t.ItemStarted, output_index: int) -> Writer | None:
    """The writer for an item, or None where this surface has no form for it."""
    match started.kind:
        case "message":
            return MessageWriter(stream, started, output_index)
        case "reasoning":
            return ReasoningWriter(stream, started, output_index)
        case "tool_call" if started.runs_on == "client":
            return CallWriter(stream, started, output_index)
        case "tool_call":
            return ServerCallWriter(stream, started, output_index)
        case "provider" if started.dialect == "responses":
            return ProviderWriter(stream, started, output_index)
        case "provider" | "image" | "audio":
            return None
